"""What a home holds, in a form in which two homes can be compared: no ids, no times, no order."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs.home import Home
from jobs.models import Location, ResultPart, SegmentMatch, VerdictRow, WorkItem

FORGET = {"sweep_id", "id", "part_id", "decided_at", "verdict_id", "updated_at", "owner", "lease_until", "wall_s"}


MISSING = "nothing"


def verdicts(home: Home) -> list[dict[str, Any]]:
    with Session(home.engine) as session:
        found = []
        for row in session.scalars(select(VerdictRow)):
            segments = session.scalars(
                select(SegmentMatch).where(SegmentMatch.verdict_id == row.id).order_by(SegmentMatch.ordinal)
            )
            found.append({**_columns(row), "segments": [_columns(segment) for segment in segments]})
        return sorted(found, key=lambda entry: (entry["sha256"], entry["snapshot_id"]))


def items(home: Home) -> dict[str, tuple[str, str | None]]:
    with Session(home.engine) as session:
        return {row.sha256: (row.state, row.failure_kind) for row in session.scalars(select(WorkItem))}


def locations(home: Home) -> dict[str, tuple[str, str | None]]:
    with Session(home.engine) as session:
        return {Path(row.uri).name: (row.state, row.failure_kind) for row in session.scalars(select(Location))}


def parts(home: Home, kind: str) -> list[ResultPart]:
    with Session(home.engine) as session:
        return list(session.scalars(select(ResultPart).where(ResultPart.kind == kind)))


def rows(home: Home, kind: str) -> list[dict[str, Any]]:
    """Every Parquet row that the SQL manifest vouches for, sorted."""
    found: list[dict[str, Any]] = []
    for part in parts(home, kind):
        table = pq.read_table(io.BytesIO(home.folder.read(part.name)))
        assert table.num_rows == part.rows
        found.extend({name: row[name] for name in row if name not in FORGET | {"uri"}} for row in table.to_pylist())
    return sorted(found, key=lambda row: repr([row.get(k) for k in ("sha256", "burst", "crop", "start_s")]))


def differences(one: Home, other: Home) -> list[str]:
    """What two homes do not have in common, field by field; numbers in full, so that a last bit shows."""
    told = [*_apart("items", items(one), items(other)), *_apart("locations", locations(one), locations(other))]
    keys = {"verdicts": ("sha256", "snapshot_id"), "fingerprints": ("sha256", "burst", "crop")}
    keys["provenance"] = ("sha256", "snapshot_id", "start_s")
    for kind, key in keys.items():
        mine, theirs = (verdicts(h) if kind == "verdicts" else rows(h, kind) for h in (one, other))
        told += _apart(kind, _by(mine, key), _by(theirs, key))
    return told


def _by(found: list[dict[str, Any]], key: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:
    """Lists, so that a row that is there twice differs from one that is there once."""
    kept: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        kept.setdefault(" ".join(str(row[name])[:8] for name in key), []).append(row)
    return kept


def _apart(where: str, one: Any, other: Any) -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted({*one, *other}, key=str)
        return [line for n in names for line in _apart(f"{where} > {n}", one.get(n, MISSING), other.get(n, MISSING))]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [line for n, pair in enumerate(zip(one, other, strict=True)) for line in _apart(f"{where}[{n}]", *pair)]
    same = one == other or (isinstance(one, float) and isinstance(other, float) and one != one and other != other)
    return [] if same else [f"{where}: {str(one)[:200]} here, {str(other)[:200]} there"]


def _columns(row: Any) -> dict[str, Any]:
    return {c.name: getattr(row, c.name) for c in row.__table__.columns if c.name not in FORGET}
