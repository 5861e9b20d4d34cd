"""The figures of the assembly evidence, on camera clips made here: counted rightly, bounded, and taken up again."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from rich.console import Console

from jobs.bench.specimens import Plan, Source, chosen
from jobs.encode import CodecChain, write_video
from jobs.evaluate.evidence import EvidenceOptions, assembly, measure_evidence
from jobs.measured import Figure, MeasuredReport
from jobs.settings import Settings
from tests.jobs.bench.test_assembled import frames

X264 = CodecChain("x264", 23, gop=250)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    rows = ["path,label,generator,source"]
    for seed in (0, 1, 2):
        write_video(tmp_path / f"{seed}.mp4", frames(50, seed), fps=Fraction(25), chain=CodecChain("x264", 12))
        rows.append(f"{seed}.mp4,camera,,page-{seed % 2}")
    (tmp_path / "clip.gif").write_bytes(b"GIF89a")
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    rows += ["clip.gif,camera,,page-3", "broken.mp4,camera,,page-4"]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    return tmp_path / "manifest.csv"


def measured(manifest: Path, cache: Path) -> MeasuredReport:
    options = EvidenceOptions(cache)
    return measure_evidence("assembly", manifest, Settings(), options=options, console=Console(quiet=True))


def test_figures_are_counted_on_files_made_from_camera_clips(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The full plan takes hours of making; what is measured of these recipes is the same.
    short = (Plan(("camera",), (X264,)), Plan(("blend-x2", "double", "chunks-16"), (X264,), pages=2))
    monkeypatch.setattr(assembly, "plans", lambda: short)
    report = measured(manifest, tmp_path / "cache")
    by_name: dict[str, Figure] = {figure.name: figure for figure in report.figures}

    def of(name: str) -> tuple[float | None, str]:
        return by_name[name].value, by_name[name].n

    assert of("camera footage called interpolated, CRF 23") == (0.0, "3 files of 2 sources")
    assert by_name["camera footage called interpolated, CRF 23"].high == pytest.approx(1 - 0.025 ** (1 / 3))
    assert of("blend-x2 flagged, CRF 23") == (1.0, "2 files of 2 sources")
    assert of("double called repeated, CRF 23") == (1.0, "2 files of 2 sources")
    assert of("repeats told from interpolation, of what was flagged at all")[0] == 1.0
    assert of("RIFE x2 flagged, CRF 23") == (None, "0 files of 0 sources")
    false = by_name["false seams a minute, camera all of these"]
    assert false.value == 0.0
    minutes = float(false.n.split()[0])
    assert minutes == pytest.approx(6 * 48 / 25 / 60, abs=0.005)  # three clips, encoded and as published
    assert false.high == pytest.approx(3.689 / (6 * 48 / 25 / 60), rel=1e-3)
    assert any("1 GIFs" in note for note in report.notes)
    assert any("broken.mp4" in note for note in report.notes)
    lines = report.detail["files"]
    assert {line["chain"] for line in lines} == {"crf23", "published"}
    made = sorted((tmp_path / "cache").rglob("*.mp4"))
    stamps = [path.stat().st_mtime_ns for path in made]
    assert len(made) == 3 + 2 * 3
    again = measured(manifest, tmp_path / "cache")
    assert json.dumps(again.to_json()) == json.dumps(report.to_json())
    assert [path.stat().st_mtime_ns for path in made] == stamps


def test_one_clip_of_every_source_comes_before_a_second() -> None:
    sources = [Source(name, name[0], Path(name), Fraction(25)) for name in ("a1", "a2", "a3", "b1", "c1", "c2")]
    assert [source.name for source in chosen(sources, 4)] == ["a1", "b1", "c1", "a2"]
    assert [source.name for source in chosen(sources, 0)] == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_a_threshold_of_other_sources_is_never_ones_own() -> None:
    class Read:
        def __init__(self, page: str, score: float) -> None:
            self.page, self.score = page, score

    camera = [Read("a", 5.0), Read("a", 1.0), Read("b", 2.0)]
    made = [Read("a", 3.0), Read("b", 3.0)]
    hits, alarms = assembly._held_out(made, camera, lambda read: read.score)  # type: ignore[arg-type]
    assert hits == [True, False]
    assert alarms == [True, False, False]
