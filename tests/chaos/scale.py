"""``python -m tests.chaos.scale``: how long a sweep takes to see that a million finished files have not changed.

The ledger is a real SQLite file with that many assets, items, locations, verdicts and the parts they cite, filled by
bulk inserts. The listing is injected in place of ``jobs.archive.list_archive``: making and walking a million files
would measure the machine's file system, which is not what resuming waits for here. All else is the product.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

import jobs.manifest
from jobs.archive import Listed
from jobs.home import Home
from jobs.rematch import stale_verdicts
from jobs.scan import current_spec
from jobs.settings import Settings
from jobs.snapshots import current_snapshot
from jobs.sweep import sweep

ROOT = "file:///archive"
FILES_PER_PART = 32
NOW = "2026-01-01 00:00:00.000000"


def listing(files: int) -> Iterator[Listed]:
    """What the store says: long names in many folders, as archives have them."""
    modified = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(files):
        uri = f"{ROOT}/{number // 10000:03}/programme-{number // 100:05}/clip-{number:07}.mp4"
        yield Listed(uri, 1_000_000 + number % 977, f"{number:x}-17a3b5c7d9e1f-{number * 7:x}", modified)


def fill(home: Home, files: int) -> None:
    """A finished sweep of so many files, by bulk inserts."""
    spec = current_spec(home.settings)
    snapshot = current_snapshot(home, spec).id
    home.engine.dispose()
    database = sqlite3.connect(Path(home.settings.home, "makersmark.sqlite"), isolation_level=None)
    for pragma in ("foreign_keys = OFF", "synchronous = OFF", "cache_size = -500000"):
        database.execute(f"PRAGMA {pragma}")
    database.execute("BEGIN IMMEDIATE")
    part = "INSERT INTO result_part VALUES (?, ?, ?, 32, 1000, '', 1, ?, 'one', ?)"
    numbers = range(0, files, FILES_PER_PART)
    for kind in ("fingerprints", "provenance"):
        rows = ((f"{kind[0]}{n:031x}", kind, f"parquet/{kind}/part-{n}.parquet", spec.id, NOW) for n in numbers)
        database.executemany(part, rows)
    names = "INSERT INTO {} VALUES ({})"
    contents = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(files)]
    database.executemany(
        names.format("asset (sha256, size, first_seen, facts)", "?, 1, ?, '{}'"), ((c, NOW) for c in contents)
    )
    database.executemany(
        names.format("work_item (sha256, spec_id, state, attempts, part_id, updated_at)", "?, ?, 'done', 1, ?, ?"),
        ((c, spec.id, f"f{n - n % FILES_PER_PART:031x}", NOW) for n, c in enumerate(contents)),
    )
    database.executemany(
        names.format(
            "location (uri, size, etag, modified, state, sha256, attempts, first_seen, last_listed, sweep_id)",
            "?, ?, ?, ?, 'identified', ?, 0, ?, ?, 'one'",
        ),
        ((f.uri, f.size, f.etag, NOW, c, NOW, NOW) for f, c in zip(listing(files), contents, strict=True)),
    )
    database.executemany(
        names.format(
            "verdict (sha256, spec_id, snapshot_id, part_id, verdict, reason, coverage, duration_s, nearest, cues, "
            "decided_at)",
            "?, ?, ?, ?, 'no_known_generator', '', 1.0, 10.0, '[]', '{}', ?",
        ),
        ((c, spec.id, snapshot, f"p{n - n % FILES_PER_PART:031x}", NOW) for n, c in enumerate(contents)),
    )
    database.execute("COMMIT")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.scale", description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--folder", help="keep the filled home here and use it again")
    options = parser.parse_args()
    folder = Path(options.folder or tempfile.mkdtemp(prefix="makersmark-scale-"))
    settings = Settings(home=str(folder / "home"), workers=1)
    if not (folder / "home").exists():
        home = Home(settings)
        _timed("fill", lambda: fill(home, options.files))
        home.close()
    _timed("list (injected, alone)", lambda: sum(1 for _ in listing(options.files)))
    jobs.manifest.list_archive = lambda *_, **__: listing(options.files)
    for turn in ("first sweep after the start", "second sweep"):
        summary = _timed(turn, lambda: _sweep(settings))
        assert (summary.inventory.known, summary.inventory.to_open) == (options.files, []), summary.as_dict()
    home = Home(settings)
    spec = current_spec(settings)
    snapshot = current_snapshot(home, spec)
    assert _timed("stale_verdicts, none stale", lambda: stale_verdicts(home.engine, spec.id, snapshot.id)) == 0
    stale = _timed("stale_verdicts, all stale", lambda: stale_verdicts(home.engine, spec.id, "0" * 32))
    assert stale == options.files
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    home.close()
    if options.folder is None:
        shutil.rmtree(folder)


def _sweep(settings: Settings) -> Any:
    home = Home(settings)
    try:
        return sweep(home, ROOT, console=Console(quiet=True))
    finally:
        home.close()


def _timed(what: str, step: Callable[[], Any]) -> Any:
    started, cpu = time.monotonic(), time.process_time()
    result = step()
    print(f"{what:32} {time.monotonic() - started:7.2f} s ({time.process_time() - cpu:.2f} s of processor)", flush=True)
    return result


if __name__ == "__main__":
    main()
