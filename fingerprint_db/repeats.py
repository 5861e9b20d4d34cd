"""Frames that show the one before them again: in a pattern, as pulldown and other raised rates have them, or held.

A repeat changes nothing but what the codec adds, in a fixed pattern (2:3 for 24 frames in 60, one in five for 24 in
30). That is no synthesis, whatever the container says of its rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.bursts import Burst, Floats, Timeline

MIN_FRAMES = 12  # a pattern of repeats in fewer is chance
REPEAT_SHARE = 0.2  # of the moving frames' change: below it a frame repeats the one before
# And below so many 8-bit levels, more by a share of that change: what a codec adds to a repeat.
REPEAT_LEVELS = (0.2, 0.04)
_HELD = (0.3, 0.06)  # the same for a frame that is held longer: levels, and a share of the moving frames' change
_HELD_MEAN = 0.1  # of that change, for all the frames of a run together
_PATTERN_SHARE = 0.35  # of the moving frames' change: three in four repeats of a pattern stay below it
_APART = 0.95  # how surely a repeat of a pattern changes less than a frame that is none, to be a pattern
_MOVING = 0.3  # 8-bit levels; in a stiller scene only exact repeats count
# Which frames of a cycle repeat the one before them, by how often each frame is shown in turn.
PATTERNS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "2": (0, 1),
        "3": (0, 1, 1),
        "4": (0, 1, 1, 1),
        "2:3": (0, 1, 0, 1, 1),
        "1:1:1:2": (0, 0, 0, 0, 1),
        "1:1:1:1:2": (0, 0, 0, 0, 0, 1),
        "1:2": (0, 0, 1),
        "1:1:2": (0, 0, 0, 1),
    }
)
# Series that compare a frame with its neighbours: void beside a repeat.
MOVING_SERIES = ("acceleration", "acceleration_coarse", "middle", "fine_change")


def repeats(film: Timeline) -> tuple[float, str, tuple[tuple[float, float], ...]]:
    """Share of frames that repeat the one before, the pattern they make ('' for none), and frozen stretches."""
    flags, relative, numbers, frozen = [], [], [], list[tuple[float, float]]()
    changes = [burst.mean("change")[1:] for burst in film.bursts]
    usuals = [_usual(change) if len(change) and np.isfinite(change).all() else 0.0 for change in changes]
    throughout = float(np.median([usual for usual in usuals if usual >= _MOVING] or [0.0]))
    for burst, change, usual in zip(film.bursts, changes, usuals, strict=True):
        if max(usual, throughout) >= _MOVING and len(change):
            frozen += _still(change, max(usual, throughout), burst, film.rate)
        if usual < _MOVING:
            flags.append(change == 0)
            continue
        flags.append(_again(change))
        relative.append(change / usual)
        numbers.append(burst.numbers[1:])
    flag = np.concatenate(flags) if flags else np.zeros(0, bool)
    share = float(flag.mean()) if len(flag) else 0.0
    pattern = _pattern(np.concatenate(relative), np.concatenate(numbers)) if relative else ""
    return share, pattern, tuple(frozen)


def _usual(change: Floats) -> float:
    """The change of moving frames; a flash is too rare to count, and of frames shown four times one in four moves."""
    return _quantile(np.sort(change), 0.8)


def _quantile(ascending: Floats, share: float) -> float:
    """``numpy.quantile`` of sorted numbers, to the digit, without its overhead: it is asked for thousands of times."""
    at = share * (len(ascending) - 1)
    low = int(at)
    below, above = float(ascending[low]), float(ascending[min(low + 1, len(ascending) - 1)])
    part = at - low
    return above - (above - below) * (1 - part) if part >= 0.5 else below + (above - below) * part


def _pattern(change: Floats, number: NDArray[np.int64]) -> str:
    """The pattern whose repeats change nearly nothing while the others move; change: over the burst's usual one.

    A codec adds to repeats what it would to a still scene, therefore they are compared with the others and not with 0.
    """
    best, found = _APART, ""
    if len(change) < MIN_FRAMES:
        return found
    order = np.argsort(change, kind="stable")
    change, number = change[order], number[order]
    for name, cycle in PATTERNS.items():
        repeated = np.array(cycle) > 0
        places = number % len(cycle)
        for phase in range(len(cycle)):
            meant = repeated[(places + phase) % len(cycle)]
            again, others = change[meant], change[~meant]
            if min(len(again), len(others)) < 3:
                continue
            if _quantile(again, 0.75) > _PATTERN_SHARE * _quantile(others, 0.5):
                continue
            rank = float((again[:, None] < others[None, :]).mean())
            if rank > best:
                best, found = rank, name
    return found


def _again(change: Floats) -> NDArray[np.bool_]:
    """Which changes are those of a frame that repeats the one before."""
    usual = _usual(change)
    return change <= (
        min(REPEAT_SHARE * usual, REPEAT_LEVELS[0] + REPEAT_LEVELS[1] * usual) if usual >= _MOVING else 0.0
    )


def without_repeats(burst: Burst) -> Burst:
    """The burst without the values of frames that are, or stand before, a repeat: their motion says nothing."""
    change = burst.mean("change")
    if burst.frames < 2 or not np.isfinite(change[1:]).all():
        return burst
    void = np.zeros(burst.frames, bool)
    void[1:] = _again(change[1:])
    void[:-1] |= void[1:]
    if not void.any():
        return burst
    series = {
        name: np.where(void, np.nan, rows) if name in MOVING_SERIES else rows for name, rows in burst.series.items()
    }
    return replace(burst, series=series)


def _still(change: Floats, usual: float, burst: Burst, rate: float) -> list[tuple[float, float]]:
    """Runs of at least a sixth of a second (four frames and more) that hold one frame, as (second, length in s).

    They begin or end at once, which slow motion does not; a codec may refresh a held picture a little now and then.
    """
    least = max(4, round(rate / 6))
    held = change <= min(REPEAT_SHARE * usual, _HELD[0] + _HELD[1] * usual)
    out, start = [], None
    for at, repeated in enumerate([*held.tolist(), False]):
        if repeated and start is None:
            start = at
        elif not repeated and start is not None:
            sides = [*change[max(0, start - 1) : start], *change[at : at + 1]]
            still = float(change[start:at].mean()) <= _HELD_MEAN * usual
            if at - start >= least and still and any(side >= 2 * REPEAT_SHARE * usual for side in sides):
                out.append((float(burst.times[start]), float(burst.times[at] - burst.times[start])))
            start = None
    return out
