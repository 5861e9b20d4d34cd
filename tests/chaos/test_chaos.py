"""Crash schedules over every commit boundary end as an unbroken run does; the harness notices a broken product."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.faults import BOUNDARIES, Action, allowed
from tests.chaos.sabotage import SABOTAGE
from tests.chaos.schedule import LEADS, WORKER_FAULTS, aimed, first_boundary, make_schedule
from tests.chaos.stage import STARTS

SCHEDULES = 200
SOON = 12  # aimed schedules until a broken commit has shown


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Archive, fingerprints and homes are made once for all runs below; in memory where there is some, as fsync costs.

    A killed process loses nothing there either.
    """
    shared = Path("/dev/shm")
    if not (shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 512 << 20):
        yield tmp_path_factory.mktemp("chaos")
        return
    with tempfile.TemporaryDirectory(prefix="makersmark-chaos-", dir=shared) as name:
        yield Path(name)


def chaos(folder: Path, *options: str) -> tuple[list[dict[str, Any]], str]:
    """The JSON lines it prints, and what it says on the side. In a process of its own: it forks, pytest has threads."""
    command = [sys.executable, "-m", "tests.chaos", "--folder", str(folder), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.mark.slow
def test_every_schedule_of_kills_and_faults_ends_as_an_unbroken_run(folder: Path) -> None:
    """A kill at every boundary and a sleep wherever one may, then two hundred schedules drawn by their seeds."""
    (summary,), told = chaos(folder, "--aimed", "--schedules", str(SCHEDULES))
    print(told, summary)
    assert summary["failed"] == [], told
    assert summary["schedules"] == summary["aimed"] + SCHEDULES
    assert summary["aimed"] >= len(BOUNDARIES)
    assert summary["ends"]["killed"] > SCHEDULES
    assert min(summary["ends"][end] for end in ("slept", "system failed")) > 0
    assert "unexpected" not in summary["ends"]
    assert summary["orphans"] > 0, "no kill ever left a part behind, so none came between a part and its commit"
    assert set(summary["boundaries"]) == set(BOUNDARIES)
    assert [name for name, hit in summary["boundaries"].items() if not hit["faults"]] == []


@pytest.mark.slow
def test_the_harness_notices_a_product_that_is_broken_in_any_of_these_ways(folder: Path) -> None:
    """Each shows in an aimed schedule, and in no run without faults; else it would say nothing of the harness."""
    lines, told = chaos(folder, "--sabotage")
    assert [line["sabotage"] for line in lines] == list(SABOTAGE), told
    assert {line["sabotage"]: line["wrong"] for line in lines if line["after"] is None} == {}
    assert max(line["after"] for line in lines) <= SOON, lines


def test_a_schedule_is_a_function_of_its_seed_and_stays_within_what_may_go_wrong() -> None:
    passages = {start: dict.fromkeys(BOUNDARIES, 5) for start in ("published", "swept", "seeded", "bare")}
    for seed in range(300):
        schedule = make_schedule(seed, passages, seed)
        assert str(schedule) == str(make_schedule(seed, passages, seed))
        faults = [fault for run in schedule.runs for plan in run for fault in plan]
        assert 1 <= len(faults) <= 4
        assert all(fault.action in allowed(fault.boundary) and fault.nth >= 1 for fault in faults)
        assert sum(fault.action is Action.WORKER for fault in faults) <= WORKER_FAULTS


def test_the_aimed_schedules_kill_at_every_boundary_and_sleep_wherever_a_driver_may() -> None:
    passages = {start: {b: 1 for b in BOUNDARIES if b.split(".")[0] not in LEADS} for start in STARTS}
    schedules = aimed(passages)
    assert [schedule.seed for schedule in schedules] == [-1 - number for number in range(len(schedules))]
    assert [str(make_schedule(schedule.seed, passages, 0)) for schedule in schedules] == [str(s) for s in schedules]
    last = {(fault.boundary, fault.action) for s in schedules for fault in [s.runs[-1][-1][-1]]}
    for action in (Action.KILL, Action.SLEEP):
        assert {b for b, met in last if met is action} == {b for b in BOUNDARIES if action in allowed(b)}


@pytest.mark.parametrize("number", [46, 49, 70])
def test_a_long_run_of_schedules_begins_at_every_boundary(number: int) -> None:
    """There were 49, which is seven times the step: only every seventh was ever the first to be disturbed."""
    boundaries = BOUNDARIES[:number]
    assert {first_boundary(turn, boundaries) for turn in range(number)} == set(boundaries)
