"""Rhythms of sharpness in time that the codec's picture types do not explain: the temporal stride of a decoder.

A latent that stands for several frames may draw them unequally sharp, in a rhythm of its stride. So does every codec:
x264's usual run of three B-frames has a rhythm of four. A frame's picture type, and for B-frames the place in their
run, therefore take their share first, and what the phase of a period adds is an F test on what is left.
Where the types repeat with the period themselves, they take everything, and nothing can be said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fingerprint_db.bursts import Burst, Timeline

Floats = NDArray[np.float64]
PERIODS = (4, 6, 8)  # frames a latent, of the catalogue's families
SERIES = ("detail", "fine_change")
_FREE = 8  # frames more than what is fitted, without which no test is made
_OWN = 2  # phases that the picture types leave, likewise
_MOST = 300.0  # -log10 of the smallest number there is


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The period that explains most. score: -log10 of the chance of it, by the F test, were frames independent.

    strength: deviation of the phases from each other in dB. series: in which of SERIES.
    """

    period: int
    score: float
    strength: float
    series: str


def temporal_rhythm(film: Timeline) -> Rhythm | None:
    """The strongest rhythm of PERIODS; None where picture types and frames too few leave nothing to test."""
    bursts = film.bursts if film.steady else max(([burst] for burst in film.bursts), key=lambda b: b[0].frames)
    best: Rhythm | None = None
    for series in SERIES:
        values, nuisance, numbers = _stacked(bursts, series)
        for period in PERIODS:
            found = _tested(values, nuisance, numbers % period, period)
            if found is not None and (best is None or found[0] > best.score):
                best = Rhythm(period, found[0], found[1], series)
    return best


def places(types: str) -> list[tuple[str, int, int]]:
    """What a codec makes of each frame: its letter, and for B-frames the length of their run and the place in it."""
    out: list[tuple[str, int, int]] = []
    at = 0
    while at < len(types):
        end = at
        while end < len(types) and types[end] == types[at]:
            end += 1
        run = end - at
        inner = types[at] == "B"  # of P-frames in a row each is like the next
        out += [(types[at], run * inner, n * inner) for n in range(run)]
        at = end
    return out


def _stacked(bursts: Sequence[Burst], series: str) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """The series of all bursts with what explains it otherwise: each burst's own course, and the picture types."""
    kinds = sorted({place for burst in bursts for place in places(burst.picture_types)})
    values, rows, numbers = [], [], []
    for position, burst in enumerate(bursts):
        known = burst.mean(series)
        course = np.linspace(-1, 1, burst.frames) if burst.frames > 1 else np.zeros(1)
        for frame, place in enumerate(places(burst.picture_types)):
            if np.isfinite(known[frame]):
                row = np.zeros(3 * len(bursts) + len(kinds))
                row[3 * position : 3 * position + 3] = 1, course[frame], course[frame] ** 2
                row[3 * len(bursts) + kinds.index(place)] = 1
                values.append(float(known[frame]))
                rows.append(row)
                numbers.append(int(burst.numbers[frame]))
    return np.array(values), np.array(rows), np.array(numbers, dtype=np.int64)


def _tested(values: Floats, nuisance: Floats, phases: NDArray[np.int64], period: int) -> tuple[float, float] | None:
    """-log10 of the chance and the deviation of phases, None where there is nothing left to test."""
    if not len(values):
        return None
    wide = np.hstack([nuisance, np.eye(period)[phases]])
    plain, full = (np.linalg.lstsq(design, values, rcond=None) for design in (nuisance, wide))
    own, free = int(full[2]) - int(plain[2]), len(values) - int(full[2])
    if own < _OWN or free < _FREE:
        return None
    without, with_ = (
        float(((values - design @ fit[0]) ** 2).sum()) for design, fit in ((nuisance, plain), (wide, full))
    )
    gained = max(without - with_, 0.0)
    chance = float(special.fdtrc(own, free, (gained / own) / (with_ / free + 1e-9)))
    return min(-np.log10(max(chance, 10**-_MOST)), _MOST), float(np.sqrt(gained / len(values)))


def first_frame(film: Timeline) -> float | None:
    """How much sharper (dB) the film's first frame is than the four after it, beyond what other keyframes are.

    A causal decoder makes the first frame alone; so does a codec, which is why keyframes at which other bursts begin
    are what it is held against. None where the first frame was not looked at, or no other burst begins on a keyframe.
    """
    contrasts = [
        (burst.times[0], float(fine[0] - fine[1:5].mean()))
        for burst in film.bursts
        if burst.frames >= 5 and burst.picture_types[0] == "I" and np.isfinite((fine := burst.mean("detail"))[:5]).all()
    ]
    if len(contrasts) < 2 or film.rate <= 0 or contrasts[0][0] > 0.5 / film.rate:
        return None
    return contrasts[0][1] - float(np.median([contrast for _, contrast in contrasts[1:]]))
