"""What a home holds, comparable: no ids, times or order; and what is wrong with it whatever it should hold."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq
from sqlalchemy import select
from sqlalchemy.orm import Session

from fingerprint_db.models import SignatureRow, SnapshotRow
from jobs.archive import fetch
from jobs.home import Home
from jobs.models import Asset, ItemState, Location, ResultPart, SegmentMatch, Sweep, VerdictRow, WorkItem
from jobs.results import read_fingerprints
from jobs.sweeps import RUNNING

FORGET = {"sweep_id", "id", "part_id", "decided_at", "verdict_id", "updated_at", "owner", "lease_until", "wall_s"}
FORGET |= {"first_seen", "last_listed", "attempts", "uri"}


@dataclass(slots=True)
class Evidence:
    """tables: name to sorted rows as JSON text. wrong: broken invariants. orphans: files that no row names."""

    tables: dict[str, list[str]] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)


def gather(home: Home, archive: Path) -> Evidence:
    """Read everything; the archive tells which contents a name may stand for."""
    found = Evidence()
    with Session(home.engine) as session:
        parts = list(session.scalars(select(ResultPart)))
        verdicts = list(session.scalars(select(VerdictRow)))
        items = list(session.scalars(select(WorkItem)))
        segments: dict[int, list[Any]] = {}
        for segment in session.scalars(select(SegmentMatch).order_by(SegmentMatch.ordinal)):
            segments.setdefault(segment.verdict_id, []).append(_columns(segment))
        found.tables["verdicts"] = _sorted({**_columns(v), "segments": segments.pop(v.id, [])} for v in verdicts)
        found.tables["items"] = _sorted(_columns(item) for item in items)
        found.tables["locations"] = _sorted(
            {"name": Path(row.uri).name, **_columns(row)} for row in session.scalars(select(Location))
        )
        found.tables["assets"] = _sorted(_columns(row) for row in session.scalars(select(Asset)))
        found.tables["signatures"] = sorted(f"{r.sha256} {r.generator}" for r in session.scalars(select(SignatureRow)))
        found.tables["snapshots"] = sorted(f"{r.id} {r.published}" for r in session.scalars(select(SnapshotRow)))
        found.wrong += [f"sweep {s.id} stays {s.state}" for s in session.scalars(select(Sweep)) if s.state == RUNNING]
    found.attempts = {item.sha256: item.attempts for item in items}
    found.wrong += [f"segments of no verdict: {orphaned}" for orphaned in segments]
    found.wrong += [f"item {i.sha256[:8]} is held by {i.owner}" for i in items if i.owner or i.lease_until]
    for snapshot in found.tables["snapshots"]:
        home.load_snapshot(snapshot.split()[0])  # raises when it is damaged
    _read_parts(home, archive, parts, verdicts, items, found)
    return found


def _read_parts(
    home: Home, archive: Path, parts: list[ResultPart], verdicts: list[Any], items: list[Any], found: Evidence
) -> None:
    rows: dict[str, list[dict[str, Any]]] = {"fingerprints": [], "provenance": []}
    contents: dict[str, set[str]] = {}
    readable: Counter[str] = Counter()
    for part in parts:
        try:
            data = home.folder.read(part.name)
        except Exception as error:
            found.wrong.append(f"{part.name} is in the manifest and cannot be read: {error}")
            continue
        if (len(data), hashlib.sha256(data).hexdigest()) != (part.bytes, part.sha256):
            found.wrong.append(f"{part.name} does not have its checksum")
            continue
        table = pq.read_table(io.BytesIO(data)).to_pylist()
        if len(table) != part.rows:
            found.wrong.append(f"{part.name} has {len(table)} rows, not {part.rows}")
        rows[part.kind] += table
        contents[part.id] = {row["sha256"] for row in table}
        if part.kind == "fingerprints":
            readable.update(file.sha256 for file in read_fingerprints(home.folder, part.name))
    names = _contents(archive)
    for row in rows["provenance"]:
        # A content with two names is found under whichever came first.
        if row["uri"] is not None and names.get(row["uri"]) != row["sha256"]:
            found.wrong.append(f"a provenance row of {row['sha256'][:8]} names {row['uri']}")
    keys = {"fingerprints": ("sha256", "spec_id", "burst", "crop")}
    keys["provenance"] = ("sha256", "spec_id", "snapshot_id", "start_s")
    for kind, table in rows.items():
        twice = [key for key, n in Counter(tuple(r[k] for k in keys[kind]) for r in table).items() if n > 1]
        found.wrong += [f"a {kind} row is there twice: {key}" for key in twice]
        found.tables[kind] = _sorted({k: v for k, v in row.items() if k not in FORGET} for row in table)
    found.wrong += [
        f"verdict on {v.sha256[:8]} cites a part without it"
        for v in verdicts
        if v.sha256 not in contents.get(v.part_id, ())
    ]
    found.wrong += [
        f"item {i.sha256[:8]} cites a part without it"
        for i in items
        if i.state == ItemState.DONE and i.sha256 not in contents.get(i.part_id, ())
    ]
    done = Counter(item.sha256 for item in items if item.state == ItemState.DONE)
    if readable != done:
        found.wrong.append(f"readers find {len(readable)} contents ({readable.total()}), {len(done)} are done")
    found.orphans = sorted(set(home.folder.names("parquet")) - {part.name for part in parts})


# Each finds nothing at any moment of any run, however it was disturbed, if a commit is all or nothing.
NEVER = {
    "is done and cites no part of the manifest": """
        SELECT 'item ' || substr(sha256, 1, 8) FROM work_item
        WHERE state = 'done' AND part_id NOT IN (SELECT id FROM result_part WHERE kind = 'fingerprints')""",
    "is done and has no verdict": """
        SELECT 'item ' || substr(sha256, 1, 8) FROM work_item AS item
        WHERE state = 'done' AND NOT EXISTS
        (SELECT * FROM verdict WHERE verdict.sha256 = item.sha256 AND verdict.spec_id = item.spec_id)""",
    "cites no part of the manifest": """
        SELECT 'verdict on ' || substr(sha256, 1, 8) FROM verdict
        WHERE part_id NOT IN (SELECT id FROM result_part WHERE kind = 'provenance')""",
}


def glance(home: Path) -> list[str]:
    """What a reader who comes at this very moment would find broken, before any later run could mend it."""
    database = home / "makersmark.sqlite"
    if not database.exists():
        return []
    connection = sqlite3.connect(f"file:{quote(str(database))}?mode=rw", uri=True, timeout=60, isolation_level=None)
    try:
        connection.execute("BEGIN")
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'snapshot'").fetchone()
        (jobs,) = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'result_part'").fetchone()
        if not tables or not jobs:
            return []  # killed before the tables were made
        parts = connection.execute("SELECT name, bytes, sha256 FROM result_part").fetchall()
        snapshots = connection.execute("SELECT id FROM snapshot WHERE published").fetchall()
        told = [f"{row[0]} {what}" for what, query in NEVER.items() for row in connection.execute(query)]
    finally:
        connection.close()
    for name, size, checksum in parts:
        path = home / name
        data = path.read_bytes() if path.is_file() else None
        if data is None or (len(data), hashlib.sha256(data).hexdigest()) != (size, checksum):
            told.append(f"{name} is in the manifest and {'is not there' if data is None else 'is damaged'}")
    told += [f"snapshot {s} is published and not there" for (s,) in snapshots if not _manifest(home, s).is_file()]
    return told


def _manifest(home: Path, snapshot: str) -> Path:
    return home / "snapshots" / snapshot / "manifest.json"


def _contents(archive: Path) -> dict[str, str]:
    return {f"file://{path}": fetch(str(path)).sha256 for path in archive.rglob("*") if path.is_file()}


def _columns(row: Any) -> dict[str, Any]:
    return {c.name: getattr(row, c.name) for c in row.__table__.columns if c.name not in FORGET}


def _sorted(rows: Any) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in rows)


def differences(expected: Evidence, found: Evidence) -> list[str]:
    """What the broken run lacks or has too much, and what is wrong with it anyway."""
    told = list(found.wrong)
    for name, rows in expected.tables.items():
        want, have = Counter(rows), Counter(found.tables.get(name, []))
        told += [f"{name}: lost {row[:200]}" for row in (want - have).elements()]
        told += [f"{name}: too much {row[:200]}" for row in (have - want).elements()]
    return told
