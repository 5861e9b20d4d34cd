"""Serving functions and workers that behave, or misbehave, exactly as asked; imported by real children and actors."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import psutil

from cluster import FailureError, Heartbeat, Policy, Sandbox
from cluster.outcome import Failure

HERE = "tests.cluster.behaviours"


def gone(pid: int, patience_s: float = 30.0) -> bool:
    """Whether a process that nobody here can wait for ends. A zombie has ended: who adopted it just does not look."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def echo(request: Any) -> Iterator[Any]:
    """Every item of the request, and before each the process id."""
    for item in request:
        yield os.getpid(), item


def count(request: int) -> Iterator[int]:
    yield from range(request)


def environment(_request: Any) -> Iterator[Any]:
    yield dict(os.environ)
    yield {
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "file": resource.getrlimit(resource.RLIMIT_FSIZE),
        "cwd_importable": "" in sys.path,
        "interfaces": [line.split(":")[0].strip() for line in Path("/proc/self/net/dev").read_text().splitlines()[2:]],
        "user": os.getuid(),
    }


def heartbeats(request: float) -> Iterator[Any]:
    """Nothing to tell for ``request`` seconds, but alive."""
    end = time.monotonic() + request
    while time.monotonic() < end:
        yield Heartbeat()
        time.sleep(0.02)
    yield "done"


def talk_for_ever(_request: Any) -> Iterator[Any]:
    while True:
        yield Heartbeat()


class Unreadable:
    """Pickles in one process and refuses to come back in another."""

    def __init__(self) -> None:
        self.home = os.getpid()

    def __reduce__(self) -> tuple[Callable[[int], Unreadable], tuple[int]]:
        return _revive, (os.getpid(),)


def _revive(home: int) -> Unreadable:
    if os.getpid() != home:
        raise ValueError("written for another process")
    return Unreadable()


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even its message can be had")


def misbehave(request: str | tuple[str, Any]) -> Iterator[Any]:
    """One reply, then the fault that the request names."""
    name, argument = request if isinstance(request, tuple) else (request, None)
    yield os.getpid()
    _FAULTS[name](argument)
    yield from _LATE.get(name, lambda: iter(()))()


def _sleep(_: Any) -> None:
    time.sleep(3600)


def _loop_in_python(_: Any) -> None:
    while True:
        pass


def _loop_in_c(_: Any) -> None:
    re.match("(a+)+$", "a" * 64 + "b")  # 2**64 steps without giving the interpreter lock away


def _sleep_with_lock(_: Any) -> None:
    ctypes.PyDLL(None).pause()  # PyDLL keeps the interpreter lock: no thread of this process runs again


def _segfault(_: Any) -> None:
    print("about to read address zero", file=sys.stderr, flush=True)
    ctypes.string_at(0)


def _abort_on_allocation(_: Any) -> None:
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def _quit(status: Any) -> None:
    print("chatter on stdout", flush=True)
    os._exit(status)


def _eat(_: Any) -> None:
    hoard = []
    while True:
        hoard.append(np.ones(2**20, np.float64))  # 8 MiB, touched


def _ask_for_all(_: Any) -> None:
    np.ones(2**40, np.float64)


def _eat_in_background(_: Any) -> None:
    threading.Thread(target=_eat, args=(None,), daemon=True).start()


def _spill(_: Any) -> None:
    for _line in range(50_000):
        print("noise " * 20, file=sys.stderr)
    print("the last word", file=sys.stderr, flush=True)
    os._exit(7)


def _fail(policy: Any) -> None:
    raise FailureError(Failure("not_a_video", Policy(policy or "skip"), "the file is a text"))


def _raise(error: Any) -> None:
    raise error


def _leave(_: Any) -> None:
    sys.exit("a library wants to leave")


def _close_connection(_: Any) -> None:
    # To the limit: descriptors keep their parent's numbers, which are high in a parent that holds many files open.
    os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    time.sleep(3600)


def _write_file(path: Any) -> None:
    with open(path, "wb") as file:
        file.write(bytes(4 * 2**20))


def _spawn(_: Any) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    print(child.pid, file=sys.stderr, flush=True)
    time.sleep(3600)


_FAULTS: dict[str, Callable[[Any], Any]] = {
    "sleep": _sleep,
    "loop_in_python": _loop_in_python,
    "loop_in_c": _loop_in_c,
    "sleep_with_lock": _sleep_with_lock,
    "segfault": _segfault,
    "bad_alloc": _abort_on_allocation,
    "exit": _quit,
    "eat": _eat,
    "ask_for_all": _ask_for_all,
    "eat_in_background": _eat_in_background,
    "spill": _spill,
    "fail": _fail,
    "raise": _raise,
    "leave": _leave,
    "close_connection": _close_connection,
    "write_file": _write_file,
    "spawn": _spawn,
    "nothing": lambda _: None,
    "huge_reply": lambda _: None,
    "unsendable_reply": lambda _: None,
}
_LATE: dict[str, Callable[[], Iterator[Any]]] = {
    "huge_reply": lambda: iter([np.zeros(64 * 2**20, np.uint8)]),
    "unsendable_reply": lambda: iter([threading.Lock()]),
}


@dataclass(frozen=True)
class Script:
    """A task that says how each step is to go. log: a file that records who did what."""

    name: int
    log: str = ""
    admit: str = "ok"
    wanted: bool = True
    perform: str = "ok"
    release: str = "ok"


class ScriptedWorker:
    """Follows the scripts; writes one line a step into the log of its own or of the task."""

    def __init__(self, log: str = "") -> None:
        self._log = log
        self._interrupted = threading.Event()
        self._sandbox: Sandbox | None = None
        self._write("open")

    def admit(self, task: Script) -> str:
        self._step("admit", task, task.admit)
        return f"ticket {task.name}"

    def perform(self, task: Script, ticket: str) -> Any:
        assert ticket == f"ticket {task.name}"
        return self._step("perform", task, task.perform)

    def release(self, task: Script) -> None:
        self._step("release", task, task.release)

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        self._write("close")
        if self._sandbox is not None:
            self._sandbox.close()

    def _step(self, step: str, task: Script, manner: str) -> Any:
        self._write(f"{step} {task.name}")
        if manner == "ok":
            return 2 * task.name
        if manner == "unpicklable":
            return threading.Lock()
        if manner == "unreadable":
            return Unreadable()
        if manner == "wait":
            self._interrupted.wait()
            return None
        if manner == "wait_for_file":
            while not os.path.exists(task.log):
                time.sleep(0.02)
            return 2 * task.name
        if manner == "interrupt_driver":
            os.kill(os.getpid(), signal.SIGINT)
            self._interrupted.wait()
            return None
        if manner == "sandboxed_hang":
            self._sandbox = Sandbox(f"{HERE}:misbehave")
            for pid in self._sandbox.call("sleep_with_lock"):
                self._write(f"sandbox {pid}")
        if manner == "die_once":
            first = Path(f"{self._log}.died.{task.name}")
            if first.exists():
                return 2 * task.name
            first.touch()
            os._exit(1)
        return _MANNERS[manner]()

    def _write(self, line: str) -> None:
        if self._log:
            with open(self._log, "a", encoding="utf-8") as file:
                file.write(line + "\n")


class Panic(BaseException):
    """What a native extension's panic looks like: no Exception, so a plain handler misses it."""


def _refuse() -> NoReturn:
    raise FailureError(Failure("not_a_video", Policy.SKIP, "the file is a text"))


def _blunder() -> NoReturn:
    raise ValueError("first line\nsecond line")


def _exhaust() -> NoReturn:
    raise MemoryError


def _panic() -> NoReturn:
    raise Panic("core gone")


def _mumble() -> NoReturn:
    raise Unprintable


def _depart() -> NoReturn:
    sys.exit(4)


_MANNERS: dict[str, Callable[[], Any]] = {
    "fail": _refuse,
    "blunder": _blunder,
    "exhaust": _exhaust,
    "panic": _panic,
    "mumble": _mumble,
    "depart": _depart,
    "die": lambda: os._exit(1),
}
# What each manner of raising amounts to, as a failure's kind.
KIND_OF = {
    "fail": "not_a_video",
    "blunder": "internal",
    "exhaust": "out_of_memory",
    "panic": "internal",
    "mumble": "internal",
    "depart": "internal",
}


def failing_factory() -> ScriptedWorker:
    raise OSError("the model file is missing")


def dying_factory() -> ScriptedWorker:
    os._exit(1)
