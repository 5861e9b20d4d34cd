"""A sandbox: a function that runs in a child process which may hang, crash or eat memory at no cost to the caller.

The child loses the secrets of the environment, core dumps, and its life on any fault; where the kernel grants it, also
the network, writing, other processes and its privileges (``cluster.isolation``). What it says is read as plain data
and checked (``cluster.replies``), so that a decoder which a file has taken over gains nothing here. SECURITY.md has the
rest.
"""

from __future__ import annotations

import functools
import math
import re
import select
import signal
import socket
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from cluster.child_process import ChildProcess
from cluster.framing import ClosedError, FrameKind, GarbledError, OversizedError, encode, receive, send
from cluster.isolation import Isolation
from cluster.outcome import ClusterFault, Failure, FailureError, Policy
from cluster.replies import MalformedError, allowed_types, unpack

_CLOSE_GRACE_S = 0.5
_KIND = re.compile(r"[a-z][a-z0-9_]{0,31}")  # the ledger's column holds 32 characters
_MESSAGE_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may take. Time runs only while the caller waits for the child, so a slow caller harms no file.

    total_s: one call. stall_s: between two signs of life (a reply, a part of one, a Heartbeat).
    start_s: a fresh child's imports. memory_mb: resident memory of the child, at any time, between calls too.
    reply_mb: one reply. max_calls: a child is replaced after so many. file_mb: largest file it may write, None: any.
    """

    total_s: float = 600.0
    stall_s: float = 60.0
    memory_mb: int = 2048
    max_calls: int = 200
    start_s: float = 120.0
    reply_mb: int = 1024
    file_mb: int | None = None


class Sandbox:
    """Calls ``target`` ("package.module:function", request -> iterator of replies) in a child process.

    The child is started by the first call and kept for the next ones; any fault kills it and the next call gets a fresh
    one. The function may yield ``Heartbeat()`` to show progress without a reply. One call at a time.
    """

    def __init__(
        self,
        target: str,
        limits: Limits | None = None,
        *,
        replies: Sequence[type] = (),
        writable: Sequence[str] = (),
    ) -> None:
        """replies: the dataclasses and enums that may come back, besides plain data and arrays of numbers.

        writable: the only folders in which the child may write, where the kernel grants that.
        Raises TypeError for a class of reply that cannot be checked.
        """
        self._target = target
        self._allowed = allowed_types([Failure, Policy, *replies])
        self._writable = tuple(writable)
        self._limits = limits if limits is not None else Limits()
        self._child: ChildProcess | None = None
        self._calls = 0
        self._busy = False
        self._isolation: Isolation | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        return self._child.pid if self._child is not None else None

    @property
    def isolation(self) -> Isolation | None:
        """What the kernel let the child give up; None before a first child has started."""
        return self._isolation

    @property
    def network_isolated(self) -> bool | None:
        """Whether the child has left the network; None before a first child has started."""
        return self._isolation.network if self._isolation is not None else None

    def call(self, request: Any) -> Generator[Any, None, None]:
        """Stream the replies to one picklable request.

        Raises FailureError: the function's own, or deadline, stalled, out_of_memory, crashed, internal (ClusterFault).
        Closing the iterator before its end kills the child, so the next call starts clean.
        """
        if self._busy:
            raise RuntimeError("a sandbox serves one call at a time; end or close the one under way first")
        parts = encode(request)
        self._busy = True
        clean = False
        try:
            clock = _Clock(self._limits)
            child = self._ready_child(clock)
            send(child.sock, FrameKind.CALL, parts, functools.partial(clock.wait_to_write, child.sock))
            del parts
            while True:
                kind, received = self._receive(child, clock)
                if kind is FrameKind.REPLY:
                    reply = self._unpacked(received)
                    clock.pause()
                    yield reply
                    del reply, received
                    clock.resume()
                elif kind is FrameKind.END:
                    clean = True
                    return
                elif kind is FrameKind.FAILED:
                    failure = self._failure(received)
                    clean = True
                    raise FailureError(failure)
                elif kind is FrameKind.BROKEN:
                    raise FailureError(self._failure(received))
                elif kind is not FrameKind.ALIVE:
                    raise FailureError(_hijacked(f"{kind.name} during a call"))
        except ClosedError:
            raise FailureError(self._post_mortem()) from None
        except FailureError as error:
            raise FailureError(self._with_last_words(error.failure)) from None
        finally:
            self._busy = False
            self._calls += 1
            if not clean:
                self._end_child(grace_s=0.0)
            elif self._calls >= self._limits.max_calls:
                self._end_child(grace_s=_CLOSE_GRACE_S)

    def interrupt(self) -> None:
        """From any thread: kill the child, so that a call under way ends with ``crashed`` at once."""
        child = self._child
        if child is not None:
            child.signal_kill()

    def close(self) -> None:
        """End the child; a later call would start another. Safe to call twice."""
        self._end_child(grace_s=0.0 if self._busy else _CLOSE_GRACE_S)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _ready_child(self, clock: _Clock) -> ChildProcess:
        if self._child is not None:
            if self._child.alive() and self._child.over_memory_mb is None:
                self._child.clear_tail()
                return self._child
            # It died between calls (killed for its memory, or by an operator): no fault of this request.
            self._end_child(grace_s=0.0)
        limits = self._limits
        child = self._child = ChildProcess(
            self._target, memory_mb=limits.memory_mb, file_mb=limits.file_mb, writable=self._writable
        )
        self._calls = 0
        starting = _Clock(Limits(total_s=limits.start_s, stall_s=limits.start_s))
        kind, received = self._receive(child, starting)
        if kind is not FrameKind.READY:
            raise FailureError(self._failure(received))
        self._isolation = Isolation(**self._unpacked(received))
        clock.resume()
        return child

    def _receive(self, child: ChildProcess, clock: _Clock) -> tuple[FrameKind, list[bytearray]]:
        clock.check()
        wait = functools.partial(clock.wait_to_read, child.sock)
        try:
            return receive(child.sock, wait, self._limits.reply_mb * 2**20)
        except OversizedError as error:
            raise FailureError(ClusterFault.INTERNAL.failure(str(error))) from None
        except GarbledError as error:
            raise FailureError(_hijacked(str(error))) from None

    def _unpacked(self, received: list[bytearray]) -> Any:
        try:
            return unpack(received, self._allowed)
        except MalformedError as error:
            raise FailureError(_hijacked(str(error))) from None

    def _failure(self, received: list[bytearray]) -> Failure:
        """What the child says went wrong, fit for tables and terminals whatever it says."""
        failure = self._unpacked(received)
        if not isinstance(failure, Failure) or not _KIND.fullmatch(failure.kind):
            raise FailureError(_hijacked("a failure that is none"))
        return replace(failure, message=_printable(failure.message))

    def _post_mortem(self) -> Failure:
        """Why the connection broke, from what the watcher saw and how the child ended."""
        child = self._child
        if child is None:
            return ClusterFault.CRASHED.failure("the sandbox was closed during the call")
        status = child.post_mortem()
        last = child.last_line()
        if child.over_memory_mb is not None:
            allowed = self._limits.memory_mb
            message = f"the child process held {child.over_memory_mb} MiB, more than the {allowed} MiB it may"
            return ClusterFault.OUT_OF_MEMORY.failure(message)
        if "bad_alloc" in last or last.startswith("MemoryError"):
            # A library that ends the process when an allocation fails: the limit at work, not a bug.
            return ClusterFault.OUT_OF_MEMORY.failure("the child process asked for more memory than it may have")
        how = f"was ended by {_signal_name(-status)}" if status < 0 else f"exited with status {status}"
        return ClusterFault.CRASHED.failure(f"the child process {how}" + (f": {last}" if last else ""))

    def _with_last_words(self, failure: Failure) -> Failure:
        """A child that hung may have said why."""
        last = self._child.last_line() if self._child is not None else ""
        if failure.kind not in (ClusterFault.DEADLINE, ClusterFault.STALLED) or not last:
            return failure
        return replace(failure, message=f"{failure.message}; its last words: {last}")

    def _end_child(self, *, grace_s: float) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end(grace_s=grace_s)


class _Clock:
    """Counts the time spent waiting for the child against the limits of one call."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._spent = 0.0
        self._since = time.monotonic()

    def pause(self) -> None:
        self._spent += time.monotonic() - self._since

    def resume(self) -> None:
        self._since = time.monotonic()

    def wait_to_read(self, sock: socket.socket) -> None:
        self._wait(sock, select.POLLIN)

    def wait_to_write(self, sock: socket.socket) -> None:
        self._wait(sock, select.POLLOUT)

    def check(self) -> None:
        """Raise the deadline, also for a child that keeps talking without end."""
        if self._left_s() <= 0:
            message = f"not done within the {self._limits.total_s:g} s that are allowed"
            raise FailureError(ClusterFault.DEADLINE.failure(message))

    def _wait(self, sock: socket.socket, event: int) -> None:
        self.check()
        poller = select.poll()
        poller.register(sock, event)
        if poller.poll(math.ceil(1000 * min(self._left_s(), self._limits.stall_s))):
            return
        self.check()
        raise FailureError(ClusterFault.STALLED.failure(f"no sign of progress for {self._limits.stall_s:g} s"))

    def _left_s(self) -> float:
        return self._limits.total_s - self._spent - (time.monotonic() - self._since)


def _hijacked(what: str) -> Failure:
    return ClusterFault.CRASHED.failure(f"the child process is not to be trusted any more; it sent {what}")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:_MESSAGE_CHARACTERS])


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
