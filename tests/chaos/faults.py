"""Faults at named boundaries of a run: the child that calls ``install`` dies, sleeps or fails where its plan says.

Nothing in the product knows of this. The boundaries are found by wrapping, in the child alone, the methods of the
ledger, the SQL dialect's execute and commit, the file calls of ``jobs.archive.folder`` and the worker. Every passage of
a boundary is counted in memory that the children share with the harness, so that a boundary which no run ever reaches
shows, instead of being tested in name only.
"""

from __future__ import annotations

import errno
import mmap
import os
import signal
import sqlite3
import stat
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

import jobs.archive.folder
import jobs.home
import jobs.scan
import jobs.sweep
from fingerprint_db.store import SignatureStore
from jobs.archive import Folder, storage_failure
from jobs.errors import FailureKind, StoreError
from jobs.ledger import Ledger


class Action(StrEnum):
    KILL = "kill"  # SIGKILL, here and now
    SLEEP = "sleep"  # SIGSTOP; the harness lapses the leases, lets another driver finish, and wakes this one
    DATABASE = "database"  # the connection is lost: the driver's own OperationalError
    DISK = "disk"  # ENOSPC
    STORE = "store"  # EIO while reading
    WORKER = "worker"  # a transient failure of one file


SQL_OPERATIONS = (
    "migrate",
    "seed",
    "enroll",
    "publish",
    "bury",
    "start",
    "inventory",
    "claim",
    "fail",
    "fail_location",
    "commit",
    "release",
    "finish",
    "audit",
    "rematch",
)
WRITES = ("fingerprints", "provenance", "snapshot")
BOUNDARIES: tuple[str, ...] = (
    *(f"{name}.{point}" for name in SQL_OPERATIONS for point in ("begin", "statement", "precommit", "committed")),
    *(f"write.{kind}.{point}" for kind in WRITES for point in ("begin", "torn", "written", "renamed")),
    "read.fingerprints",
    "read.snapshot",
    "fetch",
    "perform",
)


def allowed(boundary: str) -> tuple[Action, ...]:
    """What can go wrong at a boundary."""
    point = boundary.rsplit(".", 1)[-1]
    if boundary in ("fetch", "perform"):
        return (Action.KILL, Action.WORKER, Action.SLEEP)
    if boundary.startswith("read."):
        return (Action.KILL, Action.STORE)
    if boundary.startswith("write."):
        asleep = () if boundary.startswith("write.snapshot") else (Action.SLEEP,)
        return (Action.KILL, Action.DISK, *asleep) if point != "renamed" else (Action.KILL, *asleep)
    if point == "begin":
        return (Action.KILL, Action.SLEEP) if boundary == "commit.begin" else (Action.KILL,)
    return (Action.KILL, Action.DATABASE)


@dataclass(frozen=True, slots=True)
class Fault:
    """At the ``nth`` passage (from 1) of a boundary, in one driver's life."""

    boundary: str
    nth: int
    action: Action

    def __str__(self) -> str:
        return f"{self.action} at {self.boundary} #{self.nth}"


class Tally:
    """Passages and faults a boundary, in anonymous memory that outlives a killed child."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 16 * len(BOUNDARIES))
        self._place = {name: 16 * number for number, name in enumerate(BOUNDARIES)}

    def add(self, boundary: str, *, fired: bool = False) -> None:
        """Two drivers at once may lose a count to each other; these are counts for people, not proofs."""
        place = self._place[boundary] + (8 if fired else 0)
        (before,) = struct.unpack_from("<q", self._memory, place)
        struct.pack_into("<q", self._memory, place, before + 1)

    def read(self) -> dict[str, tuple[int, int]]:
        """Boundary to (passages, faults)."""
        return {name: struct.unpack_from("<qq", self._memory, place) for name, place in self._place.items()}


class Faults:
    """One driver's plan at work."""

    def __init__(self, plan: Sequence[Fault], tally: Tally) -> None:
        self._plan = {(fault.boundary, fault.nth): fault.action for fault in plan}
        self._tally = tally
        self._passages: dict[str, int] = {}
        self._lock = threading.Lock()
        self._now = threading.local()
        self._between = threading.Condition()  # notified when a connection's transaction ends
        self._in_transaction: set[int] = set()
        self.errors = 0  # faults fired that may end the run with an error
        self.over = False  # the run is over: what is read for the comparison is neither counted nor disturbed

    def reach(self, boundary: str, *, before_kill: Callable[[], None] | None = None) -> None:
        """Pass a boundary, or not."""
        if self.over:
            return
        with self._lock:
            nth = self._passages[boundary] = self._passages.get(boundary, 0) + 1
            action = self._plan.get((boundary, nth))
            self._tally.add(boundary)
            if action is not None:
                self._tally.add(boundary, fired=True)
                self.errors += action in (Action.DATABASE, Action.DISK, Action.STORE)
        match action:
            case Action.KILL:
                if before_kill is not None:
                    before_kill()
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()
            case Action.SLEEP:
                # Not in the middle of another thread's transaction: on SQLite a sleeper that holds the only lock keeps
                # everybody out until they give up, which proves nothing.
                with self._between:
                    self._between.wait_for(lambda: not self._in_transaction)
                    os.kill(os.getpid(), signal.SIGSTOP)
            case Action.DATABASE:
                raise sqlite3.OperationalError("the connection was lost")
            case Action.DISK:
                raise OSError(errno.ENOSPC, "no space left on the device")
            case Action.STORE:
                raise OSError(errno.EIO, "the store does not answer")
            case Action.WORKER:
                raise FailureKind.STORAGE_UNAVAILABLE.error("the store does not answer for this file")

    def begun(self, connection: Any) -> None:
        """A transaction is about to begin on a connection; waits while this process is about to sleep."""
        with self._between:
            self._in_transaction.add(id(connection))

    def ended(self, connection: Any) -> None:
        with self._between:
            self._in_transaction.discard(id(connection))
            self._between.notify_all()

    @contextmanager
    def operation(self, name: str) -> Iterator[None]:
        """Statements and commits of this thread belong to this operation; an inner one takes precedence."""
        outer = getattr(self._now, "operation", None)
        self._now.operation = name
        try:
            self.reach(f"{name}.begin")
            yield
        finally:
            self._now.operation = outer

    def sql(self, point: str) -> None:
        name = getattr(self._now, "operation", None)
        if name is not None:
            self.reach(f"{name}.{point}")

    def file(self, point: str, *, before_kill: Callable[[], None] | None = None) -> None:
        kind = getattr(self._now, "writing", None)
        if kind is not None:
            self.reach(f"write.{kind}.{point}", before_kill=before_kill)

    @contextmanager
    def writing(self, kind: str) -> Iterator[None]:
        self._now.writing = kind
        try:
            yield
        finally:
            self._now.writing = None


class _FileCalls:
    """``os`` as ``jobs.archive.folder`` sees it: the same module, with faults around fsync and rename."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fsync(self, handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            return os.fsync(handle)  # the folder's, after the rename
        # A kill in the middle of a write leaves the first half of the bytes under the partial name.
        self._faults.file("torn", before_kill=lambda: os.ftruncate(handle, os.fstat(handle).st_size // 2))
        return os.fsync(handle)

    def replace(self, source: str, target: str) -> None:
        self._faults.file("written")
        os.replace(source, target)
        self._faults.file("renamed")


def install(faults: Faults) -> None:
    """Wrap the boundaries of this process. Only for a child that ends by os._exit or by a fault."""
    for method in ("claim", "fail", "fail_location", "release", "audit"):
        _wrap(faults, Ledger, method, method)
    _wrap_commit(faults)
    _wrap(faults, SignatureStore, "register_catalogue", "seed")
    _wrap(faults, SignatureStore, "register_generator", "enroll")
    _wrap(faults, SignatureStore, "add_signatures", "enroll")
    _wrap(faults, SignatureStore, "publish_snapshot", "publish")
    _wrap(faults, jobs.sweep, "start_sweep", "start")
    _wrap(faults, jobs.sweep, "finish_sweep", "finish")
    _wrap(faults, jobs.sweep, "bury_dead_sweeps", "bury")
    _wrap(faults, jobs.sweep, "take_inventory", "inventory")
    _wrap(faults, jobs.home, "open_database", "migrate")
    _wrap_dialect(faults)
    _wrap_folder(faults)
    _wrap_worker(faults)


def _wrap(faults: Faults, owner: Any, name: str, operation: str) -> None:
    inner = getattr(owner, name)

    def outer(*arguments: Any, **named: Any) -> Any:
        with faults.operation(operation):
            return inner(*arguments, **named)

    setattr(owner, name, outer)


def _wrap_commit(faults: Faults) -> None:
    inner = Ledger.commit

    def outer(self: Ledger, *arguments: Any, **named: Any) -> Any:
        with faults.operation("rematch" if named["owner"] is None else "commit"):
            return inner(self, *arguments, **named)

    Ledger.commit = outer  # type: ignore[method-assign]


def _wrap_dialect(faults: Faults) -> None:
    """Below SQLAlchemy, so that an injected error takes the same way up as the driver's own."""
    dialect: Any = SQLiteDialect_pysqlite
    execute, execute_many = dialect.do_execute, dialect.do_executemany
    commit, rollback, close = dialect.do_commit, dialect.do_rollback, dialect.do_close

    def do_execute(self: Any, cursor: Any, statement: str, *arguments: Any, **named: Any) -> None:
        faults.sql("statement")
        if statement.startswith("BEGIN"):
            faults.begun(cursor.connection)
        execute(self, cursor, statement, *arguments, **named)

    def do_executemany(self: Any, *arguments: Any, **named: Any) -> None:
        faults.sql("statement")
        execute_many(self, *arguments, **named)

    def do_commit(self: Any, connection: Any) -> None:
        faults.sql("precommit")
        commit(self, connection)
        faults.ended(_plain(connection))
        faults.sql("committed")

    def do_rollback(self: Any, connection: Any) -> None:
        rollback(self, connection)
        faults.ended(_plain(connection))

    def do_close(self: Any, connection: Any) -> None:
        close(self, connection)
        faults.ended(_plain(connection))

    dialect.do_execute, dialect.do_executemany = do_execute, do_executemany
    dialect.do_commit, dialect.do_rollback, dialect.do_close = do_commit, do_rollback, do_close


def _plain(connection: Any) -> Any:
    """The driver's connection itself, where the pool hands out a wrapper."""
    return getattr(connection, "dbapi_connection", connection)


def _kind(name: str) -> str:
    return name.split("/")[1] if name.startswith("parquet/") else "snapshot"


def _wrap_folder(faults: Faults) -> None:
    jobs.archive.folder.os = _FileCalls(faults)  # type: ignore[assignment]
    write, read, reading = Folder.write, Folder.read, Folder.reading

    def faulty_write(self: Folder, name: str, data: bytes) -> None:
        with faults.writing(_kind(name)):
            faults.file("begin")
            write(self, name, data)

    def look(name: str) -> None:
        try:
            faults.reach(f"read.{_kind(name)}")
        except OSError as error:
            raise StoreError(storage_failure(error, name).failure) from error

    def faulty_read(self: Folder, name: str) -> bytes:
        look(name)
        return read(self, name)

    def faulty_reading(self: Folder, name: str) -> Any:
        look(name)
        return reading(self, name)

    Folder.write, Folder.read, Folder.reading = faulty_write, faulty_read, faulty_reading  # type: ignore


def _wrap_worker(faults: Faults) -> None:
    fetch, perform = jobs.scan.fetch, jobs.scan.VideoWorker.perform

    def faulty_fetch(*arguments: Any) -> Any:
        faults.reach("fetch")
        return fetch(*arguments)

    def faulty_perform(self: Any, task: Any, ticket: Any) -> Any:
        try:
            faults.reach("perform")
        except BaseException:
            self.release(task)
            raise
        return perform(self, task, ticket)

    jobs.scan.fetch = faulty_fetch  # type: ignore[assignment]
    jobs.scan.VideoWorker.perform = faulty_perform  # type: ignore[method-assign]
