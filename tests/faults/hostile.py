"""Serving functions that a hostile file might turn a decoder into: they try to get out, and to harm who listens."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import resource
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.framing import FrameKind
from cluster.outcome import Failure, FailureError, Policy

HERE = "tests.faults.hostile"


@dataclass(frozen=True, slots=True)
class Note:
    """A reply with fields that can be checked."""

    text: str
    count: int = 0
    nested: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Stranger:
    """A reply that nobody agreed on."""

    text: str = ""


def try_to_get_out(request: tuple[str, Any]) -> Iterator[Any]:
    """What came of the attempt: ``done``, or the name and number of the error."""
    name, argument = request
    try:
        yield "done", _ATTEMPTS[name](argument)
    except OSError as error:
        yield type(error).__name__, error.errno


def look_around(_request: Any) -> Iterator[Any]:
    """What the child has: descriptors, folder, limits, status lines of the kernel."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    yield {
        "descriptors": {
            int(entry): os.readlink(f"/proc/self/fd/{entry}")
            for entry in os.listdir("/proc/self/fd")
            if os.path.lexists(f"/proc/self/fd/{entry}")
        },
        "cwd": os.getcwd(),
        "cwd_holds": os.listdir("."),
        "environment": sorted(os.environ),
        "no_new_privs": status["NoNewPrivs"],
        "seccomp": status["Seccomp"],
        "capabilities": int(status["CapEff"], 16) | int(status["CapPrm"], 16),
        "bounding_kept": int(status["CapBnd"], 16),
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE),
    }


def write_on_the_wire(request: tuple[str, Any]) -> Iterator[Any]:
    """Bytes of the file's own choosing in the place of a reply; the process goes on as if nothing had happened."""
    name, argument = request
    frames = _FRAMES[name](argument)
    for entry in os.listdir("/proc/self/fd"):
        number = int(entry)
        with contextlib.suppress(OSError):
            if number > 2 and stat.S_ISSOCK(os.fstat(number).st_mode):
                for frame in frames:
                    os.write(number, frame)
    yield "and now something harmless"


class _RunsOnArrival:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (os.mkdir, (self.path,))


def _frame(kind: int, *parts: bytes) -> bytes:
    return struct.pack("<BI", kind, len(parts)) + struct.pack(f"<{len(parts)}Q", *map(len, parts)) + b"".join(parts)


_FRAMES: dict[str, Callable[[Any], list[bytes]]] = {
    "pickle": lambda path: [_frame(FrameKind.REPLY, pickle.dumps(_RunsOnArrival(path), protocol=5))],
    "pickled failure": lambda path: [_frame(FrameKind.FAILED, pickle.dumps(_RunsOnArrival(path), protocol=5))],
    "text": lambda text: [_frame(FrameKind.REPLY, text.encode())],
    "failure": lambda text: [_frame(FrameKind.FAILED, text.encode())],
    "no parts": lambda _: [_frame(FrameKind.REPLY)],
    "kind": lambda _: [_frame(99, b"null")],
    "call": lambda _: [_frame(FrameKind.CALL, b"null")],
    "many parts": lambda _: [struct.pack("<BI", FrameKind.REPLY, 2**32 - 1)],
    "large part": lambda _: [struct.pack("<BIQ", FrameKind.REPLY, 1, 2**62)],
    "array": lambda entry: [_frame(FrameKind.REPLY, entry.encode(), bytes(16))],
}


def say(request: Any) -> Iterator[Any]:
    """Any object that this module can make, by its name."""
    match request:
        case "note":
            yield Note("fine", 1, (1.0, 2.5))
        case "stranger":
            yield Stranger()
        case "wrong type":
            yield Note(text=7)  # type: ignore[arg-type]
        case "wrong item":
            yield Note("fine", 1, ("one",))  # type: ignore[arg-type]
        case "bool for int":
            yield Note("fine", True)
        case "lock":
            yield threading.Lock()
        case "objects":
            import numpy as np

            yield np.array([object()])
        case "loud failure":
            raise FailureError(Failure("damaged", Policy.SKIP, "\x1b[2Jall gone\x00\n" + "x" * 5000))
        case "long kind":
            raise FailureError(Failure("k" * 60, Policy.SKIP, "a class that no column holds"))


def _connect(address: Any) -> None:
    with socket.create_connection((address[0], address[1]), timeout=2):
        pass


def _connect_unix(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)


def _write(path: str) -> None:
    Path(path).write_bytes(b"taken over")


def _truncate(path: str) -> None:
    os.truncate(path, 0)


def _fork(_: Any) -> None:
    if os.fork() == 0:
        time.sleep(3600)


def _reach_into(pid: int) -> None:
    Path(f"/proc/{pid}/environ").read_bytes()


def _lower_limit(pid: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3))


def _trace(pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def _thread(_: Any) -> None:
    thread = threading.Thread(target=time.sleep, args=(0.0,))
    thread.start()
    thread.join()


_ATTEMPTS: dict[str, Callable[[Any], Any]] = {
    "connect": _connect,
    "connect_unix": _connect_unix,
    "write": _write,
    "write_below": lambda folder: _write(os.path.join(folder, "new")),
    "write_here": lambda _: _write("dropped"),
    "write_temporary": lambda _: tempfile.NamedTemporaryFile().close(),
    "write_null": lambda _: _write(os.devnull),
    "truncate": _truncate,
    "remove": os.unlink,
    "rename": lambda path: os.rename(path, path + ".bak"),
    "chmod": lambda path: os.chmod(path, 0),
    "touch": os.utime,
    "mkdir": os.mkdir,
    "program": lambda _: subprocess.run([sys.executable, "-c", ""], check=False),
    "fork": _fork,
    "session": lambda _: os.setsid(),
    "kill": lambda pid: os.kill(pid, 0),
    "reach_into": _reach_into,
    "trace": _trace,
    "lower_limit": _lower_limit,
    "thread": _thread,
    "read": lambda path: len(Path(path).read_bytes()),
}
