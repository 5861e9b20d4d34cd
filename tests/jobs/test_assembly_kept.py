"""How a film was put together is read from what a sweep kept: the same again from Parquet, without its file."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import pytest

from jobs.cli import main
from jobs.evidence import KINDS
from jobs.home import Home
from jobs.results import read_fingerprints
from jobs.settings import Settings
from tests.footage import make_video, repeated


def test_the_assembly_of_a_swept_film_is_read_again_from_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    archive, home = tmp_path / "archive", tmp_path / "home"
    archive.mkdir()
    reel = make_video(tmp_path / "reel.mp4", frames=25, size=(128, 128), gop=25)
    repeated(archive / "film.mp4", reel, 3)  # one scene three times over: a cut at every lap

    def said(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["makersmark", *arguments])
        capfd.readouterr()
        with contextlib.suppress(SystemExit):  # what went wrong shows in what was said
            main()
        return capfd.readouterr().out

    said("sweep", str(archive), "--home", str(home), "-j", "1")
    (verdict,) = json.loads(said("lookup", str(archive / "film.mp4"), "--home", str(home), "--json"))["verdicts"]
    shown = verdict["evidence"]["assembly"]
    assert shown["looked_at_s"] > 2
    assert set(shown) == {
        "interpolation", "seams", "seam_period", "cuts", "consistent_with", "looked_at_s", "joins_looked_at"
    }  # fmt: skip
    (archive / "film.mp4").unlink()
    opened = Home(Settings(home=str(home)))
    try:
        parts = sorted(path.relative_to(home) for path in home.rglob("*.parquet") if "fingerprints" in str(path))
        (file,) = read_fingerprints(opened.folder, str(parts[0]))
    finally:
        opened.close()
    assert KINDS["assembly"](file, None) == shown  # type: ignore[arg-type]
