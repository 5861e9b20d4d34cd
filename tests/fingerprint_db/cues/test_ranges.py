"""Ranges on camera footage: groups, what a file's value is, what counts as outside, and the table that ships."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fingerprint_db.cues.definitions import CUE_NAMES, CUES, CueDefinition
from fingerprint_db.cues.markdown import cue_tables
from fingerprint_db.cues.measure import has_cues
from fingerprint_db.cues.ranges import (
    TABLE,
    CameraRange,
    RangeTable,
    file_values,
    groups_of,
    load_ranges,
    outside,
    pooled,
    shipped_ranges,
)
from fingerprint_db.window import Quality, WindowFingerprint
from tests.fingerprint_db.reference import make_window

DOCS = Path(__file__).parents[3] / "docs" / "cues.md"


def quality(width: int = 640, height: int = 360, bits: float = 0.08) -> Quality:
    return Quality(width=width, height=height, fps=25, duration_s=2, bits_per_pixel=bits)


def window(cues: dict[str, float], number: int = 0) -> WindowFingerprint:
    nothing = np.zeros(0, np.float32)
    return WindowFingerprint(number, 0, 0, 0, 256, 256, float(number), number + 0.6, nothing, nothing, cues)


def cue(alarm: str = "high", pooling: str = "median") -> CueDefinition:
    return CueDefinition("d", "u", "physical", "ours", alarm, pooling)  # type: ignore[arg-type]


def test_groups_go_from_side_and_bitrate_to_everything() -> None:
    assert groups_of(320, 240, 0.01) == ("to 320 px, below 0.04 bits per px", "to 320 px", "any")
    assert groups_of(480, 854, 0.08)[0] == "to 576 px, 0.04-0.12 bits per px"
    assert groups_of(1920, 1080, 0.3)[0] == "above 576 px, above 0.12 bits per px"
    assert groups_of(1920, 1080, 0.0) == ("above 576 px", "any")


def test_the_narrowest_group_that_has_a_range_gives_it() -> None:
    groups = {
        "to 576 px": {"files": 30, "sources": 9, "cues": {"noise": [0, 0.1, 0.2, 0.9, 1.0]}},
        "any": {"files": 90, "sources": 20, "cues": {"noise": [0, 0, 0, 0, 5], "banding": [0, 0, 0, 0, 1]}},
    }
    table = RangeTable(groups, {}, {})
    assert table.range_of("noise", quality()) == CameraRange("to 576 px", 0.0, 0.2, 1.0, 30, 9)
    found = table.range_of("banding", quality())
    assert found is not None
    assert found.group == "any"
    assert table.range_of("line_width", quality()) is None


def test_what_is_always_there_is_a_median_and_what_happens_once_is_a_peak() -> None:
    values = [1.0] * 8 + [9.0, 9.0]
    assert pooled(values, cue()) == 1
    assert pooled(values, cue(pooling="peak")) == 9
    assert pooled([-v for v in values], cue("low", "peak")) == -9
    assert pooled([-9.0, -9.0, *([0.0] * 7), 2.0], cue("both", "peak")) == -9


@pytest.mark.parametrize(
    ("alarm", "value", "expected"),
    [
        ("high", 3, True),
        ("high", -3, False),
        ("low", -3, True),
        ("low", 3, False),
        ("both", -3, True),
        ("both", 0, False),
    ],
)
def test_only_the_side_that_means_something_counts_as_outside(alarm: str, value: float, expected: bool) -> None:
    assert outside(value, CameraRange("any", -1, 0, 1, 10, 5), cue(alarm)) is expected


def test_windows_without_cues_are_passed_over_and_windows_of_older_cues_say_nothing() -> None:
    full = dict.fromkeys(CUE_NAMES, 2.0)
    assert file_values([window(full), window({})])["noise"] == 2
    assert file_values([window({})]) == {}
    assert file_values([window(full), window({"noise": 1.0})]) == {}


def test_every_second_window_has_cues_and_every_place_its_turn() -> None:
    from dataclasses import replace

    blank = make_window(np.zeros((1, 64, 64)))
    grid = [[has_cues(replace(blank, burst=b, crop=c)) for c in range(3)] for b in range(4)]
    assert grid == [[True, False, True], [False, True, False], [True, False, True], [False, True, False]]


@pytest.mark.parametrize(
    ("size", "crops", "windows"),
    [((640, 480), 3, [(0, 0), (4, 1), (8, 2), (12, 0)]), ((1280, 720), 4, [(b, b % 4) for b in range(16)])],
)
def test_smaller_frames_have_cues_in_fewer_windows_and_every_place_its_turn(
    size: tuple[int, int], crops: int, windows: list[tuple[int, int]]
) -> None:
    from dataclasses import replace

    blank = replace(make_window(np.zeros((1, 64, 64))), frame_px=size[0] * size[1], crops=crops)
    every = [(b, c) for b in range(16) for c in range(crops)]
    assert [(b, c) for b, c in every if has_cues(replace(blank, burst=b, crop=c))] == windows


def test_the_shipped_table_has_every_cue_with_quantiles_that_rise() -> None:
    table = shipped_ranges()
    assert set(table.false_alarms) == set(CUE_NAMES)
    assert table.provenance["clips"] >= 50
    assert {"any", "to 320 px", "to 576 px", "above 576 px"} <= set(table.groups)
    for group in table.groups.values():
        assert set(group["cues"]) == set(CUE_NAMES)
        assert group["sources"] >= 8
        assert all(list(quantiles) == sorted(quantiles) for quantiles in group["cues"].values())


def test_a_table_of_another_version_is_refused(tmp_path: Path) -> None:
    raw = json.loads(TABLE.read_text(encoding="utf-8"))
    other = tmp_path / "ranges.json"
    other.write_text(json.dumps(raw | {"version": 99}), encoding="utf-8")
    with pytest.raises(ValueError, match="version 99"):
        load_ranges(other)


def test_every_cue_has_its_family_source_and_side() -> None:
    assert all(c.definition and c.unit and c.source for c in CUES.values())
    assert {c.family for c in CUES.values()} == {"physical", "reconstruction", "spatio-temporal", "assembly"}


def test_the_page_on_cues_says_of_every_cue_what_the_code_says() -> None:
    assert cue_tables() in DOCS.read_text(encoding="utf-8")
