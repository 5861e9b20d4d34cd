"""The ledger: any sequence of claims, failures, commits and deaths leaves each content finished once or set aside."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from cluster.outcome import Failure, Policy
from fingerprint_db.verdict import Segment, Verdict, VerdictKind
from jobs.database import open_database
from jobs.errors import FailureKind
from jobs.ledger import AlreadyJudgedError, Claim, Finding, LeaseLostError, Ledger
from jobs.models import ItemState, Location, ResultPart, SegmentMatch, VerdictRow, WorkItem, utc_now

SPEC, SNAPSHOT = "spec", "snapshot"
VERDICT = Verdict(
    verdict=VerdictKind.ATTRIBUTED,
    reason="",
    family="some-vae",
    generator="some-generator",
    llr=3.0,
    p_value=0.01,
    margin=1.0,
    segments=(Segment(0.0, 1.0, VerdictKind.ATTRIBUTED, "some-vae", "some-generator", 3.0),),
    nearest=(),
    cues={},
    spec=SPEC,
    snapshot=SNAPSHOT,
)


def parts() -> list[ResultPart]:
    import uuid

    made = []
    for kind in ("fingerprints", "provenance"):
        identity = uuid.uuid4().hex
        made.append(
            ResultPart(
                id=identity,
                kind=kind,
                name=f"{kind}/{identity}",
                rows=1,
                bytes=1,
                sha256="0" * 64,
                schema_version=1,
                spec_id=SPEC,
            )
        )
    return made


def finding(sha256: str) -> Finding:
    return Finding(sha256, {"codec": "h264"}, 1.0, 2.0, VERDICT, 0.5)


def content(number: int) -> str:
    return f"{number:064x}"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(open_database(f"sqlite:///{tmp_path / 'ledger.sqlite'}"), lease_s=300, max_attempts=3)


def listed(ledger: Ledger, uri: str) -> None:
    with Session(ledger.engine) as session, session.begin():
        session.add(Location(uri=uri, size=1, etag="1", state="listed", attempts=0))


def expire(ledger: Ledger, owner: str) -> None:
    """The owner went silent for longer than its lease."""
    with Session(ledger.engine) as session, session.begin():
        session.execute(
            update(WorkItem).where(WorkItem.owner == owner).values(lease_until=utc_now() - timedelta(seconds=1))
        )


def commit(ledger: Ledger, owner: str, *contents: str) -> None:
    ledger.commit(
        parts(),
        [finding(sha256) for sha256 in contents],
        spec_id=SPEC,
        snapshot_id=SNAPSHOT,
        sweep_id=owner,
        owner=owner,
    )


def test_a_content_is_granted_to_one_sweep_and_the_same_content_elsewhere_is_ours_or_held(ledger: Ledger) -> None:
    assert ledger.claim("a", content(1), 1, SPEC, "first") is Claim.GRANTED
    assert ledger.claim("b", content(1), 1, SPEC, "first") is Claim.OURS
    assert ledger.claim("c", content(1), 1, SPEC, "second") is Claim.HELD


def test_a_committed_content_is_settled_for_everyone(ledger: Ledger) -> None:
    ledger.claim("a", content(1), 1, SPEC, "first")
    commit(ledger, "first", content(1))
    assert ledger.claim("a", content(1), 1, SPEC, "first") is Claim.SETTLED
    assert ledger.claim("b", content(1), 1, SPEC, "second") is Claim.SETTLED


def test_an_expired_lease_may_be_taken_over_and_the_sleeper_commits_nothing(ledger: Ledger) -> None:
    ledger.claim("a", content(1), 1, SPEC, "sleeper")
    ledger.claim("b", content(2), 1, SPEC, "sleeper")
    expire(ledger, "sleeper")
    assert ledger.claim("a", content(1), 1, SPEC, "heir") is Claim.GRANTED
    with pytest.raises(LeaseLostError) as lost:
        commit(ledger, "sleeper", content(1), content(2))
    assert lost.value.contents == {content(1)}
    with Session(ledger.engine) as session:
        assert session.scalar(select(func.count()).select_from(ResultPart)) == 0
        assert session.scalar(select(func.count()).select_from(VerdictRow)) == 0
    commit(ledger, "sleeper", content(2))
    commit(ledger, "heir", content(1))


def test_a_released_lease_does_not_count_as_an_attempt(ledger: Ledger) -> None:
    ledger.claim("a", content(1), 1, SPEC, "first")
    assert ledger.release("first") == 1
    with Session(ledger.engine) as session:
        item = session.get_one(WorkItem, (content(1), SPEC))
        assert (item.state, item.attempts, item.owner) == (ItemState.FAILED, 0, None)


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (FailureKind.NOT_A_VIDEO, ItemState.SKIPPED),
        (FailureKind.DAMAGED, ItemState.QUARANTINED),
        (FailureKind.STORAGE_UNAVAILABLE, ItemState.FAILED),
    ],
)
def test_the_class_of_a_failure_decides_what_happens_next(ledger: Ledger, kind: FailureKind, state: ItemState) -> None:
    ledger.claim("a", content(1), 1, SPEC, "first")
    assert ledger.fail(content(1), SPEC, "first", kind.failure("why")) is state


def test_transient_failures_end_in_quarantine_after_the_allowed_attempts(ledger: Ledger) -> None:
    failure = FailureKind.STORAGE_UNAVAILABLE.failure("the store is away")
    states = []
    for _ in range(3):
        assert ledger.claim("a", content(1), 1, SPEC, "first") is Claim.GRANTED
        states.append(ledger.fail(content(1), SPEC, "first", failure))
    assert states == [ItemState.FAILED, ItemState.FAILED, ItemState.QUARANTINED]
    assert ledger.claim("a", content(1), 1, SPEC, "first") is Claim.SETTLED


def test_a_location_that_cannot_be_read_is_kept_with_its_reason(ledger: Ledger) -> None:
    listed(ledger, "file:///a")
    denied = FailureKind.ACCESS_DENIED.failure("access is denied")
    assert [ledger.fail_location("file:///a", denied) for _ in range(3)][-1] is ItemState.QUARANTINED
    with Session(ledger.engine) as session:
        location = session.get_one(Location, "file:///a")
        assert (location.state, location.failure_kind, location.attempts) == ("unreadable", "access_denied", 3)


def test_a_verdict_that_is_there_already_is_not_committed_twice_nor_its_part(ledger: Ledger) -> None:
    ledger.claim("a", content(1), 1, SPEC, "first")
    commit(ledger, "first", content(1))
    with pytest.raises(AlreadyJudgedError) as judged:
        ledger.commit(parts()[1:], [finding(content(1))], spec_id=SPEC, snapshot_id=SNAPSHOT, sweep_id=None, owner=None)
    assert judged.value.contents == {content(1)}
    with Session(ledger.engine) as session:
        assert session.scalar(select(func.count()).select_from(VerdictRow)) == 1
        assert session.scalar(select(func.count()).select_from(SegmentMatch)) == 1
        assert session.scalar(select(func.count()).select_from(ResultPart)) == 2


OWNERS = st.sampled_from(["one", "two", "three"])
CONTENTS = st.integers(0, 3).map(content)
FAILURES = st.sampled_from(list(Policy)).map(lambda policy: Failure("some_class", policy, "why"))


class LedgerMachine(RuleBasedStateMachine):
    """Three sweeps claim, fail, commit, sleep and die in any order; a dictionary says who may believe what."""

    held = Bundle("held")

    @initialize()
    def open(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        engine = open_database(f"sqlite:///{self._folder.name}/ledger.sqlite")
        self.ledger = Ledger(engine, lease_s=300, max_attempts=3)
        self.leases: dict[str, str] = {}
        self.lapsed: set[str] = set()
        self.settled: set[str] = set()
        self.done: set[str] = set()

    def teardown(self) -> None:
        self.ledger.engine.dispose()
        self._folder.cleanup()

    @rule(owner=OWNERS, sha256=CONTENTS)
    def claim(self, owner: str, sha256: str) -> None:
        answer = self.ledger.claim(f"file:///{sha256}", sha256, 1, SPEC, owner)
        holder = self.leases.get(sha256)
        if sha256 in self.settled:
            assert answer is Claim.SETTLED
        elif holder is None or holder in self.lapsed:
            assert answer is Claim.GRANTED
            self.leases[sha256] = owner
            self.lapsed.discard(owner)
            # Renewing on claim keeps the other leases of this owner as they were: expire them in the model too.
            self.ledger.renew(owner)
        else:
            assert answer is (Claim.OURS if holder == owner else Claim.HELD)

    @rule(owner=OWNERS, sha256=CONTENTS, failure=FAILURES)
    def fail(self, owner: str, sha256: str, failure: Failure) -> None:
        state = self.ledger.fail(sha256, SPEC, owner, failure)
        if self.leases.get(sha256) == owner:
            del self.leases[sha256]
            if state in (ItemState.SKIPPED, ItemState.QUARANTINED):
                self.settled.add(sha256)

    @rule(owner=OWNERS, contents=st.sets(CONTENTS, min_size=1))
    def commit(self, owner: str, contents: set[str]) -> None:
        lost = {sha256 for sha256 in contents if self.leases.get(sha256) != owner}
        if lost:
            with pytest.raises(LeaseLostError) as refused:
                commit(self.ledger, owner, *sorted(contents))
            assert refused.value.contents == lost
            return
        commit(self.ledger, owner, *sorted(contents))
        for sha256 in contents:
            del self.leases[sha256]
        self.settled |= contents
        self.done |= contents

    @rule(owner=OWNERS)
    def sleep(self, owner: str) -> None:
        expire(self.ledger, owner)
        self.lapsed.add(owner)

    @rule(owner=OWNERS)
    def wake(self, owner: str) -> None:
        self.ledger.renew(owner)
        self.lapsed.discard(owner)

    @rule(owner=OWNERS)
    def die(self, owner: str) -> None:
        freed = self.ledger.release(owner)
        assert freed == sum(1 for holder in self.leases.values() if holder == owner)
        self.leases = {sha256: holder for sha256, holder in self.leases.items() if holder != owner}

    @invariant()
    def every_result_is_there_once(self) -> None:
        with Session(self.ledger.engine) as session:
            verdicts = list(session.scalars(select(VerdictRow.sha256)))
            items = {item.sha256: item for item in session.scalars(select(WorkItem))}
            named = set(session.scalars(select(ResultPart.id)))
        assert sorted(verdicts) == sorted(self.done)
        for sha256, item in items.items():
            assert (item.state == ItemState.DONE) == (sha256 in self.done)
            assert (item.state == ItemState.LEASED) == (sha256 in self.leases)
            assert item.owner == self.leases.get(sha256)
            assert item.part_id is None or item.part_id in named


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
