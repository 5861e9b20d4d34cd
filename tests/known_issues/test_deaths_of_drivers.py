"""Deaths of drivers were counted against the files they held; survivors waited for the leases of the dead."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest
from sqlalchemy.orm import Session

from jobs import sweeps
from jobs.database import open_database
from jobs.errors import FailureKind
from jobs.ledger import Claim, Ledger
from jobs.models import ItemState, WorkItem
from tests.jobs.test_ledger import SPEC, content, expire


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(open_database(f"sqlite:///{tmp_path / 'ledger.sqlite'}"), lease_s=300, max_attempts=3)


def attempts(ledger: Ledger) -> int:
    with Session(ledger.engine) as session:
        return session.get_one(WorkItem, (content(1), SPEC)).attempts


def test_a_file_whose_drivers_died_three_times_is_not_quarantined_by_its_first_transient_failure(
    ledger: Ledger,
) -> None:
    for night in ("one", "two", "three"):
        assert ledger.claim("a", content(1), 1, SPEC, night) is Claim.GRANTED
        ledger.release(night)
    ledger.claim("a", content(1), 1, SPEC, "four")
    failure = FailureKind.STORAGE_UNAVAILABLE.failure("the store is away")
    assert ledger.fail(content(1), SPEC, "four", failure) is ItemState.FAILED
    assert attempts(ledger) == 1


def test_taking_over_a_lapsed_lease_is_no_further_attempt(ledger: Ledger) -> None:
    ledger.claim("a", content(1), 1, SPEC, "sleeper")
    expire(ledger, "sleeper")
    assert ledger.claim("a", content(1), 1, SPEC, "heir") is Claim.GRANTED
    assert attempts(ledger) == 1


def test_a_killed_sweep_that_nobody_has_waited_for_counts_as_dead() -> None:
    parent_end, child_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(child_end, sweeps._this_process().encode())
        os._exit(0)
    host = os.read(parent_end, 1000).decode()
    while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    try:
        assert sweeps._died_here(host)
    finally:
        os.waitpid(pid, 0)
    assert not sweeps._died_here(sweeps._this_process())
