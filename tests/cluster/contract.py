"""What every executor promises; the test modules of both executors inherit it."""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import LATER, ClusterSettings, Declined, Done, Executor, Failure, Later, WorkersUnavailableError
from tests.cluster.behaviours import KIND_OF, Script, ScriptedWorker, failing_factory


def wanted(task: Script, _ticket: str) -> bool:
    return task.wanted


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


class ExecutorContract:
    """Subclasses give ``make``, and how many workers a run has unless its test says otherwise."""

    workers = 2

    def make(self, settings: ClusterSettings) -> Executor:
        raise AssertionError("a subclass builds its executor here")

    def run(self, tasks: Any, *, log: Path | None = None, gate: Any = wanted, **settings: Any) -> Iterator[Any]:
        executor = self.make(ClusterSettings(**{"workers": self.workers, **settings}))
        return executor.run(functools.partial(ScriptedWorker, str(log or "")), gate, tasks)

    def test_every_task_comes_back_once_with_its_result_and_ticket(self) -> None:
        done = list(self.run((Script(n) for n in range(12)), workers=2))
        assert sorted(c.task.name for c in done) == list(range(12))
        assert all(c.outcome == Done(2 * c.task.name) for c in done)
        assert all(c.ticket == f"ticket {c.task.name}" for c in done)
        assert all(c.wall_s > 0 for c in done)

    def test_no_tasks_are_no_completions(self) -> None:
        assert list(self.run([])) == []

    def test_a_task_the_gate_declines_is_released_and_never_performed(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        done = list(self.run([Script(1, wanted=False), Script(2)], log=log))
        assert {c.task.name: c.outcome for c in done} == {1: Declined(), 2: Done(4)}
        steps = lines(log)
        assert "release 1" in steps
        assert "perform 1" not in steps
        assert "release 2" not in steps

    def test_gate_and_tasks_run_in_the_thread_that_iterates(self) -> None:
        seen = set()

        def gate(_task: Script, _ticket: str) -> bool:
            seen.add((os.getpid(), threading.get_ident()))
            return True

        def tasks() -> Iterator[Script]:
            for n in range(4):
                seen.add((os.getpid(), threading.get_ident()))
                yield Script(n)

        assert len(list(self.run(tasks(), gate=gate))) == 4
        assert seen == {(os.getpid(), threading.get_ident())}

    @pytest.mark.parametrize("step", ["admit", "perform", "release"])
    def test_whatever_a_step_raises_ends_its_own_task_alone(self, step: str) -> None:
        manners = list(KIND_OF)
        tasks = [Script(n, **{step: manner}, wanted=step != "release") for n, manner in enumerate(manners)]
        done = {c.task.name: c for c in self.run([*tasks, Script(99)])}
        assert done.pop(99).outcome == Done(198)
        assert [done[n].outcome.kind for n in range(len(manners))] == list(KIND_OF.values())
        assert all((c.ticket is None) == (step == "admit") for c in done.values())

    def test_an_unclassified_exception_is_told_by_its_type_and_first_line(self) -> None:
        (completion,) = self.run([Script(1, perform="blunder")])
        assert isinstance(completion.outcome, Failure)
        assert completion.outcome.message == "ValueError: first line"

    def test_tasks_are_drawn_no_faster_than_workers_free_up(self) -> None:
        drawn = itertools.count()
        completions = self.run(Script(n) for n in drawn)
        for _ in range(5):
            next(completions)
        assert next(drawn) <= 5 + self.workers + 1  # finished, under way, and the one whose slot came free
        completions.close()

    def test_a_source_that_says_later_is_asked_again_when_something_has_moved_on(self) -> None:
        passed: list[int] = []
        finished: list[int] = []

        def gate(task: Script, _ticket: str) -> bool:
            passed.append(task.name)
            return True

        def tasks() -> Iterator[Script | Later]:
            yield Script(1)
            while not passed:
                yield LATER
            yield Script(2)
            while len(finished) < 2:
                yield LATER
            yield Script(3)

        for completion in self.run(tasks(), gate=gate, workers=2):
            finished.append(completion.task.name)
        assert sorted(finished[:2]) == [1, 2]
        assert finished[2:] == [3]

    def test_a_source_that_says_later_while_nothing_is_under_way_is_an_error_instead_of_a_standstill(self) -> None:
        completions = self.run(itertools.chain([Script(1)], itertools.repeat(LATER)))
        assert next(completions).task.name == 1
        with pytest.raises(RuntimeError, match="none is"):
            next(completions)

    def test_the_driver_has_a_pulse_while_nothing_finishes_and_after_every_completion(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        begun = tmp_path / "go.died.1"
        beats: list[int] = []

        def pulse() -> None:
            beats.append(threading.get_ident())
            if len(beats) == 3:
                begun.touch()

        executor = self.make(ClusterSettings(workers=1))
        held = Script(1, perform="wait_for_file", log=str(begun))
        done = list(executor.run(functools.partial(ScriptedWorker, str(log)), wanted, [held, Script(2)], pulse=pulse))
        assert [completion.task.name for completion in done] == [1, 2]
        assert len(beats) >= 3
        assert set(beats) == {threading.get_ident()}

    def test_closing_ends_a_run_over_endless_tasks(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        completions = self.run((Script(n) for n in itertools.count()), log=log, workers=1)
        next(completions)
        completions.close()
        begun = [line for line in lines(log) if line.startswith("admit")]
        assert begun in (["admit 0"], ["admit 0", "admit 1"])
        assert next(completions, None) is None

    def test_a_finished_run_has_closed_every_worker(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        list(self.run([Script(n) for n in range(6)], log=log))
        assert lines(log).count("open") == lines(log).count("close") >= 1

    def test_workers_are_replaced_after_their_number_of_tasks(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        list(self.run([Script(n) for n in range(4)], log=log, workers=1, recycle_after=2))
        steps = [line for line in lines(log) if line in ("open", "close") or line.startswith("perform")]
        assert steps[:5] == ["open", "perform 0", "perform 1", "close", "open"]
        assert lines(log).count("open") == lines(log).count("close")

    def test_a_factory_that_fails_is_the_systems_fault_and_consumes_no_task(self) -> None:
        tasks = iter([Script(1)])
        run = self.make(ClusterSettings(workers=self.workers)).run(failing_factory, wanted, tasks)
        with pytest.raises(WorkersUnavailableError, match="the model file is missing"):
            list(run)
        assert next(tasks).name == 1

    def test_a_broken_source_of_tasks_is_raised_after_what_was_drawn_has_completed(self) -> None:
        def tasks() -> Iterator[Script]:
            yield Script(1)
            yield Script(2)
            raise ConnectionError("the listing broke off")

        completions = self.run(tasks())
        done = [next(completions).task.name, next(completions).task.name]
        with pytest.raises(ConnectionError, match="broke off"):
            next(completions)
        assert sorted(done) == [1, 2]

    def test_a_failing_gate_is_raised_and_closes_the_workers(self, tmp_path: Path) -> None:
        def gate(_task: Script, _ticket: str) -> bool:
            raise ConnectionError("the database is gone")

        log = tmp_path / "log"
        with pytest.raises(ConnectionError, match="database"):
            list(self.run([Script(1)], log=log, gate=gate, workers=1))
        assert lines(log)[-1] == "close"
        assert "perform 1" not in lines(log)
