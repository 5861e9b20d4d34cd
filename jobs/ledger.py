"""The ledger: which content is claimed by whom, what became of it, and the one transaction that commits results.

A work item is (content, spec). It is claimed under a lease by one sweep, and ends done, skipped or quarantined; a
failed one is claimed again until its attempts are used up. Killing the process at any point leaves either the whole
commit or nothing of it; Parquet parts that no transaction names are orphans which readers never see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, Engine, Table, and_, case, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.outcome import Failure, Policy
from fingerprint_db.verdict import Verdict
from jobs.database import database_now, for_reading, insert_new, insert_new_returning
from jobs.models import (
    Asset,
    AuditEvent,
    ItemState,
    Location,
    LocationState,
    ResultPart,
    SegmentMatch,
    VerdictRow,
    WorkItem,
    utc_now,
)

# A part that waited this long between its writing and its commit may have been taken for an orphan by a compaction,
# whose grace period is longer (jobs.compact). It happens when a machine sleeps at the wrong moment.
PART_FRESH_S = 900.0
SETTLED = (ItemState.DONE.value, ItemState.SKIPPED.value, ItemState.QUARANTINED.value)


# No setting gives longer leases. One that ends later than twice this from now was given by a clock that was wrong.
LONGEST_LEASE_S = 3600.0


class Claim(Enum):
    """The answer to "may I do this one?"."""

    GRANTED = auto()
    SETTLED = auto()  # done, skipped or quarantined already
    OURS = auto()  # this sweep holds it: the same content under another name
    HELD = auto()  # another sweep holds it


@dataclass(frozen=True, slots=True)
class Finding:
    """One content's result, ready to be committed. wall_s is None when it is a judgement of stored fingerprints.

    verdict: None leaves the verdict that stands, where fingerprints that were lost have been made again.
    """

    sha256: str
    facts: Mapping[str, Any]
    coverage: float
    duration_s: float
    verdict: Verdict | None
    wall_s: float | None = None


class LeaseLostError(RuntimeError):
    """Some items of a commit are no longer ours; nothing was committed. contents: their hashes."""

    def __init__(self, contents: frozenset[str]) -> None:
        super().__init__(f"{len(contents)} claims were lost to another sweep")
        self.contents = contents


class AlreadyJudgedError(RuntimeError):
    """Another job has committed judgements of the same key meanwhile; nothing was committed. contents: their hashes."""

    def __init__(self, contents: frozenset[str]) -> None:
        super().__init__(f"{len(contents)} contents were judged by another job meanwhile")
        self.contents = contents


class StalePartError(RuntimeError):
    """Parts waited too long between writing and commit; nothing was committed, they have to be written again."""


class Ledger:
    """All reads and writes of work items and results, each method one transaction."""

    def __init__(self, engine: Engine, *, lease_s: float, max_attempts: int) -> None:
        self.engine = engine
        self._lease = timedelta(seconds=lease_s)
        self._max_attempts = max_attempts

    def claim(self, uri: str, sha256: str, size: int, spec_id: str, owner: str) -> Claim:
        """Note that this location holds this content, and claim the content for this sweep.

        Taking over a lapsed lease is no new attempt: the one before came to no end, by no fault of the content.
        """
        with Session(self.engine) as session, session.begin():
            now = database_now(session)
            insert_new(session, _table(Asset), [{"sha256": sha256, "size": size, "first_seen": now, "facts": None}])
            session.execute(
                update(Location)
                .where(Location.uri == uri)
                .values(state=LocationState.IDENTIFIED.value, sha256=sha256, **_CLEARED)
            )
            fresh = {"sha256": sha256, "spec_id": spec_id, "state": ItemState.FAILED.value, "attempts": 0}
            insert_new(session, _table(WorkItem), [{**fresh, "updated_at": now}])
            free = or_(
                WorkItem.state == ItemState.FAILED.value,
                and_(WorkItem.state == ItemState.LEASED.value, self._lapsed(now)),
            )
            granted = session.execute(
                update(WorkItem)
                .where(WorkItem.sha256 == sha256, WorkItem.spec_id == spec_id, free)
                .values(
                    state=ItemState.LEASED.value,
                    owner=owner,
                    lease_until=now + self._lease,
                    attempts=WorkItem.attempts + case((WorkItem.state == ItemState.LEASED.value, 0), else_=1),
                    updated_at=now,
                )
                .execution_options(synchronize_session=False)
            )
            if _rowcount(granted):
                return Claim.GRANTED
            item = session.get_one(WorkItem, (sha256, spec_id))
            if item.state in SETTLED:
                return Claim.SETTLED
            return Claim.OURS if item.owner == owner else Claim.HELD

    def renew(self, owner: str) -> None:
        """Extend every lease of this sweep."""
        held = (WorkItem.owner == owner, WorkItem.state == ItemState.LEASED.value)
        # What a commit of this sweep has locked at this moment needs no lease any more. Waiting for it, with other rows
        # locked already, would be a deadlock between the heartbeat and the commit.
        free = select(WorkItem.sha256).where(*held).with_for_update(skip_locked=True)
        with Session(self.engine) as session, session.begin():
            session.execute(
                update(WorkItem)
                .where(*held, WorkItem.sha256.in_(free))
                .values(lease_until=database_now(session) + self._lease)
                .execution_options(synchronize_session=False)
            )

    def release(self, owner: str) -> int:
        """Give back what a sweep still holds, dead or alive; returns how many items.

        The attempt is not counted. A driver dies of power cuts, preemption and its operators, seldom of a file (those
        are decoded in children, whose deaths are failures); counting its deaths would let three bad nights put healthy
        files in quarantine at their first transient failure.
        """
        with Session(self.engine) as session, session.begin():
            result = session.execute(
                update(WorkItem)
                .where(WorkItem.owner == owner, WorkItem.state == ItemState.LEASED.value)
                .values(
                    state=ItemState.FAILED.value,
                    owner=None,
                    lease_until=None,
                    attempts=WorkItem.attempts - 1,
                )
                .execution_options(synchronize_session=False)
            )
            return _rowcount(result)

    def fail(self, sha256: str, spec_id: str, owner: str, failure: Failure) -> ItemState:
        """Record why a claimed item failed; the failure's policy and the attempts so far decide its state."""
        with Session(self.engine) as session, session.begin():
            item = session.get(WorkItem, (sha256, spec_id), with_for_update=True)
            if item is None or item.owner != owner or item.state != ItemState.LEASED.value:
                return ItemState(item.state) if item else ItemState.FAILED
            state = self._state_after(failure, item.attempts)
            item.state, item.owner, item.lease_until, item.updated_at = state.value, None, None, utc_now()
            item.failure_kind, item.failure_policy = failure.kind, failure.policy.value
            item.failure_message = failure.message
            return state

    def fail_location(self, uri: str, failure: Failure) -> ItemState:
        """Record that a location's bytes could not be had at all (no content known, so no work item)."""
        with Session(self.engine) as session, session.begin():
            location = session.get(Location, uri, with_for_update=True)
            if location is None:
                return ItemState.FAILED
            location.attempts += 1
            location.state, location.sha256 = LocationState.UNREADABLE.value, None
            location.failure_kind, location.failure_policy = failure.kind, failure.policy.value
            location.failure_message = failure.message
            return self._state_after(failure, location.attempts)

    def forgive_locations(self, uris: Sequence[str]) -> None:
        """Take back what was held against locations of an archive that was away as a whole."""
        with Session(self.engine) as session, session.begin():
            session.execute(
                update(Location)
                .where(Location.uri.in_(uris), Location.state == LocationState.UNREADABLE.value)
                .values(state=LocationState.LISTED.value, **_CLEARED)
            )

    def commit(
        self,
        parts: Sequence[ResultPart],
        findings: Sequence[Finding],
        *,
        spec_id: str,
        snapshot_id: str,
        sweep_id: str | None,
        owner: str | None,
    ) -> None:
        """One transaction: the parts, the verdicts with their segments, and (with an owner) the finished items.

        parts: the provenance part, and the fingerprints part when there is one.
        Raises, having changed nothing, LeaseLostError when items are no longer held by ``owner``; AlreadyJudgedError
        when a verdict of the same key is there (its rows in the part would be there twice); StalePartError when the
        parts were written so long ago that a compaction may have removed them.
        """
        now = utc_now()
        refuse_stale(parts, now)
        by_kind = {part.kind: part.id for part in parts}
        # In one order everywhere, so that two commits that meet wait for each other one way only.
        findings = sorted(findings, key=lambda finding: finding.sha256)
        judged_now = [finding for finding in findings if finding.verdict is not None]
        contents = [finding.sha256 for finding in judged_now]
        try:
            with Session(self.engine) as session, session.begin():
                session.add_all(parts)
                session.flush()
                if owner is not None:
                    self._finish(session, findings, spec_id, owner, by_kind["fingerprints"], now)
                if judged := judged_before(session, contents, spec_id, snapshot_id):
                    raise AlreadyJudgedError(judged)
                for finding in judged_now:
                    _add_verdict(session, finding, spec_id, snapshot_id, sweep_id, by_kind["provenance"], now)
        except IntegrityError:
            # PostgreSQL lets two jobs look before either has written; the unique key then refuses the second.
            with Session(for_reading(self.engine)) as session:
                if judged := judged_before(session, contents, spec_id, snapshot_id):
                    raise AlreadyJudgedError(judged) from None
            raise

    def _finish(
        self, session: Session, findings: Sequence[Finding], spec_id: str, owner: str, part_id: str, now: datetime
    ) -> None:
        lost = set()
        for finding in findings:
            done = session.execute(
                update(WorkItem)
                .where(
                    WorkItem.sha256 == finding.sha256,
                    WorkItem.spec_id == spec_id,
                    WorkItem.owner == owner,
                    WorkItem.state == ItemState.LEASED.value,
                )
                .values(
                    state=ItemState.DONE.value,
                    owner=None,
                    lease_until=None,
                    part_id=part_id,
                    wall_s=finding.wall_s,
                    updated_at=now,
                    **_CLEARED_FAILURE,
                )
            )
            if not _rowcount(done):
                lost.add(finding.sha256)
            session.execute(update(Asset).where(Asset.sha256 == finding.sha256).values(facts=dict(finding.facts)))
        if lost:
            raise LeaseLostError(frozenset(lost))

    @staticmethod
    def _lapsed(now: datetime) -> ColumnElement[bool]:
        """Leases that hold nobody back: run out, or so far ahead that a clock was wrong when they were given."""
        return or_(WorkItem.lease_until < now, WorkItem.lease_until > now + timedelta(seconds=2 * LONGEST_LEASE_S))

    def _state_after(self, failure: Failure, attempts: int) -> ItemState:
        if failure.policy is Policy.SKIP:
            return ItemState.SKIPPED
        if failure.policy is Policy.QUARANTINE or attempts >= self._max_attempts:
            return ItemState.QUARANTINED
        return ItemState.FAILED

    def states(self, contents: Iterable[str], spec_id: str) -> dict[str, ItemState]:
        """The states of some items, with expired leases shown as failed (free to claim)."""
        wanted = list(contents)
        found: dict[str, ItemState] = {}
        with Session(for_reading(self.engine)) as session:
            now = database_now(session)
            for start in range(0, len(wanted), 500):
                rows = session.execute(
                    select(WorkItem.sha256, WorkItem.state, self._lapsed(now)).where(
                        WorkItem.spec_id == spec_id, WorkItem.sha256.in_(wanted[start : start + 500])
                    )
                )
                for sha256, state, lapsed in rows:
                    expired = state == ItemState.LEASED.value and lapsed
                    found[sha256] = ItemState.FAILED if expired else ItemState(state)
        return found

    def audit(self, action: str, subject: str, **detail: Any) -> None:
        """Append one event; events are never changed or removed."""
        with Session(self.engine) as session, session.begin():
            session.add(AuditEvent(action=action, subject=subject, detail=detail))


def refuse_stale(parts: Iterable[ResultPart], now: datetime) -> None:
    """Raise StalePartError when one of the parts was written longer than PART_FRESH_S ago."""
    if any(now - part.committed_at > timedelta(seconds=PART_FRESH_S) for part in parts if part.committed_at):
        raise StalePartError("result parts waited too long for their commit")


_CLEARED_FAILURE: dict[str, None] = {"failure_kind": None, "failure_policy": None, "failure_message": None}
_CLEARED: dict[str, Any] = {**_CLEARED_FAILURE, "attempts": 0}


def _table(model: type[Any]) -> Table:
    return cast(Table, model.__table__)


def _rowcount(result: object) -> int:
    return cast("CursorResult[Any]", result).rowcount


def judged_before(session: Session, contents: Sequence[str], spec_id: str, snapshot_id: str) -> frozenset[str]:
    """Which of some contents have this snapshot's verdict already."""
    found: set[str] = set()
    for start in range(0, len(contents), 500):
        query = select(VerdictRow.sha256).where(
            VerdictRow.sha256.in_(contents[start : start + 500]),
            VerdictRow.spec_id == spec_id,
            VerdictRow.snapshot_id == snapshot_id,
        )
        found.update(session.scalars(query))
    return frozenset(found)


def _add_verdict(
    session: Session,
    finding: Finding,
    spec_id: str,
    snapshot_id: str,
    sweep_id: str | None,
    part_id: str,
    now: datetime,
) -> None:
    verdict = finding.verdict
    if verdict is None:
        return
    values = {
        "sha256": finding.sha256,
        "spec_id": spec_id,
        "snapshot_id": snapshot_id,
        "part_id": part_id,
        "sweep_id": sweep_id,
        "verdict": verdict.verdict.value,
        "reason": verdict.reason,
        "family": verdict.family,
        "generator": verdict.generator,
        "llr": verdict.llr,
        "p_value": verdict.p_value,
        "margin": verdict.margin,
        "coverage": finding.coverage,
        "duration_s": finding.duration_s,
        "nearest": [{"generator": n.generator, "family": n.family, "score": n.score} for n in verdict.nearest],
        "cues": dict(verdict.cues),
        "evidence": dict(verdict.evidence),
        "decided_at": now,
    }
    # Asking first and inserting then would let two rematches that run at once both insert.
    identity = insert_new_returning(session, _table(VerdictRow), values, VerdictRow.id)
    if identity is None:
        return  # the same judgement was committed before; it is a pure function of its key, so it stays
    session.add_all(
        SegmentMatch(
            verdict_id=identity,
            ordinal=ordinal,
            start_s=segment.start_s,
            end_s=segment.end_s,
            verdict=segment.verdict.value,
            family=segment.family,
            generator=segment.generator,
            llr=segment.llr,
        )
        for ordinal, segment in enumerate(verdict.segments)
    )
