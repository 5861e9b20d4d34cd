"""What became of a piece of work, as values: a result, a refusal, or a failure whose policy says what to do next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

R = TypeVar("R")


class Policy(StrEnum):
    """What the ledger does after a failure; the classes of failure are the retry policy."""

    RETRY = "retry"  # transient: try again with back-off, quarantine after the allowed number of attempts
    SKIP = "skip"  # a fact about the input that no retry changes (not a video); recorded, never tried again
    QUARANTINE = "quarantine"  # dangerous or damaging input: set aside at once until a person retries it


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a piece of work brought no result.

    kind: the failure's class, a stable word for tables and filters (``not_a_video``, ``deadline``).
    policy: what the ledger does next.
    message: one sentence for a person, with the remedy where there is one; no traceback, no credentials.
    """

    kind: str
    policy: Policy
    message: str


class FailureError(Exception):
    """Carries a Failure up to the worker's boundary, where it becomes a value again."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure

    def __reduce__(self) -> tuple[type[FailureError], tuple[Failure]]:
        # Exception's default pickling would rebuild from args (the message) and lose the class of the failure.
        return (FailureError, (self.failure,))


class ClusterFault(StrEnum):
    """The failure classes that spreading work over processes and machines adds by itself."""

    DEADLINE = "deadline"  # total time of one piece of work exceeded
    STALLED = "stalled"  # no sign of progress for the allowed time
    OUT_OF_MEMORY = "out_of_memory"  # the child passed its memory limit
    CRASHED = "crashed"  # the child died by a signal or an unexpected exit
    WORKER_LOST = "worker_lost"  # the actor or its machine vanished, more often than is put down to chance
    INTERNAL = "internal"  # an exception nobody classified: a bug of ours, kept with its first line

    @property
    def policy(self) -> Policy:
        """Retry what may be the machine's fault; set aside what the input most likely caused."""
        retry = {ClusterFault.DEADLINE, ClusterFault.STALLED, ClusterFault.WORKER_LOST}
        return Policy.RETRY if self in retry else Policy.QUARANTINE

    def failure(self, message: str) -> Failure:
        """This fault as a value."""
        return Failure(self.value, self.policy, message)


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """The work was performed; ``result`` is small (kilobytes): big data stays on the worker's machine."""

    result: R


@dataclass(frozen=True, slots=True)
class Declined:
    """The gate saw the ticket and said no: the work is done already, or somebody else holds it."""


Outcome = Done[R] | Declined | Failure


def attempt(step: Callable[[], R]) -> Done[R] | Failure:
    """Run one step of a worker; whatever it raises becomes a value, SystemExit too: no library may end a worker."""
    try:
        return Done(step())
    except BaseException as error:
        return failure_of(error)


def failure_of(error: BaseException) -> Failure:
    """Any exception as a value: a FailureError's own failure, out_of_memory, or internal with its first line."""
    if isinstance(error, FailureError):
        return error.failure
    if isinstance(error, MemoryError):
        return ClusterFault.OUT_OF_MEMORY.failure(
            "the memory limit was reached; the input asks for more than is allowed"
        )
    return ClusterFault.INTERNAL.failure(one_line(error))


def one_line(error: BaseException) -> str:
    """``TypeName: first line`` of an exception; an exception that cannot even be printed gives its type."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:
        lines = []
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
