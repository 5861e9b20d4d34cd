"""Rows about sweeps: starting one, its heartbeat, burying the ones that died, the closing entry."""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import psutil
from sqlalchemy import Engine, Table, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from fingerprint_db.spec import FingerprintSpec
from jobs.archive import safe_uri
from jobs.database import insert_new
from jobs.ledger import Ledger
from jobs.models import Spec, Sweep, utc_now

RUNNING, FINISHED, INTERRUPTED = "running", "finished", "interrupted"


def start_sweep(engine: Engine, archive: str, spec: FingerprintSpec, snapshot_id: str) -> str:
    """Enter a new sweep; returns its id, which is also the owner of the items it claims."""
    identity = uuid.uuid4().hex
    with Session(engine) as session, session.begin():
        body = {"id": spec.id, "body": json.loads(spec.to_json()), "first_used": utc_now()}
        insert_new(session, cast(Table, Spec.__table__), [body])
        session.add(
            Sweep(
                id=identity,
                archive=safe_uri(archive),
                spec_id=spec.id,
                snapshot_id=snapshot_id,
                state=RUNNING,
                host=_this_process(),
            )
        )
    return identity


def finish_sweep(engine: Engine, sweep_id: str, state: str, summary: Mapping[str, Any]) -> None:
    """Close a sweep's row with its summary."""
    with Session(engine) as session, session.begin():
        session.execute(
            update(Sweep).where(Sweep.id == sweep_id).values(state=state, finished_at=utc_now(), summary=dict(summary))
        )


def bury_dead_sweeps(engine: Engine, ledger: Ledger) -> int:
    """Free what sweeps of this machine held when they were killed; returns how many items that were.

    Sweeps of other machines are left to their leases, since nothing here can tell whether they live.
    """
    freed = 0
    with Session(engine) as session:
        running = session.execute(select(Sweep.id, Sweep.host, Sweep.archive).where(Sweep.state == RUNNING)).all()
    for sweep_id, host, archive in running:
        if _died_here(host):
            released = ledger.release(sweep_id)
            finish_sweep(engine, sweep_id, INTERRUPTED, {})
            ledger.audit("sweep", archive, sweep=sweep_id, state="died", released=released)
            freed += released
    return freed


@contextmanager
def heartbeat(engine: Engine, ledger: Ledger, sweep_id: str, lease_s: float) -> Iterator[None]:
    """Renew the sweep's leases in the background for as long as the block runs."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(lease_s / 4):
            try:
                ledger.renew(sweep_id)
                with Session(engine) as session, session.begin():
                    session.execute(update(Sweep).where(Sweep.id == sweep_id).values(alive_at=utc_now()))
            except SQLAlchemyError:
                # The next beat tries again; if the database stays away the leases lapse and the commit notices.
                continue

    thread = threading.Thread(target=beat, name="lease-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _this_process() -> str:
    pid = os.getpid()
    return f"{socket.gethostname()} {_boot()} {pid} {_started(pid)}"


def _started(pid: int) -> str | None:
    """When a process started, in ticks since the boot; None when there is none of that number.

    Not psutil's wall-clock time: the kernel derives that from the clock as it is now, so that setting the clock would
    make every living sweep look like another process.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as source:
            # The second field is the command in parentheses and may hold anything, even spaces.
            fields = source.read().rpartition(")")[2].split()
            # Killed, and its parent (a shell, a scheduler) has not fetched its end: dead all the same.
            return None if fields[0] == "Z" else fields[19]
    except FileNotFoundError:
        if os.path.isdir("/proc/self"):
            return None
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return None


def _boot() -> str:
    """Tells machines of one name apart and one boot from the next, and containers that number processes for themselves.

    Without the last, a sweep in one container of a machine would count as dead in another that shares its name.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as source:
            return f"{source.read().strip()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return f"{psutil.boot_time():.0f}"


def _died_here(host: str) -> bool:
    name, boot, pid, created = host.split(" ")
    if (name, boot) != (socket.gethostname(), _boot()):
        return False
    return _started(int(pid)) != created
