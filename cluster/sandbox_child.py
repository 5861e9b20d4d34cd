"""The child's side of a sandbox: give up what is not needed, tie the own life to the parent's, then serve calls.

Run by ``cluster.child_process`` as ``python -P -m cluster.sandbox_child SOCKET LIFELINE MEMORY_MB FILE_MB TARGET
WRITABLE...``. Requests come as pickles, since whoever sends them is trusted; answers go as plain data, since this
process is not: see ``cluster.replies``.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import resource
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from cluster.framing import ClosedError, FrameKind, Heartbeat, decode, receive, send
from cluster.isolation import isolate
from cluster.outcome import ClusterFault, FailureError, failure_of
from cluster.replies import pack

Serve = Callable[[Any], Iterable[Any]]

# RLIMIT_DATA counts what is mapped, not what is touched: thread stacks and heap reserves of imported libraries need
# room above the limit on resident memory. It stops the one huge allocation that no watcher would be quick enough for.
_MAPPED_HEADROOM_MB = 512


def main(arguments: list[str]) -> int:
    """Serve until the parent hangs up; the exit status is 0 then, whatever the calls brought."""
    socket_fd, lifeline, memory_mb, file_mb = (int(text) for text in arguments[:4])
    _die_with_parent(lifeline)
    _limit_resources(memory_mb, file_mb)
    isolation = isolate(arguments[5:])
    threading.Thread(target=_exit_on_hangup, args=(lifeline,), name="lifeline", daemon=True).start()
    sock = socket.socket(fileno=socket_fd)
    sock.set_inheritable(False)
    try:
        try:
            serve = _resolve(arguments[4])
        except BaseException as error:
            _send_failure(sock, FrameKind.BROKEN, error)
            return 0
        send(sock, FrameKind.READY, pack(asdict(isolation)))
        while True:
            _kind, parts = receive(sock)
            if not _answer(sock, serve, parts):
                return 0
    except ClosedError:
        return 0


def _answer(sock: socket.socket, serve: Serve, parts: list[bytearray]) -> bool:
    """Stream one call's replies. False when this process should not be used again."""
    try:
        request = decode(parts)
        parts.clear()
        for reply in serve(request):
            if isinstance(reply, Heartbeat):
                send(sock, FrameKind.ALIVE, [])
            else:
                send(sock, FrameKind.REPLY, pack(reply))
        send(sock, FrameKind.END, [])
        return True
    except ClosedError:
        raise
    except FailureError as error:
        _send_failure(sock, FrameKind.FAILED, error)
        return True
    except BaseException as error:  # SystemExit too: a library must not end the child without a word
        _send_failure(sock, FrameKind.BROKEN, error)
        return False


def _send_failure(sock: socket.socket, kind: FrameKind, error: BaseException) -> None:
    try:
        parts = pack(failure_of(error))
    except Exception as unsendable:
        parts = pack(ClusterFault.INTERNAL.failure(f"a failure that cannot be sent: {type(unsendable).__name__}"))
    send(sock, kind, parts)


def _resolve(target: str) -> Serve:
    module_name, _, function_name = target.partition(":")
    serve: Serve = getattr(importlib.import_module(module_name), function_name)
    return serve


def _die_with_parent(lifeline: int) -> None:
    """Have the kernel send SIGKILL to this process group once the lifeline's other end is closed."""
    os.set_inheritable(lifeline, False)
    # A parent may block signals in the thread that spawned us, and the mask is inherited.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    with contextlib.suppress(OSError, AttributeError):  # Linux only; elsewhere the thread has to do
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    # The parent may have gone before the kernel was asked; from here on it tells us.
    readable, _, _ = select.select([lifeline], [], [], 0)
    if readable:
        os._exit(0)


def _exit_on_hangup(lifeline: int) -> None:
    """The portable half of the lifeline; nothing is ever written to it, so a read returns only at its end."""
    os.read(lifeline, 1)
    os._exit(0)


def _limit_resources(memory_mb: int, file_mb: int) -> None:
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_DATA, (memory_mb + _MAPPED_HEADROOM_MB) * 2**20)
    if file_mb:
        _lower(resource.RLIMIT_FSIZE, file_mb * 2**20)


def _lower(limit: int, value: int) -> None:
    _soft, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with contextlib.suppress(OSError, ValueError):  # not every platform knows every limit
        resource.setrlimit(limit, (value, value))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
