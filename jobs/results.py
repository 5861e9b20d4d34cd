"""Parquet parts: findings to bytes on the way out, windows and provenance back on the way in."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import operator
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fingerprint_db.verdict import Verdict
from fingerprint_db.window import WindowFingerprint
from jobs.archive import Folder
from jobs.decode.protocol import VideoFacts
from jobs.errors import FailureKind, HomeError, StoreError
from jobs.models import ResultPart, utc_now
from jobs.scan import FileFingerprint
from jobs.schemas import FINGERPRINTS, PROVENANCE, SCHEMA_VERSION, VERSION_KEY

REMEDY = "restore it from a backup, or let `makersmark audit --repair` say what can be done without it"
READ_ROWS = 1024  # at a time: a window is some kilobytes, as Python objects about ten times that


class MissingPartError(HomeError):
    """A committed part is not where SQL says it lies."""


class SchemaVersionError(HomeError):
    """A Parquet part was written by a newer Makersmark."""


def write_fingerprints(
    home: Folder, files: Sequence[FileFingerprint], *, spec_id: str, sweep_id: str | None
) -> ResultPart:
    """Write one fingerprints part, one row a window; a file without windows leaves one marker row."""
    rows = [row for file in files for row in _window_rows(file, spec_id, sweep_id)]
    return _write(home, "fingerprints", FINGERPRINTS, rows, spec_id, sweep_id)


def write_provenance(
    home: Folder,
    judged: Iterable[tuple[str, str | None, FileFingerprint, Verdict]],
    *,
    spec_id: str,
    snapshot_id: str,
    sweep_id: str | None,
) -> ResultPart:
    """Write one provenance part, one row a segment. judged: (sha256, uri, fingerprint, verdict)."""
    rows: list[dict[str, Any]] = []
    for sha256, uri, file, verdict in judged:
        rows.extend(_segment_rows(sha256, uri, file, verdict, spec_id, snapshot_id, sweep_id))
    return _write(home, "provenance", PROVENANCE, rows, spec_id, sweep_id)


def remove_part(home: Folder, name: str) -> None:
    """Take back a part that no transaction names."""
    home.remove(name)


def read_fingerprints(home: Folder, name: str, contents: set[str] | None = None) -> Iterator[FileFingerprint]:
    """The files of one fingerprints part (only some contents when given), windows in burst and crop order.

    Reads in pieces, since a compacted part may be larger than memory; a content's rows lie together in a part.
    Raises StoreError when the part cannot be read, HomeError when it is missing or damaged, SchemaVersionError when it
    is newer than this code.
    """
    try:
        with home.reading(name) as path, pq.ParquetFile(path) as part:
            check_version(part, name)
            rows = _rows(part, contents)
            for sha256, own in itertools.groupby(rows, key=operator.itemgetter("sha256")):
                yield _file(sha256, sorted(own, key=operator.itemgetter("burst", "crop")))
    except StoreError as error:
        if error.failure.kind != FailureKind.NOT_FOUND:
            raise
        raise MissingPartError(f"the committed part {name} is missing from the home; {REMEDY}") from error
    except (pa.ArrowException, OSError) as error:
        raise HomeError(f"the committed part {name} is damaged; {REMEDY}") from error


def check_version(part: pq.ParquetFile, name: str) -> None:
    """Raise SchemaVersionError when a part was written by a newer Makersmark."""
    version = int((part.schema_arrow.metadata or {}).get(VERSION_KEY, b"0"))
    if version > SCHEMA_VERSION:
        raise SchemaVersionError(
            f"the part {name} has schema version {version}, this Makersmark knows {SCHEMA_VERSION}; upgrade it"
        )


def _rows(part: pq.ParquetFile, contents: set[str] | None) -> Iterator[dict[str, Any]]:
    wanted = None if contents is None else pa.array(sorted(contents), pa.string())
    for batch in part.iter_batches(batch_size=READ_ROWS):
        if wanted is not None:
            batch = batch.filter(pc.is_in(batch.column("sha256"), value_set=wanted))
        yield from batch.to_pylist()


def _file(sha256: str, rows: Sequence[Mapping[str, Any]]) -> FileFingerprint:
    kept = json.loads(rows[0]["facts"])
    return FileFingerprint(
        sha256=sha256,
        size=kept["size"],
        facts=facts_from_json(kept["facts"]),
        coverage=rows[0]["coverage"],
        shortfall=kept["shortfall"],
        windows=tuple(_window(row) for row in rows if row["burst"] >= 0),
    )


def facts_from_json(raw: Mapping[str, Any]) -> VideoFacts:
    """VideoFacts as stored in SQL and Parquet."""
    return VideoFacts(**{**raw, "notes": tuple(raw.get("notes", ()))})


def _window_rows(file: FileFingerprint, spec_id: str, sweep_id: str | None) -> Iterator[dict[str, Any]]:
    kept = {"size": file.size, "shortfall": file.shortfall, "facts": asdict(file.facts)}
    shared = {
        "sha256": file.sha256,
        "spec_id": spec_id,
        "sweep_id": sweep_id,
        "coverage": file.coverage,
        "facts": json.dumps(kept, sort_keys=True),
    }
    if not file.windows:
        # A video too short or too small to fingerprint is still a finding, and rematch must see it again.
        empty = {"burst": -1, "crop": -1, "top": 0, "left": 0, "height": 0, "width": 0, "start_s": 0.0, "end_s": 0.0}
        yield {**shared, **empty, "decoder": [], "texture": [], "cues": []}
    for window in file.windows:
        yield {
            **shared,
            "burst": window.burst,
            "crop": window.crop,
            "top": window.top,
            "left": window.left,
            "height": window.height,
            "width": window.width,
            "start_s": window.start_s,
            "end_s": window.end_s,
            "decoder": window.decoder,
            "texture": window.texture,
            "cues": list(window.cues.items()),
            # A frame without a value is null: SQL would take NaN for the largest of numbers.
            "traces": [
                (name, [None if value != value else value for value in series.tolist()])
                for name, series in window.traces.items()
            ],
            "picture_types": window.picture_types,
            "profiles": [(name, profile.tolist()) for name, profile in window.profiles.items()],
        }


def _window(row: Mapping[str, Any]) -> WindowFingerprint:
    return WindowFingerprint(
        burst=row["burst"],
        crop=row["crop"],
        top=row["top"],
        left=row["left"],
        height=row["height"],
        width=row["width"],
        start_s=row["start_s"],
        end_s=row["end_s"],
        decoder=np.asarray(row["decoder"], dtype=np.float32),
        texture=np.asarray(row["texture"], dtype=np.float32),
        cues=dict(row["cues"]),
        # Parts of schema version 1 have none of these, those of version 2 no profiles.
        traces={name: np.asarray(values, np.float32) for name, values in row.get("traces") or ()},
        picture_types=row.get("picture_types") or "",
        profiles={name: np.asarray(values, np.float32) for name, values in row.get("profiles") or ()},
    )


def _segment_rows(
    sha256: str,
    uri: str | None,
    file: FileFingerprint,
    verdict: Verdict,
    spec_id: str,
    snapshot_id: str,
    sweep_id: str | None,
) -> Iterator[dict[str, Any]]:
    shared = {
        "sha256": sha256,
        "uri": uri,
        "spec_id": spec_id,
        "snapshot_id": snapshot_id,
        "sweep_id": sweep_id,
        "verdict": verdict.verdict.value,
        "reason": verdict.reason,
        "family": verdict.family,
        "generator": verdict.generator,
        "llr": verdict.llr,
        "p_value": verdict.p_value,
        "margin": verdict.margin,
        "coverage": file.coverage,
        "duration_s": file.facts.duration_s,
        "nearest": [asdict(neighbour) for neighbour in verdict.nearest],
        "cues": list(verdict.cues.items()),
        "declared": list(file.facts.declared.items()),
        "evidence": json.dumps(verdict.evidence, sort_keys=True),
    }
    if not verdict.segments:
        yield shared
    for segment in verdict.segments:
        yield {
            **shared,
            "start_s": segment.start_s,
            "end_s": segment.end_s,
            "segment_verdict": segment.verdict.value,
            "segment_family": segment.family,
            "segment_generator": segment.generator,
            "segment_llr": segment.llr,
        }


def part_name(kind: str, day: str, identity: str) -> str:
    """Where a part lies in its home. day: ``YYYY-MM-DD`` of the sweep."""
    return f"parquet/{kind}/sweep_date={day}/part-{identity}.parquet"


def _write(
    home: Folder, kind: str, schema: pa.Schema, rows: list[dict[str, Any]], spec_id: str, sweep_id: str | None
) -> ResultPart:
    identity = uuid.uuid4().hex
    now: datetime = utc_now()
    name = part_name(kind, f"{now:%Y-%m-%d}", identity)
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink, compression="zstd")
    data = sink.getvalue()
    home.write(name, data)
    return ResultPart(
        id=identity,
        kind=kind,
        name=name,
        rows=len(rows),
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        schema_version=SCHEMA_VERSION,
        spec_id=spec_id,
        sweep_id=sweep_id,
        committed_at=now,
    )
