"""Brings the tables of the jobs to the shape that this version needs."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from fingerprint_db.migrations import upgrade
from jobs.models import VERSION_TABLE


def migrate(engine: Engine) -> None:
    """Upgrade from empty or from any older schema. Raises SchemaError when a newer Makersmark wrote it."""
    upgrade(engine, folder=Path(__file__).parent, version_table=VERSION_TABLE, what="job tables")
