"""The executor protocol: one way to say "do this work", two ways to get it done (in this process, on Ray)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar, runtime_checkable

from cluster.outcome import Outcome

T = TypeVar("T")  # task: what the driver hands out; small and picklable
K = TypeVar("K")  # ticket: what the worker learned by a first look (for example a content hash)
R = TypeVar("R")  # result: small and picklable
T_contra = TypeVar("T_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Later:
    """What a source of tasks yields in place of a task: nothing now; ask again when something under way moves on."""


LATER: Final = Later()


class Worker(Protocol[T_contra, K, R_co]):
    """Does the work, one task at a time, and owns whatever that takes (a child process, scratch files, a model).

    ``admit`` takes a cheap first look and keeps what it fetched; then the driver's gate decides, and exactly one of
    ``perform`` and ``release`` follows for that task. All may raise FailureError; any other exception becomes
    an ``internal`` Failure of that one task and costs nothing else.
    """

    def admit(self, task: T_contra) -> K: ...
    def perform(self, task: T_contra, ticket: K) -> R_co: ...
    def release(self, task: T_contra) -> None: ...
    def close(self) -> None: ...


@runtime_checkable
class Interruptible(Protocol):
    """A worker that can be told from another thread to end ``perform`` soon, in whatever way; the result is dropped.

    Optional. Without it, closing a run in this process waits until each worker's current task is over.
    """

    def interrupt(self) -> None: ...


class WorkersUnavailableError(RuntimeError):
    """No worker can be had (the factory fails, the cluster has no room): the system's fault, not a task's.

    Raised by ``Executor.run`` after the completions of everything under way have been yielded.
    """


@dataclass(frozen=True, slots=True)
class Completion(Generic[T, K, R]):
    """One task's end. ``ticket`` is None when the first look itself failed.

    wall_s: seconds that a worker spent on the task, without the wait for the gate; 0 when the worker vanished.
    """

    task: T
    ticket: K | None
    outcome: Outcome[R]
    wall_s: float


class Executor(Protocol):
    """Spreads tasks over workers with a bounded number in flight; yields completions in the order they finish.

    worker: picklable factory, called once in each worker's own process or thread.
    gate: called in the driver's own thread with every ticket; False ends the task as Declined. A task that is tried
    again on a fresh worker with an equal ticket is not put before the gate twice.
    tasks: consumed lazily, no faster than workers free up. Every task consumed yields exactly one Completion,
    whatever dies. Closing the iterator stops handing out work and closes the workers. A source that may have more
    to give once something under way has passed the gate or finished yields LATER meanwhile; one that does so while
    nothing is under way would wait for ever, which is raised as RuntimeError.
    pulse: called in the driver's own thread, about once a second while nothing finishes and after every completion
    that was taken; for what must not wait for the slowest task. Its exceptions are raised at once.
    An exception of ``tasks`` itself is raised after the completions of what is under way; an exception of ``gate``
    is raised at once.
    """

    def run(
        self,
        worker: Callable[[], Worker[T, K, R]],
        gate: Callable[[T, K], bool],
        tasks: Iterable[T | Later],
        *,
        pulse: Callable[[], None] | None = None,
    ) -> Generator[Completion[T, K, R], None, None]: ...


def starved() -> RuntimeError:
    """A source said LATER although nothing is under way that could bring it more."""
    return RuntimeError("the source of tasks waits for work that is under way, but none is")
