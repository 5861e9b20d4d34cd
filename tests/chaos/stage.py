"""What every schedule starts from: a small real archive, its fingerprints decoded once, and homes to copy."""

from __future__ import annotations

import os
import pickle
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jobs.snapshots
from cluster.outcome import Failure, FailureError
from fingerprint_db.spec import FingerprintSpec
from fingerprint_db.window import WindowFingerprint
from jobs.archive import fetch
from jobs.home import Home
from jobs.scan import (
    ContentTicket,
    FileFingerprint,
    VideoWorker,
    WorkerSettings,
    current_spec,
    fingerprint_files,
    worker_factory,
)
from jobs.settings import Settings
from jobs.snapshots import publish, seed_catalogue
from tests.fingerprint_db.signatures import World
from tests.footage import audio_only, make_video, text_named_mp4, truncate

Stored = dict[str, FileFingerprint | Failure]
FIRST, SECOND = "chaos-one", "chaos-two"
# published: ready for a sweep. swept: a generator is to be enrolled and everything judged again. seeded: signatures,
# but no snapshot published yet. bare: no database at all. The first two do one act, the others both.
STARTS = ("published", "swept", "seeded", "bare")


def settings_at(home: Path) -> Settings:
    """Two workers and two files a commit, so that one sweep of the small archive commits several times."""
    return Settings(home=str(home), workers=2, commit_files=2, lease_s=300.0, max_attempts=3)


def make_archive(folder: Path) -> None:
    """Six good videos, one of them too small to fingerprint, a duplicate, and four files that are none."""
    folder.mkdir(parents=True)
    make_video(folder / "one.mp4", seed=1)
    make_video(folder / "two.mkv", seed=2)
    make_video(folder / "three.webm", seed=3, frames=24)
    for number in range(4, 6):
        make_video(folder / f"short {number}.mp4", seed=number, frames=18)
    make_video(folder / "tiny.mp4", seed=7, frames=4, size=(64, 48))  # a finding without a window
    (folder / "sub").mkdir()
    shutil.copy(folder / "one.mp4", folder / "sub" / "copy of one.mp4")
    truncate(folder / "one.mp4", folder / "cut.mp4", 0.5)
    text_named_mp4(folder / "letter.mp4")
    audio_only(folder / "song.mp4")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "readme.txt").write_text("passed over")


def decode_once(archive: Path, target: Path) -> None:
    """Run the real worker over the archive and keep what it says.

    The vectors of good videos are replaced by synthetic ones of known classes (some with two halves), so that a small
    snapshot gives verdicts with families, generators and several segments; facts, coverage and failures stay real.
    """
    world = World(seed=5)
    stored: Stored = {}
    paths = sorted(path for path in archive.rglob("*") if path.suffix in (".mp4", ".mkv", ".webm"))
    uris = {f"file://{path}": fetch(str(path)).sha256 for path in paths}
    for number, (uri, result) in enumerate(sorted(fingerprint_files(uris, Settings(workers=2)), key=lambda p: p[0])):
        if isinstance(result, FileFingerprint) and result.windows:
            result = replace(result, windows=_windows(world, number))
        stored.setdefault(uris[uri], result)
    target.write_bytes(pickle.dumps((stored, _records(world))))


def _windows(world: World, number: int) -> tuple[WindowFingerprint, ...]:
    names = [FIRST, "camera", SECOND]
    first = world.windows_of(names[number % 3], f"{names[number % 3]}/page-0")
    other = world.windows_of(names[(number + 1) % 3], f"{names[(number + 1) % 3]}/page-1")
    moved = [replace(w, burst=w.burst + 3, start_s=w.start_s + 3, end_s=w.end_s + 3) for w in other]
    return (*first, *moved) if number % 2 else tuple(first)


def _records(world: World) -> list[Any]:
    return [record for name in (FIRST, SECOND, "camera") for record in world.records(name, sources=4, clips=3)]


def load(target: Path, spec: FingerprintSpec) -> tuple[Stored, dict[str, list[Any]]]:
    """The stored fingerprints and the signatures a generator, under this spec."""
    stored, records = pickle.loads(target.read_bytes())
    by_name: dict[str, list[Any]] = {}
    for record in records:
        by_name.setdefault(record.generator, []).append(replace(record, spec_id=spec.id))
    return stored, by_name


def without_starter() -> None:
    """Have this process judge by no snapshot that ships: the stage's vectors are short.

    Called, not done on import: a test that imported a name from here made its whole process forget the starter.
    """
    jobs.snapshots.load_starter_snapshot = lambda _spec_id: None


def make_homes(folder: Path, records: dict[str, list[Any]]) -> None:
    """One home for each of STARTS but ``swept``, closed, so that its SQLite file can be copied."""
    (folder / "bare").mkdir(parents=True)
    for start in ("seeded", "published"):
        home = Home(settings_at(folder / start))
        spec = current_spec(home.settings)
        seed_catalogue(home.store)
        home.store.register_generator(FIRST, name=FIRST, family="family-one", origin="enrolled")
        home.store.register_generator(SECOND, name=SECOND, family="family-two", origin="enrolled")
        home.store.add_signatures([*records[FIRST], *records["camera"]])
        if start == "published":
            publish(home, spec, notes="first")
        home.close()


class ReplayWorker(VideoWorker):
    """Fetches and hashes as the real worker does; the decoding and fingerprinting were done before."""

    def __init__(self, settings: WorkerSettings, stored: Stored) -> None:
        super().__init__(settings)
        self._stored = stored

    def _fingerprint(self, path: str, ticket: ContentTicket) -> FileFingerprint:
        assert os.path.isfile(path), "the fetched copy is gone"
        result = self._stored[ticket.sha256]
        if isinstance(result, Failure):
            raise FailureError(result)
        return result


def replaying_factory(stored: Stored) -> Any:
    """In place of jobs.scan.worker_factory."""

    def factory(settings: Settings, spec: FingerprintSpec) -> partial[ReplayWorker]:
        real = worker_factory(settings, spec)
        return partial(ReplayWorker, *real.args, stored=stored)

    return factory
