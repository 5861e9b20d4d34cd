"""A child that a file has taken over: what the kernel refuses it, and what it may still do."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster import FailureError, Limits, Sandbox, child_process
from cluster.child_process import child_environment
from cluster.isolation import Isolation
from tests.cluster.behaviours import HERE as BEHAVIOURS
from tests.cluster.behaviours import gone
from tests.faults.hostile import HERE

REFUSED = {errno.EPERM, errno.EACCES, errno.ENOSYS}


@pytest.fixture(scope="module")
def prisoner() -> Iterator[Sandbox]:
    with Sandbox(f"{HERE}:try_to_get_out") as sandbox:
        list(sandbox.call(("thread", None)))
        yield sandbox


@pytest.fixture(scope="module")
def granted(prisoner: Sandbox) -> Isolation:
    assert prisoner.isolation is not None
    return prisoner.isolation


def attempt(sandbox: Sandbox, what: str, argument: Any = None) -> Any:
    (answer,) = sandbox.call((what, argument))
    return answer


@pytest.fixture(scope="module")
def surroundings() -> dict[str, Any]:
    with Sandbox(f"{HERE}:look_around") as sandbox:
        (found,) = sandbox.call(None)
        found["isolation"] = sandbox.isolation
    return dict(found)


def test_this_kernel_is_reported_on_truly(surroundings: dict[str, Any]) -> None:
    isolation = surroundings["isolation"]
    assert (surroundings["seccomp"] == "2") == isolation.system_calls
    assert (surroundings["no_new_privs"] == "1") >= isolation.privileges
    told = subprocess.run([sys.executable, "-m", "cluster.isolation"], capture_output=True, text=True)
    assert told.stdout.count("granted") == sum(getattr(isolation, name) for name in Isolation.__slots__)
    assert told.returncode == (0 if isolation.complete else 1)


def test_of_roots_powers_at_most_reading_is_left(surroundings: dict[str, Any]) -> None:
    if not surroundings["isolation"].privileges:
        pytest.skip("this kernel does not let go of privileges")
    assert surroundings["capabilities"] & ~0b100 == 0  # CAP_DAC_READ_SEARCH


def test_the_child_has_its_three_streams_its_socket_and_its_lifeline_and_nothing_else(
    tmp_path: Path, surroundings: dict[str, Any]
) -> None:
    secret = os.open(tmp_path / "secret", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(secret, True)
    try:
        with Sandbox(f"{HERE}:look_around") as sandbox:
            (found,) = sandbox.call(None)
    finally:
        os.close(secret)
    # The listing itself holds one descriptor open, which is gone when its link is read.
    kinds = sorted(name.split(":")[0] for name in found["descriptors"].values())
    assert kinds == ["/dev/null", "pipe", "pipe", "pipe", "socket"]
    assert found["open_files"][1] <= 256


def test_the_child_stands_in_an_empty_folder_that_goes_with_it(surroundings: dict[str, Any]) -> None:
    assert surroundings["cwd"] != os.getcwd()
    assert surroundings["cwd_holds"] == []
    assert not Path(surroundings["cwd"]).exists()


def test_the_environment_is_the_short_list_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, surroundings: dict[str, Any]
) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SESSION_TOKEN",
        "PGPASSWORD",
        "MAKERSMARK_DB",
        "SSH_AUTH_SOCK",
        "LD_PRELOAD",
    ):
        monkeypatch.setenv(name, "hunter2")
    with Sandbox(f"{HERE}:look_around") as sandbox:
        (found,) = sandbox.call(None)
    assert set(found["environment"]) <= set(child_environment(os.environ)) | {"LC_CTYPE"}
    assert found["environment"] == surroundings["environment"]


def test_no_server_can_be_reached_where_isolation_is_reported(
    prisoner: Sandbox, granted: Isolation, tmp_path: Path
) -> None:
    short = tempfile.mkdtemp(dir="/tmp")  # a socket's path may not be long
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind(f"{short}/s")
        local.listen()
        tcp = attempt(prisoner, "connect", list(server.getsockname()))
        unix = attempt(prisoner, "connect_unix", f"{short}/s")
    os.unlink(f"{short}/s")
    os.rmdir(short)
    assert (tcp[0] == "done") != (granted.network or granted.system_calls)
    assert (unix[0] == "done") != granted.system_calls


@pytest.mark.parametrize("what", ["write", "truncate", "remove", "rename", "write_below", "mkdir"])
def test_no_file_can_be_changed(prisoner: Sandbox, granted: Isolation, tmp_path: Path, what: str) -> None:
    if not granted.read_only:
        pytest.skip("this kernel has no Landlock")
    victim = tmp_path / "victim.mp4"
    victim.write_bytes(b"somebody's film")
    argument = {"write_below": str(tmp_path), "mkdir": str(tmp_path / "folder")}.get(what, str(victim))
    assert attempt(prisoner, what, argument)[1] in REFUSED
    assert [path.name for path in tmp_path.iterdir()] == ["victim.mp4"]
    assert victim.read_bytes() == b"somebody's film"


@pytest.mark.parametrize("what", ["chmod", "touch"])
def test_owner_mode_and_times_of_a_file_cannot_be_changed(
    prisoner: Sandbox, granted: Isolation, tmp_path: Path, what: str
) -> None:
    if not granted.system_calls:
        pytest.skip("this kernel filters no system calls")
    victim = tmp_path / "victim.mp4"
    victim.write_bytes(b"somebody's film")
    before = victim.stat()
    assert attempt(prisoner, what, str(victim))[1] in REFUSED
    assert (victim.stat().st_mode, victim.stat().st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


def test_not_even_the_temporary_folder_and_the_own_one_can_be_written_to(prisoner: Sandbox, granted: Isolation) -> None:
    if not granted.read_only:
        pytest.skip("this kernel has no Landlock")
    assert attempt(prisoner, "write_here")[1] in REFUSED
    assert attempt(prisoner, "write_temporary")[0] == "FileNotFoundError"  # no folder that can be written to


@pytest.mark.parametrize("what", ["program", "fork", "session"])
def test_no_program_and_no_process_can_be_started(prisoner: Sandbox, granted: Isolation, what: str) -> None:
    if not granted.system_calls:
        pytest.skip("this kernel filters no system calls")
    assert attempt(prisoner, what)[1] in REFUSED


@pytest.mark.parametrize("what", ["kill", "reach_into", "trace", "lower_limit"])
def test_other_processes_of_the_same_user_are_out_of_reach(prisoner: Sandbox, granted: Isolation, what: str) -> None:
    needed = granted.read_only if what == "reach_into" else granted.system_calls
    if not needed:
        pytest.skip("this kernel does not grant it")
    assert attempt(prisoner, what, os.getpid())[1] in REFUSED


def test_what_decoding_needs_is_left(prisoner: Sandbox, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(bytes(1000))
    assert attempt(prisoner, "read", str(film)) == ("done", 1000)
    assert attempt(prisoner, "thread") == ("done", None)
    assert attempt(prisoner, "write_null") == ("done", None)


def test_a_folder_that_was_granted_can_be_written_to_and_only_that(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "other").mkdir()
    with Sandbox(f"{HERE}:try_to_get_out", writable=[str(tmp_path / "mine")]) as sandbox:
        assert attempt(sandbox, "write_below", str(tmp_path / "mine"))[0] == "done"
        elsewhere = attempt(sandbox, "write_below", str(tmp_path / "other"))
        assert sandbox.isolation is not None
        assert (elsewhere[0] == "done") != sandbox.isolation.read_only
    assert (tmp_path / "mine" / "new").read_bytes() == b"taken over"


@pytest.fixture
def unconfined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children as on a kernel that grants nothing."""
    monkeypatch.setattr(child_process, "CHILD_MODULE", "tests.faults.unconfined_child")


@pytest.mark.usefixtures("unconfined")
def test_a_kernel_that_grants_nothing_is_reported_and_served(tmp_path: Path) -> None:
    with Sandbox(f"{HERE}:try_to_get_out") as sandbox:
        assert attempt(sandbox, "write", str(tmp_path / "file"))[0] == "done"
        assert sandbox.isolation == Isolation()
        assert sandbox.network_isolated is False


@pytest.mark.usefixtures("unconfined")
def test_what_the_child_has_started_dies_with_it() -> None:
    with Sandbox(f"{BEHAVIOURS}:misbehave", Limits(total_s=60.0, stall_s=2.0)) as sandbox:
        call = sandbox.call(("spawn", None))
        child = psutil.Process(next(call))
        started = threading.Event()
        grandchildren: list[psutil.Process] = []

        def watch() -> None:
            while not grandchildren and not started.wait(0.02):
                grandchildren.extend(child.children())

        watcher = threading.Thread(target=watch)
        watcher.start()
        with pytest.raises(FailureError) as caught:
            next(call)
        started.set()
        watcher.join()
        assert len(grandchildren) == 1
    assert caught.value.failure.kind == "stalled"
    assert all(gone(process.pid) for process in grandchildren)


@pytest.mark.usefixtures("unconfined")
def test_a_child_may_write_no_file_larger_than_allowed(tmp_path: Path) -> None:
    with Sandbox(f"{BEHAVIOURS}:misbehave", Limits(file_mb=1)) as sandbox, pytest.raises(FailureError) as caught:
        list(sandbox.call(("write_file", str(tmp_path / "big"))))
    assert caught.value.failure.kind in {"internal", "crashed"}
    assert (tmp_path / "big").stat().st_size <= 2**20
