"""What is fixed to a film's frames is read from what a sweep kept, and from old parts nothing is read."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from jobs.cli import main
from jobs.encode import CodecChain, write_video
from jobs.evidence import KINDS
from jobs.home import Home
from jobs.results import read_fingerprints
from jobs.schemas import VERSION_KEY
from jobs.settings import Settings
from tests.fingerprint_db.planted import film, with_lattice


def _said(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["makersmark", *arguments])
    capfd.readouterr()
    with contextlib.suppress(SystemExit):  # what went wrong shows in what was said
        main()
    return capfd.readouterr().out


def test_a_planted_lattice_is_found_in_a_swept_film_and_read_again_from_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    archive, home = tmp_path / "archive", tmp_path / "home"
    archive.mkdir()
    luma = np.clip(with_lattice(film(288, 288, frames=16), 6.0, 0.8), 0, 255).astype(np.uint8)
    frames = [np.repeat(frame[..., None], 3, axis=2) for frame in luma]
    write_video(archive / "film.mp4", frames, fps=Fraction(25), chain=CodecChain("x264", 18))
    _said(monkeypatch, capfd, "sweep", str(archive), "--home", str(home), "-j", "1")
    arguments = ("lookup", str(archive / "film.mp4"), "--home", str(home))
    (verdict,) = json.loads(_said(monkeypatch, capfd, *arguments, "--json"))["verdicts"]
    shown = verdict["evidence"]["layout"]
    spatial = shown["spatial_stride"]
    assert spatial["said"]
    assert spatial["period_px"] == pytest.approx(6.0, rel=0.01)
    assert (spatial["stride"], spatial["scale"]) == (8, pytest.approx(0.75, rel=0.01))
    assert not shown["tiles"]["said"]
    assert shown["looked_at"] == {"columns": [246, 288], "rows": [246, 288]}
    assert "fixed to the frame: a lattice of 6" in _said(monkeypatch, capfd, *arguments)

    (archive / "film.mp4").unlink()
    opened = Home(Settings(home=str(home)))
    try:
        (part,) = [path for path in home.rglob("*.parquet") if "fingerprints" in str(path)]
        name = str(part.relative_to(home))
        (file,) = read_fingerprints(opened.folder, name)
        assert KINDS["layout"](file, None) == shown  # type: ignore[arg-type]
        # A part of schema version 2, as they were written before there were profiles.
        table = pq.read_table(part).drop_columns(["profiles"])
        sink = io.BytesIO()
        pq.write_table(table.replace_schema_metadata({VERSION_KEY: b"2"}), sink)
        part.write_bytes(sink.getvalue())
        (old,) = read_fingerprints(opened.folder, name)
    finally:
        opened.close()
    assert old.windows
    assert all(not window.profiles for window in old.windows)
    assert KINDS["layout"](old, None) is None  # type: ignore[arg-type]
