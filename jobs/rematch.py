"""Judge stored fingerprints again by the current snapshot, without opening a single video."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from sqlalchemy import ColumnElement, Engine, exists, func, select
from sqlalchemy.orm import Session

from fingerprint_db.matcher import Matcher
from fingerprint_db.verdict import Verdict
from jobs.database import for_reading
from jobs.home import Home
from jobs.ledger import AlreadyJudgedError, Finding, StalePartError
from jobs.models import ItemState, Location, ResultPart, VerdictRow, WorkItem
from jobs.progress import Meter
from jobs.record import judge_file
from jobs.results import MissingPartError, read_fingerprints, remove_part, write_provenance
from jobs.scan import FileFingerprint, current_spec
from jobs.snapshots import current_snapshot

FILES_PER_COMMIT = 256


@dataclass(slots=True)
class RematchSummary:
    """judged: contents judged now. known: those this snapshot had judged before. changed: verdicts that moved."""

    snapshot_id: str
    judged: int = 0
    known: int = 0
    changed: int = 0
    wall_s: float = 0.0
    verdicts: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        return {
            "snapshot": self.snapshot_id,
            "judged": self.judged,
            "known": self.known,
            "changed": self.changed,
            "wall_s": round(self.wall_s, 3),
            "verdicts": dict(self.verdicts),
        }


def rematch(home: Home, *, console: Console) -> RematchSummary:
    """Judge every fingerprinted content that the current snapshot has not judged yet; started again, it goes on."""
    started = time.monotonic()
    spec = current_spec(home.settings)
    snapshot = current_snapshot(home, spec)
    matcher = Matcher(snapshot)
    summary = RematchSummary(snapshot.id)
    waiting = _waiting(home.engine, spec.id, snapshot.id)
    todo = sum(len(contents) for contents in waiting.values())
    summary.known = _fingerprinted(home.engine, spec.id) - todo
    with Meter(console, "rematch", todo) as meter:
        while waiting:
            name = next(iter(waiting))
            try:
                _judge_part(home, matcher, spec.id, name, waiting.pop(name), summary, meter)
            except MissingPartError:
                # A compaction has merged this part since the manifest was read; ask where its rows lie now.
                waiting = _waiting(home.engine, spec.id, snapshot.id)
                if name in waiting:
                    raise
    summary.wall_s = time.monotonic() - started
    home.ledger.audit("rematch", snapshot.id, judged=summary.judged, changed=summary.changed)
    return summary


def _judge_part(
    home: Home,
    matcher: Matcher,
    spec_id: str,
    name: str,
    contents: set[str],
    summary: RematchSummary,
    meter: Meter,
) -> None:
    batch: list[tuple[FileFingerprint, Verdict]] = []
    for file in read_fingerprints(home.folder, name, contents):
        batch.append((file, judge_file(matcher, file, spec_id)))
        meter.advance()
        if len(batch) >= FILES_PER_COMMIT:
            _commit(home, batch, spec_id, summary)
            batch = []
    _commit(home, batch, spec_id, summary)


def stale_verdicts(engine: Engine, spec_id: str, snapshot_id: str) -> int:
    """How many fingerprinted contents this snapshot has not judged."""
    query = select(func.count()).where(*_unjudged(spec_id, snapshot_id))
    with Session(for_reading(engine)) as session:
        return session.scalar(query) or 0


def _unjudged(spec_id: str, snapshot_id: str) -> tuple[ColumnElement[bool], ...]:
    judged = exists().where(
        VerdictRow.sha256 == WorkItem.sha256,
        VerdictRow.spec_id == spec_id,
        VerdictRow.snapshot_id == snapshot_id,
    )
    return (WorkItem.spec_id == spec_id, WorkItem.state == ItemState.DONE.value, ~judged)


def _waiting(engine: Engine, spec_id: str, snapshot_id: str) -> dict[str, set[str]]:
    query = (
        select(ResultPart.name, WorkItem.sha256)
        .join(ResultPart, ResultPart.id == WorkItem.part_id)
        .where(*_unjudged(spec_id, snapshot_id))
        .order_by(ResultPart.name, WorkItem.sha256)
    )
    found: dict[str, set[str]] = {}
    with Session(for_reading(engine)) as session:
        for name, sha256 in session.execute(query):
            found.setdefault(name, set()).add(sha256)
    return found


def _fingerprinted(engine: Engine, spec_id: str) -> int:
    query = select(func.count()).where(WorkItem.spec_id == spec_id, WorkItem.state == ItemState.DONE.value)
    with Session(for_reading(engine)) as session:
        return session.scalar(query) or 0


def _commit(home: Home, batch: list[tuple[FileFingerprint, Verdict]], spec_id: str, summary: RematchSummary) -> None:
    while batch:
        contents = [file.sha256 for file, _ in batch]
        names, before = _names(home.engine, contents), _last_answers(home.engine, contents, spec_id)
        part = write_provenance(
            home.folder,
            [(file.sha256, names.get(file.sha256), file, verdict) for file, verdict in batch],
            spec_id=spec_id,
            snapshot_id=summary.snapshot_id,
            sweep_id=None,
        )
        name = part.name
        findings = [
            Finding(file.sha256, file.facts_json(), file.coverage, file.facts.duration_s, verdict)
            for file, verdict in batch
        ]
        try:
            home.ledger.commit(
                [part], findings, spec_id=spec_id, snapshot_id=summary.snapshot_id, sweep_id=None, owner=None
            )
        except StalePartError:
            remove_part(home.folder, name)
            continue
        except AlreadyJudgedError as judged:
            # Another rematch was first with these; a second set of their rows would be found by every reader.
            remove_part(home.folder, name)
            summary.known += len(judged.contents)
            batch = [(file, verdict) for file, verdict in batch if file.sha256 not in judged.contents]
            continue
        for file, verdict in batch:
            summary.judged += 1
            summary.verdicts[verdict.verdict.value] += 1
            answer = (verdict.verdict.value, verdict.family, verdict.generator)
            summary.changed += before.get(file.sha256, answer) != answer
        return


def _names(engine: Engine, contents: list[str]) -> dict[str, str]:
    query = (
        select(Location.sha256, func.min(Location.uri)).where(Location.sha256.in_(contents)).group_by(Location.sha256)
    )
    with Session(for_reading(engine)) as session:
        return {str(sha256): uri for sha256, uri in session.execute(query)}


def _last_answers(engine: Engine, contents: list[str], spec_id: str) -> dict[str, tuple[str, str | None, str | None]]:
    query = (
        select(VerdictRow).where(VerdictRow.sha256.in_(contents), VerdictRow.spec_id == spec_id).order_by(VerdictRow.id)
    )
    with Session(for_reading(engine)) as session:
        return {row.sha256: (row.verdict, row.family, row.generator) for row in session.scalars(query)}
