"""Brings a database's tables of this package to the shape that this version needs."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from fingerprint_db.errors import SchemaError
from fingerprint_db.models import VERSION_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

_LOCK = 0x6D61_6B65_7273_6D6B  # any fixed number: names this migration among PostgreSQL's advisory locks


def migrate(engine: Engine) -> None:
    """Upgrade this package's tables from empty or from any older schema. Raises SchemaError as ``upgrade`` does."""
    upgrade(engine, folder=Path(__file__).parent, version_table=VERSION_TABLE, what="signature tables")


def upgrade(engine: Engine, *, folder: Path, version_table: str, what: str) -> None:
    """Run a package's revisions up to the newest, in one transaction; safe when several processes start at once.

    folder: an Alembic script location. version_table: where its revision is kept; packages share a database, each with
    its own. what: names the tables in the error.
    Raises SchemaError when a newer version of Makersmark wrote the schema.
    """
    config = Config()
    config.set_main_option("script_location", str(folder))
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    with _exclusive(engine) as connection:
        current = schema_version(connection, version_table)
        if current is not None and current not in known:
            raise SchemaError(
                f"The database's {what} have schema {current}, which a newer Makersmark wrote: "
                "upgrade this installation, or use another database."
            )
        if current != scripts.get_current_head():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def schema_version(connection: Connection, version_table: str = VERSION_TABLE) -> str | None:
    """The revision that the database is at; None for one that this package never touched."""
    context = MigrationContext.configure(connection, opts={"version_table": version_table})
    return context.get_current_revision()


@contextmanager
def _exclusive(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that keeps every other migrating process waiting."""
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            # The driver opens its own transactions only before DML, so DDL of two processes could interleave.
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        try:
            yield connection
        except BaseException:
            connection.rollback()
            raise
        connection.commit()
