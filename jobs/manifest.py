"""The inventory: what the archive lists now against what the ledger knows, and so which files must be opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice
from typing import Any, cast

from sqlalchemy import Connection, Engine, Select, Table, Text, case, func, select, update
from sqlalchemy import cast as cast_to
from sqlalchemy.orm import Session

from cluster.outcome import Policy
from jobs.archive import Listed, canonical_uri, list_archive
from jobs.database import for_reading, insert_new, one_at_a_time
from jobs.ledger import SETTLED
from jobs.models import Asset, ItemState, Location, LocationState, WorkItem, utc_now
from jobs.scan import FileTask

BATCH = 1000
ROWS_PER_FETCH = 10_000


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


# How the ledger knows a location: one of these marks, then its size and change tag. Plain strings, since there are a
# million of them: the database makes them, and one comparison tells the usual case, a settled file that is as it was.
_SETTLED, _OPEN, _GONE = "s", "o", "g"  # gone: known, but not listed the last time; one that came back has changed


def _as_listed(entry: Listed) -> str:
    return f"{entry.size} {entry.etag}"


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
    listing = iter(list_archive(archive, all_files=all_files))
    first = list(islice(listing, 1))  # an archive that cannot be listed says so before the ledger is read
    known = _known_locations(engine, root, spec_id, max_attempts)
    inventory = Inventory()
    opening: list[Listed] = []
    fresh: list[Listed] = []
    changed: list[Listed] = []
    for entry in chain(first, listing):
        if isinstance(entry, str):
            inventory.passed_over += 1
            if len(inventory.passed_over_examples) < 5:
                inventory.passed_over_examples.append(entry)
            continue
        inventory.listed += 1
        before, now = known.pop(entry.uri, None), _as_listed(entry)
        if before == _SETTLED + now:
            inventory.known += 1
            continue
        opening.append(entry)
        if before is None:
            fresh.append(entry)
        elif before != _OPEN + now:
            changed.append(entry)

    gone = [uri for uri, before in known.items() if not before.startswith(_GONE)]
    inventory.new, inventory.changed, inventory.gone = len(fresh), len(changed), len(gone)
    _note(engine, fresh, changed, gone, opening, sweep_id)
    if since is not None:
        opening = [entry for entry in opening if entry.modified is None or entry.modified >= since]
    opening.sort(key=lambda listed: (-listed.size, listed.uri))
    inventory.to_open = [FileTask(listed.uri, listed.size) for listed in opening[:limit]]
    return inventory


def _known_locations(engine: Engine, root: str, spec_id: str, max_attempts: int) -> dict[str, str]:
    given_up = (Location.state == LocationState.UNREADABLE.value) & (
        (Location.failure_policy != Policy.RETRY.value) | (Location.attempts >= max_attempts)
    )
    mark = case(
        (Location.state == LocationState.GONE.value, _GONE),
        (given_up | Location.sha256.is_not(None), _SETTLED),
        else_=_OPEN,
    )
    query = select(Location.uri, mark + cast_to(Location.size, Text) + " " + Location.etag).where(_below(root))
    named = select(Location.uri, Location.sha256).where(_below(root), ~given_up, Location.sha256.is_not(None))
    found: dict[str, str] = {}
    with for_reading(engine).connect() as connection:
        waiting = _unsettled_contents(connection, spec_id)
        for rows in _in_bulk(connection, query):
            found.update(rows)
        for rows in _in_bulk(connection, named) if waiting else ():
            for uri, sha256 in rows:
                if sha256 in waiting and found[uri].startswith(_SETTLED):
                    found[uri] = _OPEN + found[uri][1:]
    return found


def _in_bulk(connection: Connection, query: Select[str, Any]) -> Iterator[Sequence[Any]]:
    """Pairs of text, many at a time; on SQLite as the driver gives them: SQLAlchemy's rows take twice the time."""
    if connection.dialect.name != "sqlite":
        yield from connection.execution_options(yield_per=ROWS_PER_FETCH).execute(query).partitions()
        return
    compiled = query.compile(dialect=connection.dialect)
    values = [compiled.params[name] for name in compiled.positiontup or ()]
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(str(compiled), values)
        while rows := cursor.fetchmany(ROWS_PER_FETCH):
            yield rows


def _unsettled_contents(connection: Connection, spec_id: str) -> set[str]:
    """Known contents that have no settled item under this spec: few, unless the spec is new.

    Joining every location with its item would look up a million rows at random (6 s of 11 in a million-file
    inventory). This reads two indexes in their order, and the few unsettled items by their state.
    """
    items = select(WorkItem.sha256).where(WorkItem.spec_id == spec_id)
    without = select(Asset.sha256).except_(items).order_by(Asset.sha256)
    unsettled = items.where(WorkItem.state.in_([state.value for state in ItemState if state.value not in SETTLED]))
    return {sha256 for query in (without, unsettled) for (sha256,) in connection.execute(query)}


def _below(root: str) -> Any:
    """Locations of this archive: the root itself and what lies under it (not its siblings that share a prefix).

    substr instead of LIKE: SQLite's LIKE ignores case, which would mix the folders ``A`` and ``a``.
    """
    folder = root.rstrip("/") + "/"
    return (Location.uri == root) | (func.substr(Location.uri, 1, len(folder)) == folder)


def _note(
    engine: Engine, fresh: list[Listed], changed: list[Listed], gone: list[str], opening: list[Listed], sweep_id: str
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
        # What stays closed keeps its row as it is: writing a million rows to say that nothing happened took longer
        # than all else. It was last listed by the last sweep of its archive that finished, or its state is gone.
        for names in _batches([entry.uri for entry in opening]):
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
