"""The frame just before a burst: known where bursts of a short film follow each other, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fingerprint_db.fingerprint import fingerprint_window
from fingerprint_db.residual import load_planes
from fingerprint_db.traces import TRACE_NAMES, measure_traces
from fingerprint_db.window import FrameWindow, Predecessors

RNG = np.random.default_rng(4)
FILM = RNG.integers(0, 256, (32, 96, 96)).astype(np.uint8)


def window(burst: int, first: int, *, crop: int = 0, top: int = 0, late_s: float = 0.0) -> FrameWindow:
    grey = np.full((16, 48, 48), 128, np.uint8)
    times = np.arange(first, first + 16) / 25 + late_s
    return FrameWindow(burst, crop, top, 0, FILM[first : first + 16], grey, grey, 8, False, times, "P" * 16)


def test_the_last_frame_of_the_burst_before_stands_before_the_first_of_this_one() -> None:
    earlier = Predecessors(8)
    assert earlier.of(window(0, 0)) is None
    assert earlier.of(window(0, 0, crop=1, top=32)) is None
    before = earlier.of(window(1, 16))
    assert before is not None
    assert np.array_equal(before.luma, FILM[15:16])
    assert before.times_s.tolist() == [15 / 25]


@pytest.mark.parametrize(
    "other",
    [
        window(1, 16, late_s=0.04),  # a frame is missing between them
        window(1, 16, late_s=-0.2),  # it begins before the other ends
        window(2, 16),  # a burst is missing between them
        window(1, 16, top=32),  # another place of the picture
        replace(window(1, 16), luma=FILM[16:, :64]),  # another size
    ],
)
def test_anything_else_has_no_frame_before_it(other: FrameWindow) -> None:
    earlier = Predecessors(8)
    earlier.of(window(0, 0))
    assert earlier.of(other) is None


def test_films_of_more_bursts_than_the_plan_makes_of_a_short_one_are_not_linked_there() -> None:
    earlier = Predecessors(1)
    earlier.of(window(0, 0))
    assert earlier.of(window(1, 16)) is None


def test_only_the_first_frames_series_depend_on_what_comes_before() -> None:
    earlier = Predecessors(8)
    earlier.of(window(0, 0))
    second = window(1, 16)
    before = earlier.of(second)
    alone, linked = fingerprint_window(second), fingerprint_window(second, before=before)
    assert np.array_equal(alone.decoder, linked.decoder)
    assert np.array_equal(alone.texture, linked.texture)
    assert alone.cues == linked.cues
    whole = replace(second, luma=FILM[8:24], times_s=np.arange(8, 24) / 25)
    with torch.inference_mode():
        expected = measure_traces(load_planes(whole), whole)
    for name in TRACE_NAMES:
        assert np.array_equal(alone.traces[name][1:], linked.traces[name][1:], equal_nan=True)
    for name in ("change", "fine_change", "coarse_change", "alike"):
        assert np.isnan(alone.traces[name][0])
        assert linked.traces[name][0] == pytest.approx(expected[name][8], rel=1e-5)
