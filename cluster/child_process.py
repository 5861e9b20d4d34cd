"""One killable interpreter: how it is started, watched while it lives, and made sure to die.

Three things end it, none of which needs its cooperation. ``kill`` sends SIGKILL to its process group. The watcher
thread does the same when its resident memory passes the limit. And when this process vanishes in whatever way, the
*lifeline* breaks: a pipe whose writing end only this process holds; the child asked the kernel (``O_ASYNC`` with
``F_SETSIG``) to deliver SIGKILL on its hang-up, which works even while the child is stuck in a C loop that holds the
interpreter lock. ``PR_SET_PDEATHSIG`` would do the same except that it fires when the *thread* that spawned the
child ends, and sandboxes are started by whichever thread needs one.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence

import psutil

CHILD_MODULE = "cluster.sandbox_child"
_WATCH_INTERVAL_S = 0.05
_TAIL_BYTES = 8192
_SOCKET_BUFFER = 1 << 20
# What a decoder needs to run the same way everywhere; tokens, keys and proxies of this process stay with it.
_KEPT = frozenset(
    "PATH HOME USER LANG LANGUAGE TZ TMPDIR LD_LIBRARY_PATH DYLD_LIBRARY_PATH VIRTUAL_ENV"
    " PYTHONHASHSEED PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX".split()
)
_KEPT_PREFIXES = ("LC_", "OPENBLAS_", "NVPL_", "MKL_")


def child_environment(parent: Mapping[str, str]) -> dict[str, str]:
    """The short list of variables a child gets; its import path is ours."""
    kept = {name: value for name, value in parent.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    # One thread a child: parallelism comes from the number of workers, and thread pools would multiply with it.
    kept["OMP_NUM_THREADS"] = "1"
    kept.setdefault("OPENBLAS_NUM_THREADS", "1")
    kept.setdefault("MKL_NUM_THREADS", "1")
    kept["PYTHONPATH"] = import_path()
    return kept


def import_path() -> str:
    """This process's ``sys.path`` for another interpreter: a checkout is importable there as it is here."""
    return os.pathsep.join(dict.fromkeys(os.path.abspath(entry) for entry in sys.path))


class ChildProcess:
    """A running child. All methods are safe from any thread."""

    def __init__(
        self, target: str, *, memory_mb: int, file_mb: int | None = None, writable: Sequence[str] = ()
    ) -> None:
        """Start it. target: ``package.module:function``. file_mb: largest file it may write, None for no limit.

        writable: folders in which it may write at all, where the kernel can tell (``cluster.isolation``).
        """
        self.sock, theirs = socket.socketpair()
        lifeline_read, self._lifeline = os.pipe()
        stderr_read, stderr_write = os.pipe()
        self._memory_bytes = memory_mb * 2**20
        self._tail = bytearray()
        self._lock = threading.Lock()
        self._reaped = False
        self.over_memory_mb: int | None = None
        command = [sys.executable, "-P", "-m", CHILD_MODULE]
        command += [str(theirs.fileno()), str(lifeline_read), str(memory_mb), str(file_mb or 0), target]
        command += [os.path.abspath(folder) for folder in writable]
        # Empty, its own, and gone with it: what a library drops where it stands lands in nobody's folder.
        self._folder = tempfile.mkdtemp(prefix="makersmark-child-")
        try:
            for end in (self.sock, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stderr_write,
                stderr=stderr_write,
                env=child_environment(os.environ),
                cwd=self._folder,
                pass_fds=(theirs.fileno(), lifeline_read),
                # Its own session: Ctrl-C in the terminal is ours to handle, and kill can take the whole group.
                start_new_session=True,
            )
        except BaseException:
            self.sock.close()
            os.close(self._lifeline)
            os.close(stderr_read)
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        finally:
            theirs.close()
            os.close(lifeline_read)
            os.close(stderr_write)
        self.sock.setblocking(False)
        self.pid = self._popen.pid
        self._watcher = threading.Thread(
            target=self._watch, args=(stderr_read,), name=f"sandbox-watch-{self.pid}", daemon=True
        )
        self._watcher.start()

    def alive(self) -> bool:
        """Whether it runs still. Does not reap it, so that ``kill`` can reach what it may have left behind."""
        with self._lock:
            if self._reaped:
                return False
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return False
            # Killed, but threads of it are still being torn down: it cannot be waited for yet, and answers nobody.
            return bool(psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE)

    def clear_tail(self) -> None:
        """Forget what it has written so far, so that a later death quotes only its own call."""
        with self._lock:
            self._tail.clear()

    def last_line(self) -> str:
        """The last non-empty line it wrote to stderr or stdout, printable, at most 200 characters."""
        with self._lock:
            text = self._tail.decode("utf-8", "replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return "".join(c for c in lines[-1] if c.isprintable())[:200] if lines else ""

    def signal_kill(self) -> None:
        """SIGKILL to its process group, without waiting."""
        with self._lock:
            if not self._reaped:
                self._kill_group()

    def end(self, *, grace_s: float) -> int:
        """Hang up, give it ``grace_s`` to leave by itself, then kill; the exit status (negative: the signal)."""
        self._hang_up()
        if grace_s > 0:
            self._await_exit(grace_s)
        return self._reap()

    def post_mortem(self, patience_s: float = 2.0) -> int:
        """The exit status of a child whose connection broke; a child that lives on without one is killed."""
        self._await_exit(patience_s)
        status = self._reap()
        self._hang_up()
        return status

    def _await_exit(self, seconds: float) -> None:
        exited = threading.Event()
        for _ in range(max(1, int(seconds / 0.01))):
            if not self.alive():
                return
            exited.wait(0.01)

    def _reap(self) -> int:
        with self._lock:
            if not self._reaped:
                # Before it is reaped its number cannot be reused, so the group is certainly its own.
                self._kill_group()
                self._popen.wait()
                self._reaped = True
                os.close(self._lifeline)
                shutil.rmtree(self._folder, ignore_errors=True)
        if threading.current_thread() is not self._watcher:
            # Its pipe is at its end now; wait so that the last words are complete.
            self._watcher.join(timeout=2.0)
        return self._popen.returncode

    def _hang_up(self) -> None:
        # shutdown first: close alone would not wake a thread of ours that waits on this socket.
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def _kill_group(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            # PermissionError is how macOS names a group that holds nothing but zombies.
            self._popen.kill()

    def _watch(self, stderr_read: int) -> None:
        """Until the child's last descriptor closes: drain its stderr, compare its memory with the limit."""
        try:
            process: psutil.Process | None = psutil.Process(self.pid)
        except psutil.Error:
            process = None
        poller = select.poll()
        poller.register(stderr_read, select.POLLIN)
        try:
            while True:
                if poller.poll(_WATCH_INTERVAL_S * 1000):
                    chunk = os.read(stderr_read, 65536)
                    if not chunk:
                        return
                    with self._lock:
                        self._tail += chunk
                        del self._tail[:-_TAIL_BYTES]
                if process is not None and not self._within_memory(process):
                    self.signal_kill()
                    process = None
        finally:
            os.close(stderr_read)

    def _within_memory(self, process: psutil.Process) -> bool:
        try:
            resident = process.memory_info().rss
        except psutil.Error:
            return True
        if resident <= self._memory_bytes:
            return True
        self.over_memory_mb = resident // 2**20
        return False
