"""A sandbox when all goes well: replies stream, the child is reused, and it is given no more than it needs."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from cluster import FailureError, Limits, Sandbox
from tests.cluster.behaviours import HERE, gone


@pytest.fixture
def echo() -> Iterator[Sandbox]:
    with Sandbox(f"{HERE}:echo") as sandbox:
        yield sandbox


def pids(sandbox: Sandbox) -> set[int]:
    return {pid for pid, _item in sandbox.call([1, 2])}


def test_replies_stream_in_order_from_another_process(echo: Sandbox) -> None:
    replies = list(echo.call(["a", 2, None]))
    assert [item for _pid, item in replies] == ["a", 2, None]
    assert {pid for pid, _item in replies} == {echo.pid} != {os.getpid()}


def test_the_child_starts_with_the_first_call_and_serves_the_next_ones(echo: Sandbox) -> None:
    assert echo.pid is None
    first = pids(echo)
    assert pids(echo) == first


def test_arrays_of_any_size_shape_and_order_arrive_equal_and_writable(echo: Sandbox) -> None:
    rng = np.random.default_rng(7)
    big = rng.integers(0, 255, (16, 1080, 1920), np.uint8)
    sent = [big, np.asfortranarray(big[0]), big[:, ::7, ::5], np.zeros((0, 3)), np.float64(2.5), np.array(3, np.uint16)]
    for (_pid, got), original in zip(echo.call(sent), sent, strict=True):
        np.testing.assert_array_equal(got, original)
        assert got.dtype == original.dtype
        if isinstance(original, np.ndarray):
            got[...] = 1


def test_many_arrays_in_one_reply_arrive_as_they_were(echo: Sandbox) -> None:
    sent = {n: np.full(n, n) for n in range(500)}
    ((_pid, got),) = echo.call([sent])
    assert all(np.array_equal(got[n], sent[n]) for n in range(500))


def test_a_call_without_replies_is_an_empty_stream() -> None:
    with Sandbox(f"{HERE}:count") as sandbox:
        assert list(sandbox.call(0)) == []
        assert list(sandbox.call(2)) == [0, 1]


def test_a_call_abandoned_half_way_leaves_the_next_one_clean() -> None:
    with Sandbox(f"{HERE}:count") as sandbox:
        call = sandbox.call(10**9)
        assert [next(call), next(call)] == [0, 1]
        call.close()
        assert list(sandbox.call(3)) == [0, 1, 2]


def test_a_second_call_during_a_call_is_refused_and_the_first_goes_on() -> None:
    with Sandbox(f"{HERE}:count") as sandbox:
        call = sandbox.call(3)
        assert next(call) == 0
        with pytest.raises(RuntimeError, match="one call at a time"):
            next(sandbox.call(1))
        assert list(call) == [1, 2]


def test_a_request_that_cannot_be_pickled_is_the_callers_error_and_harms_nothing(echo: Sandbox) -> None:
    first = pids(echo)
    with pytest.raises(TypeError, match="pickle"):
        list(echo.call([threading.Lock()]))
    assert pids(echo) == first


def test_a_child_is_replaced_after_its_number_of_calls() -> None:
    with Sandbox(f"{HERE}:echo", Limits(max_calls=2)) as sandbox:
        served = [pids(sandbox) for _ in range(4)]
    assert served[0] == served[1] != served[2] == served[3]


def test_closing_ends_the_child_and_a_later_call_starts_another(echo: Sandbox) -> None:
    (first,) = pids(echo)
    echo.close()
    echo.close()
    assert echo.pid is None
    assert not psutil.pid_exists(first)
    assert pids(echo) != {first}


def test_a_child_that_died_between_calls_is_replaced_without_a_word(echo: Sandbox) -> None:
    (first,) = pids(echo)
    psutil.Process(first).kill()
    assert gone(first)
    assert pids(echo) != {first}


def test_the_child_outlives_the_thread_that_started_it(echo: Sandbox) -> None:
    found: list[set[int]] = []
    thread = threading.Thread(target=lambda: found.append(pids(echo)))
    thread.start()
    thread.join()
    assert [pids(echo)] == found


def test_heartbeats_keep_a_call_alive_and_are_not_seen() -> None:
    with Sandbox(f"{HERE}:heartbeats", Limits(stall_s=0.5)) as sandbox:
        assert list(sandbox.call(1.2)) == ["done"]


def test_time_runs_only_while_the_caller_waits() -> None:
    with Sandbox(f"{HERE}:count", Limits(total_s=0.6, stall_s=0.4)) as sandbox:
        call = sandbox.call(2)
        got = [next(call)]
        threading.Event().wait(1.0)
        assert got + list(call) == [0, 1]


def test_the_child_gets_no_secret_no_core_dump_and_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "HTTPS_PROXY", "MAKERSMARK_DB"):
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    with Sandbox(f"{HERE}:environment", Limits(file_mb=3)) as sandbox:
        environment, facts = sandbox.call(None)
    assert "hunter2" not in environment.values()
    assert {environment[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")} == {"1"}
    assert (environment["OPENBLAS_CORETYPE"], environment["LC_TIME"]) == ("Haswell", "C")
    assert facts["core"] == (0, 0)
    assert facts["file"] == (3 * 2**20, 3 * 2**20)
    assert facts["user"] == os.getuid()


def test_the_working_folder_cannot_slip_a_module_under_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit('the archive took over')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", ".")])
    with Sandbox(f"{HERE}:environment") as sandbox:
        _environment, facts = sandbox.call(None)
    assert not facts["cwd_importable"]


def test_the_sandbox_says_truly_whether_the_child_has_left_the_network() -> None:
    with Sandbox(f"{HERE}:environment") as sandbox:
        assert sandbox.network_isolated is None
        _environment, facts = sandbox.call(None)
        ours = [name for _index, name in socket.if_nameindex()]
        assert sorted(facts["interfaces"]) == (["lo"] if sandbox.network_isolated else sorted(ours))


def test_an_interrupt_from_another_thread_ends_the_call_and_spares_the_sandbox() -> None:
    with Sandbox(f"{HERE}:misbehave") as sandbox:
        call = sandbox.call("sleep")
        next(call)
        threading.Timer(0.1, sandbox.interrupt).start()
        with pytest.raises(FailureError, match="SIGKILL"):
            next(call)
        assert len(list(sandbox.call("nothing"))) == 1


def test_a_sandbox_closed_under_a_call_ends_that_call_with_a_failure() -> None:
    sandbox = Sandbox(f"{HERE}:count")
    call = sandbox.call(10**9)
    next(call)
    sandbox.close()
    with pytest.raises(FailureError, match="closed during the call"):
        list(call)
