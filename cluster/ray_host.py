"""A worker inside a Ray actor, and the bytes in which tasks and outcomes travel to it and back.

Everything is pickled here rather than by Ray, so that nothing a worker returns or raises can upset Ray's own
serialisation: what cannot travel becomes the failure of its own task.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from ray import cloudpickle

from cluster.executor import Worker
from cluster.outcome import ClusterFault, Done, Failure, attempt, one_line


class WorkerHost:
    """The actor: owns one Worker in its own process. Every method takes and returns bytes and never raises."""

    def __init__(self) -> None:
        self._worker: Worker[Any, Any, Any] | None = None
        self._task: Any = None
        self._ticket: Any = None

    def start(self, factory: bytes) -> bytes:
        def build() -> int:
            self._worker = cloudpickle.loads(factory)()
            return os.getpid()

        return packed(attempt(build), 0.0)

    def admit(self, task: bytes) -> bytes:
        def look() -> Any:
            self._task = cloudpickle.loads(task)
            self._ticket = self._host().admit(self._task)
            try:
                dumps(self._ticket)
            except Exception:
                # Neither perform nor release would follow a ticket that never reaches the gate.
                self._host().release(self._task)
                raise
            return self._ticket

        return _timed(look)

    def perform(self) -> bytes:
        return _timed(lambda: self._host().perform(self._task, self._ticket))

    def release(self) -> bytes:
        return _timed(lambda: self._host().release(self._task))

    def close(self) -> bytes:
        return _timed(lambda: self._host().close())

    def _host(self) -> Worker[Any, Any, Any]:
        if self._worker is None:
            raise RuntimeError("the worker has not been started")
        return self._worker


def dumps(value: Any) -> bytes:
    """Pickle by reference where the other side can import, by value where it cannot (a script's own classes)."""
    return bytes(cloudpickle.dumps(value))  # type: ignore[no-untyped-call]


def packed(outcome: Done[Any] | Failure, seconds: float) -> bytes:
    """An outcome and the seconds it took, as bytes; a result that cannot be pickled becomes an internal failure."""
    sendable = attempt(lambda: dumps((outcome, seconds)))
    if isinstance(sendable, Failure):
        failure = ClusterFault.INTERNAL.failure(f"the result cannot be sent: {sendable.message}")
        return dumps((failure, seconds))
    return sendable.result


def unpacked(blob: bytes) -> tuple[Done[Any] | Failure, float]:
    """The inverse of ``packed``; what cannot be read on this side becomes an internal failure."""
    try:
        outcome, seconds = cloudpickle.loads(blob)
    except Exception as error:
        return ClusterFault.INTERNAL.failure(f"the result cannot be read here: {one_line(error)}"), 0.0
    return outcome, seconds


def _timed(step: Callable[[], Any]) -> bytes:
    started = time.monotonic()
    outcome = attempt(step)
    return packed(outcome, time.monotonic() - started)
