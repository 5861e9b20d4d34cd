"""Were frames made from their neighbours? Told apart: synthesised frames, repeated frames, a converted frame rate.

A synthesised frame lies half-way (or a quarter) between two others, so the blocks of its picture go on evenly through
it: their motion has no acceleration there, and has all of it at the frames that were there before. Folding the
acceleration over the frame numbers of all bursts shows that rhythm. It is a rhythm of where things are, not of how
sharp they are: a codec's B-frames are softer than its P-frames in every film, but they do not move things.

Repeated frames show as changes of nothing in a fixed pattern (2:3 for 24 frames in 60); a blended conversion between
rates as a rhythm of ghosting with the period of the two rates' ratio. Interpolation does not show that a video was
generated: televisions and phones interpolate camera footage too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.bursts import Burst, Floats, Timeline

Kind = Literal["none", "interpolated", "repeated", "rate_conversion"]

PERIODS = (2, 3, 4)
# Of the statistic "contrast over (its standard error + this)", dB: keeps a chance of few or still frames small.
_SOFT = MappingProxyType({"acceleration": 2.0, "acceleration_coarse": 2.0, "middle": 0.7})
_WEIGHT = MappingProxyType({"acceleration": 1.0, "acceleration_coarse": 0.5, "middle": 0.5})
_LIMIT = 4.0  # no series alone decides
# Chosen on the even half of the camera clips of the development set (docs/assembly.md says how they did on the odd one).
THRESHOLDS: Mapping[int, float] = MappingProxyType({2: 1.8, 3: 2.3, 4: 2.3})
MIN_FRAMES = 12  # a pattern of repeats in fewer is chance
CYCLES = 4  # a rhythm of fewer turns is chance
# Of two frames made in four, the middle one is as steady as the others: a fold by four then shows twice the contrast of
# a fold by two, and two thirds of it where every second frame was made.
_FOURFOLD = 1.15

REPEAT_SHARE = 0.2  # of the moving frames' change: below it a frame repeats the one before
REPEAT_LEVELS = (0.2, 0.04)  # and below so many 8-bit levels, more by a share of that change: what a codec adds to a repeat
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


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A fold of one period. phase: the frame number, modulo the period, of the frames that were there before.

    score: the larger the clearer. contrast: how much more acceleration those frames have than the others, dB.
    share: of the bursts, those that show it on their own.
    """

    period: int
    phase: int
    score: float
    contrast: float
    share: float


@dataclass(frozen=True, slots=True)
class Cadence:
    """What the sequence of frames is. pattern: of repeats, how often each frame is shown in turn, ``2:3``.

    period: of the rhythm in frames, 0 without one. score: of the best rhythm of synthesis whatever the kind, above 0
    where it passes its threshold. frozen: (second, length in s) of stretches where the picture stands still between moving ones.
    """

    kind: Kind
    period: int
    pattern: str
    score: float
    contrast: float
    share: float
    repeated: float
    frozen: tuple[tuple[float, float], ...]


def cadence(film: Timeline) -> Cadence:
    """What a file's bursts say of its frame sequence."""
    repeated, pattern, frozen = repeats(film)
    moving = replace(film, bursts=tuple(without_repeats(burst) for burst in film.bursts))
    found = {period: rhythm(moving, period) for period in PERIODS}
    clear = [each for each in found.values() if each.score >= THRESHOLDS[each.period]]
    best = max(clear or found.values(), key=lambda each: each.score - THRESHOLDS[each.period])
    if clear and {2, 4} & {each.period for each in clear}:
        if best.period == 4 and found[2] in clear and found[4].contrast < _FOURFOLD * found[2].contrast:
            best = found[2]
        elif best.period == 2 and found[4] in clear and found[4].contrast >= _FOURFOLD * found[2].contrast:
            best = found[4]
    kind: Kind = "none"
    period = 0
    if pattern:
        kind, period = "repeated", len(PATTERNS[pattern])
    elif clear:
        kind, period = "interpolated", best.period
    elif frozen:
        kind = "repeated"
    return Cadence(kind, period, pattern, best.score - THRESHOLDS[best.period], best.contrast, best.share, repeated, frozen)


def rhythm(film: Timeline, period: int) -> Rhythm:
    """The clearest phase of one period; score 0 where too few frames were seen.

    Where frame numbers of different bursts are not on one grid, every burst finds its own phase and the median counts.
    """
    if film.steady or len(film.bursts) == 1:
        scores, contrast = _fold(film.bursts, period)
        phase = int(np.argmax(scores))
        alone = [_fold((burst,), period)[0] for burst in film.bursts]
        share = float(np.mean([s[phase] > 0 and s[phase] == s.max() for s in alone]))
        return Rhythm(period, phase, float(scores[phase]), float(contrast[phase]), share)
    each = [_fold((burst,), period) for burst in film.bursts]
    best = [int(np.argmax(scores)) for scores, _ in each]
    score = float(np.median([scores[phase] for (scores, _), phase in zip(each, best, strict=True)]))
    contrast = float(np.median([c[phase] for (_, c), phase in zip(each, best, strict=True)]))
    return Rhythm(period, best[0], score, contrast, float(np.mean([s.max() >= THRESHOLDS[period] for s, _ in each])))


def _fold(bursts: tuple[Burst, ...], period: int) -> tuple[Floats, Floats]:
    """Score and contrast of the acceleration for every phase, (period,) each."""
    total, contrast = np.zeros(period), np.zeros(period)
    for name, weight in _WEIGHT.items():
        found, error = contrasts(bursts, name, period)
        total += weight * np.clip(found / (error + _SOFT[name]), -_LIMIT, _LIMIT)
        if name == "acceleration":
            contrast = found
    return total, contrast


def contrasts(bursts: tuple[Burst, ...], name: str, period: int) -> tuple[Floats, Floats]:
    """Mean of a series at each phase less that at the others, and its standard error; (period,) each.

    The moving mean over a whole period is taken off first, so that what drifts gives nothing. 0 with an infinite error
    where a phase has fewer than two frames.
    """
    values, phases = [], []
    for burst in bursts:
        away = without_trend(burst.mean(name), period)
        known = np.isfinite(away)
        values.append(away[known])
        phases.append(burst.numbers[known] % period)
    value, phase = np.concatenate(values), np.concatenate(phases)
    found, error = np.zeros(period), np.full(period, np.inf)
    if len(value) < CYCLES * period:
        return found, error
    for at in range(period):
        own, rest = value[phase == at], value[phase != at]
        if min(len(own), len(rest)) < 2:
            continue
        spread = ((own - own.mean()) ** 2).sum() + ((rest - rest.mean()) ** 2).sum()
        found[at] = own.mean() - rest.mean()
        error[at] = np.sqrt(spread / (len(value) - 2) * (1 / len(own) + 1 / len(rest)))
    return found, error


def without_trend(series: Floats, period: int) -> Floats:
    """The series less its moving mean over one period (the ends of an even one count half); NaN at the ends."""
    kernel = np.full(period, 1 / period) if period % 2 else np.array([0.5, *([1.0] * (period - 1)), 0.5]) / period
    reach = len(kernel) // 2
    out = np.full(len(series), np.nan)
    for at in range(reach, len(series) - reach):
        out[at] = series[at] - kernel @ series[at - reach : at + reach + 1]
    return out


def repeats(film: Timeline) -> tuple[float, str, tuple[tuple[float, float], ...]]:
    """Share of frames that repeat the one before, the pattern they make ('' for none), and frozen stretches."""
    flags, relative, numbers, frozen = [], [], [], []
    for burst in film.bursts:
        change = burst.mean("change")[1:]
        usual = _usual(change) if len(change) and np.isfinite(change).all() else 0.0
        if usual < _MOVING:
            flags.append(change == 0)
            continue
        again = _again(change)
        flags.append(again)
        relative.append(change / usual)
        numbers.append(burst.numbers[1:])
        frozen += _still(again, burst, film.rate)
    flag = np.concatenate(flags) if flags else np.zeros(0, bool)
    share = float(flag.mean()) if len(flag) else 0.0
    pattern = _pattern(np.concatenate(relative), np.concatenate(numbers)) if relative else ""
    return share, pattern, tuple(frozen)


def _usual(change: Floats) -> float:
    """The change of the frames that move; a flash is too rare to count, of a frame shown four times one in four moves."""
    return float(np.quantile(change, 0.8))


def _pattern(change: Floats, number: NDArray[np.int64]) -> str:
    """The pattern whose repeats change nearly nothing while the others move; change: over the burst's usual one.

    A codec adds to repeats what it would to a still scene, therefore they are compared with the others and not with 0.
    """
    best, found = _APART, ""
    if len(change) < MIN_FRAMES:
        return found
    for name, cycle in PATTERNS.items():
        for phase in range(len(cycle)):
            meant = np.array(cycle)[(number + phase) % len(cycle)] > 0
            if min(meant.sum(), (~meant).sum()) < 3:
                continue
            rank = (change[meant][:, None] < change[~meant][None, :]).mean()
            small = np.quantile(change[meant], 0.75) <= _PATTERN_SHARE * np.median(change[~meant])
            if small and rank > best:
                best, found = float(rank), name
    return found


def _again(change: Floats) -> NDArray[np.bool_]:
    """Which changes are those of a frame that repeats the one before."""
    usual = _usual(change)
    return change <= (min(REPEAT_SHARE * usual, REPEAT_LEVELS[0] + REPEAT_LEVELS[1] * usual) if usual >= _MOVING else 0.0)


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
    moving = (*_WEIGHT, "fine_change")
    series = {name: np.where(void, np.nan, rows) if name in moving else rows for name, rows in burst.series.items()}
    return replace(burst, series=series)


def _still(again: NDArray[np.bool_], burst: Burst, rate: float) -> list[tuple[float, float]]:
    """Runs of at least a sixth of a second (four frames and more) that repeat one frame while others in it move."""
    least = max(4, round(rate / 6))
    out, start = [], None
    for at, repeated in enumerate([*again.tolist(), False]):
        if repeated and start is None:
            start = at
        elif not repeated and start is not None:
            if at - start >= least:
                out.append((float(burst.times[start]), float(burst.times[at] - burst.times[start])))
            start = None
    return out
