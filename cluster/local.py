"""The executor without a cluster: worker threads in this process, for laptops, tests and single machines.

Threads suffice because the heavy work happens outside the interpreter lock, in decoding children and in torch.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cluster.executor import Completion, Interruptible, Later, Worker, WorkersUnavailableError, starved
from cluster.outcome import Declined, Done, Failure, attempt, one_line
from cluster.settings import ClusterSettings

T = TypeVar("T")
K = TypeVar("K")
R = TypeVar("R")

_PULSE_S = 1.0


class LocalExecutor:
    """Worker threads, one task each at a time; ``tasks`` and ``gate`` run only in the thread that iterates."""

    def __init__(self, settings: ClusterSettings) -> None:
        self._settings = settings

    def run(
        self,
        worker: Callable[[], Worker[T, K, R]],
        gate: Callable[[T, K], bool],
        tasks: Iterable[T | Later],
        *,
        pulse: Callable[[], None] | None = None,
    ) -> Generator[Completion[T, K, R], None, None]:
        """See cluster.executor.Executor. Closing interrupts the workers that can be, and waits for all of them."""
        events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        recycle_after = self._settings.recycle_after
        threads = [_WorkerThread(worker, events, recycle_after) for _ in range(self._settings.workers)]
        source = iter(tasks)
        error: Exception | None = None
        drained = False  # no more tasks are handed out
        busy = 0
        idle: deque[_WorkerThread[Any, Any, Any]] = deque()
        try:
            for thread in threads:
                thread.start()
            while busy or not drained:
                while idle and not drained:
                    try:
                        task = next(source)
                    except StopIteration:
                        drained = True
                    except Exception as broken_source:
                        error, drained = broken_source, True
                    else:
                        if isinstance(task, Later):
                            if not busy:
                                error, drained = starved(), True
                            break
                        busy += 1
                        idle.popleft().inbox.put(_Assign(task))
                if drained and not busy:
                    break
                try:
                    event = events.get(timeout=_PULSE_S)
                except queue.Empty:
                    if pulse is not None:
                        pulse()
                    continue
                if isinstance(event, _Idle):
                    idle.append(event.thread)
                elif isinstance(event, _Asks):
                    event.thread.inbox.put(_Answer(bool(gate(event.task, event.ticket))))
                elif isinstance(event, _Finished):
                    busy -= 1
                    yield event.completion
                    if pulse is not None:
                        pulse()
                else:
                    error = error or WorkersUnavailableError(f"a worker could not be started: {event.reason}")
                    drained = True
        finally:
            _stop(threads, interrupt=busy > 0)
        if error is not None:
            raise error


def _stop(threads: list[_WorkerThread[Any, Any, Any]], *, interrupt: bool) -> None:
    """Have every thread close its worker and end. An interrupt is repeated: it may come just before a task begins."""
    started = [thread for thread in threads if thread.ident is not None]
    for thread in started:
        thread.inbox.put(None)
    for thread in started:
        while thread.is_alive():
            if interrupt:
                for other in started:
                    other.interrupt()
            thread.join(0.1 if interrupt else None)


class _WorkerThread(threading.Thread, Generic[T, K, R]):
    """Owns one worker at a time, from its creation to its close; talks to the driver through queues alone."""

    def __init__(
        self, factory: Callable[[], Worker[T, K, R]], events: queue.SimpleQueue[_Event], recycle_after: int
    ) -> None:
        super().__init__(name="cluster-worker", daemon=True)
        self.inbox: queue.SimpleQueue[_Assign | _Answer | None] = queue.SimpleQueue()
        self._factory = factory
        self._events = events
        self._recycle_after = recycle_after
        self._worker: Worker[T, K, R] | None = None

    def interrupt(self) -> None:
        """From the driver's thread: end what is being performed, if the worker knows how."""
        worker: object = self._worker
        if isinstance(worker, Interruptible):
            worker.interrupt()

    def run(self) -> None:
        serving = True
        while serving:
            try:
                worker = self._worker = self._factory()
            except BaseException as error:
                self._events.put(_Unusable(one_line(error)))
                return
            serving = self._serve(worker)
            self._worker = None
            attempt(worker.close)  # a worker that fails to close is dropped all the same

    def _serve(self, worker: Worker[T, K, R]) -> bool:
        """One worker's life. False when the run is over, True when the worker is due to be replaced."""
        for _ in range(self._recycle_after):
            self._events.put(_Idle(self))
            order = self.inbox.get()
            if not isinstance(order, _Assign):
                return False
            completion = self._complete(worker, order.task)
            if completion is None:
                return False
            self._events.put(_Finished(completion))
        return True

    def _complete(self, worker: Worker[T, K, R], task: T) -> Completion[T, K, R] | None:
        """One task from first look to end; None when the run ended while the gate was asked."""
        started = time.monotonic()
        admitted = attempt(lambda: worker.admit(task))
        spent = time.monotonic() - started
        if isinstance(admitted, Failure):
            return Completion(task, None, admitted, spent)
        ticket = admitted.result
        self._events.put(_Asks(self, task, ticket))
        answer = self.inbox.get()
        started = time.monotonic()
        outcome: Done[R] | Declined | Failure
        if isinstance(answer, _Answer) and answer.granted:
            outcome = attempt(lambda: worker.perform(task, ticket))
        else:
            released = attempt(lambda: worker.release(task))
            outcome = released if isinstance(released, Failure) else Declined()
        if answer is None:
            return None
        return Completion(task, ticket, outcome, spent + time.monotonic() - started)


# What passes between the driver and a worker's thread. Types are open here; ``run`` and the thread share them.


@dataclass(frozen=True, slots=True)
class _Assign:
    task: Any


@dataclass(frozen=True, slots=True)
class _Answer:
    granted: bool


@dataclass(frozen=True, slots=True)
class _Idle:
    thread: _WorkerThread[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class _Asks:
    thread: _WorkerThread[Any, Any, Any]
    task: Any
    ticket: Any


@dataclass(frozen=True, slots=True)
class _Finished:
    completion: Completion[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class _Unusable:
    reason: str


_Event = _Idle | _Asks | _Finished | _Unusable
