"""The executor on a real Ray runtime: the contract, and what the death of an actor costs."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster import ClusterSettings, Declined, Done, Executor, Failure, Policy, WorkersUnavailableError
from tests.cluster.behaviours import Script, ScriptedWorker, dying_factory, gone
from tests.cluster.contract import ExecutorContract, lines, wanted

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module", autouse=True)
def runtime() -> Iterator[None]:
    from cluster.ray_runtime import connected

    with connected(ClusterSettings(workers=2)):
        yield


def executor(**settings: Any) -> Executor:
    from cluster.ray_executor import RayExecutor

    return RayExecutor(ClusterSettings(**{"workers": 2, "executor": "ray", **settings}))


class TestRayExecutor(ExecutorContract):
    workers = 1  # an actor takes half a second to start; what two of them do is tested where it matters

    def make(self, settings: ClusterSettings) -> Executor:
        from cluster.ray_executor import RayExecutor

        return RayExecutor(settings)


def test_a_task_whose_actor_dies_is_done_by_a_fresh_one_and_nobody_else_notices(tmp_path: Path) -> None:
    tasks = [Script(n, perform="die_once" if n == 2 else "ok") for n in range(6)]
    worker = functools.partial(ScriptedWorker, str(tmp_path / "log"))
    asked: Counter[int] = Counter()

    def gate(task: Script, _ticket: str) -> bool:
        asked[task.name] += 1
        return asked[task.name] == 1  # a ledger that has booked the task says no to whoever comes second

    done = list(executor().run(worker, gate, tasks))
    assert {c.task.name: c.outcome for c in done} == {n: Done(2 * n) for n in range(6)}
    assert len(done) == 6
    assert set(asked.values()) == {1}


@pytest.mark.parametrize("step", ["admit", "perform"])
def test_a_task_that_kills_its_actors_ends_as_worker_lost(step: str) -> None:
    done = {c.task.name: c for c in executor().run(ScriptedWorker, wanted, [Script(1, **{step: "die"}), Script(2)])}
    lost = done[1].outcome
    assert isinstance(lost, Failure)
    assert (lost.kind, lost.policy) == ("worker_lost", Policy.RETRY)
    assert lost.message == "the worker vanished 2 times while it had this task"
    assert done[2].outcome == Done(4)


def test_an_actor_that_dies_while_it_lets_go_of_a_declined_task_changes_nothing() -> None:
    tasks = [Script(1, wanted=False, release="die"), Script(2)]
    done = {c.task.name: c.outcome for c in executor(workers=1).run(ScriptedWorker, wanted, tasks)}
    assert done == {1: Declined(), 2: Done(4)}


@pytest.mark.parametrize(
    ("step", "manner", "told"),
    [
        ("perform", "unpicklable", "the result cannot be sent: TypeError"),
        ("perform", "unreadable", "the result cannot be read here: ValueError"),
        ("admit", "unpicklable", ""),
    ],
)
def test_what_cannot_travel_back_is_its_own_tasks_failure(step: str, manner: str, told: str) -> None:
    class TicketWorker(ScriptedWorker):
        def admit(self, task: Script) -> Any:
            return threading.Lock() if task.admit == "unpicklable" else super().admit(task)

    tasks = [Script(1, **{step: manner}), Script(2)]
    done = {c.task.name: c.outcome for c in executor(workers=1).run(TicketWorker, wanted, tasks)}
    assert done[1].kind == "internal"
    assert done[1].message.startswith(told)
    assert done[2] == Done(4)


def test_a_task_that_cannot_travel_out_is_its_own_failure() -> None:
    tasks: list[Any] = [threading.Lock(), Script(2)]
    done = list(executor(workers=1).run(ScriptedWorker, wanted, tasks))
    assert [getattr(c.outcome, "kind", c.outcome) for c in done] == ["internal", Done(4)]


def test_actors_that_die_before_they_have_started_end_the_run_and_consume_nothing() -> None:
    tasks = iter([Script(1)])
    with pytest.raises(WorkersUnavailableError, match="die before they have started"):
        list(executor(workers=1, max_worker_losses=1).run(dying_factory, wanted, tasks))
    assert next(tasks).name == 1


def test_a_cluster_without_room_is_told_instead_of_waited_for_without_end() -> None:
    tasks = iter([Script(1)])
    crowded = executor(cpus_per_worker=64.0, start_timeout_s=0.5)
    with pytest.raises(WorkersUnavailableError, match=r"has the cluster room for one \(64 CPU\)"):
        list(crowded.run(ScriptedWorker, wanted, tasks))
    assert next(tasks).name == 1


def test_closing_kills_an_actor_at_work_and_with_it_its_stuck_sandbox(tmp_path: Path) -> None:
    log = tmp_path / "log"
    tasks = [Script(1, perform="sandboxed_hang"), *(Script(n) for n in range(2, 5))]
    run = executor().run(functools.partial(ScriptedWorker, str(log)), wanted, tasks)
    finished = [next(run).task.name for _ in range(3)]
    assert sorted(finished) == [2, 3, 4]
    child = wait_for_sandbox(log)
    run.close()
    assert gone(child)


DRIVER = """
import functools, sys
from cluster import ClusterSettings
from cluster.ray_executor import RayExecutor
from tests.cluster.behaviours import Script, ScriptedWorker
if __name__ == "__main__":
    tasks = [Script(0, perform="die"), Script(1), Script(2, perform="sandboxed_hang")]
    executor = RayExecutor(ClusterSettings(workers=1, executor="ray"))
    for completion in executor.run(functools.partial(ScriptedWorker, sys.argv[1]), lambda task, ticket: True, tasks):
        print(completion.task.name, getattr(completion.outcome, "kind", "done"), flush=True)
"""


def test_killing_the_driver_ends_the_runtime_it_started_its_actors_and_their_sandboxes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "RAY_ADDRESS": "192.0.2.1:6379"}
    command = [sys.executable, str(script), str(log)]
    driver = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path
    )
    assert driver.stdout is not None
    told = [driver.stdout.readline() for _ in range(2)]
    assert told == ["0 worker_lost\n", "1 done\n"], "Ray adds nothing of its own"
    child = wait_for_sandbox(log)
    ancestors = psutil.Process(child).parents()
    assert driver.pid in [process.pid for process in ancestors]
    between = ancestors[: [process.pid for process in ancestors].index(driver.pid)]
    assert between, "the actor and Ray's daemon"
    driver.send_signal(signal.SIGKILL)
    rest, noise = driver.communicate()
    assert (rest, noise) == ("", "")
    assert gone(child)
    assert all(gone(process.pid) for process in between)


def wait_for_sandbox(log: Path) -> int:
    """The number of the child that a worker has announced in its log."""
    pause = threading.Event()
    for _ in range(600):
        for line in lines(log):
            if line.startswith("sandbox "):
                return int(line.split()[1])
        pause.wait(0.05)
    raise AssertionError("no sandbox was started")
