"""Artefacts of a file: which cues lie outside what camera footage shows, told with range, seconds and chance."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from fingerprint_db.cues.definitions import CUE_NAMES
from fingerprint_db.cues.ranges import RangeTable, shipped_ranges
from fingerprint_db.verdict import Verdict, VerdictKind
from fingerprint_db.window import WindowFingerprint
from jobs.artefacts import artefacts_by, sentences
from jobs.evidence import evidence_of
from jobs.scan import FileFingerprint, fingerprint_files
from jobs.settings import Settings
from tests.footage import make_video
from tests.jobs.evaluate.labelled import FACTS

TABLE = RangeTable(
    {"any": {"files": 40, "sources": 12, "cues": {name: [-1.0, -0.5, 0.0, 0.5, 1.0] for name in CUE_NAMES}}},
    dict.fromkeys(CUE_NAMES, 0.03),
    {},
)


def file_of(*windows: dict[str, float]) -> FileFingerprint:
    nothing = np.zeros(0, np.float32)
    found = tuple(
        WindowFingerprint(i, 0, 0, 0, 256, 256, float(i), i + 0.6, nothing, nothing, cues)
        for i, cues in enumerate(windows)
    )
    return FileFingerprint("0" * 64, 1000, FACTS, 1.0, "", found)


QUIET = dict.fromkeys(CUE_NAMES, 0.0)


def test_a_file_like_camera_footage_has_nothing_outside_and_says_how_many_were_looked_at() -> None:
    said = artefacts_by(TABLE, file_of(QUIET, {}, QUIET))
    assert said is not None
    assert said["outside"] == []
    assert said["looked_at"] == len(CUE_NAMES)
    assert said["expected_by_chance"] == round(0.03 * len(CUE_NAMES), 2)
    assert sentences(said) == []


def test_a_cue_outside_is_told_with_its_range_its_seconds_and_the_share_of_windows() -> None:
    soft = QUIET | {"line_width": 3.0}
    said = artefacts_by(TABLE, file_of(soft, {}, soft | {"line_width": 4.0}, QUIET))
    assert said is not None
    (entry,) = said["outside"]
    assert (entry["cue"], entry["value"], entry["unit"]) == ("line_width", 3.0, "px")
    assert (entry["range"], entry["files"], entry["sources"]) == ([-1.0, 1.0], 40, 12)
    assert entry["windows_share"] == 0.667
    assert entry["seconds"] == [2.0, 2.6]
    assert "line_width 3 (px) is above the -1 to 1 of 40 camera files" in entry["sentence"]
    head, line = sentences(said)
    assert head.startswith(f"1 of {len(CUE_NAMES)} cues lie outside")
    assert line == entry["sentence"]
    assert json.loads(json.dumps(said)) == said


def test_the_farthest_comes_first_and_the_side_that_means_nothing_is_left_out() -> None:
    odd = QUIET | {"line_width": 2.0, "noise": -6.0, "banding": -9.0}
    said = artefacts_by(TABLE, file_of(odd, odd))
    assert said is not None
    assert [entry["cue"] for entry in said["outside"]] == ["noise", "line_width"]


def test_a_range_without_width_gives_a_distance_that_json_can_carry() -> None:
    flat = {"any": {"files": 9, "sources": 9, "cues": {name: [0.0] * 5 for name in CUE_NAMES}}}
    said = artefacts_by(RangeTable(flat, {}, {}), file_of(QUIET | {"repeated_frames": 0.5}))
    assert said is not None
    assert [entry["widths"] for entry in said["outside"]] == [99.0]


def test_the_high_frequency_deficit_stands_beside_the_camera_of_the_same_bitrate() -> None:
    said = artefacts_by(TABLE, file_of(QUIET | {"high_frequency_deficit": 0.75}))
    assert said is not None
    assert said["high_frequency_deficit"] == {
        "value": 0.75,
        "camera_median": 0.0,
        "excess": 0.75,
        "unit": "dB",
        "camera": "any",
        "sources": 12,
    }


def test_windows_from_before_today_s_cues_and_files_without_windows_say_nothing() -> None:
    assert artefacts_by(TABLE, file_of({"noise": 9.0})) is None
    assert artefacts_by(TABLE, file_of()) is None


def test_the_shipped_table_calls_an_absurd_file_out_of_range() -> None:
    absurd = dict.fromkeys(CUE_NAMES, 1e6)
    said = artefacts_by(shipped_ranges(), replace(file_of(absurd), facts=replace(FACTS, width=1920, height=1080)))
    assert said is not None
    assert len(said["outside"]) > 20
    assert len(sentences(said)) == 4


def test_a_scanned_video_says_which_cues_were_looked_at(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", size=(320, 240), seed=3)
    ((_, file),) = fingerprint_files([str(path)], Settings(workers=1))
    assert isinstance(file, FileFingerprint)
    assert [bool(window.cues) for window in file.windows] == [(w.burst, w.crop) == (0, 0) for w in file.windows]
    verdict = Verdict(VerdictKind.INCONCLUSIVE, "", None, None, None, None, None, (), (), {}, "spec")
    said = evidence_of(file, verdict)["artefacts"]
    assert said["looked_at"] == len(CUE_NAMES)
    assert said["high_frequency_deficit"]["unit"] == "dB"
    for sentence in sentences(said):
        assert "range of camera footage" in sentence or "camera files of" in sentence
