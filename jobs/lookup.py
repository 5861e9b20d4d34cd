"""Look one content up: by hash, by URI, or by the file itself; every verdict ever made, the standing one last."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs.archive import canonical_uri, fetch, is_local, local_path, safe_uri
from jobs.database import for_reading
from jobs.home import Home
from jobs.models import Asset, Location, SegmentMatch, VerdictRow, WorkItem
from jobs.reconstruct.evidence import compose
from jobs.reconstruct.store import findings
from jobs.record import empty_record, facts_record

SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class UnknownTargetError(LookupError):
    """Nothing is known under that name; the message says what to do."""


def look_up(home: Home, target: str) -> dict[str, Any]:
    """One JSON object: identity, every location, the state of the work, and ``verdicts``, newest last.

    After a rollback the verdict by the snapshot that judges now comes last, however old; it alone is ``current``.

    target: a SHA-256, a URI or path that a sweep has seen, or a local file, which is then identified by its content.
    Raises UnknownTargetError; FailureError when a local file cannot be read.
    """
    with Session(for_reading(home.engine)) as session:
        sha256, uri, matched = _identify(session, target)
        locations = session.scalars(select(Location).where(Location.sha256 == sha256).order_by(Location.uri)).all()
        location = session.get(Location, uri) if uri else None
        asset = session.get(Asset, sha256) if sha256 else None
        items = session.scalars(select(WorkItem).where(WorkItem.sha256 == sha256)).all() if sha256 else []
        verdicts = session.scalars(select(VerdictRow).where(VerdictRow.sha256 == sha256).order_by(VerdictRow.id)).all()
        current = _current(home, {row.spec_id for row in verdicts})

        def stands(row: VerdictRow) -> bool:
            return row.snapshot_id == current.get(row.spec_id)

        reconstructed = compose(findings(session, sha256)) if sha256 else None
        shown = uri or (locations[0].uri if locations else target)
        facts = dict(asset.facts or {}) if asset else {}
        failed = location if location is not None and location.failure_kind else None
        broken = next((item for item in items if item.failure_kind), None)
        error = failed or broken
        return {
            "target": safe_uri(target),
            "matched_by": matched,
            "uri": safe_uri(shown),
            "sha256": sha256,
            "size": asset.size if asset else (location.size if location else None),
            "locations": [safe_uri(place.uri) for place in locations],
            "state": items[-1].state if items else (location.state if location else None),
            "declared": facts.get("declared", {}),
            "facts": facts_record(facts),
            "error": {"class": error.failure_kind, "message": error.failure_message} if error else None,
            "verdicts": [
                _verdict(session, row, safe_uri(shown), facts, reconstructed) | {"current": stands(row)}
                for row in sorted(verdicts, key=stands)
            ],
        }


def _current(home: Home, specs: set[str]) -> dict[str, str]:
    """The snapshot that judges now, by spec."""
    found = {spec: home.store.current_snapshot(spec) for spec in sorted(specs)}
    return {spec: entry.id for spec, entry in found.items() if entry is not None}


def _identify(session: Session, target: str) -> tuple[str | None, str | None, str]:
    if SHA256.fullmatch(target):
        sha256 = target.lower()
        if session.get(Asset, sha256) is None:
            raise UnknownTargetError(f"no content with SHA-256 {sha256} has been swept into this home")
        return sha256, None, "sha256"
    uri = canonical_uri(target)
    location = session.get(Location, uri)
    if location is not None:
        return location.sha256, uri, "uri"
    if is_local(target) and local_path(target).is_file():
        sha256 = fetch(target).sha256
        if session.get(Asset, sha256) is None:
            raise UnknownTargetError(
                f"neither {target} nor its content has been swept into this home; scan judges it without a sweep"
            )
        return sha256, None, "content"
    raise UnknownTargetError(f"nothing is known of {safe_uri(target)}: no sweep has listed it and no such file is here")


def _verdict(
    session: Session, row: VerdictRow, uri: str, facts: dict[str, Any], reconstructed: dict[str, Any] | None
) -> dict[str, Any]:
    segments = session.scalars(
        select(SegmentMatch).where(SegmentMatch.verdict_id == row.id).order_by(SegmentMatch.ordinal)
    )
    return empty_record(uri, row.spec_id, row.snapshot_id) | {
        "sha256": row.sha256,
        "duration_s": row.duration_s,
        "coverage": row.coverage,
        "verdict": row.verdict,
        "reason": row.reason,
        "family": row.family,
        "generator": row.generator,
        "llr": row.llr,
        "p_value": row.p_value,
        "margin": row.margin,
        "segments": [
            {
                "start_s": segment.start_s,
                "end_s": segment.end_s,
                "verdict": segment.verdict,
                "family": segment.family,
                "generator": segment.generator,
                "llr": segment.llr,
            }
            for segment in segments
        ],
        "nearest": row.nearest,
        "cues": row.cues,
        "evidence": (row.evidence or {}) | ({"reconstruction": reconstructed} if reconstructed else {}),
        "declared": facts.get("declared", {}),
        "facts": facts_record(facts),
        "decided_at": row.decided_at.isoformat(timespec="seconds"),
        "sweep": row.sweep_id,
    }
