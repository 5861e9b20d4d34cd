"""Which bursts of frames and which crops of a frame are looked at: pure arithmetic, the same for every decoder."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

from fingerprint_db.spec import WindowPlan
from jobs.decode.protocol import BurstRange

LATTICE = 32  # crop offsets are multiples of it, so that every decoder stride up to 32 keeps one phase in all crops
SIDE_STEP = 16  # sides of a crop of a small frame; keeps chroma planes of every subsampling whole
MAX_OVERLAP = 0.25  # crops that share more of their pixels than this would count the same evidence twice
FIRST_BURSTS = 4  # what is told of a film from its first bursts must not depend on how the film is cut
SEARCH_BURSTS = 8  # after damage a burst may begin again up to this many burst lengths further on

# Centres of the crops as shares of the room left, in order of preference. Bottom corners, where generators and
# publishers put their marks, are not among them.
_PLACES = (
    (0.12, 0.12),
    (0.12, 0.88),
    (0.88, 0.50),
    (0.50, 0.50),
    (0.50, 0.05),
    (0.50, 0.95),
    (0.12, 0.50),
    (0.35, 0.30),
    (0.35, 0.70),
    (0.85, 0.30),
    (0.85, 0.70),
)


@dataclass(frozen=True, slots=True)
class BurstPlace:
    """``frames`` consecutive frames beginning at frame ``start``; never outside [earliest, limit)."""

    start: int
    frames: int
    earliest: int
    limit: int


@dataclass(frozen=True, slots=True)
class CropPlace:
    """A rectangle on the native pixel grid, in luma pixels."""

    top: int
    left: int
    height: int
    width: int


def plan_bursts(
    frame_count: int, keyframes: Sequence[int], plan: WindowPlan, *, seconds: float = 0.0
) -> tuple[BurstPlace, ...]:
    """Spread bursts evenly over a video, one to each equal stretch, at the keyframe nearest the middle where one is.

    frame_count: frames in presentation order. keyframes: ascending frame numbers at which decoding can begin.
    seconds: length of the video, which decides how many bursts it gets; 0 when unknown.
    A burst never leaves its own stretch, so no two overlap. A video shorter than a burst gives one burst of what
    there is; no frames give none.
    """
    if frame_count <= 0:
        return ()
    wanted = min(max(plan.bursts, math.ceil(seconds / plan.every_s)), plan.max_bursts)
    count = max(1, min(wanted, frame_count // plan.frames))
    length = min(plan.frames, frame_count)
    places = []
    for number in range(count):
        earliest, limit = number * frame_count // count, (number + 1) * frame_count // count
        latest = limit - length
        middle = (earliest + latest) // 2
        near = keyframes[bisect.bisect_left(keyframes, earliest) : bisect.bisect_right(keyframes, latest)]
        start = min(near, key=lambda key: (abs(key - middle), key)) if near else middle
        places.append(BurstPlace(start, length, earliest, limit))
    return tuple(places)


def plan_crops(width: int, height: int, plan: WindowPlan) -> tuple[CropPlace, ...]:
    """At most ``plan.crops`` squares at fixed places; fewer where they would overlap; () below 16 pixels a side.

    A dimension smaller than ``crop_px`` is used whole, cut to a multiple of 16.
    """
    crop_height, crop_width = _side(height, plan.crop_px), _side(width, plan.crop_px)
    if not crop_height or not crop_width:
        return ()
    chosen: list[CropPlace] = []
    for down, across in _PLACES:
        top, left = _offset(height - crop_height, down), _offset(width - crop_width, across)
        place = CropPlace(top, left, crop_height, crop_width)
        if all(_overlap(place, other) <= MAX_OVERLAP for other in chosen):
            chosen.append(place)
        if len(chosen) == plan.crops:
            break
    return tuple(sorted(chosen, key=lambda place: (place.top, place.left)))


def cut_ranges(bursts: int, at_most: int) -> tuple[BurstRange, ...]:
    """Ranges of nearly equal length, none of more than ``at_most`` bursts; the last one is open.

    The first holds FIRST_BURSTS, or all there are, however few are asked for.
    The number of bursts may be an estimate from the container's claims: whatever more there are, the last range has.
    A range begins where a burst's stretch of the video does, so at a keyframe where there is one near.
    """
    count = max(1, math.ceil(bursts / at_most))
    least = min(FIRST_BURSTS, bursts)
    edges = [0, *sorted({max(least, number * bursts // count) for number in range(1, count)} - {bursts})]
    return tuple(BurstRange(first, last) for first, last in zip(edges, [*edges[1:], None], strict=True))


def too_small(width: int, height: int, plan: WindowPlan) -> str:
    """Why a frame of this size gives no windows; '' when it does."""
    if min(width, height) >= plan.min_px:
        return ""
    return f"frames of {width}x{height} are smaller than the {plan.min_px} pixels a fingerprint needs"


def too_short(frame_count: int, plan: WindowPlan) -> str:
    """Why a video of this many frames gives no windows; '' when it does."""
    if frame_count >= plan.min_frames:
        return ""
    return f"the video has {frame_count} frame{'s' * (frame_count != 1)}, a fingerprint needs {plan.min_frames}"


def _side(available: int, wanted: int) -> int:
    return wanted if available >= wanted else available // SIDE_STEP * SIDE_STEP


def _offset(room: int, share: float) -> int:
    return min(round(room * share / LATTICE), room // LATTICE) * LATTICE


def _overlap(one: CropPlace, other: CropPlace) -> float:
    rows = min(one.top, other.top) + one.height - max(one.top, other.top)
    cols = min(one.left, other.left) + one.width - max(one.left, other.left)
    return max(rows, 0) * max(cols, 0) / (one.height * one.width)
