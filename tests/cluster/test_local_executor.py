"""The executor in this process: the contract, whatever workers do, and a clean end however it ends."""

from __future__ import annotations

import functools
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import ClusterSettings, Declined, Done, Executor, LocalExecutor
from tests.cluster.behaviours import KIND_OF, Script, ScriptedWorker
from tests.cluster.contract import ExecutorContract, lines, wanted

manners = st.sampled_from(["ok", *KIND_OF])


def worker_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "cluster-worker"]


def expected(task: Script) -> object:
    if task.admit != "ok":
        return KIND_OF[task.admit]
    manner, outcome = (task.perform, Done(2 * task.name)) if task.wanted else (task.release, Declined())
    return outcome if manner == "ok" else KIND_OF[manner]


class TestLocalExecutor(ExecutorContract):
    def make(self, settings: ClusterSettings) -> Executor:
        return LocalExecutor(settings)


@given(
    steps=st.lists(st.tuples(manners, st.booleans(), manners, manners), max_size=20),
    workers=st.integers(1, 4),
    recycle_after=st.integers(1, 5),
)
def test_every_task_consumed_yields_exactly_one_completion_whatever_workers_do(
    steps: list[tuple[str, bool, str, str]], workers: int, recycle_after: int
) -> None:
    tasks = [
        Script(n, admit=admit, wanted=want, perform=perform, release=release)
        for n, (admit, want, perform, release) in enumerate(steps)
    ]
    executor = LocalExecutor(ClusterSettings(workers=workers, recycle_after=recycle_after))
    done = list(executor.run(ScriptedWorker, wanted, tasks))
    assert Counter(c.task.name for c in done) == Counter(range(len(tasks)))
    for completion in done:
        outcome = completion.outcome
        assert getattr(outcome, "kind", outcome) == expected(completion.task)
    assert worker_threads() == []


def test_completions_come_in_the_order_in_which_they_finish() -> None:
    release = threading.Event()

    class Worker(ScriptedWorker):
        def perform(self, task: Script, ticket: str) -> int:
            if task.name == 0:
                assert release.wait(60)
            return task.name

    run = LocalExecutor(ClusterSettings(workers=2)).run(Worker, wanted, [Script(0), Script(1), Script(2)])
    first = [next(run).task.name, next(run).task.name]
    release.set()
    assert first == [1, 2]
    assert [c.task.name for c in run] == [0]


def test_closing_interrupts_a_worker_in_the_middle_of_its_task_and_leaves_no_thread(tmp_path: Path) -> None:
    log = tmp_path / "log"
    executor = LocalExecutor(ClusterSettings(workers=2))
    run = executor.run(functools.partial(ScriptedWorker, str(log)), wanted, [Script(0), Script(1, perform="wait")])
    assert next(run).task.name == 0
    run.close()
    assert worker_threads() == []
    assert lines(log).count("open") == lines(log).count("close")


@pytest.fixture
def heeds_interrupts() -> Iterator[None]:
    """A shell starts what it puts into the background with SIGINT ignored; there no interrupt would ever come."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_interrupts")
def test_ctrl_c_ends_the_run_with_its_workers_closed_and_no_thread_left(tmp_path: Path) -> None:
    log = tmp_path / "log"
    executor = LocalExecutor(ClusterSettings(workers=2))
    tasks = [Script(0, perform="interrupt_driver"), Script(1, perform="wait")]
    with pytest.raises(KeyboardInterrupt):
        list(executor.run(functools.partial(ScriptedWorker, str(log)), wanted, tasks))
    assert worker_threads() == []
    assert lines(log).count("open") == lines(log).count("close")


def test_a_task_that_waits_for_the_gate_when_the_run_ends_is_released(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def gate(task: Script, _ticket: str) -> bool:
        raise ConnectionError("gone")

    executor = LocalExecutor(ClusterSettings(workers=1))
    with pytest.raises(ConnectionError):
        list(executor.run(functools.partial(ScriptedWorker, str(log)), gate, [Script(5)]))
    assert lines(log) == ["open", "admit 5", "release 5", "close"]


def test_importing_cluster_imports_neither_ray_nor_numpy() -> None:
    code = "import sys, cluster; print(sorted({'ray', 'numpy', 'torch'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
