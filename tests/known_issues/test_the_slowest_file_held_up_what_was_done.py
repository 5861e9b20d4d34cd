"""Commits fell due only when a further file finished: what was done waited for the slowest file of the archive."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import jobs.scan
from jobs.home import Home
from jobs.settings import Settings
from tests.footage import make_video
from tests.jobs import state
from tests.jobs.conftest import run_sweep


def test_finished_files_are_committed_while_the_last_one_is_still_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    for name in ("slow.mp4", "quick.mp4"):
        make_video(archive / name, seed=len(name))
    home = Home(Settings(home=str(tmp_path / "home"), workers=2, commit_files=1000, commit_s=0.1))
    committed, fetch = threading.Event(), jobs.scan.fetch

    def held(uri: str, scratch: Path | None = None) -> Any:
        if uri.endswith("slow.mp4") and not committed.wait(60):
            raise RuntimeError("the other file was not committed")
        return fetch(uri, scratch)

    def watch() -> None:
        while not state.verdicts(home) and not over.wait(0.05):
            pass
        committed.set()

    over = threading.Event()
    watcher = threading.Thread(target=watch)
    monkeypatch.setattr(jobs.scan, "fetch", held)
    watcher.start()
    try:
        summary = run_sweep(home, archive)
    finally:
        over.set()
        watcher.join()
    assert summary.failures == {}
    assert len(state.verdicts(home)) == 2
