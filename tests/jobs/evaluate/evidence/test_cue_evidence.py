"""Ranges of cues and their false alarms: the arithmetic on known samples, and the whole measure on real small files."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fingerprint_db.cues.definitions import CUE_NAMES, CUES
from fingerprint_db.cues.ranges import load_ranges
from fingerprint_db.window import Quality
from jobs.encode import CodecChain, write_video
from jobs.evaluate.cue_ranges import Seen, false_alarms, range_table, weighted_quantiles, write_ranges
from jobs.evaluate.evidence import EvidenceOptions, cues, measure_evidence
from jobs.evaluate.manifest import Label
from jobs.settings import Settings
from tests.jobs.evaluate.labelled import clip

QUALITY = Quality(width=640, height=360, fps=25, duration_s=2, bits_per_pixel=0.08)


def seen(source: str, value: float, label: Label = Label.CAMERA, name: str = "") -> Seen:
    return Seen(clip(name or source, label, source, "x" if label is Label.GENERATED else None), "as published", QUALITY,
                dict.fromkeys(CUE_NAMES, value))  # fmt: skip


def test_a_source_weighs_the_same_however_many_files_it_has() -> None:
    assert weighted_quantiles([1.0, 2.0, 3.0], [1, 1, 1], [0.5]) == [2.0]
    many = [*([5.0] * 90), *range(10)]
    weights = [1 / 90] * 90 + [1.0] * 10
    assert weighted_quantiles(many, weights, [0.5])[0] == pytest.approx(4.75, abs=0.3)
    assert weighted_quantiles([3.0, 1.0], [1, 1], [0.0, 1.0]) == [1.0, 3.0]


def test_a_group_of_few_sources_has_no_range_of_its_own() -> None:
    table = range_table([seen(f"s{i}", i) for i in range(5)], {}, {})
    assert set(table.groups) == {"any"}
    assert set(range_table([seen(f"s{i}", i) for i in range(9)], {}, {}).groups) == {
        "any",
        "to 576 px",
        "to 576 px, 0.04-0.12 bits per px",
    }


def test_a_source_is_held_against_the_others_only() -> None:
    normal = [seen(f"s{i}", 1 + 0.01 * i) for i in range(19)]
    found = false_alarms([*normal, seen("odd", 100.0)])
    share, bounds = found["line_width"]
    assert share == pytest.approx(1 / 20)
    assert bounds is not None
    assert bounds[0] <= share <= bounds[1]
    assert found["any cue out of range"][0] == pytest.approx(2 / 20)  # the lowest source too, for cues of both sides


def test_a_table_is_written_and_read_back(tmp_path: Path) -> None:
    table = range_table([seen(f"s{i}", i) for i in range(9)], dict.fromkeys(CUE_NAMES, 0.02), {"clips": 9})
    write_ranges(table, tmp_path / "cue_ranges.json")
    again = load_ranges(tmp_path / "cue_ranges.json")
    assert dict(again.groups) == dict(table.groups)
    assert again.false_alarms == table.false_alarms
    assert again.range_of("noise", QUALITY) == table.range_of("noise", QUALITY)


def test_what_a_cue_tells_is_its_area_under_the_curve() -> None:
    alike = [seen(f"c{i}", i) for i in range(6)] + [seen(f"g{i}", 4 + i, Label.GENERATED) for i in range(6)]
    value, bounds = cues.telling(alike, replicates=50)["noise"]
    wins = sum((4 + g > c) + 0.5 * (4 + g == c) for g in range(6) for c in range(6))
    assert value == pytest.approx(wins / 36)
    assert bounds is not None
    assert bounds[0] <= value <= bounds[1]


def test_the_number_of_cues_outside_is_counted_for_both_classes() -> None:
    reference = [seen(f"c{i}", 1 + 0.01 * i) for i in range(12)]
    made = [seen(f"g{i}", 50.0, Label.GENERATED) for i in range(3)]
    found = cues.counts_telling([*reference[3:9], *made], reference)
    assert found["cues out of range on a camera clip"][0] == 0  # none of the middle ones is an extreme
    assert found["cues out of range on a generated clip"][0] > 0.9 * sum(c.alarm != "low" for c in CUES.values())
    assert found["AUC of the number of cues out of range"][0] == 1.0


def _footage(path: Path, seed: int, smooth: bool) -> None:
    rng = np.random.default_rng(seed)
    big = rng.normal(size=(160, 220))
    if smooth:
        big = (big + np.roll(big, 1, 0) + np.roll(big, 1, 1) + np.roll(big, (1, 1), (0, 1))) / 2
    frames = (
        np.repeat(
            np.clip(128 + 25 * big[t : t + 96, 2 * t : 2 * t + 128], 0, 255).astype(np.uint8)[..., None], 3, axis=2
        )
        for t in range(20)
    )
    write_video(path, frames, fps=Fraction(25), chain=CodecChain("x264", 18, preset="veryfast"))


def test_real_files_are_measured_end_to_end_and_the_table_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(f"c{i}.mp4", "camera", "", f"page{i}") for i in range(3)] + [("g.mp4", "generated", "Sora", "page9")]
    for i, (name, label, _, _) in enumerate(rows):
        _footage(tmp_path / name, i, label == "generated")
    with (tmp_path / "manifest.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "label", "generator", "source"), *rows])
    forms = cues.range_forms()
    assert len(forms) == 13
    monkeypatch.setattr(cues, "range_forms", lambda: forms[:1])
    options = EvidenceOptions(tmp_path / "cache", out=tmp_path / "out")
    report = measure_evidence(
        "cues", tmp_path / "manifest.csv", Settings(workers=1), options=options, console=Console(quiet=True)
    )
    figures = {figure.name: figure for figure in report.figures}
    assert figures["AUC of line_width"].n == "1 generated and 3 camera clips of 4 sources"
    assert figures["AUC of high_frequency_deficit"].value == 1.0
    assert all(f"false alarms of {name}" in figures for name in CUE_NAMES)
    assert figures["cues out of range on a camera file"].n == "3 files of 3 camera clips of 3 sources"
    table = load_ranges(tmp_path / "out" / "cue_ranges.json")
    assert table.groups["any"]["files"] == 3
    assert table.provenance["sources"] == 3
