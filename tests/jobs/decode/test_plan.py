"""Where windows are taken from: arithmetic that every decoder and every machine must agree on."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerprint_db.spec import WindowPlan
from jobs.decode.plan import LATTICE, MAX_OVERLAP, plan_bursts, plan_crops, too_short, too_small

PLAN = WindowPlan()
plans = st.builds(
    WindowPlan,
    bursts=st.integers(1, 12),
    frames=st.integers(4, 32),
    crops=st.integers(1, 8),
    crop_px=st.sampled_from([64, 96, 128, 192, 256]),
)


@given(count=st.integers(1, 5000), keys=st.sets(st.integers(0, 5000)), plan=plans)
def test_bursts_lie_inside_the_video_in_order_and_never_overlap(count: int, keys: set[int], plan: WindowPlan) -> None:
    places = plan_bursts(count, sorted(key for key in keys if key < count), plan)
    assert 1 <= len(places) <= plan.bursts
    assert places[0].start >= 0
    assert places[-1].start + places[-1].frames <= count
    for earlier, later in itertools.pairwise(places):
        assert earlier.start + earlier.frames <= later.start
        assert earlier.limit == later.earliest


@given(count=st.integers(1, 5000), plan=plans)
def test_as_many_bursts_as_fit_are_taken_and_only_a_short_video_gives_a_short_one(count: int, plan: WindowPlan) -> None:
    places = plan_bursts(count, (), plan)
    assert len(places) == max(1, min(plan.bursts, count // plan.frames))
    assert {place.frames for place in places} == {min(plan.frames, count)}


@pytest.mark.parametrize(("seconds", "bursts"), [(0, 8), (20, 8), (80, 8), (81, 9), (3600, 360), (86400, 720)])
def test_a_long_video_gets_a_burst_every_ten_seconds_up_to_the_limit(seconds: float, bursts: int) -> None:
    assert len(plan_bursts(round(seconds * 25) or 500, (), PLAN, seconds=seconds)) == bursts


@given(count=st.integers(200, 5000), plan=plans)
def test_bursts_are_spread_evenly_over_the_whole_video(count: int, plan: WindowPlan) -> None:
    places = plan_bursts(count, (), plan)
    stretch = count / len(places)
    for number, place in enumerate(places):
        middle = place.start + place.frames / 2
        assert abs(middle - (number + 0.5) * stretch) <= 2


@given(count=st.integers(64, 5000), gop=st.integers(1, 300), plan=plans)
def test_a_burst_begins_at_a_keyframe_whenever_its_stretch_has_one(count: int, gop: int, plan: WindowPlan) -> None:
    keys = list(range(0, count, gop))
    for place in plan_bursts(count, keys, plan):
        reachable = [key for key in keys if place.earliest <= key <= place.limit - place.frames]
        if reachable:
            middle = (place.earliest + place.limit - place.frames) // 2
            assert abs(place.start - middle) == min(abs(key - middle) for key in reachable)
            assert place.start in reachable


def test_a_video_without_frames_gives_no_burst() -> None:
    assert plan_bursts(0, (), PLAN) == ()


@given(width=st.integers(1, 5000), height=st.integers(1, 5000), plan=plans)
def test_crops_lie_inside_the_frame_on_the_lattice_and_share_little(width: int, height: int, plan: WindowPlan) -> None:
    crops = plan_crops(width, height, plan)
    assert len(crops) <= plan.crops
    assert bool(crops) == (min(width, height) >= 16)
    for number, crop in enumerate(crops):
        assert crop.top % LATTICE == crop.left % LATTICE == 0
        assert 0 <= crop.top <= height - crop.height
        assert 0 <= crop.left <= width - crop.width
        assert crop.height == (plan.crop_px if height >= plan.crop_px else height // 16 * 16)
        assert crop.width == (plan.crop_px if width >= plan.crop_px else width // 16 * 16)
        for other in crops[:number]:
            rows = min(crop.top, other.top) + crop.height - max(crop.top, other.top)
            cols = min(crop.left, other.left) + crop.width - max(crop.left, other.left)
            assert max(rows, 0) * max(cols, 0) <= MAX_OVERLAP * crop.height * crop.width


@pytest.mark.parametrize("size", [(1920, 1080), (1280, 720), (3840, 2160), (1080, 1920), (1024, 1024)])
def test_large_frames_give_all_crops_and_none_lies_in_a_bottom_corner(size: tuple[int, int]) -> None:
    width, height = size
    crops = plan_crops(width, height, PLAN)
    assert len(crops) == PLAN.crops
    for crop in crops:
        low = crop.top + crop.height > 0.9 * height
        assert not (low and (crop.left < 0.1 * width or crop.left + crop.width > 0.9 * width))


@pytest.mark.parametrize(("size", "count"), [((256, 256), 1), ((320, 240), 1), ((400, 300), 1), ((512, 512), 3)])
def test_frames_below_twice_the_crop_give_fewer_crops(size: tuple[int, int], count: int) -> None:
    assert len(plan_crops(*size, PLAN)) == count


def test_what_is_too_small_or_too_short_is_said_in_words() -> None:
    assert too_small(64, 64, PLAN) == ""
    assert "48x640" in too_small(48, 640, PLAN)
    assert too_short(4, PLAN) == ""
    assert too_short(1, PLAN) == "the video has 1 frame, a fingerprint needs 4"
