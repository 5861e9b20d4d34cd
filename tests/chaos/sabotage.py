"""Ways to break the product on purpose, so that the harness can be seen to notice; only ever in a child."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

import jobs.ledger
from fingerprint_db.store import SignatureStore
from jobs.home import Home
from jobs.ledger import Ledger
from jobs.models import Asset, ItemState, VerdictRow, WorkItem, utc_now

SABOTAGE: dict[str, Callable[[], None]] = {}


def _breaks(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def keep(step: Callable[[], None]) -> Callable[[], None]:
        SABOTAGE[name] = step
        return step

    return keep


def _unguarded(self: Ledger, session: Session, findings: Any, spec_id: str, owner: str, part_id: str, now: Any) -> None:
    for finding in findings:
        session.execute(
            update(WorkItem)
            .where(WorkItem.sha256 == finding.sha256, WorkItem.spec_id == spec_id)
            .values(state=ItemState.DONE.value, owner=None, lease_until=None, part_id=part_id, updated_at=now)
        )
        session.execute(update(Asset).where(Asset.sha256 == finding.sha256).values(facts=dict(finding.facts)))


@_breaks("lease-guard")
def no_lease_guard() -> None:
    """A commit finishes items whoever holds them; that their verdicts are there is still seen."""
    Ledger._finish = _unguarded  # type: ignore[method-assign]


@_breaks("verdict-guard")
def no_verdict_guard() -> None:
    """A commit does not look whether its verdicts are there already; the table still keeps a second one out."""
    jobs.ledger.judged_before = lambda *_: frozenset()  # type: ignore[assignment]


@_breaks("both-guards")
def no_guards() -> None:
    """A sweep that slept through its lease writes over its heir."""
    no_verdict_guard()
    no_lease_guard()


@_breaks("unique-key")
def no_unique_key() -> None:
    """Judgements have no key: neither the ledger looks, nor does the table refuse a second one."""
    VerdictRow.__table__.constraints = {  # type: ignore[attr-defined]
        c for c in VerdictRow.__table__.constraints if type(c).__name__ != "UniqueConstraint"
    }
    commit = Ledger.commit

    def keyless(self: Ledger, *arguments: Any, **named: Any) -> None:
        # A connection of its own: without foreign keys, so that the segments outlive the table they point to.
        with contextlib.closing(sqlite3.connect(str(self.engine.url.database), timeout=60)) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            ((sql,),) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'verdict'")
            if "UNIQUE" in sql:
                head, _, tail = sql.partition("UNIQUE (sha256, spec_id, snapshot_id)")
                connection.execute("CREATE TABLE kept AS SELECT * FROM verdict")
                connection.execute("DROP TABLE verdict")
                connection.execute(head.rpartition(",")[0] + tail)
                connection.execute("INSERT INTO verdict SELECT * FROM kept")
                connection.execute("DROP TABLE kept")
        commit(self, *arguments, **named)

    Ledger.commit = keyless  # type: ignore[method-assign]
    jobs.ledger.judged_before = lambda *_: frozenset()  # type: ignore[assignment]


@_breaks("transaction-order")
def items_before_verdicts() -> None:
    """Two transactions in place of one: the items are finished before their verdicts are written."""

    def commit(self: Ledger, parts: Any, findings: Any, *, owner: str | None, **named: Any) -> None:
        kinds = {part.kind: part.id for part in parts}
        now = utc_now()
        with Session(self.engine) as session, session.begin():
            session.add_all(parts)
            session.flush()
            if owner is not None:
                self._finish(session, findings, named["spec_id"], owner, kinds["fingerprints"], now)
        with Session(self.engine) as session, session.begin():
            for finding in findings:
                jobs.ledger._add_verdict(
                    session,
                    finding,
                    named["spec_id"],
                    named["snapshot_id"],
                    named["sweep_id"],
                    kinds["provenance"],
                    now,
                )

    Ledger.commit = commit  # type: ignore[method-assign]


@_breaks("rows-before-files")
def manifest_before_file() -> None:
    """A part is entered in the manifest before its bytes are written."""
    from jobs.archive import Folder

    write = Folder.write

    def late(self: Folder, name: str, data: bytes) -> None:
        if name.startswith("parquet/"):
            _late.append((self, name, data))
        else:
            write(self, name, data)

    commit = Ledger.commit

    def early(self: Ledger, *arguments: Any, **named: Any) -> None:
        commit(self, *arguments, **named)
        while _late:
            write(*_late.pop(0))

    _late: list[tuple[Folder, str, bytes]] = []
    Folder.write = late  # type: ignore[method-assign]
    Ledger.commit = early  # type: ignore[method-assign]


@_breaks("snapshot-before-files")
def published_before_written() -> None:
    """A snapshot is published before its files are there."""
    save, publish = Home.save_snapshot, SignatureStore.publish_snapshot
    late: list[tuple[Home, Any]] = []

    def keep(self: Home, snapshot: Any) -> None:
        late.append((self, snapshot))

    def early(self: SignatureStore, *arguments: Any, **named: Any) -> bool:
        published = publish(self, *arguments, **named)
        while late:
            save(*late.pop(0))
        return published

    Home.save_snapshot = keep  # type: ignore[method-assign]
    SignatureStore.publish_snapshot = early  # type: ignore[method-assign]
