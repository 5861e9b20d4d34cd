"""Does everything that was committed still exist and agree: parts, snapshots, ledger, SQL, Parquet."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from sqlalchemy import exists, func, or_, select, text
from sqlalchemy.orm import Session

from cluster.outcome import FailureError
from fingerprint_db.errors import SnapshotError
from fingerprint_db.models import SnapshotRow
from jobs.archive import safe_uri
from jobs.database import for_reading
from jobs.home import Home
from jobs.models import AuditEvent, ItemState, ResultPart, RetiredPart, SegmentMatch, Sweep, VerdictRow, WorkItem
from jobs.parts import READ_ROWS, Part, committed_parts, damage, is_absent
from jobs.progress import Meter
from jobs.schemas import SCHEMA_VERSION
from jobs.sweeps import RUNNING

VERDICT_FIELDS = ("verdict", "reason", "family", "generator", "llr", "p_value", "margin", "coverage", "duration_s")
SEGMENT_FIELDS = ("start_s", "end_s", "verdict", "family", "generator", "llr")
SEGMENT_COLUMNS = ("start_s", "end_s", "segment_verdict", "segment_family", "segment_generator", "segment_llr")


class Fault(StrEnum):
    """The closed set of what an audit finds. ``repair`` mends all but the last four."""

    PART_MISSING = "part_missing"  # committed, and its file is not there
    PART_DAMAGED = "part_damaged"  # size, checksum or row count is not what was committed
    ROWS_MISSING = "rows_missing"  # a done content without its windows, or a verdict without its provenance
    ITEM_WITHOUT_PART = "item_without_part"  # done, and no fingerprints part is named
    LEASE_ORPHANED = "lease_orphaned"  # held by a sweep that has ended
    SNAPSHOT_DAMAGED = "snapshot_damaged"  # published, and does not load with its checksums
    VERDICT_DIFFERS = "verdict_differs"  # SQL and Parquet state different answers
    VERDICT_MISSING = "verdict_missing"  # done, and no snapshot has judged it
    SNAPSHOT_UNKNOWN = "snapshot_unknown"  # a verdict cites a snapshot that was never published here
    DATABASE_DAMAGED = "database_damaged"  # the database's own check fails


@dataclass(slots=True)
class Finding:
    """One disagreement. subject: the part, content, sweep or snapshot. repaired: mended by this run; ``remedy`` says
    how, or what a person can do.
    """

    fault: Fault
    subject: str
    message: str
    repaired: bool = False
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "fault": self.fault.value}


@dataclass(slots=True)
class AuditReport:
    """findings: empty when all is well. counts: what was looked at."""

    quick: bool
    findings: list[Finding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        return all(finding.repaired for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        return {
            "clean": self.clean,
            "quick": self.quick,
            "counts": self.counts,
            "findings": [finding.as_dict() for finding in self.findings],
        }


def audit(home: Home, *, console: Console, quick: bool = False) -> AuditReport:
    """Check the whole home; changes nothing but the audit log.

    quick: sizes from one listing instead of every byte, and the manifest of each snapshot instead of its content.
    Sweeps and compactions may go on meanwhile: a part that was replaced while it was looked at is no finding.
    Raises FailureError when a store cannot be reached at all.
    """
    report = AuditReport(quick)
    with Session(for_reading(home.engine)) as session:
        parts = committed_parts(session)
    sizes = {entry.uri: entry.size for entry in home.folder.listing("parquet")}
    with Meter(console, "audit", len(parts), sum(part.bytes for part in parts)) as meter:
        for part in parts:
            found = list(_check_listed(part, sizes) if quick else _check_part(home, part))
            if found and _still_committed(home, part):
                report.findings += found
            meter.advance(part.bytes)
    report.findings += _check_snapshots(home, quick)
    with Session(for_reading(home.engine)) as session:
        report.findings += _check_ledger(session)
        if home.engine.dialect.name == "sqlite":
            report.findings += _check_sqlite(session, quick)
        report.counts = _counts(session)
    report.counts["unnamed_files"] = len(set(sizes) - {part.name for part in parts} - _retired(home))
    found_by_class = Counter(finding.fault.value for finding in report.findings)
    home.ledger.audit("audit", safe_uri(home.settings.home), quick=quick, parts=len(parts), found=dict(found_by_class))
    return report


def _check_listed(part: Part, sizes: dict[str, int]) -> Iterator[Finding]:
    size = sizes.get(part.name)
    if size is None:
        yield _missing(part)
    elif size != part.bytes:
        yield _damaged(part, f"has {size} bytes instead of {part.bytes}")


def _check_part(home: Home, part: Part) -> Iterator[Finding]:
    try:
        with home.folder.reading(part.name) as path:
            if wrong := damage(part, path):
                yield _damaged(part, wrong)
            elif part.schema_version <= SCHEMA_VERSION:
                with pq.ParquetFile(path) as opened:
                    check = _check_fingerprints if part.kind == "fingerprints" else _check_provenance
                    yield from check(home, part, opened)
    except FailureError as error:
        if not is_absent(error):
            raise
        yield _missing(part)


def _missing(part: Part) -> Finding:
    return Finding(Fault.PART_MISSING, part.name, f"{part.name} was committed with {part.rows} rows and is missing")


def _damaged(part: Part, wrong: str) -> Finding:
    return Finding(Fault.PART_DAMAGED, part.name, f"{part.name} {wrong}")


def _still_committed(home: Home, part: Part) -> bool:
    with Session(for_reading(home.engine)) as session:
        return session.get(ResultPart, part.id) is not None


def _check_fingerprints(home: Home, part: Part, opened: pq.ParquetFile) -> Iterator[Finding]:
    present: set[str] = set()
    for batch in opened.iter_batches(batch_size=READ_ROWS * 16, columns=["sha256"]):
        present.update(batch.column("sha256").unique().to_pylist())
    with Session(for_reading(home.engine)) as session:
        expected = set(session.scalars(select(WorkItem.sha256).where(WorkItem.part_id == part.id)))
    for sha256 in sorted(expected - present):
        yield Finding(Fault.ROWS_MISSING, sha256, f"{part.name} has no windows of content {sha256}, which is done")


def _check_provenance(home: Home, part: Part, opened: pq.ParquetFile) -> Iterator[Finding]:
    with Session(for_reading(home.engine)) as session:
        query = select(VerdictRow.sha256, VerdictRow.snapshot_id).where(VerdictRow.part_id == part.id)
        expected = {(sha256, snapshot) for sha256, snapshot in session.execute(query)}
        runs = itertools.groupby(_provenance_rows(opened), key=lambda row: (row["sha256"], row["snapshot_id"]))
        while chunk := [(key, list(rows)) for key, rows in itertools.islice(runs, 200)]:
            known = _verdicts_in_sql(session, part, [sha256 for (sha256, _), _ in chunk])
            for key, rows in chunk:
                if key in expected and known.get(key) != _verdict_in_parquet(rows):
                    yield Finding(
                        Fault.VERDICT_DIFFERS,
                        part.name,
                        f"SQL and {part.name} state different verdicts of snapshot {key[1]} on content {key[0]}",
                        remedy="nothing tells which is right; take one of them from a backup",
                    )
                expected.discard(key)
    for sha256, snapshot in sorted(expected):
        message = f"{part.name} has no rows of the verdict of snapshot {snapshot} on content {sha256}"
        yield Finding(Fault.ROWS_MISSING, part.name, message)


def _provenance_rows(opened: pq.ParquetFile) -> Iterator[dict[str, Any]]:
    columns = ["sha256", "snapshot_id", *VERDICT_FIELDS, *SEGMENT_COLUMNS]
    for batch in opened.iter_batches(batch_size=READ_ROWS, columns=columns):
        yield from batch.to_pylist()


def _verdict_in_parquet(rows: list[dict[str, Any]]) -> tuple[Any, ...]:
    segments = [tuple(row[name] for name in SEGMENT_COLUMNS) for row in rows if row["start_s"] is not None]
    return (*(rows[0][name] for name in VERDICT_FIELDS), segments)


def _verdicts_in_sql(session: Session, part: Part, contents: list[str]) -> dict[tuple[str, str], tuple[Any, ...]]:
    held = session.scalars(
        select(VerdictRow).where(VerdictRow.part_id == part.id, VerdictRow.sha256.in_(contents))
    ).all()
    segments: dict[int, list[tuple[Any, ...]]] = {}
    query = select(SegmentMatch).where(SegmentMatch.verdict_id.in_([row.id for row in held]))
    for segment in session.scalars(query.order_by(SegmentMatch.verdict_id, SegmentMatch.ordinal)):
        values = tuple(getattr(segment, name) for name in SEGMENT_FIELDS)
        segments.setdefault(segment.verdict_id, []).append(values)
    return {
        (row.sha256, row.snapshot_id): (*(getattr(row, name) for name in VERDICT_FIELDS), segments.get(row.id, []))
        for row in held
    }


def _check_snapshots(home: Home, quick: bool) -> Iterator[Finding]:
    manifests = {entry.uri for entry in home.folder.listing("snapshots")} if quick else set()
    for entry in home.store.snapshots():
        if entry.published_at is None:
            continue
        try:
            if quick and f"snapshots/{entry.id}/manifest.json" in manifests:
                continue
            if home.load_snapshot(entry.id).id == entry.id:
                continue
            wrong = "its files are those of another snapshot"
        except SnapshotError as error:
            wrong = str(error)
        except FailureError as error:
            if not is_absent(error):
                raise
            wrong = error.failure.message
        yield Finding(Fault.SNAPSHOT_DAMAGED, entry.id, f"snapshot {entry.id} cannot be used: {wrong}")


def _check_ledger(session: Session) -> Iterator[Finding]:
    done = WorkItem.state == ItemState.DONE.value
    of_item = (ResultPart.id == WorkItem.part_id, ResultPart.kind == "fingerprints")
    homeless = select(WorkItem).where(done, ~exists().where(*of_item))
    for item in session.scalars(homeless):
        yield Finding(
            Fault.ITEM_WITHOUT_PART, item.sha256, f"content {item.sha256} is done, and no fingerprints part is named"
        )
    judged = exists().where(VerdictRow.sha256 == WorkItem.sha256, VerdictRow.spec_id == WorkItem.spec_id)
    for item in session.scalars(select(WorkItem).where(done, ~judged)):
        yield Finding(
            Fault.VERDICT_MISSING,
            item.sha256,
            f"content {item.sha256} is done, and no snapshot has judged it",
            remedy="makersmark rematch judges it from its fingerprints",
        )
    ended = ~exists().where(Sweep.id == WorkItem.owner, Sweep.state == RUNNING)
    leased = WorkItem.state == ItemState.LEASED.value
    held_by = select(WorkItem.owner, func.count()).where(leased, or_(WorkItem.owner.is_(None), ended))
    for owner, held in session.execute(held_by.group_by(WorkItem.owner)):
        yield Finding(Fault.LEASE_ORPHANED, owner or "", f"{held} contents are held by sweep {owner}, which has ended")
    cited = exists().where(SnapshotRow.id == VerdictRow.snapshot_id)
    query = select(VerdictRow.snapshot_id, func.count()).where(~cited).group_by(VerdictRow.snapshot_id)
    for snapshot, verdicts in session.execute(query):
        yield Finding(
            Fault.SNAPSHOT_UNKNOWN,
            snapshot,
            f"{verdicts} verdicts cite snapshot {snapshot}, which was never published here",
            remedy="makersmark rematch judges their contents by the current snapshot",
        )


def _check_sqlite(session: Session, quick: bool) -> Iterator[Finding]:
    remedy = "restore the database from a backup"
    for row in () if quick else session.execute(text("PRAGMA integrity_check(10)")):
        if row[0] != "ok":
            yield Finding(Fault.DATABASE_DAMAGED, "database", f"SQLite reports damage: {row[0]}", remedy=remedy)
    broken = Counter((row[0], row[2]) for row in session.execute(text("PRAGMA foreign_key_check")))
    for (table, parent), number in sorted(broken.items()):
        message = f"{number} rows of {table} point to rows of {parent} that are not there"
        yield Finding(Fault.DATABASE_DAMAGED, table, message, remedy=remedy)


def _counts(session: Session) -> dict[str, int]:
    counts = {"verdicts": session.scalar(select(func.count()).select_from(VerdictRow)) or 0}
    for state, number in session.execute(select(WorkItem.state, func.count()).group_by(WorkItem.state)):
        counts[f"items_{state}"] = number
    query = select(ResultPart.kind, func.count(), func.sum(ResultPart.rows), func.sum(ResultPart.bytes))
    for kind, number, rows, size in session.execute(query.group_by(ResultPart.kind)):
        counts |= {f"{kind}_parts": number, f"{kind}_rows": int(rows), f"{kind}_bytes": int(size)}
    return counts


def _retired(home: Home) -> set[str]:
    with Session(for_reading(home.engine)) as session:
        return set(session.scalars(select(RetiredPart.name)))


def events(home: Home, last: int) -> list[dict[str, Any]]:
    """The last so many entries of the audit log, oldest first."""
    with Session(for_reading(home.engine)) as session:
        rows = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(last)).all()
        return [
            {"at": row.at.isoformat(timespec="seconds"), "action": row.action, "subject": row.subject, **row.detail}
            for row in reversed(rows)
        ]
