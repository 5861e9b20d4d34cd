"""Two sweeps that opened a new home at once: the second failed with "database is locked" while the journal changed."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from jobs.database import open_database


def test_a_connection_waits_for_the_other_to_let_the_journal_change(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    engine = open_database(f"sqlite:///{path}")
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    assert other.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.3, other.rollback).start()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    other.close()
    engine.dispose()
