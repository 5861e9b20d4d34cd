"""A small real archive with everything in it that an archive has, and homes to sweep it into."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from jobs.home import Home
from jobs.settings import Settings
from jobs.sweep import SweepSummary, sweep
from tests.footage import audio_only, make_video, text_named_mp4, truncate

QUIET = Console(quiet=True)


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once: three good videos, a duplicate, and four files that are none."""
    folder = tmp_path_factory.mktemp("footage")
    make_video(folder / "one.mp4", seed=1)
    make_video(folder / "two.mkv", seed=2, codec="libx265")
    make_video(folder / "three.webm", seed=3)
    (folder / "sub").mkdir()
    shutil.copy(folder / "one.mp4", folder / "sub" / "copy of one.mp4")
    truncate(folder / "one.mp4", folder / "cut.mp4", 0.5)
    text_named_mp4(folder / "letter.mp4")
    audio_only(folder / "song.mp4")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "readme.txt").write_text("passed over")
    return folder


@pytest.fixture
def archive(footage: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(footage, tmp_path / "archive")
    return tmp_path / "archive"


@pytest.fixture
def home_at(tmp_path: Path) -> Callable[..., Home]:
    """Opens homes below the test's folder."""

    def make(name: str = "home", **settings: Any) -> Home:
        return Home(Settings(home=str(tmp_path / name), **{"workers": 1, **settings}))

    return make


def run_sweep(home: Home, archive: Path | str, **options: Any) -> SweepSummary:
    """The main job without a terminal."""
    return sweep(home, str(archive), console=QUIET, **options)
