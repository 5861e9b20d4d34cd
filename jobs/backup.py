"""A copy of a home that is whole at one moment, taken while sweeps go on.

The database first, then the files which that copy names: files are written before they are committed, never changed,
and stay for a grace period after they were replaced, so everything named is there. The other order would name files
that were never copied. A file that a compaction has nevertheless removed meanwhile starts another round.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.orm import Session

from cluster.outcome import FailureError
from fingerprint_db.errors import SnapshotError
from fingerprint_db.models import SnapshotRow
from jobs.archive import Folder, canonical_uri, safe_uri
from jobs.database import for_reading
from jobs.errors import BadUsageError
from jobs.home import Home
from jobs.models import ItemState, RetiredPart
from jobs.parts import Part, committed_parts, damage, is_absent
from jobs.progress import Meter
from jobs.reconstruct.registry import FACTS, FOLDER
from jobs.sweeps import INTERRUPTED, RUNNING

DATABASE = "makersmark.sqlite"
ROUNDS = 3


@dataclass(slots=True)
class BackupSummary:
    """copied: parts and snapshot files brought over now. present: those that an earlier backup left there.
    database: whether the copy holds the database too; PostgreSQL is dumped with its own tools. unusable: parts and
    snapshots that are missing or damaged in the home itself, with the reason.
    """

    target: str
    database: bool
    rounds: int = 0
    copied: int = 0
    copied_bytes: int = 0
    present: int = 0
    unusable: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def backup(home: Home, target: str, *, console: Console) -> BackupSummary:
    """Copy the home to a folder or URI that serves as a home itself; what an earlier backup left there is kept.

    The copy's sweeps are marked as interrupted and hold nothing: their processes work on the original.
    Raises BadUsageError when the target is the home itself, FailureError and OSError when a store fails.
    """
    source, sink = canonical_uri(home.settings.home).rstrip("/"), canonical_uri(target).rstrip("/")
    if sink == source or sink.startswith(f"{source}/"):
        raise BadUsageError("a backup needs a place outside the home")
    folder = Folder(target)
    summary = BackupSummary(safe_uri(target), database=home.engine.dialect.name == "sqlite")
    with tempfile.TemporaryDirectory(prefix="makersmark-backup-") as scratch:
        copy = Path(scratch) / DATABASE
        for _ in range(ROUNDS):
            summary.rounds += 1
            summary.unusable = {}
            engine = _copy_database(home.engine, copy) if summary.database else home.engine
            try:
                _copy_files(home, engine, folder, summary, console)
                again = _has_moved(home, {name for name in summary.unusable if name.startswith("parquet/")})
            finally:
                if summary.database:
                    engine.dispose()
            if not again:
                break
        if summary.database:
            # A log that a killed process left beside the earlier copy would be played into the new one.
            for log in ("-wal", "-shm", "-journal"):
                folder.remove(DATABASE + log)
            # Last: until it is there, an earlier backup in the same place stays what it was.
            with folder.writing(DATABASE) as path:
                shutil.copyfile(copy, path)
    home.ledger.audit("backup", summary.target, copied=summary.copied, unusable=len(summary.unusable))
    return summary


def _copy_database(engine: Engine, target: Path) -> Engine:
    """SQLite's online backup in one step: writers go on, the copy is of one moment."""
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(target)) as copy:
        raw = engine.raw_connection()
        try:
            raw.driver_connection.backup(copy)  # type: ignore[union-attr]
        finally:
            raw.close()
        # One file without a log beside it, which a copy of the folder could forget.
        copy.execute("PRAGMA journal_mode=DELETE")
        copy.execute(
            "UPDATE work_item SET state = ?, owner = NULL, lease_until = NULL, attempts = attempts - 1 WHERE state = ?",
            (ItemState.FAILED.value, ItemState.LEASED.value),
        )
        copy.execute("UPDATE sweep SET state = ? WHERE state = ?", (INTERRUPTED, RUNNING))
        copy.commit()
    return create_engine(f"sqlite:///{target}")


def _copy_files(home: Home, engine: Engine, folder: Folder, summary: BackupSummary, console: Console) -> None:
    with Session(for_reading(engine)) as session:
        parts = committed_parts(session)
        snapshots = list(session.scalars(select(SnapshotRow.id).where(SnapshotRow.published)))
        # Beside a dump taken before, which may name what has been merged since.
        retired = [] if summary.database else list(session.scalars(select(RetiredPart.name)))
    there = {entry.uri: entry.size for entry in folder.listing("parquet")}
    there |= {entry.uri: entry.size for entry in folder.listing("snapshots")}
    with Meter(console, "backup", len(parts), sum(part.bytes for part in parts)) as meter:
        for part in parts:
            if there.get(part.name) == part.bytes:
                summary.present += 1
            elif wrong := _copy_part(home, folder, part):
                summary.unusable[part.name] = wrong
            else:
                summary.copied += 1
                summary.copied_bytes += part.bytes
            meter.advance(part.bytes)
    for name in retired:
        if name not in there:
            _copy_file(home, folder, name, summary)
    for identity in snapshots:
        _copy_snapshot(home, folder, identity, there, summary)
    kept = {entry.uri: entry.size for entry in folder.listing(FOLDER)}
    # A checkpoint's facts come last, as when it was kept: half a copy has none, and does not count.
    for entry in sorted(home.folder.listing(FOLDER), key=lambda one: (one.uri.endswith(FACTS), one.uri)):
        if entry.uri.endswith(FACTS) or kept.get(entry.uri) != entry.size:
            _copy_file(home, folder, entry.uri, summary)
        else:
            summary.present += 1


def _copy_part(home: Home, folder: Folder, part: Part) -> str | None:
    """Copies what is whole and says what is wrong with the rest; a damaged part would only look like a backup."""
    try:
        with home.folder.reading(part.name) as path:
            wrong = damage(part, path)
            if wrong is None:
                with folder.writing(part.name) as sink:
                    shutil.copyfile(path, sink)
            return wrong
    except FailureError as error:
        if not is_absent(error):
            raise
        return "is missing"


def _copy_snapshot(home: Home, folder: Folder, identity: str, there: Mapping[str, int], summary: BackupSummary) -> None:
    try:
        files = home.load_snapshot(identity).to_files()
    except SnapshotError as error:
        summary.unusable[f"snapshots/{identity}"] = f"cannot be used: {error}"
        return
    # The manifest last, as when it was published: half a snapshot has none.
    for name in sorted(files, key=lambda name: (name == "manifest.json", name)):
        path = f"snapshots/{identity}/{name}"
        if there.get(path) == len(files[name]):
            summary.present += 1
            continue
        folder.write(path, files[name])
        summary.copied += 1
        summary.copied_bytes += len(files[name])


def _copy_file(home: Home, folder: Folder, name: str, summary: BackupSummary) -> None:
    try:
        with home.folder.reading(name) as path, folder.writing(name) as sink:
            shutil.copyfile(path, sink)
            summary.copied_bytes += path.stat().st_size
    except FailureError as error:
        if not is_absent(error):
            raise
        return  # retired, and its grace ended just now
    summary.copied += 1


def _has_moved(home: Home, names: set[str]) -> bool:
    """Whether the live manifest names one of these parts no more: then it was merged, not lost."""
    if not names:
        return False
    with Session(for_reading(home.engine)) as session:
        return not names <= {part.name for part in committed_parts(session)}
