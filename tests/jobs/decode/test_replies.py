"""What a decoder says has to make sense before anything is computed from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cluster.outcome import FailureError
from cluster.replies import allowed_types, pack, unpack
from fingerprint_db.overlays import FACT
from fingerprint_db.spec import WindowPlan
from fingerprint_db.window import FrameWindow
from jobs.decode.protocol import DecodeSummary, VideoFacts
from jobs.decode.replies import REPLIES, REPLY_MB, checked

PLAN = WindowPlan()
FACTS = VideoFacts(
    "mp4", "h264", "yuv420p", 96, 80, 25.0, 20, 0.8, 1e5, 8, 0, False, False, False, True, {"title": "holidays"}
)


def window(**changes: Any) -> FrameWindow:
    fields: dict[str, Any] = {
        "burst": 0,
        "crop": 0,
        "top": 0,
        "left": 0,
        "luma": np.zeros((4, 80, 96), np.uint8),
        "chroma_b": np.zeros((4, 40, 48), np.uint8),
        "chroma_r": np.zeros((4, 40, 48), np.uint8),
        "bit_depth": 8,
        "full_range": False,
        "times_s": np.arange(4) / 25,
        "picture_types": "IPBP",
    }
    return FrameWindow(**{**fields, **changes})


def summary(delivered: int = 1, **changes: Any) -> DecodeSummary:
    return DecodeSummary(replace(FACTS, **changes), 1, delivered, "")


def test_windows_and_the_summary_pass_and_signs_of_life_are_dropped() -> None:
    said = [None, window(), None, summary()]
    assert list(checked(said, PLAN)) == [said[1], said[3]]


def test_an_account_of_overlays_passes_when_it_makes_sense_and_not_otherwise() -> None:
    for text, sound in (('{"frames":9,"moving":0.5,"overlays":[]}', True), ('{"frames":9}', False), ("a logo", False)):
        said = [window(), summary(declared={FACT: text})]
        if sound:
            assert list(checked(said, PLAN)) == said
        else:
            with pytest.raises(FailureError):
                list(checked(said, PLAN))


def test_what_a_decoder_may_say_travels_and_comes_back_as_it_was() -> None:
    allowed = allowed_types(REPLIES)
    sent, facts = window(), summary()
    got = unpack([bytearray(part) for part in pack(sent)], allowed)
    for name in FrameWindow.__slots__:
        np.testing.assert_array_equal(getattr(got, name), getattr(sent, name))
    assert unpack([bytearray(part) for part in pack(facts)], allowed) == facts


def test_the_largest_window_of_the_plan_fits_into_a_reply() -> None:
    planes = 3 * PLAN.frames * PLAN.crop_px**2 * 2
    assert planes < REPLY_MB * 2**20 / 2


@pytest.mark.parametrize(
    "changes",
    [
        {"burst": -1},
        {"burst": PLAN.max_bursts},
        {"crop": PLAN.crops},
        {"top": 10**9},
        {"luma": np.zeros((4, 80, 96, 1), np.uint8)},
        {"luma": np.zeros((0, 80, 96), np.uint8)},
        {"luma": np.zeros((PLAN.frames + 1, 80, 96), np.uint8)},
        {"luma": np.zeros((4, PLAN.crop_px + 1, 96), np.uint8)},
        {"luma": np.zeros((4, 80, 96), np.uint16)},
        {"chroma_b": np.zeros((3, 40, 48), np.uint8), "chroma_r": np.zeros((3, 40, 48), np.uint8)},
        {"chroma_r": np.zeros((4, 40, 40), np.uint8)},
        {"bit_depth": 0},
        {"bit_depth": 10},
        {"times_s": np.zeros(3)},
        {"times_s": np.array([0.0, np.nan, 1.0, 2.0])},
        {"times_s": np.array([0.0, np.inf, 1.0, 2.0])},
        {"picture_types": "IPB"},
        {"picture_types": "IPB\x1b"},
    ],
    ids=str,
)
def test_a_window_that_no_plan_gives_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(FailureError, match="FrameWindow that makes no sense") as caught:
        list(checked([window(**changes)], PLAN))
    assert caught.value.failure.kind == "crashed"


def test_a_window_that_came_before_is_refused_so_that_no_child_can_go_on_for_ever() -> None:
    with pytest.raises(FailureError, match="FrameWindow"):
        list(checked([window(), window(crop=1), window()], PLAN))


@pytest.mark.parametrize(
    "end",
    [
        summary(delivered=0),
        summary(fps=float("nan")),
        summary(duration_s=-1.0),
        summary(bit_rate=float("inf")),
        summary(width=10**6),
        summary(codec="h264\x00"),
        summary(declared={"title": "\x1b[2J"}),
        summary(declared={"title": "x" * 10_000}),
        summary(declared={str(number): "" for number in range(500)}),
        "done",
    ],
    ids=str,
)
def test_a_summary_that_no_decoder_gives_is_refused(end: Any) -> None:
    with pytest.raises(FailureError, match="makes no sense"):
        list(checked([window(), end], PLAN))


def test_nothing_may_follow_the_summary() -> None:
    with pytest.raises(FailureError, match="FrameWindow"):
        list(checked([window(), summary(), window(crop=1)], PLAN))
