"""A home: the database, the Parquet folder and the snapshots that belong together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Engine

from fingerprint_db.errors import SnapshotError
from fingerprint_db.snapshot import Snapshot
from fingerprint_db.store import SignatureStore
from jobs.archive import Folder, is_local, local_path, safe_uri
from jobs.database import open_database
from jobs.ledger import Ledger
from jobs.settings import Settings


class Home:
    """Everything a job reads and writes, opened once by the command line and handed down."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine: Engine = open_database(settings.database_url, patience_s=settings.db_wait_s)
        self.folder = Folder(settings.home)
        self.store = SignatureStore(self.engine)
        self.ledger = Ledger(self.engine, lease_s=settings.lease_s, max_attempts=settings.max_attempts)

    @staticmethod
    def exists(settings: Settings) -> bool:
        """Whether there is a home to open, so that a look-up does not leave an empty one behind."""
        if settings.db or not is_local(settings.home):
            return True
        return (local_path(settings.home) / "makersmark.sqlite").is_file()

    def load_snapshot(self, snapshot_id: str) -> Snapshot:
        """A published snapshot by id, every checksum verified. Raises SnapshotError that names it and the remedy."""
        prefix = _snapshot_folder(snapshot_id)
        # What another process is writing at this moment vanishes under its partial name before it could be read.
        names = [name for name in self.folder.names(prefix) if not name.endswith(".partial")]
        try:
            snapshot = Snapshot.from_files({Path(name).name: self.folder.read(name) for name in names})
        except SnapshotError as error:
            raise SnapshotError(
                f"snapshot {snapshot_id} in {safe_uri(self.folder.uri)}/{prefix} cannot be used: {error} "
                "(`makersmark audit --repair` builds it again from the database; or restore that folder from a backup)"
            ) from error
        return snapshot

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Write a snapshot's files; publishing it is the store's, one transaction."""
        files: Mapping[str, bytes] = snapshot.to_files()
        # The manifest last: a snapshot whose writing was cut off has none and can never be loaded by half.
        for name in sorted(files, key=lambda name: (name == "manifest.json", name)):
            self.folder.write(f"{_snapshot_folder(snapshot.id)}/{name}", files[name])

    def close(self) -> None:
        self.engine.dispose()


def _snapshot_folder(snapshot_id: str) -> str:
    return f"snapshots/{snapshot_id}"
