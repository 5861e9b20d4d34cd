"""Runs schedules: one process imports everything once and forks a child for each driver.

The parent starts no thread and opens no database, since what is forked must be whole in the child; it copies a home,
forks drivers, wakes sleepers, waits, and compares what the last driver wrote down.
"""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import signal
import sqlite3
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jobs.sweep
from tests.chaos import driver, stage
from tests.chaos.evidence import Evidence, differences, glance
from tests.chaos.faults import Action, Fault, Faults, Tally
from tests.chaos.schedule import Schedule, aimed, make_schedule

HANGS_AFTER_S = 120.0  # twice as long as one statement may wait for SQLite's lock


@dataclass(slots=True)
class Verdict:
    """How one schedule ended. wrong: empty when the final state is that of an unbroken run."""

    schedule: Schedule
    wrong: list[str]
    orphans: int
    ends: Counter[str] = field(default_factory=Counter)


class Harness:
    """Prepares archive, fingerprints, homes and the unbroken runs below a folder; then judges any schedule.

    sabotage, once it is set, breaks the product in every child, to see whether the harness notices.
    """

    def __init__(self, folder: Path) -> None:
        from jobs.scan import current_spec
        from jobs.settings import Settings

        stage.without_starter()
        self._folder = folder
        self.sabotage: Callable[[], None] | None = None
        self._archive, kept = folder / "archive", folder / "stored.pickle"
        self.tally = Tally()
        spec = current_spec(Settings())
        if not kept.exists():
            _must(lambda: stage.make_archive(self._archive))
            _must(lambda: stage.decode_once(self._archive, kept))
        self._stored, self._records = stage.load(kept, spec)
        homes = folder / "homes"
        if not homes.exists():
            _must(lambda: stage.make_homes(homes, self._records))
        self._warm_up(homes)
        self._expected: dict[str, Evidence] = {}
        self.passages: dict[str, dict[str, int]] = {}
        for start in stage.STARTS:
            tally, before = Tally(), self.tally
            self.tally = tally
            verdict, evidence = self._play(Schedule(0, start, ()), folder / f"unbroken-{start}")
            self.tally = before
            if evidence is None or evidence.wrong or evidence.orphans or verdict.wrong:
                raise RuntimeError(
                    f"the unbroken run is broken ({start}): {verdict.wrong} {evidence and evidence.wrong}"
                )
            self._expected[start] = evidence
            self.passages[start] = {name: count for name, (count, _) in tally.read().items() if count}

    def _warm_up(self, homes: Path) -> None:
        """One whole run in this process, so that no child has to import or to prepare anything; its home is kept.

        Afterwards only threads that know about forks are left (those of Arrow and its allocator).
        """
        swept, aside = homes / "swept", self._folder / "warm-up"
        if not swept.exists():
            shutil.copytree(homes / "published", swept)
            self._must_live(swept, second_act=False)
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(homes / "published", aside / "home")
        self._must_live(aside / "home", second_act=True, report=aside / "evidence.pickle")
        shutil.rmtree(aside)
        if threading.active_count() != 1:
            raise RuntimeError(f"threads are alive in the process that forks: {threading.enumerate()}")
        # What is there now stays: a child's garbage collector that looked at it all would copy every page it lies on.
        gc.collect()
        gc.freeze()

    def _must_live(self, home: Path, **named: Any) -> None:
        before = jobs.sweep.worker_factory, jobs.sweep.BACKOFF_S, jobs.sweep.HELD_POLL_S
        code = driver.live(home, self._archive, self._stored, self._records, None, **named)
        jobs.sweep.worker_factory, jobs.sweep.BACKOFF_S, jobs.sweep.HELD_POLL_S = before
        if code != driver.DONE:
            raise RuntimeError(f"a run without faults ends with {code}; see {home.parent}")

    def expected(self, start: str) -> Evidence:
        return self._expected[start]

    def schedule(self, seed: int, turn: int) -> Schedule:
        return make_schedule(seed, self.passages, turn)

    def play(self, schedule: Schedule) -> Verdict:
        """Run a schedule and compare. The folder of a failed one stays for a look."""
        folder = self._folder / f"run-{schedule.seed}-{os.getpid()}"
        verdict, evidence = self._play(schedule, folder)
        if evidence is not None:
            verdict.wrong += differences(self._expected[schedule.start], evidence)
            verdict.wrong += self._attempts(schedule, evidence)
            verdict.orphans = len(evidence.orphans)
            # Every death or error can leave what was being written: two parts, or one and a torn one.
            most = 2 * sum(len(plan) for run in schedule.runs for plan in run)
            if verdict.orphans > most:
                verdict.wrong.append(f"{verdict.orphans} orphans, at most {most} are explained")
        if not verdict.wrong:
            shutil.rmtree(folder, ignore_errors=True)
        return verdict

    def _attempts(self, schedule: Schedule, evidence: Evidence) -> list[str]:
        """Only failures of the work itself may count as attempts: deaths of drivers do not lead to quarantine."""
        failed = sum(f.action is Action.WORKER for run in schedule.runs for plan in run for f in plan)
        before = self._expected[schedule.start].attempts
        return [
            f"item {sha256[:8]} has {attempts} attempts, {before.get(sha256)} without faults, {failed} failed"
            for sha256, attempts in evidence.attempts.items()
            if not before.get(sha256, 0) <= attempts <= before.get(sha256, 0) + failed
        ]

    def _play(self, schedule: Schedule, folder: Path) -> tuple[Verdict, Evidence | None]:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._folder / "homes" / schedule.start, folder / "home")
        verdict = Verdict(schedule, [], 0)
        for run in schedule.runs:
            children = {self._fork(folder, schedule.start, plan): plan for plan in run}
            self._attend(folder, children, verdict)
        report = folder / "evidence.pickle"
        self._attend(folder, {self._fork(folder, schedule.start, (), report): ()}, verdict)
        evidence = pickle.loads(report.read_bytes()) if report.exists() else None
        if evidence is None:
            verdict.wrong.append("the last, undisturbed run did not come to its end")
        for error in sorted(folder.glob("error-*.txt")):
            verdict.wrong.append(f"a driver died of an error that nobody caused: {error.read_text()[-1500:]}")
        return verdict, evidence

    def _fork(self, folder: Path, start: str, plan: tuple[Fault, ...], report: Path | None = None) -> int:
        def run() -> int:
            if self.sabotage is not None:
                self.sabotage()
            faults = Faults(plan, self.tally)
            return driver.live(
                folder / "home",
                self._archive,
                self._stored,
                self._records,
                faults,
                second_act=start != "published",
                report=report,
            )

        return _fork(run)

    def _attend(self, folder: Path, children: dict[int, tuple[Fault, ...]], verdict: Verdict) -> None:
        """Wait for every driver; a sleeper is woken after another driver did its work."""
        living, deadline = set(children), time.monotonic() + HANGS_AFTER_S
        while living:
            for pid in list(living):
                done, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
                if not done:
                    continue
                if os.WIFSTOPPED(status):
                    verdict.ends["slept"] += 1
                    verdict.wrong += [f"while a driver sleeps {what}" for what in glance(folder / "home")]
                    lapse_leases(folder / "home" / "makersmark.sqlite")
                    heir = self._fork(folder, verdict.schedule.start, ())
                    self._attend(folder, {heir: ()}, verdict)
                    os.kill(pid, signal.SIGCONT)
                    continue
                living.discard(pid)
                verdict.ends[_end(status)] += 1
                verdict.wrong += [f"right after a driver {_end(status)} {what}" for what in glance(folder / "home")]
            if time.monotonic() > deadline:
                verdict.wrong.append(f"a driver with plan {[str(f) for p in living for f in children[p]]} hangs")
                for pid in living:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                return
            if living:
                time.sleep(0.001)


def _end(status: int) -> str:
    if os.WIFSIGNALED(status):
        return "killed"
    return {driver.DONE: "done", driver.SYSTEM_FAILED: "system failed"}.get(os.WEXITSTATUS(status), "unexpected")


def lapse_leases(database: Path) -> None:
    """As if the machine of every living sweep had slept through its lease."""
    with sqlite3.connect(database, timeout=60) as connection:
        connection.execute("UPDATE work_item SET lease_until = '2000-01-01 00:00:00.000000' WHERE state = 'leased'")
    connection.close()


def _fork(run: Callable[[], int]) -> int:
    """A child that does one thing and leaves without a trace of the parent's own ending."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = driver.UNEXPECTED
    try:
        code = run()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _must(step: Callable[[], Any]) -> None:
    """Do a step in a child, so that its threads and connections end with it."""

    def run() -> int:
        step()
        return 0

    _, status = os.waitpid(_fork(run), 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError("the stage could not be set; the child's error is above")


def play_many(harness: Harness, seed: int, schedules: int) -> Iterator[Verdict]:
    """Schedules ``seed`` and onward; each is reproduced by its own seed."""
    for number in range(seed, seed + schedules):
        yield harness.play(harness.schedule(number, number))


def play_aimed(harness: Harness) -> Iterator[Verdict]:
    """The schedules that leave nothing to chance."""
    for schedule in aimed(harness.passages):
        yield harness.play(schedule)


def noticed_after(harness: Harness, sabotage: Callable[[], None]) -> tuple[int, list[str]] | None:
    """How many aimed schedules it takes to see that the product is broken, and what is seen; None when nothing is.

    Raises RuntimeError when the sabotage shows without any fault, which any test would have seen.
    """
    harness.sabotage = sabotage
    try:
        for number, verdict in enumerate(play_aimed(harness), 1):
            if not verdict.wrong:
                continue
            if undisturbed := harness.play(Schedule(0, verdict.schedule.start, ())).wrong:
                raise RuntimeError(f"the sabotage shows without a fault: {undisturbed[:4]}")
            return number, [str(verdict.schedule), *verdict.wrong]
    finally:
        harness.sabotage = None
    return None
