"""Mending what an audit found, where nothing has to be guessed: what SQL can give back is written anew.

A lost fingerprints part sends its contents back to the sweep, which reads the videos again. A lost provenance part is
written again from SQL, not judged again: the verdict that people have read and cited is the one that stays. A damaged
snapshot is built again from the signatures in SQL; its id is the hash of its content, so an equal id proves it equal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from fingerprint_db.build import build_snapshot
from fingerprint_db.models import SignatureRow
from fingerprint_db.pack import load_starter_snapshot
from fingerprint_db.signature import SignatureRecord
from fingerprint_db.store import SnapshotEntry
from jobs.audit import VERDICT_FIELDS, AuditReport, Fault
from jobs.database import for_reading
from jobs.home import Home
from jobs.models import (
    Asset,
    ItemState,
    Location,
    LocationState,
    SegmentMatch,
    Sweep,
    VerdictRow,
    WorkItem,
    utc_now,
)
from jobs.parts import Part, PartsTakenError, committed_parts, replace_parts, write_part
from jobs.scan import current_spec
from jobs.schemas import PROVENANCE
from jobs.snapshots import home_known, publish
from jobs.sweeps import RUNNING, bury_dead_sweeps

VERDICTS_AT_ONCE = 500
FROM_SQL = ("sha256", "spec_id", "snapshot_id", "sweep_id", *VERDICT_FIELDS, "nearest")


def repair(home: Home, report: AuditReport) -> None:
    """Mend the findings of a report, marking each that was; every mended one is an event of the audit log."""
    with Session(for_reading(home.engine)) as session:
        parts = {part.name: part for part in committed_parts(session)}
    if any(finding.fault is Fault.LEASE_ORPHANED for finding in report.findings):
        bury_dead_sweeps(home.engine, home.ledger)
    differing = {finding.subject for finding in report.findings if finding.fault is Fault.VERDICT_DIFFERS}
    rewritten: dict[str, str] = {}
    for finding in report.findings:
        part = parts.get(finding.subject)
        try:
            match finding.fault:
                case Fault.PART_MISSING | Fault.PART_DAMAGED if part is not None and part.kind == "fingerprints":
                    finding.remedy = _reopen_part(home, part)
                case Fault.PART_MISSING | Fault.PART_DAMAGED | Fault.ROWS_MISSING if part is not None:
                    if part.name in differing:
                        continue  # writing it from SQL would decide which of the two is right
                    if part.name not in rewritten:
                        rewritten[part.name] = _rewrite_provenance(home, part)
                    finding.remedy = rewritten[part.name]
                case Fault.ROWS_MISSING | Fault.ITEM_WITHOUT_PART:
                    finding.remedy = _reopen_content(home, finding.subject)
                case Fault.LEASE_ORPHANED:
                    finding.remedy = _free(home.engine)
                case Fault.SNAPSHOT_DAMAGED:
                    finding.remedy, finding.repaired = _rebuild_snapshot(home, finding.subject)
                    if not finding.repaired:
                        continue
                case _:
                    continue
        except PartsTakenError:
            finding.remedy = "a compaction replaced it meanwhile; audit again"
            continue
        finding.repaired = True
        detail = {"fault": finding.fault.value, "remedy": finding.remedy}
        home.ledger.audit("repair", finding.subject, **detail)


def _reopen_part(home: Home, part: Part) -> str:
    """Contents of a lost fingerprints part become open work again, and the part leaves the manifest."""
    reopened: list[str] = []

    def reopen(session: Session) -> None:
        reopened.extend(session.scalars(select(WorkItem.sha256).where(WorkItem.part_id == part.id)))
        _open(session, WorkItem.part_id == part.id)

    replace_parts(home.engine, [part.id], None, reason="damaged", also=reopen)
    return _reopened(home, reopened)


def _reopen_content(home: Home, sha256: str) -> str:
    """One done content without windows becomes open work again, under every spec where that is so."""
    with Session(home.engine) as session, session.begin():
        _open(session, (WorkItem.sha256 == sha256) & (WorkItem.state == ItemState.DONE.value))
    return _reopened(home, [sha256])


def _open(session: Session, which: Any) -> None:
    values = {"state": ItemState.FAILED.value, "part_id": None, "attempts": 0, "owner": None, "lease_until": None}
    session.execute(
        update(WorkItem)
        .where(which)
        .values(**values, updated_at=utc_now())
        .execution_options(synchronize_session=False)
    )


def _reopened(home: Home, contents: Sequence[str]) -> str:
    there: set[str] = set()
    with Session(for_reading(home.engine)) as session:
        for start in range(0, len(contents), VERDICTS_AT_ONCE):
            query = select(Location.sha256).where(
                Location.sha256.in_(contents[start : start + VERDICTS_AT_ONCE]),
                Location.state != LocationState.GONE.value,
            )
            there.update(sha256 for sha256 in session.scalars(query) if sha256 is not None)
    lost = len(set(contents) - there)
    told = f"{len(contents)} contents are open again, the next sweep of their archive fingerprints them"
    return told + (f"; {lost} of them no archive lists any more, so only their verdicts are left" if lost else "")


def _rewrite_provenance(home: Home, part: Part) -> str:
    """The rows of every verdict that points to this part, from SQL, in a part that takes its place."""
    with Session(for_reading(home.engine)) as session:
        verdicts = session.scalar(select(func.count()).where(VerdictRow.part_id == part.id)) or 0
    if not verdicts:
        replace_parts(home.engine, [part.id], None, reason="damaged")
        return "no verdict points to it any more, so it left the manifest"
    new = write_part(
        home.folder,
        "provenance",
        _provenance(home.engine, part),
        day=part.day,
        spec_id=part.spec_id,
        sweep_id=part.sweep_id,
    )
    name = new.name
    try:
        replace_parts(home.engine, [part.id], new, reason="damaged")
    except PartsTakenError:
        home.folder.remove(name)
        raise
    return f"the rows of its {verdicts} verdicts were written again from SQL"


def _provenance(engine: Engine, part: Part) -> Iterator[pa.RecordBatch]:
    last = 0
    while True:
        with Session(for_reading(engine)) as session:
            query = (
                select(VerdictRow, Asset.facts)
                .join(Asset, Asset.sha256 == VerdictRow.sha256)
                .where(VerdictRow.part_id == part.id, VerdictRow.id > last)
                .order_by(VerdictRow.id)
                .limit(VERDICTS_AT_ONCE)
            )
            held = session.execute(query).all()
            if not held:
                return
            last = held[-1][0].id
            names = _uris(session, [verdict.sha256 for verdict, _ in held])
            segments = _segments(session, [verdict.id for verdict, _ in held])
            rows = [
                row
                for verdict, facts in held
                for row in _rows(verdict, facts or {}, names.get(verdict.sha256), segments.get(verdict.id, []))
            ]
        yield pa.RecordBatch.from_pylist(rows, schema=PROVENANCE)


def _uris(session: Session, contents: Sequence[str]) -> dict[str, str]:
    query = select(Location.sha256, func.min(Location.uri)).where(Location.sha256.in_(contents))
    return {str(sha256): uri for sha256, uri in session.execute(query.group_by(Location.sha256))}


def _segments(session: Session, verdicts: Sequence[int]) -> dict[int, list[SegmentMatch]]:
    query = select(SegmentMatch).where(SegmentMatch.verdict_id.in_(verdicts))
    found: dict[int, list[SegmentMatch]] = {}
    for segment in session.scalars(query.order_by(SegmentMatch.verdict_id, SegmentMatch.ordinal)):
        found.setdefault(segment.verdict_id, []).append(segment)
    return found


def _rows(
    verdict: VerdictRow, facts: dict[str, Any], uri: str | None, segments: Sequence[SegmentMatch]
) -> Iterator[dict[str, Any]]:
    """One verdict as jobs.results writes it. uri: one of the content's names, the first in order."""
    shared = {name: getattr(verdict, name) for name in FROM_SQL} | {
        "uri": uri,
        "cues": list(verdict.cues.items()),
        "declared": list(facts.get("declared", {}).items()),
        "evidence": json.dumps(verdict.evidence or {}, sort_keys=True),
    }
    if not segments:
        yield shared
    for segment in segments:
        yield {
            **shared,
            "start_s": segment.start_s,
            "end_s": segment.end_s,
            "segment_verdict": segment.verdict,
            "segment_family": segment.family,
            "segment_generator": segment.generator,
            "segment_llr": segment.llr,
        }


def _free(engine: Engine) -> str:
    """Items held by sweeps that have ended; the attempt stays counted, since the item may be why they ended."""
    running = select(Sweep.id).where(Sweep.state == RUNNING)
    held = WorkItem.state == ItemState.LEASED.value
    with Session(engine) as session, session.begin():
        session.execute(
            update(WorkItem)
            .where(held, WorkItem.owner.is_(None) | WorkItem.owner.not_in(running))
            .values(state=ItemState.FAILED.value, owner=None, lease_until=None, updated_at=utc_now())
            .execution_options(synchronize_session=False)
        )
    return "freed; the next sweep takes them up"


def _rebuild_snapshot(home: Home, identity: str) -> tuple[str, bool]:
    """Build from the signatures in SQL; what comes out is kept where its id is the one that was lost.

    When it is another id, and the lost one is what sweeps judge by, the new one is published in its place.
    """
    (entry,) = [entry for entry in home.store.snapshots() if entry.id == identity]
    shipped = load_starter_snapshot(entry.spec_id)
    if shipped is not None and shipped.id == identity:
        home.save_snapshot(shipped)
        return "taken again from the starter pack; the equal id proves it equal", True
    known = home_known(home)
    everything = home.store.signatures(entry.spec_id)
    recorded = home.store.signatures_of(identity)
    for records in ([recorded] if recorded else []) + [everything, _enrolled_by_then(home, entry, everything)]:
        snapshot = build_snapshot(
            records, spec_id=entry.spec_id, families=known.families, kinds=known.kinds, notes=entry.notes
        )
        if snapshot.id == identity:
            home.save_snapshot(snapshot)
            return "built again from the signatures in SQL; the equal id proves it equal", True
    current = home.store.current_snapshot(entry.spec_id)
    spec = current_spec(home.settings)
    if current is None or current.id != identity or spec.id != entry.spec_id:
        return "what it was built from has changed since; only a backup has its files, its verdicts stay in SQL", False
    new = publish(home, spec, notes=entry.notes)
    # The lost one keeps its row: verdicts cite it. It stays a finding until a backup brings its files back.
    return f"what it was built from has changed since; sweeps judge by its successor {new.id}, rematch the rest", False


def _enrolled_by_then(home: Home, entry: SnapshotEntry, everything: list[SignatureRecord]) -> list[SignatureRecord]:
    """The signatures that stood when the snapshot was first published; later ones may be all that has changed."""
    query = select(SignatureRow.sha256, SignatureRow.generator).where(
        SignatureRow.spec_id == entry.spec_id, SignatureRow.enrolled_at <= entry.created_at
    )
    with Session(for_reading(home.engine)) as session:
        then = {(sha256, generator) for sha256, generator in session.execute(query)}
    return [record for record in everything if (record.sha256, record.generator) in then]
