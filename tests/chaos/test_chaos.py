"""Two hundred crash schedules end as an unbroken run does, and the harness notices when the product is broken."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.faults import BOUNDARIES, Action, allowed
from tests.chaos.sabotage import SABOTAGE
from tests.chaos.schedule import WORKER_FAULTS, make_schedule

SCHEDULES, SAMPLE = 200, 40
# Crossed only when a fault made the run go that way; an undisturbed one has no dead sweep to bury.
ONLY_AFTER_FAULTS = {"bury.precommit", "bury.committed"} | {name for name in BOUNDARIES if "fail_location" in name}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Archive, fingerprints and homes are made once for all runs below."""
    return tmp_path_factory.mktemp("chaos")


def chaos(folder: Path, *options: str) -> tuple[dict[str, Any], str]:
    """In a process of its own: it forks, and pytest has threads."""
    command = [sys.executable, "-m", "tests.chaos", "--folder", str(folder), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_a_sample_of_schedules_ends_as_an_unbroken_run(folder: Path) -> None:
    summary, told = chaos(folder, "--schedules", str(SAMPLE))
    assert summary["failed"] == [], told
    assert summary["schedules"] == SAMPLE
    assert summary["ends"]["killed"] > SAMPLE // 2


@pytest.mark.cluster
def test_every_schedule_of_kills_and_faults_ends_as_an_unbroken_run(folder: Path) -> None:
    summary, told = chaos(folder, "--schedules", str(SCHEDULES))
    assert summary["failed"] == [], told
    assert summary["schedules"] == SCHEDULES
    assert summary["ends"]["killed"] > SCHEDULES
    assert min(summary["ends"][end] for end in ("slept", "system failed")) > 0
    assert summary["orphans"] > 0, "no kill ever left a part behind, so none came between a part and its commit"
    hits = summary["boundaries"]
    print(*(f"{name}: passed {hit['passed']}, faults {hit['faults']}" for name, hit in hits.items()), sep="\n")
    assert [name for name, hit in hits.items() if not hit["passed"]] == []
    assert set(summary["reachable"]) | ONLY_AFTER_FAULTS == set(BOUNDARIES)
    # A fault is not met where an earlier one ended the run; with so few schedules that may leave a boundary or two.
    spared = [name for name in summary["reachable"] if not hits[name]["faults"]]
    assert len(spared) <= 4, spared


@pytest.mark.cluster
@pytest.mark.parametrize("name", sorted(SABOTAGE))
def test_the_harness_notices_a_broken_product(folder: Path, name: str) -> None:
    summary, told = chaos(folder, "--schedules", "150", "--stop", "--sabotage", name)
    assert summary["failed"], f"{name} was broken and 150 schedules did not show it"
    assert "again: python -m tests.chaos" in told


def test_a_schedule_is_a_function_of_its_seed_and_stays_within_what_may_go_wrong() -> None:
    passages = {start: dict.fromkeys(BOUNDARIES, 5) for start in ("published", "swept", "seeded", "bare")}
    for seed in range(300):
        schedule = make_schedule(seed, passages, seed)
        assert str(schedule) == str(make_schedule(seed, passages, seed))
        faults = [fault for run in schedule.runs for plan in run for fault in plan]
        assert 1 <= len(faults) <= 4
        assert all(fault.action in allowed(fault.boundary) and fault.nth >= 1 for fault in faults)
        assert sum(fault.action is Action.WORKER for fault in faults) <= WORKER_FAULTS
