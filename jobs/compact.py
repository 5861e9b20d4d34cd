"""Upkeep of a home's files: small Parquet parts become large ones, and what nothing names any more is removed.

A merge writes the new part whole, then one transaction points work items and verdicts at it and retires the old parts;
their files stay for a grace period, so that a reader who read the manifest before goes on. Killed anywhere it leaves
either an unnamed file, which a later run removes, or finished work. Two compactions at once are safe: the second to
commit a merge finds its parts taken and drops its own file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from sqlalchemy import delete, exists, func, select
from sqlalchemy.orm import Session

from cluster.outcome import FailureError
from fingerprint_db.models import SnapshotRow
from jobs.archive import Listed, safe_uri
from jobs.database import for_reading
from jobs.errors import BadUsageError
from jobs.home import Home
from jobs.ledger import PART_FRESH_S, StalePartError
from jobs.models import ResultPart, RetiredPart, SegmentMatch, Sweep, VerdictRow, WorkItem, utc_now
from jobs.parts import (
    READ_ROWS,
    Part,
    PartsTakenError,
    committed_parts,
    damage,
    is_absent,
    replace_parts,
    write_part,
)
from jobs.progress import Meter
from jobs.results import remove_part
from jobs.schemas import SCHEMA_VERSION
from jobs.sweeps import RUNNING, bury_dead_sweeps

TARGET_BYTES = 256 << 20
GRACE_S = 3600.0
# So many small parts at most in one merge: their ids travel in one statement.
MERGE_PARTS = 5000
# Only what a home itself writes is ever removed; a note that somebody left beside the parts is not ours.
OURS = re.compile(
    r"parquet/(fingerprints|provenance)/sweep_date=\d{4}-\d\d-\d\d/part-[0-9a-f]{32}\.parquet(\.[0-9a-f]{32}\.partial)?"
)
OUR_SNAPSHOT = re.compile(r"snapshots/([0-9a-f]{32})/[^/]+")


@dataclass(slots=True)
class CompactSummary:
    """merged: parts that went into larger ones. written: the larger ones. superseded_rows: rows that a later part
    repeats and no work item or verdict points to, left out. retired: parts whose grace began now. deleted: retired
    parts whose file is gone now. orphans: unnamed files removed. snapshots: unnamed snapshots removed. foreign: files
    that are not ours, left alone. damaged: parts that were not merged, each with the reason; ``audit`` knows more.
    """

    merged: int = 0
    written: int = 0
    rows: int = 0
    superseded_rows: int = 0
    retired: int = 0
    deleted: int = 0
    orphans: int = 0
    freed_bytes: int = 0
    snapshots: int = 0
    foreign: int = 0
    damaged: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def compact(
    home: Home, *, console: Console, target_bytes: int = TARGET_BYTES, grace_s: float = GRACE_S
) -> CompactSummary:
    """Merge, then remove what has been out of use for longer than the grace period.

    Raises BadUsageError when the grace is too short for a sweep that is running now, FailureError when a store fails.
    """
    bury_dead_sweeps(home.engine, home.ledger)
    if grace_s <= PART_FRESH_S and _sweep_is_alive(home):
        raise BadUsageError(
            f"a sweep is running on this home; a grace of {PART_FRESH_S / 60:.0f} minutes or less could take files "
            "from it"
        )
    summary = CompactSummary()
    merges, stale = _plan(home, target_bytes)
    with Meter(console, "compact", len(merges), sum(part.bytes for merge in merges for part in merge)) as meter:
        for merge in merges:
            _merge(home, merge, stale, summary)
            meter.advance(sum(part.bytes for part in merge))
    cutoff = utc_now() - timedelta(seconds=grace_s)
    _delete_retired(home, cutoff, summary)
    _remove_orphans(home, cutoff, summary)
    _remove_snapshots(home, cutoff, summary)
    home.ledger.audit("compact", safe_uri(home.settings.home), **summary.as_dict())
    return summary


def _sweep_is_alive(home: Home) -> bool:
    silent = utc_now() - timedelta(seconds=home.settings.lease_s)
    with Session(for_reading(home.engine)) as session:
        query = select(exists().where(Sweep.state == RUNNING, Sweep.alive_at > silent))
        return bool(session.scalar(query))


def _plan(home: Home, target_bytes: int) -> tuple[list[list[Part]], set[str]]:
    """Parts to put together: same kind, spec, snapshot and sweep date, oldest first, up to the target size.

    Beside them the ids of parts with rows that nothing points to, which are written anew even alone.
    """
    with Session(for_reading(home.engine)) as session:
        parts = committed_parts(session)
        cited = _cited(session)
        items = set(session.scalars(select(WorkItem.part_id).distinct()))
    groups: dict[tuple[str, ...], list[Part]] = {}
    stale: set[str] = set()
    for part in parts:
        if part.schema_version > SCHEMA_VERSION:
            continue  # a newer Makersmark wrote it, and it may hold what this one would lose
        snapshot, rows = cited.get(part.id, ("", 0))
        if (rows < part.rows) if part.kind == "provenance" else (part.id not in items):
            stale.add(part.id)
        # A part of more than half the target is large enough; otherwise each night would write it anew.
        if part.bytes <= target_bytes // 2 or part.id in stale:
            groups.setdefault((part.kind, part.spec_id, snapshot, part.day), []).append(part)
    merges = [merge for group in groups.values() for merge in _bins(group, target_bytes)]
    return [merge for merge in merges if len(merge) > 1 or merge[0].id in stale], stale


def _bins(parts: Sequence[Part], target_bytes: int) -> Iterator[list[Part]]:
    held: list[Part] = []
    size = 0
    for part in parts:
        if held and (size + part.bytes > target_bytes or len(held) >= MERGE_PARTS):
            yield held
            held, size = [], 0
        held.append(part)
        size += part.bytes
    if held:
        yield held


def _cited(session: Session) -> dict[str, tuple[str, int]]:
    """Of each provenance part the snapshot, and how many rows its verdicts account for: one a segment, at least one."""
    segments = (
        select(SegmentMatch.verdict_id, func.count().label("segments")).group_by(SegmentMatch.verdict_id).subquery()
    )
    query = (
        select(
            VerdictRow.part_id,
            func.min(VerdictRow.snapshot_id),
            func.sum(func.coalesce(segments.c.segments, 1)),
        )
        .join(segments, segments.c.verdict_id == VerdictRow.id, isouter=True)
        .group_by(VerdictRow.part_id)
    )
    return {part_id: (snapshot, int(rows)) for part_id, snapshot, rows in session.execute(query)}


def _merge(home: Home, merge: Sequence[Part], stale: set[str], summary: CompactSummary) -> None:
    whole = [part for part in merge if _is_whole(home, part, summary)]
    wanted = {part.id: _wanted(home, part) for part in whole}
    sources = [part for part in whole if wanted[part.id]]
    unused = [part.id for part in whole if not wanted[part.id]]
    dropped: list[int] = []
    try:
        if unused:
            replace_parts(home.engine, unused, None, reason="superseded")
            summary.retired += len(unused)
            summary.superseded_rows += sum(part.rows for part in whole if part.id in unused)
    except PartsTakenError:
        return
    if not sources or (len(sources) == 1 and sources[0].id not in stale):
        return
    first = sources[0]
    sweeps = {part.sweep_id for part in sources}
    try:
        new = write_part(
            home.folder,
            first.kind,
            (batch for part in sources for batch in _batches(home, part, wanted[part.id], dropped)),
            day=first.day,
            spec_id=first.spec_id,
            sweep_id=sweeps.pop() if len(sweeps) == 1 else None,
        )
    except FailureError as error:
        if is_absent(error):
            return  # another compaction merged them, and its grace is over; the manifest knows where they are
        raise
    name, rows = new.name, new.rows
    try:
        replace_parts(home.engine, [part.id for part in sources], new, reason="merged")
    except (PartsTakenError, StalePartError):
        remove_part(home.folder, name)
        return
    summary.merged += len(sources)
    summary.retired += len(sources)
    summary.written += 1
    summary.rows += rows
    summary.superseded_rows += sum(dropped)


def _is_whole(home: Home, part: Part, summary: CompactSummary) -> bool:
    """A damaged part is never merged: the new checksum would vouch for the damage."""
    try:
        with home.folder.reading(part.name) as path:
            wrong = damage(part, path)
    except FailureError as error:
        if not is_absent(error):
            raise
        wrong = "is missing"
    if wrong is not None and _is_committed(home, part):
        summary.damaged[part.name] = wrong
    return wrong is None


def _is_committed(home: Home, part: Part) -> bool:
    with Session(for_reading(home.engine)) as session:
        return session.get(ResultPart, part.id) is not None


def _wanted(home: Home, part: Part) -> set[str]:
    """Keys of the rows that a work item or a verdict points to: content, and for provenance also the snapshot."""
    with Session(for_reading(home.engine)) as session:
        if part.kind == "fingerprints":
            return set(session.scalars(select(WorkItem.sha256).where(WorkItem.part_id == part.id)))
        query = select(VerdictRow.sha256, VerdictRow.snapshot_id).where(VerdictRow.part_id == part.id)
        return {f"{sha256} {snapshot}" for sha256, snapshot in session.execute(query)}


def _batches(home: Home, part: Part, wanted: set[str], dropped: list[int]) -> Iterator[pa.RecordBatch]:
    values = pa.array(sorted(wanted), pa.string())
    with home.folder.reading(part.name) as path, pq.ParquetFile(path) as source:
        for batch in source.iter_batches(batch_size=READ_ROWS):
            keys = batch.column("sha256")
            if part.kind == "provenance":
                keys = pc.binary_join_element_wise(keys, batch.column("snapshot_id"), " ")
            kept = batch.filter(pc.is_in(keys, value_set=values))
            dropped.append(batch.num_rows - kept.num_rows)
            yield kept


def _delete_retired(home: Home, cutoff: datetime, summary: CompactSummary) -> None:
    with Session(for_reading(home.engine)) as session:
        due = session.execute(select(RetiredPart.id, RetiredPart.name).where(RetiredPart.retired_at <= cutoff)).all()
    for identity, name in due:
        # The file first: killed in between, the row is still there to name it.
        home.folder.remove(name)
        with Session(home.engine) as session, session.begin():
            session.execute(delete(RetiredPart).where(RetiredPart.id == identity))
        summary.deleted += 1


def _remove_orphans(home: Home, cutoff: datetime, summary: CompactSummary) -> None:
    # The listing before the manifest: what is committed in between is listed and named.
    listed = home.folder.listing("parquet")
    with Session(for_reading(home.engine)) as session:
        named = set(session.scalars(select(ResultPart.name))) | set(session.scalars(select(RetiredPart.name)))
    for entry in listed:
        if entry.uri in named:
            continue
        if OURS.fullmatch(entry.uri) is None:
            summary.foreign += 1
        elif _is_old(entry, cutoff):
            home.folder.remove(entry.uri)
            summary.orphans += 1
            summary.freed_bytes += entry.size


def _remove_snapshots(home: Home, cutoff: datetime, summary: CompactSummary) -> None:
    """Snapshots whose publication was cut off; never one that a verdict or a sweep cites."""
    folders: dict[str, list[Listed]] = {}
    for entry in home.folder.listing("snapshots"):
        if match := OUR_SNAPSHOT.fullmatch(entry.uri):
            folders.setdefault(match[1], []).append(entry)
    with Session(for_reading(home.engine)) as session:
        named = {
            identity
            for column in (SnapshotRow.id, VerdictRow.snapshot_id, Sweep.snapshot_id)
            for identity in session.scalars(select(column).distinct())
        }
    for identity, entries in folders.items():
        partial = [entry for entry in entries if entry.uri.endswith(".partial")]
        unwanted = partial if identity in named else entries
        if unwanted and all(_is_old(entry, cutoff) for entry in unwanted):
            # The manifest first: without it nothing takes the rest for a snapshot.
            for entry in sorted(unwanted, key=lambda entry: not entry.uri.endswith("/manifest.json")):
                home.folder.remove(entry.uri)
                summary.freed_bytes += entry.size
            summary.snapshots += identity not in named
            summary.orphans += len(partial) if identity in named else 0


def _is_old(entry: Listed, cutoff: datetime) -> bool:
    if entry.modified is None:
        return False
    modified = entry.modified if entry.modified.tzinfo else entry.modified.replace(tzinfo=UTC)
    return modified <= cutoff
