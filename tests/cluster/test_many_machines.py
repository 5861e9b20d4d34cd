"""Sweeps over several Ray nodes (real raylets on one machine) while nodes and processes die and join: the same home."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import jobs.sweep
from cluster import ClusterSettings
from cluster.ray_sizing import actor_options, room
from jobs.home import Home
from jobs.scan import ray_settings
from jobs.settings import Settings
from tests.cluster.behaviours import Script, ScriptedWorker
from tests.cluster.contract import lines
from tests.cluster.patient import patient_factory
from tests.footage import make_video
from tests.jobs import state
from tests.jobs.conftest import run_sweep

GIB = 2**30
STORE = 80 * 2**20  # as small as Ray allows
CLIPS = 14


@pytest.mark.parametrize(
    ("nodes", "asked", "fits"),
    [
        ([{"CPU": 4.0}, {"CPU": 1.5}], {}, 5),
        ([{"CPU": 3.0}, {"CPU": 3.0}], {"cpus_per_worker": 2.0}, 2),  # four CPUs are left, but not on one node
        ([{"CPU": 16.0, "GPU": 1.0}, {"CPU": 64.0}], {"gpus_per_worker": 0.25}, 4),
        ([{"CPU": 16.0, "GPU": 3.0}], {"gpus_per_worker": 0.1, "cpus_per_worker": 0.5}, 30),
        ([{"CPU": 2.0, "GPU": 1.0}], {"gpus_per_worker": 0.25}, 2),
        ([{"CPU": 8.0, "memory": 7.0 * GIB}], {"memory_mb": 3072}, 2),
        ([{"memory": 7.0 * GIB}], {"memory_mb": 3072}, 0),
        ([], {}, 0),
    ],
)
def test_actors_are_counted_by_what_each_node_has(nodes: Any, asked: dict[str, Any], fits: int) -> None:
    assert room(nodes, ClusterSettings(workers=0, executor="ray", **asked)) == fits


def test_what_an_actor_reserves_follows_from_the_settings() -> None:
    joined = Settings(executor="ray", ray_address="auto", device="cuda", decode_mb=2048, gpus_per_worker=0.25)
    options = actor_options(ray_settings(joined, most=7))
    assert (options["num_cpus"], options["num_gpus"], options["memory"]) == (1.0, 0.25, 3 * GIB)
    assert ray_settings(joined, most=7).most_workers == 7
    on_cpu = actor_options(ray_settings(Settings(executor="ray", ray_address="auto", worker_mb=500)))
    assert (on_cpu["num_gpus"], on_cpu["memory"]) == (0.0, 500 * 2**20)
    assert "memory" not in actor_options(ray_settings(Settings(executor="ray"))), "a runtime of our own always starts"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without processors; tests add the nodes they want."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)]))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    quick = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 1000, "health_check_failure_threshold": 5}
    head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False, "_system_config": quick}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield nodes
    finally:
        nodes.shutdown()


def add_node(cluster: Any, **resources: Any) -> Any:
    return cluster.add_node(**{"num_cpus": 1, "object_store_memory": STORE, "memory": 4 * GIB, **resources})


def actors(node: Any) -> list[psutil.Process]:
    """The processes of actors that serve on one node."""
    found = []
    for started in node.all_processes["raylet"]:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(started.process.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if any("ray::WorkerHost" in part for part in process.cmdline()):
                        found.append(process)
    return found


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of ten minutes and clips whose contents differ by a remark in an unread box."""
    folder = tmp_path_factory.mktemp("archive")
    make_video(folder / "film.mp4", frames=620 * 3, fps=3, size=(64, 64), gop=10, seed=7)
    clip = make_video(folder / "clip 0.mp4", size=(64, 64), seed=8).read_bytes()
    for number in range(1, CLIPS):
        remark = f"remark {number}".encode()
        box = (8 + len(remark)).to_bytes(4, "big") + b"free" + remark
        (folder / f"clip {number}.mp4").write_bytes(clip + box)
    return folder


@pytest.fixture(scope="module")
def unbroken(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The sweep that nothing happens to: in this process, without Ray, without ranges."""
    home = Home(Settings(home=str(tmp_path_factory.mktemp("unbroken") / "home"), workers=1, split_bursts=0))
    run_sweep(home, archive)
    yield home
    home.close()


def settings(tmp_path: Path, cluster: Any, **more: Any) -> Settings:
    common = {"executor": "ray", "ray_address": cluster.address, "split_bursts": 8, "split_mb": 0, "commit_files": 1}
    return Settings(home=str(tmp_path / "home"), **{**common, **more})


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sweeps of this test finish no clip before this file is there: there is work left for nodes that join late."""
    monkeypatch.setattr(jobs.sweep, "worker_factory", patient_factory(tmp_path / "go"))
    return tmp_path / "go"


def assert_same_home(home: Home, unbroken: Home) -> None:
    told = state.differences(home, unbroken)
    assert not told, "\n".join(told[:40])


class Meanwhile:
    """Runs something in another thread while this one, the only one that may add Ray nodes, plays tricks on it.

    result: what it returned; there after the block, which raises what went wrong in the thread. go: a file to make at
    the end of the block, whatever happened in it, for workers that wait for it.
    """

    def __init__(self, work: Callable[[], Any], go: Path | None = None) -> None:
        self._work, self._go = work, go
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self.result: Any = None

    def _run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:
            self._error = error

    def __enter__(self) -> Meanwhile:
        self._thread.start()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self._go is not None:
            self._go.touch()
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error


def until(happened: Callable[[], Any], what: str, patience_s: float = 120.0) -> Any:
    end = time.monotonic() + patience_s
    while not (found := happened()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)
    return found


@pytest.mark.ray
@pytest.mark.slow
def test_a_sweep_outlives_an_actor_and_a_node_and_uses_a_node_that_joins(
    cluster: Any, archive: Path, unbroken: Home, tmp_path: Path, go: Path
) -> None:
    first, second = add_node(cluster), add_node(cluster)
    home = Home(settings(tmp_path, cluster))
    with Meanwhile(functools.partial(run_sweep, home, archive), go) as sweeping:
        until(lambda: state.items(home), "the film's claim")
        until(lambda: actors(first), "an actor on the first node")
        os.kill(actors(first)[0].pid, signal.SIGKILL)
        # A range whose worker vanishes twice is given up for lost, rightly: one fault after the other.
        until(lambda: state.verdicts(home), "the film's commit")
        until(lambda: actors(second), "an actor on the second node")
        cluster.remove_node(second, allow_graceful=False)
        third = add_node(cluster)
        until(lambda: actors(third), "an actor on the node that joined")
    summary = sweeping.result
    assert summary.failures == {}
    assert summary.fingerprinted == CLIPS + 1
    assert_same_home(home, unbroken)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("progress", [1, pytest.param(6, marks=pytest.mark.cluster)])
def test_a_driver_killed_on_a_cluster_is_started_again_and_finishes_the_same_work(
    cluster: Any, archive: Path, unbroken: Home, tmp_path: Path, progress: int
) -> None:
    for _ in range(2):
        add_node(cluster)
    chosen = settings(tmp_path, cluster)
    home = Home(chosen)
    environment = {
        **os.environ,
        "MAKERSMARK_SPLIT_BURSTS": "8",
        "MAKERSMARK_SPLIT_MB": "0",
        "MAKERSMARK_COMMIT_FILES": "1",
    }
    command = [sys.executable, "-m", "jobs", "--home", chosen.home, "sweep", str(archive)]
    command += ["--ray-address", cluster.address]
    driver = subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until(lambda: len(state.verdicts(home)) >= progress or driver.poll() is not None, "commits")
    assert driver.poll() is None
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    summary = run_sweep(home, archive)
    assert summary.failures == {}
    assert summary.held == 0
    assert summary.fingerprinted <= CLIPS + 1 - progress
    assert_same_home(home, unbroken)


@pytest.mark.ray
@pytest.mark.slow
def test_a_sweep_waits_for_a_first_node_grows_with_the_cluster_and_shrinks_with_it(
    cluster: Any, archive: Path, unbroken: Home, tmp_path: Path, go: Path
) -> None:
    home = Home(settings(tmp_path, cluster))
    with Meanwhile(functools.partial(run_sweep, home, archive), go) as sweeping:
        first = add_node(cluster)
        until(lambda: actors(first), "an actor on the first node")
        others = [add_node(cluster) for _ in range(2)]
        until(lambda: all(actors(node) for node in others), "an actor on each node that joined")
        for node in others:
            cluster.remove_node(node, allow_graceful=False)
    assert sweeping.result.failures == {}
    assert_same_home(home, unbroken)


def scripted(cluster: Any, tasks: Iterable[Script], log: Path, **more: Any) -> Iterator[Any]:
    from cluster.ray_executor import RayExecutor

    chosen = ClusterSettings(**{"workers": 0, "executor": "ray", "ray_address": cluster.address, **more})
    return RayExecutor(chosen).run(functools.partial(ScriptedWorker, str(log)), lambda task, _: task.wanted, tasks)


@pytest.mark.ray
@pytest.mark.slow
def test_gpu_actors_share_a_device_and_tasks_leave_in_the_order_given_no_sooner_than_they_are_wanted(
    cluster: Any, tmp_path: Path
) -> None:
    add_node(cluster, num_cpus=8, num_gpus=1)
    add_node(cluster, num_cpus=8)
    log, go = tmp_path / "log", tmp_path / "go"
    drawn: list[int] = []

    def tasks() -> Iterator[Script]:
        for number in range(12):
            drawn.append(number)
            yield Script(number, perform="wait_for_file", log=str(go))

    run = scripted(cluster, tasks(), log, gpus_per_worker=0.25)

    with Meanwhile(lambda: [completion.task.name for completion in run]) as running:
        until(lambda: sum(line.startswith("perform") for line in lines(log)) == 4, "four actors at work")
        time.sleep(2.5)  # the number of actors has been counted again twice by now
        opened, early = lines(log).count("open"), list(drawn)
        go.touch()
    assert sorted(running.result) == drawn == list(range(12))
    assert opened == 4, "a quarter of the one GPU each, and none of the node without one"
    assert early == [0, 1, 2, 3], "a task is drawn when an actor is free for it"


@pytest.mark.ray
@pytest.mark.slow
def test_actors_without_further_work_are_let_go_while_the_slowest_task_goes_on(cluster: Any, tmp_path: Path) -> None:
    nodes = [add_node(cluster) for _ in range(2)]
    log, go = tmp_path / "log", tmp_path / "go"
    tasks = [Script(0, perform="wait_for_file", log=str(go)), *(Script(number) for number in range(1, 6))]
    run = scripted(cluster, tasks, log)
    with Meanwhile(lambda: [completion.task.name for completion in run]) as running:
        until(lambda: lines(log).count("open") == 2, "two actors")
        until(lambda: lines(log).count("close") == 1, "one of them closed")
        until(lambda: sum(len(actors(node)) for node in nodes) == 1, "one actor left")
        go.touch()
    assert sorted(running.result) == list(range(6))
    assert running.result[-1] == 0


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.cluster
def test_a_range_whose_actor_dies_is_done_again_and_the_film_is_whole(
    cluster: Any, archive: Path, unbroken: Home, tmp_path: Path
) -> None:
    node = add_node(cluster)
    film = tmp_path / "one film"
    film.mkdir()
    shutil.copy(archive / "film.mp4", film)
    home = Home(settings(tmp_path, cluster))

    with Meanwhile(functools.partial(run_sweep, home, film)) as sweeping:
        first = until(lambda: actors(node), "an actor")[0]
        until(lambda: state.items(home), "the claim")
        time.sleep(1.0)
        os.kill(first.pid, signal.SIGKILL)
    summary = sweeping.result
    assert (summary.fingerprinted, summary.failures) == (1, {})
    (verdict,) = state.verdicts(home)
    assert verdict in state.verdicts(unbroken)
    assert verdict["coverage"] == 1.0
