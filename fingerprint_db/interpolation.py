"""Were frames made from their neighbours? Synthesised frames, told from repeated ones and from camera footage.

A synthesised frame lies half-way (or a quarter) between two others, so the blocks of its picture go on evenly through
it: their motion has no acceleration there, and has all of it at the frames that were there before. Folding the
acceleration over the frame numbers of all bursts shows that rhythm. It is a rhythm of where things are, not of how
sharp they are: a codec's B-frames are softer than its P-frames in every film, but they do not move things.

Repeated frames (``fingerprint_db.repeats``) are no synthesis and are told first. A conversion between rates that blends
(25 to 30) has no whole period and is not recognised. Interpolation does not show that a video was generated:
televisions and phones interpolate camera footage too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from fingerprint_db.bursts import Burst, Floats, Timeline
from fingerprint_db.repeats import PATTERNS, repeats, without_repeats

Kind = Literal["none", "interpolated", "repeated"]

PERIODS = (2, 3, 4)
# Of the statistic "contrast over (its standard error + this)", dB: keeps a chance of few or still frames small.
_SOFT = MappingProxyType({"acceleration": 2.0, "acceleration_coarse": 2.0, "middle": 0.7})
_WEIGHT = MappingProxyType({"acceleration": 1.0, "acceleration_coarse": 0.5, "middle": 0.5})
_LIMIT = 4.0  # no series alone decides
# Chosen on camera footage; docs/assembly.md says on which, and how others do at thresholds that they did not choose.
THRESHOLDS: Mapping[int, float] = MappingProxyType({2: 2.05, 3: 2.4, 4: 3.0})
# dB of squared levels. Photographs that a program panned over (the demo's) have -6 to -4.5 where their rhythm passes;
# of RIFE's versions of camera clips whose rhythm passes, all but one have more than -2.5.
LEAST_ACCELERATION = -3.0
CYCLES = 4  # a rhythm of fewer turns is chance
# Of two frames made in four, the middle one is as steady as the others: a fold by four then shows twice the contrast of
# a fold by two, and two thirds of it where every second frame was made.
_FOURFOLD = 1.15


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
    where it passes its threshold and the film accelerates at all. frozen: (second, length in s) of stretches where the
    picture is held.
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
    clear = [
        each for each in found.values() if each.score >= THRESHOLDS[each.period] and accelerates(moving, each.period)
    ]
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
    score = best.score - THRESHOLDS[best.period]
    return Cadence(
        kind, period, pattern, score if clear else min(score, 0.0), best.contrast, best.share, repeated, frozen
    )


def accelerates(film: Timeline, period: int) -> bool:
    """Whether the frames that would have been there, one in ``period``, have an acceleration to speak of.

    A picture that a program moves has next to none at any frame; what is left then has the rhythm of rounding and of
    the codec. The measure is the median of those frames, as the upper quantile that it is of all.
    """
    known = [burst.mean("acceleration") for burst in film.bursts]
    values = np.concatenate(known) if known else np.zeros(0)
    values = values[np.isfinite(values)]
    return len(values) > 0 and float(np.quantile(values, 1 - 0.5 / period)) >= LEAST_ACCELERATION


def rhythm(film: Timeline, period: int) -> Rhythm:
    """The clearest phase of one period; score 0 where too few frames were seen.

    Where frame numbers of different bursts are not on one grid, every burst finds its own phase and the median counts.
    """
    folds = [_Folds(film.bursts, name, period) for name in _WEIGHT]
    if film.steady or len(film.bursts) == 1:
        scores, contrast = (each[0] for each in _scores(folds, period, CYCLES, together=True))
        phase = int(np.argmax(scores))
        alone, _ = _scores(folds, period, 2)
        share = float(np.mean([s[phase] > 0 and s[phase] == s.max() for s in alone]))
        return Rhythm(period, phase, float(scores[phase]), float(contrast[phase]), share)
    each, strengths = _scores(folds, period, CYCLES)
    best = np.argmax(each, axis=1)
    score, strength = (float(np.median(found[np.arange(len(best)), best])) for found in (each, strengths))
    return Rhythm(period, int(best[0]), score, strength, float(np.mean(each.max(axis=1) >= THRESHOLDS[period])))


def _scores(folds: Sequence[_Folds], period: int, cycles: int, *, together: bool = False) -> tuple[Floats, Floats]:
    """Score and contrast of the acceleration for every phase, (bursts, period) each; (1, period) for all together."""
    total, contrast = np.zeros(period), np.zeros(period)
    for fold in folds:
        found, error = fold.contrasts(cycles, together=together)
        total = total + _WEIGHT[fold.name] * np.clip(found / (error + _SOFT[fold.name]), -_LIMIT, _LIMIT)
        if fold.name == "acceleration":
            contrast = found
    return total, contrast


class _Folds:
    """Counts, sums and sums of squares of one series at each phase of a period, (bursts, period) each."""

    def __init__(self, bursts: Sequence[Burst], name: str, period: int) -> None:
        self.name = name
        self._period = period
        away = [without_trend(burst.mean(name), period) for burst in bursts]
        value = np.concatenate(away) if away else np.zeros(0)
        known = np.isfinite(value)
        value = value[known]
        # Squares of what lies near 0 lose no digits.
        self._middle = float(value.mean()) if len(value) else 0.0
        value = value - self._middle
        number = np.concatenate([burst.numbers for burst in bursts]) if bursts else np.zeros(0, np.int64)
        place = np.repeat(np.arange(len(bursts)), [burst.frames for burst in bursts]) * period + number % period
        self._count, self._sum, self._squares = (
            np.bincount(place[known], weights, len(bursts) * period).reshape(len(bursts), period)
            for weights in (None, value, value * value)
        )

    def contrasts(self, cycles: int, *, together: bool = False) -> tuple[Floats, Floats]:
        """See ``contrasts``, for each burst alone, or one row for all together."""
        sums = (self._count.astype(np.float64), self._sum, self._squares)
        own, total, squares = (each.sum(axis=0, keepdims=True) for each in sums) if together else sums
        every, whole = own.sum(axis=1, keepdims=True), total.sum(axis=1, keepdims=True)
        rest, others = every - own, whole - total
        sound = (np.minimum(own, rest) >= 2) & (every >= cycles * self._period)
        own, rest = np.where(sound, own, 2.0), np.where(sound, rest, 2.0)
        spread = squares.sum(axis=1, keepdims=True) - total**2 / own - others**2 / rest
        error = np.sqrt(np.maximum(spread, 0.0) / np.maximum(every - 2, 1.0) * (1 / own + 1 / rest))
        return np.where(sound, total / own - others / rest, 0.0), np.where(sound, error, np.inf)


def contrasts(bursts: Sequence[Burst], name: str, period: int, cycles: int = CYCLES) -> tuple[Floats, Floats]:
    """Mean of a series at each phase less that at the others, and its standard error; (period,) each.

    The moving mean over a whole period is taken off first, so that what drifts gives nothing. 0 with an infinite error
    where a phase has fewer than two frames, and everywhere for fewer turns than ``cycles``.
    """
    found, error = _Folds(bursts, name, period).contrasts(cycles, together=True)
    return found[0], error[0]


def without_trend(series: Floats, period: int) -> Floats:
    """The series less its moving mean over one period (the ends of an even one count half); NaN at the ends."""
    kernel = np.full(period, 1 / period) if period % 2 else np.array([0.5, *([1.0] * (period - 1)), 0.5]) / period
    reach = len(kernel) // 2
    out = np.full(len(series), np.nan)
    if len(series) > 2 * reach:
        out[reach : len(series) - reach] = series[reach : len(series) - reach] - np.convolve(series, kernel, "valid")
    return out
