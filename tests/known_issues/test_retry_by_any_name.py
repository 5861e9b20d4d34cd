"""A content in quarantine could be released only by the alphabetically first of its names."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.home import Home
from jobs.quarantine import find, let_retry
from jobs.settings import Settings
from tests import footage
from tests.jobs.conftest import run_sweep


@pytest.fixture
def swept(tmp_path: Path) -> tuple[Home, Path]:
    folder = tmp_path / "archive"
    folder.mkdir()
    whole = footage.make_video(tmp_path / "whole.mp4")
    footage.truncate(whole, folder / "a.mp4", 0.6)
    shutil.copy(folder / "a.mp4", folder / "b.mp4")
    home = Home(Settings(home=str(tmp_path / "home"), workers=1))
    run_sweep(home, folder)
    return home, folder


@pytest.mark.parametrize("name", ["a.mp4", "b.mp4"])
def test_a_content_is_shown_and_released_by_each_of_its_names(swept: tuple[Home, Path], name: str) -> None:
    home, folder = swept
    (entry,) = find(home.engine, str(folder / name))
    assert [Path(uri).name for uri, _state in entry.locations] == ["a.mp4", "b.mp4"]
    assert len(let_retry(home.engine, [str(folder / name)])) == 1


@pytest.mark.parametrize("spell", [str.lower, str.upper], ids=["lower", "upper"])
def test_a_content_is_released_by_the_beginning_of_its_hash(
    swept: tuple[Home, Path], spell: Callable[[str], str]
) -> None:
    home, folder = swept
    (entry,) = find(home.engine, str(folder / "a.mp4"))
    assert entry.sha256 is not None
    assert let_retry(home.engine, [spell(entry.sha256[:7])]) == []
    assert len(let_retry(home.engine, [spell(entry.sha256[:8])])) == 1
