"""Homes filled through the real writers and the real ledger with fingerprints that no video had to be decoded for."""

from __future__ import annotations

import atexit
import functools
import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from sqlalchemy import select
from sqlalchemy.orm import Session

from fingerprint_db.fingerprint import DECODER_DIM, TEXTURE_DIM
from fingerprint_db.layout.profiles import PROFILE_NAMES
from fingerprint_db.matcher import Matcher
from fingerprint_db.window import WindowFingerprint
from jobs.decode.protocol import VideoFacts
from jobs.home import Home
from jobs.judge import judge_file
from jobs.ledger import Claim, Finding
from jobs.models import ItemState, Location, ResultPart, RetiredPart, WorkItem
from jobs.results import read_fingerprints, write_fingerprints, write_provenance
from jobs.scan import FileFingerprint, current_spec
from jobs.settings import Settings
from jobs.snapshots import current_snapshot, publish
from jobs.sweeps import FINISHED, finish_sweep, start_sweep
from tests.fingerprint_db.signatures import World

WORLD = World(seed=3, decoder_dim=DECODER_DIM, texture_dim=TEXTURE_DIM, windows=4)
# How many windows each content of each commit has.
SMALL = [[2, 3], [0], [1], [4, 1, 2]]
FACTS = VideoFacts(
    container="mp4",
    codec="h264",
    pixel_format="yuv420p",
    width=640,
    height=360,
    fps=25.0,
    frame_count=100,
    duration_s=4.0,
    bit_rate=700_000.0,
    bit_depth=8,
    rotation=0,
    interlaced=False,
    variable_frame_rate=False,
    hdr=False,
    has_audio=False,
    declared={"encoder": "somebody"},
)


def enroll(home: Home, sources: int = 4) -> None:
    """Two makers and camera footage, and the snapshot that knows them."""
    spec = current_spec(home.settings)
    for slug, kind in (("maker-a", "generator"), ("maker-b", "generator"), ("camera", "camera")):
        home.store.register_generator(slug, name=slug, kind=kind, family=None, origin="enrolled")
        home.store.add_signatures(
            [WORLD.record(slug, f"{slug} page {n}", spec_id=spec.id) for n in range(sources) for _ in range(2)]
        )
    publish(home, spec, notes="for tests")


@functools.cache
def template() -> tuple[Path, str]:
    """A home of four small commits, and the id of a second snapshot of it; made once, tests work on copies."""
    folder = Path(tempfile.mkdtemp(prefix="makersmark-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    home = Home(Settings(home=str(folder / "home"), workers=1))
    enroll(home)
    first = current_snapshot(home, current_spec(home.settings)).id
    second = publish(home, current_spec(home.settings), notes="another snapshot").id
    make_current(home, first)
    fill(home, SMALL)
    home.close()
    return folder / "home", second


def copy_of_template(folder: Path) -> Home:
    shutil.copytree(template()[0], folder)
    return Home(Settings(home=str(folder), workers=1))


def make_current(home: Home, snapshot_id: str) -> None:
    """Go back to a snapshot of this home, as it was published."""
    (entry,) = [entry for entry in home.store.snapshots() if entry.id == snapshot_id]
    home.store.publish_snapshot(entry.id, spec_id=entry.spec_id, counts=entry.counts, notes=entry.notes)


def content(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def file_of(number: int, windows: int) -> FileFingerprint:
    """One content's fingerprint; the same number gives the same."""
    rng = np.random.default_rng(number)
    maker = ("maker-a", "maker-b", "camera")[number % 3]
    mean = WORLD.mean(maker) * WORLD.scale + 3.0
    made = []
    for burst in range(windows):
        vector = (mean + WORLD.scale * rng.normal(size=mean.shape)).astype(np.float32)
        made.append(
            WindowFingerprint(
                burst=burst,
                crop=0,
                top=8,
                left=16,
                height=256,
                width=256,
                start_s=float(burst),
                end_s=burst + 0.6,
                decoder=vector[:DECODER_DIM],
                texture=vector[DECODER_DIM:],
                cues={"flicker": float(rng.normal())},
                traces={"change": rng.normal(size=16).astype(np.float32), "first": np.array([np.nan, 1], np.float32)},
                picture_types="IPBB" * 4,
                profiles={name: rng.normal(size=252).astype(np.float32) for name in PROFILE_NAMES},
            )
        )
    return FileFingerprint(content(number), 1000 + number, FACTS, 1.0, "" if windows else "too short", tuple(made))


def commit(home: Home, files: Sequence[FileFingerprint], *, claim: bool = True) -> str:
    """One commit of one sweep: a part of each kind, verdicts by the current snapshot. Returns the sweep."""
    spec = current_spec(home.settings)
    snapshot = current_snapshot(home, spec)
    matcher = Matcher(snapshot)
    sweep = start_sweep(home.engine, "/archive", spec, snapshot.id)
    judged = []
    for file in files:
        uri = f"file:///archive/{file.sha256[:12]}.mp4"
        with Session(home.engine) as session, session.begin():
            if session.get(Location, uri) is None:
                session.add(Location(uri=uri, size=file.size, etag="1", state="listed", attempts=0))
        if claim:
            assert home.ledger.claim(uri, file.sha256, file.size, spec.id, sweep) is Claim.GRANTED
        judged.append((file.sha256, uri, file, judge_file(matcher, file, spec.id)))
    options: dict[str, Any] = {"spec_id": spec.id, "sweep_id": sweep}
    parts = [write_provenance(home.folder, judged, snapshot_id=snapshot.id, **options)]
    if claim:
        parts.append(write_fingerprints(home.folder, list(files), **options))
    home.ledger.commit(
        parts,
        [Finding(sha256, file.facts_json(), 1.0, 4.0, verdict, 0.5) for sha256, _, file, verdict in judged],
        snapshot_id=snapshot.id,
        owner=sweep if claim else None,
        **options,
    )
    finish_sweep(home.engine, sweep, FINISHED, {})
    return sweep


def repeat(home: Home, files: Sequence[FileFingerprint]) -> None:
    """A committed part of each kind whose rows stand in earlier parts too; no verdict and no item points to it."""
    spec = current_spec(home.settings)
    snapshot = current_snapshot(home, spec)
    matcher = Matcher(snapshot)
    judged = [(file.sha256, None, file, judge_file(matcher, file, spec.id)) for file in files]
    provenance = write_provenance(home.folder, judged, spec_id=spec.id, sweep_id=None, snapshot_id=snapshot.id)
    with Session(home.engine) as session, session.begin():
        session.add_all([provenance, write_fingerprints(home.folder, list(files), spec_id=spec.id, sweep_id=None)])


def fill(home: Home, commits: Sequence[Sequence[int]], first: int = 0) -> None:
    """One commit for each list; its numbers say how many windows each new content has."""
    number = first
    for windows in commits:
        commit(home, [file_of(number + i, count) for i, count in enumerate(windows)])
        number += len(windows)


def rows(home: Home, kind: str) -> Counter[str]:
    """The multiset of all rows that the manifest vouches for, every column."""
    found: Counter[str] = Counter()
    with Session(home.engine) as session:
        names = list(session.scalars(select(ResultPart.name).where(ResultPart.kind == kind)))
    for name in names:
        with home.folder.reading(name) as path:
            found.update(repr(sorted(row.items())) for row in pq.read_table(path).to_pylist())
    return found


def everything(home: Home) -> tuple[Counter[str], Counter[str]]:
    return rows(home, "fingerprints"), rows(home, "provenance")


def unnamed(home: Home) -> set[str]:
    """Files below parquet/ that neither the manifest nor the retired parts name."""
    with Session(home.engine) as session:
        named = set(session.scalars(select(ResultPart.name))) | set(session.scalars(select(RetiredPart.name)))
    return {entry.uri for entry in home.folder.listing("parquet")} - named


def every_window_is_readable(home: Home) -> None:
    """Each done content comes out of the part its work item names, exactly as it was made."""
    query = select(WorkItem.sha256, ResultPart.name).join(ResultPart, ResultPart.id == WorkItem.part_id)
    made = {content(number): number for number in range(1000)}
    with Session(home.engine) as session:
        done = session.execute(query.where(WorkItem.state == ItemState.DONE.value)).all()
    for sha256, name in done:
        (file,) = read_fingerprints(home.folder, name, {sha256})
        wanted = file_of(made[sha256], len(file.windows))
        assert (file.size, file.shortfall, file.facts) == (wanted.size, wanted.shortfall, wanted.facts)
        for window, original in zip(file.windows, wanted.windows, strict=True):
            assert np.array_equal(window.decoder, original.decoder)
            assert np.array_equal(window.texture, original.texture)
            assert window.cues == original.cues
            assert window.picture_types == original.picture_types
            assert window.profiles.keys() == original.profiles.keys()
            assert all(np.array_equal(window.profiles[name], line) for name, line in original.profiles.items())
            assert window.traces.keys() == original.traces.keys()
            for name, series in original.traces.items():
                assert np.array_equal(window.traces[name], series, equal_nan=True)
