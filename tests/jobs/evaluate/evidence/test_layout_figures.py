"""Figures on strides and tiles: each file against other sources, on known readings and on real small files."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fingerprint_db.layout.findings import Readings
from fingerprint_db.layout.lattice import STRIDES, Found
from fingerprint_db.layout.ranges import load_ranges
from fingerprint_db.layout.tiles import TileSeams, Tiling
from jobs.encode import CodecChain, write_video
from jobs.evaluate.evidence import EvidenceOptions, layout, layout_tiles, measure_evidence
from jobs.evaluate.evidence.layout import rate, right
from jobs.evaluate.evidence.layout_files import Held, Seen, table_of
from jobs.evaluate.manifest import Label
from jobs.settings import Settings
from tests.fingerprint_db.planted import film


def _seen(source: str, lattice: float, *, tiles: float = 1.0, label: Label = Label.CAMERA, period: float = 5.2) -> Seen:
    rng = np.random.default_rng(abs(int(lattice * 1000)))
    lines = {stride: float(rng.normal(1, 0.2)) for stride in STRIDES}
    seams = TileSeams(Tiling(192, 192, ("wan-vae",)), tiles, 3, (("x", 192, tiles),))
    read = Readings(Found(period, lattice, 2), lines, seams, None, None, None, 252, 252)
    return Seen(f"{source}-{lattice}", label, "camera", source, "as it is", (640, 360), read, lattice, 8)


def _camera(*, odd: float = 0.0) -> list[Seen]:
    found = [_seen(f"s{i % 20}", 2 + i / 120, tiles=1 + i / 240) for i in range(240)]
    return [*found, *(_seen("odd", odd + i / 10, tiles=1) for i in range(3) if odd)]


def test_a_file_is_held_against_other_sources_only() -> None:
    seen = _camera(odd=9.0)
    held = Held(seen)
    assert max(held.without("odd").scores["scaled_lattice"]) < 5
    assert max(held.without("s1").scores["scaled_lattice"]) > 9
    assert held.without("a page without camera footage") is held.without("another")
    assert held.findings(seen[-1])["spatial_stride"]["said"]  # its own source would have hidden it
    # Beside the odd ones: of 240 files, those that no other exceeds in one of two searches.
    assert 3 / 243 <= rate(seen, held, "spatial_stride") <= 9 / 243  # type: ignore[operator]
    assert rate(seen, held, "tiles") <= 4 / 243  # type: ignore[operator]
    assert rate(seen, held, "first_frame") is None  # nothing was measured of it


def test_a_stride_counts_as_found_by_its_period_or_a_harmonic_of_it_and_only_when_said() -> None:
    said = {"said": True, "period_px": 8.05}
    assert right(said, 8, exactly=True)
    assert right(said, 16)
    assert not right(said, 16, exactly=True)
    assert not right({"said": True, "period_px": 5.0}, 8)
    assert not right({"said": True, "period_px": 16.0}, 8)  # a period longer than the stride is none of its own
    assert not right({"said": False, "period_px": 8.0}, 8)


def test_tiles_and_lattices_beyond_all_camera_footage_are_said() -> None:
    held = Held(_camera())
    found = held.findings(_seen("new", 11.0, tiles=8.0, label=Label.PROCESSED, period=6.0))
    assert found["spatial_stride"]["said"]
    assert found["spatial_stride"]["stride"] == 8
    assert found["tiles"]["said"]
    assert found["tiles"]["documented_for"] == ["wan-vae"]


def test_a_handful_of_camera_files_makes_no_range() -> None:
    with pytest.raises(ValueError, match="fewer than ten"):
        table_of(_camera()[:9])


def test_real_files_are_measured_end_to_end_and_the_table_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(f"c{i}.mp4", "camera", "", f"page{i % 4}") for i in range(14)] + [("g.mp4", "generated", "Wan", "page9")]
    for i, (name, *_) in enumerate(rows):
        frames = [np.repeat(np.clip(f, 0, 255).astype(np.uint8)[..., None], 3, 2) for f in film(96, 128, 4, seed=i)]
        write_video(tmp_path / name, frames, fps=Fraction(25), chain=CodecChain("x264", 23, preset="veryfast"))
    with (tmp_path / "manifest.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "label", "generator", "source"), *rows])
    monkeypatch.setattr(layout, "FORMS", ())
    monkeypatch.setattr(layout_tiles, "TILE_SIDES", (96, 128))
    monkeypatch.setattr(layout_tiles, "TILE_CLIPS", 1)
    options = EvidenceOptions(tmp_path / "cache", out=tmp_path / "out")
    (tmp_path / "out").mkdir()
    report = measure_evidence(
        "layout", tmp_path / "manifest.csv", Settings(workers=1), options=options, console=Console(quiet=True)
    )
    figures = {figure.name: figure for figure in report.figures}
    assert figures["spatial_stride said of camera footage"].n == "14 files of 4 sources"
    assert figures["stride found or a harmonic of it, all"].n == "1 files of 1 sources"
    assert figures["tiles found, model, tiles hard, x264-crf23"].n == "1 files of 1 sources"
    assert len(report.detail["files"]) == 15 + 9
    table = load_ranges(tmp_path / "out" / "layout_camera.json")
    assert table.provenance["files"] == 14
    assert len(table.scores["scaled_lattice"]) == 14
