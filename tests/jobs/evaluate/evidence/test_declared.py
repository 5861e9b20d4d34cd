"""What declared signs are worth, measured on real files: sources held out, thresholds chosen elsewhere, cuts noted."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from fingerprint_db.declared import Statistics
from fingerprint_db.declared_fits import Scorer
from fingerprint_db.overlays import Looked, Overlay
from jobs.evaluate.evidence import EvidenceOptions, declared, marks, measure_evidence
from jobs.evaluate.evidence.declared import cut_clips, nested
from jobs.evaluate.evidence.declared_figures import Answer, share
from jobs.evaluate.evidence.marks import Marked
from jobs.evaluate.manifest import Clip, Label
from jobs.measured import MeasuredReport
from jobs.settings import Settings
from tests.evidence_clips import write_manifest

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[MeasuredReport, Path]:
    folder = tmp_path_factory.mktemp("declared")
    manifest = write_manifest(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(declared, "TREES", 20)  # the null's strength is not tested here
        report = measure_evidence(
            "declared", manifest, Settings(), options=EvidenceOptions(folder, out=folder / "out"), console=QUIET
        )
    return report, folder


def figure(report: MeasuredReport, name: str) -> tuple[float | None, str]:
    found = next(one for one in report.figures if one.name.startswith(name))
    return found.value, found.n


def test_every_figure_says_what_it_was_counted_on(measured: tuple[MeasuredReport, Path]) -> None:
    report, _ = measured
    assert figure(report, "share of generated clips it speaks on")[1].endswith("of 12 generated clips")
    assert figure(report, "camera clips named as a generator") == (0.0, "0 of 4 camera clips of 2 sources")
    assert figure(report, "generated clips with content credentials") == (0.0, "0 of 12 generated clips")
    assert "sources" in report.to_markdown()


def test_names_are_right_on_sources_that_the_statistics_did_not_see(measured: tuple[MeasuredReport, Path]) -> None:
    report, _ = measured
    value, counted = figure(report, "generator named rightly, when it speaks")
    assert value == 1.0
    assert int(counted.split()[0]) >= 8


def test_the_statistics_are_written_and_know_habits_of_all_sources(measured: tuple[MeasuredReport, Path]) -> None:
    _, folder = measured
    statistics = Statistics.from_json(json.loads((folder / "out" / "declared_statistics.json").read_text()))
    assert statistics.habits["cogvideox"].sources == 2
    assert statistics.habits["camera"].clips == 4
    assert (
        statistics.habits["cogvideox"].share("frames", "49") is None
    )  # those clips were cut: their length says nothing
    assert statistics.habits["stable-video-diffusion"].share("frames", "25") == 1.0
    assert Scorer(statistics).fits({"size": "128x72", "rate": "7.0"})[0].generator == "stable-video-diffusion"


def test_clips_cut_by_copying_are_known_by_column_or_note(tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,trimmed,notes\na,True,\nb,False,\nc,,stream-copied first 2 s\n")
    assert cut_clips(manifest) == {"a", "c"}
    manifest.write_text("path\na\n")
    assert cut_clips(manifest) == frozenset()


def test_a_threshold_is_never_chosen_on_the_source_it_is_used_for() -> None:
    """One source is all wrong and sure of it: it silences others, whose thresholds see it, and not itself."""
    clips = [
        Clip(f"{source}{i}", Path("x"), Label.GENERATED, "a", None, source, "", f"{source}{i}")
        for source in ("good", "bad", "fair")
        for i in range(12)
    ]
    labels = ["a"] * len(clips)
    answers = [
        Answer("b" if clip.source == "bad" else "a", 0.99 if clip.source == "bad" else 0.9, None, 0.0) for clip in clips
    ]
    given = dict(zip((clip.name for clip in clips), nested(clips, answers, labels), strict=True))
    assert all(given[f"bad{i}"] for i in range(12))
    assert not any(given[f"good{i}"] or given[f"fair{i}"] for i in range(12))


def marked(source: str, label: str, truth: str, *corners: str, moving: float = 0.5) -> Marked:
    lefts = {"left": 0.02, "right": 0.88}
    tops = {"top": 0.03, "bottom": 0.92}
    found = [
        Overlay(lefts[side], tops[end], 0.1, 0.05, 40.0, 0.99, "8" + "0" * 191) for end, side in map(str.split, corners)
    ]
    return Marked(source, label, truth, Looked(9, moving, tuple(found)))


def test_marks_count_as_found_at_their_corner_and_as_false_where_there_is_none() -> None:
    seen = [
        marked("a", "pika", "bottom right", "bottom right"),
        marked("a", "pika", "bottom right", "top left"),
        marked("b", "pika", "bottom right", moving=0.0),
        marked("b", "sora", "none", "bottom left"),
        marked("c", "sora", "other", "bottom left"),
        marked("d", "camera", "none"),
        marked("d", "camera", "top right", "top right"),
        Marked("e", "camera", "", None),
    ]
    counted = {one.name: (one.value, one.n.split(" of ")[0]) for one in marks.figures(seen, partial(share, seed=0))}
    assert counted["visible marks found"] == (pytest.approx(1 / 3), "1")
    assert counted["the same, where the film moves"] == (0.5, "1")
    assert counted["overlay told of a generated clip without one"] == (1.0, "1")
    assert counted["overlay told of a camera clip without one"] == (0.0, "0")
    assert counted["overlay told of a camera clip"] == (pytest.approx(1 / 3), "1")
    told = marks.detail(seen)
    assert told["marks"]["pika"] == {
        "clips": 3,
        "marked": 3,
        "told": {"bottom right": 1, "top left": 1},
        "width": 0.1,
    }
    assert told["mark_patterns"]["one source"] == {"pairs": 1, "median": 1.0, "highest": 1.0}


def test_marks_are_looked_for_in_real_clips_by_the_same_run(measured: tuple[MeasuredReport, Path]) -> None:
    report, _ = measured
    (camera,) = [one for one in report.figures if one.name == "overlay told of a camera clip"]
    assert (camera.value, camera.n) == (0.0, "0 of 4 camera clips")
    assert figure(report, "visible marks found")[1].startswith("0 of 0"), "nobody has looked at these clips"
    assert "marks" in report.detail
