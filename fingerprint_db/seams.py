"""Where in time a video was joined: seams between chunks that were decoded apart, told from cuts, flashes and codecs.

A decoder that begins anew draws its own fine texture over the same content, so that at a seam even the calmest parts of
the picture change, once, between two frames, while nothing moves more than before. A cut changes the picture itself, a
flash the light, a keyframe of the codec the fine texture too: what happens on a keyframe of the file at hand is
therefore never called a seam. Chunks of one length leave seams on a lattice of frame numbers; those that lie on it are
believed at less strength than one alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fingerprint_db.bursts import Burst, Floats, Timeline
from fingerprint_db.repeats import without_repeats

PERIODS = (8, 12, 16, 24, 32)  # strides of the documented ways to decode in chunks, in frames
NEIGHBOURS = 2  # frames on either side that a seam has to stand out from
COARSE_SHARE = 0.25  # of what the whole picture changed more than around: motion that jerks changes both
_COARSE_LIMIT = 4.0  # dB; a calmer picture than around makes no seam
THRESHOLD = 5.5  # dB by which one seam alone stands out, in every crop
# Mean over a lattice of so many points: the more there are, the less each has to stand out. Phases and periods are
# searched, therefore two points prove something only where few lattices have as few.
LATTICE_THRESHOLDS = {2: 4.0, 3: 3.0, 4: 2.5}
FEW = (8, 12, 16)  # periods whose lattices may have two points
_ENOUGH = 6.0  # dB; no single point carries a lattice
_EXPECTED = 1.5  # dB; a point has to have more, or its lattice had better be without it
CUT_ALIKE = 0.5  # the picture before and after a cut is less alike than this
CUT_CHANGE = 4.0  # dB by which the whole picture changes more than around it
_CHANGES = ("fine_change", "coarse_change")
LIGHT_STEP = 2.5  # 8-bit levels; at a larger step of the mean nothing is called a seam


@dataclass(frozen=True, slots=True)
class Seam:
    """Between the frame before ``at_s`` and the frame shown then. strength: dB above the frames around it.

    least: the strength in the crop that shows it least; a seam goes through the whole picture.
    """

    at_s: float
    number: int
    strength: float
    least: float


@dataclass(frozen=True, slots=True)
class Joins:
    """What was found between frames. period: of the lattice that the seams lie on, 0 for none.

    cuts: seconds at which another shot begins. boundaries: how many joins of frames were looked at for seams;
    keyframes, the first frames of bursts and the surroundings of cuts and flashes are not among them.
    """

    seams: tuple[Seam, ...]
    period: int
    cuts: tuple[float, ...]
    boundaries: int


def joins(film: Timeline) -> Joins:
    """Seams and cuts in a file's bursts."""
    seen: list[Seam] = []
    cuts: list[float] = []
    for burst in film.bursts:
        events = _cuts(burst)
        cuts += [float(burst.times[at]) for at in events]
        flashes = _lights(burst, events)
        strength, least = strengths(without_repeats(burst))
        # A cut or a flash changes what its neighbours are compared with, too.
        for other in (*events, *flashes):
            strength[max(0, other - NEIGHBOURS) : other + NEIGHBOURS + 1] = np.nan
        at = np.flatnonzero(np.isfinite(strength))
        columns = (burst.times[at], burst.numbers[at], strength[at], least[at])
        seen += map(Seam, *(column.tolist() for column in columns))
    period, on_lattice = lattice(seen) if film.steady or len(film.bursts) == 1 else (0, [])
    found = {seam.number: seam for seam in seen if seam.least >= THRESHOLD}
    found |= {seam.number: seam for seam in on_lattice}
    return Joins(tuple(found[number] for number in sorted(found)), period, tuple(cuts), len(seen))


def strengths(burst: Burst) -> tuple[Floats, Floats]:
    """How far the calm parts' change at each frame stands out from the frames around, dB: (T,) each.

    Of the mean over crops, and of the crop where it is least. NaN on keyframes, on repeats of the frame before and
    where fewer than two neighbours are known.
    """

    fine, coarse = (_spikes(np.stack([burst.mean(name), *burst.series[name]])) for name in _CHANGES)
    together, *each = fine - COARSE_SHARE * np.maximum(coarse, -_COARSE_LIMIT)
    keyframes = [letter == "I" for letter in burst.picture_types]
    together[keyframes] = np.nan
    least: Floats = np.where(np.isfinite(together), np.min(each, axis=0), np.nan)
    return together, least


def _spikes(series: Floats) -> Floats:
    """Each value less the largest of its neighbours; (..., T) to the same, NaN where fewer than two are known."""
    frames = series.shape[-1]
    padded = np.full((*series.shape[:-1], frames + 2 * NEIGHBOURS), np.nan)
    padded[..., NEIGHBOURS : NEIGHBOURS + frames] = series
    steps = [step for step in range(2 * NEIGHBOURS + 1) if step != NEIGHBOURS]
    near = np.stack([padded[..., step : step + frames] for step in steps])
    known = np.isfinite(near)
    largest = np.where(known, near, -np.inf).max(axis=0)
    return np.where((known.sum(axis=0) >= 2) & np.isfinite(series), series - largest, np.nan)


def _cuts(burst: Burst) -> list[int]:
    """Frames that begin another shot: unlike the one before, more so than around, with a change of all the picture."""
    alike, change = burst.mean("alike"), _spikes(burst.mean("coarse_change"))
    out = []
    for at in np.flatnonzero((np.nan_to_num(alike, nan=1.0) < CUT_ALIKE) & (change > CUT_CHANGE)):
        near = np.concatenate([alike[max(0, at - 3) : at], alike[at + 1 : at + 4]])
        near = near[np.isfinite(near)]
        if len(near) and 1 - alike[at] > 2 * (1 - float(np.median(near))):
            out.append(int(at))
    return out


def _lights(burst: Burst, cuts: Sequence[int]) -> list[int]:
    """Frames at which the mean level jumps off its drift, on every crop."""
    level = burst.series["level"]
    step = np.diff(level, axis=1)
    if step.shape[1] < 3:
        return []
    jump = np.abs(step - np.median(step, axis=1, keepdims=True)).min(axis=0)
    return [int(at) + 1 for at in np.flatnonzero(jump > LIGHT_STEP) if int(at) + 1 not in cuts]


def lattice(seen: Sequence[Seam]) -> tuple[int, list[Seam]]:
    """The lattice of frame numbers that the seams lie on: its period and those of its points; (0, []) for none.

    Of the lattices whose points stand out far enough on average, the one that explains most.
    """
    best, found = 0.0, (0, list[Seam]())
    numbers = np.array([seam.number for seam in seen], np.int64)
    strength = np.minimum(np.array([seam.strength for seam in seen]), _ENOUGH)
    for period in PERIODS if seen else ():
        phases = numbers % period
        counts = np.bincount(phases, minlength=period)
        sums = np.bincount(phases, strength, minlength=period)
        for phase in np.flatnonzero(counts >= (2 if period in FEW else 3)).tolist():
            count, total = int(counts[phase]), float(sums[phase])
            explained = total - _EXPECTED * count
            if total / count >= LATTICE_THRESHOLDS[min(count, 4)] and explained > best:
                points = [seam for seam in seen if seam.number % period == phase and seam.strength > _EXPECTED]
                best, found = explained, (period, points)
    return found
