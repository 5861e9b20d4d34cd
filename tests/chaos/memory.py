"""``python -m tests.chaos.memory``: the driver's resident memory along a long sweep whose fingerprints are replayed."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

import jobs.sweep
from jobs.decode.protocol import VideoFacts
from jobs.home import Home
from jobs.ledger import Ledger
from jobs.scan import ContentTicket, FileFingerprint, VideoWorker, worker_factory
from jobs.settings import Settings
from jobs.sweep import sweep
from tests.chaos.stage import decode_once, load, make_archive, make_homes, without_starter

EVERY = 10  # commits between two samples


class Replay(VideoWorker):
    """Gives one stored fingerprint to every content it is shown; fetching and hashing are real."""

    def __init__(self, settings: Any, stored: FileFingerprint) -> None:
        super().__init__(settings)
        self._stored = stored

    def _fingerprint(self, path: str, ticket: ContentTicket) -> FileFingerprint:
        return replace(self._stored, sha256=ticket.sha256, size=ticket.size)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.memory", description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--stage", help="a folder of tests.chaos whose stored fingerprints are used again")
    options = parser.parse_args()
    without_starter()
    folder = Path(tempfile.mkdtemp(prefix="makersmark-memory-"))
    kept = Path(options.stage) / "stored.pickle" if options.stage else folder / "stored.pickle"
    if not kept.exists():
        make_archive(folder / "footage")
        decode_once(folder / "footage", kept)
    settings = Settings(home=str(folder / "homes" / "published"), workers=2)
    stored, records = load(kept, jobs.sweep.current_spec(settings))
    make_homes(folder / "homes", records)
    fingerprint = next(f for f in stored.values() if isinstance(f, FileFingerprint) and len(f.windows) > 6)
    assert isinstance(fingerprint.facts, VideoFacts)
    (folder / "archive").mkdir()
    for number in range(options.files):
        (folder / "archive" / f"{number:05}.mp4").write_bytes(b"%08d" % number * 64)

    def factory(settings: Settings, spec: Any) -> Any:
        return partial(Replay, *worker_factory(settings, spec).args, stored=fingerprint)

    process, samples = psutil.Process(), list[float]()
    commit, commits = Ledger.commit, 0

    def sampled(self: Ledger, *arguments: Any, **named: Any) -> None:
        nonlocal commits
        commit(self, *arguments, **named)
        commits += 1
        if commits % EVERY == 0:
            samples.append(process.memory_info().rss / (1 << 20))
            print(f"{commits * settings.commit_files:6} files {samples[-1]:8.1f} MiB", flush=True)

    jobs.sweep.worker_factory = factory
    Ledger.commit = sampled  # type: ignore[method-assign]
    home = Home(settings)
    summary = sweep(home, str(folder / "archive"), console=Console(quiet=True))
    home.close()
    assert summary.fingerprinted == options.files, summary.as_dict()
    half = len(samples) // 2
    print(f"first half's mean {sum(samples[:half]) / half:.1f} MiB, last sample {samples[-1]:.1f} MiB")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
