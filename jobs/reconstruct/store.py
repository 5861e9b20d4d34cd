"""Reconstruction findings in SQL: a row a content and checkpoint, so that a look-up compares all there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from jobs.database import for_reading
from jobs.models import Reconstruction, utc_now


def put(engine: Engine, sha256: str, found: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Store (checkpoint id, finding) pairs of one content in one transaction; a finding made again replaces the old."""
    with Session(engine) as session, session.begin():
        for checkpoint, finding in found:
            session.merge(
                Reconstruction(
                    sha256=sha256,
                    checkpoint_id=checkpoint,
                    generator=finding["generator"],
                    llr=finding.get("llr"),
                    found=dict(finding),
                    measured_at=utc_now(),
                )
            )


def findings(session: Session, sha256: str) -> list[dict[str, Any]]:
    """Every checkpoint's finding on a content, by generator and checkpoint."""
    query = (
        select(Reconstruction)
        .where(Reconstruction.sha256 == sha256)
        .order_by(Reconstruction.generator, Reconstruction.checkpoint_id)
    )
    return [dict(row.found) for row in session.scalars(query)]


def measured(engine: Engine, checkpoint: str) -> set[str]:
    """The contents that a checkpoint was asked about before."""
    query = select(Reconstruction.sha256).where(Reconstruction.checkpoint_id == checkpoint)
    with Session(for_reading(engine)) as session:
        return set(session.scalars(query))
