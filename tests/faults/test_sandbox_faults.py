"""A sandbox when the child misbehaves: every fault has its class, its sentence, and no effect on the next call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from cluster import Failure, FailureError, Limits, Policy, Sandbox
from tests.cluster.behaviours import HERE, gone

LIMITS = Limits(total_s=60.0, stall_s=30.0, memory_mb=300, reply_mb=16)
IMPATIENT = Limits(total_s=60.0, stall_s=0.4)


@pytest.fixture
def sandbox(capfd: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    with Sandbox(f"{HERE}:misbehave", LIMITS) as sandbox:
        yield sandbox
        assert len(list(sandbox.call("nothing"))) == 1, "the next call is served"
    out, err = capfd.readouterr()
    assert (out, err) == ("", ""), "nothing of the child spills onto the terminal"


def fault(sandbox: Sandbox, request: Any) -> Failure:
    """The failure that ends the call; the reply before it must have come, and the child must be gone or reusable."""
    call = sandbox.call(request)
    child = next(call)
    with pytest.raises(FailureError) as caught:
        list(call)
    if sandbox.pid is None:
        assert not psutil.pid_exists(child)
    return caught.value.failure


@pytest.mark.parametrize("hang", ["sleep", "loop_in_python", "loop_in_c", "sleep_with_lock"])
def test_a_child_without_sign_of_progress_is_stalled(hang: str) -> None:
    with Sandbox(f"{HERE}:misbehave", IMPATIENT) as sandbox:
        failure = fault(sandbox, hang)
        assert len(list(sandbox.call("nothing"))) == 1
    assert (failure.kind, failure.policy) == ("stalled", Policy.RETRY)
    assert failure.message == "no sign of progress for 0.4 s"


def test_a_child_that_takes_too_long_in_all_misses_the_deadline() -> None:
    with Sandbox(f"{HERE}:misbehave", Limits(total_s=0.4, stall_s=30.0)) as sandbox:
        failure = fault(sandbox, "sleep")
    assert (failure.kind, failure.policy) == ("deadline", Policy.RETRY)


def test_heartbeats_do_not_postpone_the_deadline() -> None:
    with Sandbox(f"{HERE}:talk_for_ever", Limits(total_s=0.4)) as sandbox, pytest.raises(FailureError) as caught:
        list(sandbox.call(None))
    assert caught.value.failure.kind == "deadline"
    assert caught.value.failure.message == "not done within the 0.4 s that are allowed"


def test_a_segmentation_fault_is_a_crash_that_names_the_signal_and_the_last_words(sandbox: Sandbox) -> None:
    failure = fault(sandbox, "segfault")
    assert (failure.kind, failure.policy) == ("crashed", Policy.QUARANTINE)
    assert failure.message == "the child process was ended by SIGSEGV: about to read address zero"


def test_an_unexpected_exit_is_a_crash_with_its_status(sandbox: Sandbox) -> None:
    assert fault(sandbox, ("exit", 3)).message == "the child process exited with status 3: chatter on stdout"
    assert fault(sandbox, ("exit", 0)).kind == "crashed"


def test_of_endless_noise_only_the_last_line_is_kept(sandbox: Sandbox) -> None:
    assert fault(sandbox, "spill").message == "the child process exited with status 7: the last word"


def test_a_death_quotes_only_its_own_call(sandbox: Sandbox) -> None:
    with pytest.raises(FailureError):
        list(sandbox.call(("fail", None)))
    assert "last word" not in fault(sandbox, ("exit", 3)).message


@pytest.mark.parametrize("appetite", ["eat", "ask_for_all", "bad_alloc"])
def test_a_child_that_wants_too_much_memory_is_out_of_memory(sandbox: Sandbox, appetite: str) -> None:
    failure = fault(sandbox, appetite)
    assert (failure.kind, failure.policy) == ("out_of_memory", Policy.QUARANTINE)
    assert "memory" in failure.message or "MiB" in failure.message


def test_a_child_that_eats_while_the_caller_is_busy_is_ended_and_told_at_the_next_look() -> None:
    with Sandbox(f"{HERE}:misbehave", LIMITS) as sandbox:
        call = sandbox.call("eat")
        assert gone(next(call))
        with pytest.raises(FailureError) as caught:
            next(call)
    assert caught.value.failure.kind == "out_of_memory"


def test_a_child_that_eats_between_calls_is_replaced_at_the_next_one() -> None:
    with Sandbox(f"{HERE}:misbehave", LIMITS) as sandbox:
        (first,) = sandbox.call("eat_in_background")
        assert gone(first)
        assert list(sandbox.call("nothing")) != [first]


def test_a_failure_of_the_function_is_a_value_and_leaves_the_child_in_place(sandbox: Sandbox) -> None:
    with pytest.raises(FailureError) as caught:
        list(sandbox.call(("fail", "skip")))
    assert caught.value.failure == Failure("not_a_video", Policy.SKIP, "the file is a text")
    before = sandbox.pid
    assert list(sandbox.call("nothing")) == [before]


def test_any_other_exception_is_internal_and_replaces_the_child(sandbox: Sandbox) -> None:
    (first,) = sandbox.call("nothing")
    failure = fault(sandbox, ("raise", ValueError("first line\nsecond line")))
    assert (failure.kind, failure.policy) == ("internal", Policy.QUARANTINE)
    assert failure.message == "ValueError: first line"
    assert list(sandbox.call("nothing")) != [first]


def test_a_library_that_wants_to_leave_is_internal(sandbox: Sandbox) -> None:
    assert fault(sandbox, "leave").message == "SystemExit: a library wants to leave"


def test_a_reply_larger_than_allowed_is_not_taken_in(sandbox: Sandbox) -> None:
    failure = fault(sandbox, "huge_reply")
    assert failure.kind == "internal"
    assert failure.message == "a reply of 64 MiB is larger than the 16 MiB that are allowed"


def test_a_reply_that_cannot_travel_is_internal(sandbox: Sandbox) -> None:
    failure = fault(sandbox, "unsendable_reply")
    assert failure.kind == "internal"
    assert failure.message == "TypeError: a reply of the type lock cannot be sent"


def test_a_child_that_drops_its_connection_and_lives_on_is_ended(sandbox: Sandbox) -> None:
    failure = fault(sandbox, "close_connection")
    assert failure.kind == "crashed"


@pytest.mark.parametrize(
    ("target", "told"),
    [("no_such_package.module:serve", "ModuleNotFoundError"), (f"{HERE}:no_such_function", "AttributeError")],
)
def test_a_target_that_cannot_be_imported_is_internal_with_the_reason(target: str, told: str) -> None:
    with Sandbox(target) as sandbox, pytest.raises(FailureError, match=told) as caught:
        list(sandbox.call(None))
    assert caught.value.failure.kind == "internal"
