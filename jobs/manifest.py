"""The inventory: what the archive lists now against what the ledger knows, and so which files must be opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Engine, Table, func, select, update
from sqlalchemy.orm import Session

from jobs.archive import Listed, canonical_uri, list_archive
from jobs.database import for_reading, insert_new, one_at_a_time
from jobs.ledger import SETTLED
from jobs.models import ItemState, Location, LocationState, WorkItem, utc_now
from jobs.scan import FileTask

BATCH = 1000


@dataclass(slots=True)
class Inventory:
    """What one listing amounts to.

    to_open: files to fetch, largest first. known: unchanged files that are settled and stay closed.
    passed_over: files whose suffix is not one of video. gone: known names that the archive lists no more.
    """

    to_open: list[FileTask] = field(default_factory=list)
    listed: int = 0
    new: int = 0
    changed: int = 0
    known: int = 0
    gone: int = 0
    passed_over: int = 0
    passed_over_examples: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Known:
    size: int
    etag: str
    settled: bool
    gone: bool


def take_inventory(
    engine: Engine,
    archive: str,
    *,
    spec_id: str,
    sweep_id: str,
    max_attempts: int,
    all_files: bool = False,
    limit: int | None = None,
    since: datetime | None = None,
) -> Inventory:
    """List the archive, note every location, and say which files have to be opened.

    Unchanged (size and change tag) and settled files are not opened again. limit: open at most so many; the rest
    stays listed for the next sweep. since: open only files modified at or after it.
    Raises FailureError when the archive itself cannot be listed, before anything is written.
    """
    root = canonical_uri(archive)
    entries = list(list_archive(archive, all_files=all_files))
    known = _known_locations(engine, root, spec_id, max_attempts)
    inventory = Inventory()
    opening: list[Listed] = []
    fresh: list[Listed] = []
    changed: list[Listed] = []
    seen: list[str] = []
    for entry in entries:
        if isinstance(entry, str):
            inventory.passed_over += 1
            if len(inventory.passed_over_examples) < 5:
                inventory.passed_over_examples.append(entry)
            continue
        inventory.listed += 1
        seen.append(entry.uri)
        before = known.pop(entry.uri, None)
        if before is None:
            fresh.append(entry)
            opening.append(entry)
        elif (before.size, before.etag) != (entry.size, entry.etag):
            changed.append(entry)
            opening.append(entry)
        elif before.settled:
            inventory.known += 1
        else:
            opening.append(entry)
    gone = [uri for uri, before in known.items() if not before.gone]
    inventory.new, inventory.changed, inventory.gone = len(fresh), len(changed), len(gone)
    _note(engine, fresh, changed, gone, seen, sweep_id)
    if since is not None:
        opening = [entry for entry in opening if entry.modified is None or entry.modified >= since]
    opening.sort(key=lambda listed: (-listed.size, listed.uri))
    inventory.to_open = [FileTask(listed.uri, listed.size) for listed in opening[:limit]]
    return inventory


def _known_locations(engine: Engine, root: str, spec_id: str, max_attempts: int) -> dict[str, _Known]:
    joined = (WorkItem.sha256 == Location.sha256) & (WorkItem.spec_id == spec_id)
    query = (
        select(
            Location.uri,
            Location.size,
            Location.etag,
            Location.state,
            Location.failure_policy,
            Location.attempts,
            WorkItem.state,
        )
        .outerjoin(WorkItem, joined)
        .where(_below(root))
    )
    found: dict[str, _Known] = {}
    with Session(for_reading(engine)) as session:
        for uri, size, etag, state, policy, attempts, item in session.execute(query):
            if state == LocationState.GONE.value:
                etag = "gone"  # differs from every store's tag: a file that came back counts as changed
            given_up = state == LocationState.UNREADABLE.value and (policy != "retry" or attempts >= max_attempts)
            found[uri] = _Known(size, etag, given_up or item in SETTLED, state == LocationState.GONE.value)
    return found


def _below(root: str) -> Any:
    """Locations of this archive: the root itself and what lies under it (not its siblings that share a prefix).

    substr instead of LIKE: SQLite's LIKE ignores case, which would mix the folders ``A`` and ``a``.
    """
    folder = root.rstrip("/") + "/"
    return (Location.uri == root) | (func.substr(Location.uri, 1, len(folder)) == folder)


def _note(
    engine: Engine, fresh: list[Listed], changed: list[Listed], gone: list[str], seen: list[str], sweep_id: str
) -> None:
    now = utc_now()
    table = cast(Table, Location.__table__)
    with Session(engine) as session, session.begin():
        one_at_a_time(session, "inventory")
        for batch in _batches(fresh):
            insert_new(session, table, [_row(entry, now, sweep_id) for entry in batch])
        for entry in changed:
            session.execute(
                update(Location)
                .where(Location.uri == entry.uri)
                .values(**_row(entry, now, sweep_id), sha256=None, failure_kind=None, failure_policy=None)
            )
        for names in _batches(gone):
            session.execute(
                update(Location)
                .where(Location.uri.in_(names))
                .values(state=LocationState.GONE.value, sweep_id=sweep_id)
            )
        for names in _batches(seen):
            session.execute(update(Location).where(Location.uri.in_(names)).values(last_listed=now, sweep_id=sweep_id))


def _row(entry: Listed, now: Any, sweep_id: str) -> dict[str, Any]:
    return {
        "uri": entry.uri,
        "size": entry.size,
        "etag": entry.etag,
        "modified": entry.modified,
        "state": LocationState.LISTED.value,
        "attempts": 0,
        "last_listed": now,
        "sweep_id": sweep_id,
    }


def _batches(items: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def unfinished(engine: Engine, archive: str, spec_id: str) -> int:
    """Locations of an archive that have neither a settled item nor a final failure."""
    joined = (WorkItem.sha256 == Location.sha256) & (WorkItem.spec_id == spec_id)
    query = (
        select(Location.uri, Location.state, WorkItem.state)
        .outerjoin(WorkItem, joined)
        .where(_below(canonical_uri(archive)), Location.state != LocationState.GONE.value)
    )
    with Session(for_reading(engine)) as session:
        return sum(
            1
            for _uri, state, item in session.execute(query)
            if state == LocationState.LISTED.value or item in (ItemState.FAILED.value, ItemState.LEASED.value)
        )
