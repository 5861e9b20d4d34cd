"""Lattices fixed to the frame: the period of what repeats along columns and rows alike, off and on a codec's own.

The signed profiles of all windows of a file are laid along one line from the frame's corner to its far edge, so that
windows at different places and times add up in phase, and the power of that line at a frequency is compared with its
neighbours'. A decoder that upsamples by a stride leaves lines at multiples of 1 / stride; scaled afterwards, at
multiples of 1 / (stride x scale). Content leaves lines too, but hardly at the same frequency along both axes, therefore
the weaker of the two counts.

Codecs leave lines at 1/16, 1/8, 1/4 and 1/2 even in signed, phase-coherent means (measured: plain x264 in every film,
the coarser its quantiser the stronger). Off these frequencies every period is searched; on them only what exceeds the
codec's own is told: its lines at the other periods say how strong that one should be, which stands for the quantiser.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.layout.profiles import MARGIN
from fingerprint_db.window import WindowFingerprint

Floats = NDArray[np.float64]
STRIDES = (2, 4, 8, 16, 32)  # looked for where they stand unscaled
SHORTEST, LONGEST = 2.05, 48.0  # px: periods of the search
_CODEC = 16  # multiples of 1/16 are a codec's own
_GUARD, _REACH = 2.2, 9.0  # in widths of a line: the neighbours that a frequency is compared with
# Of log(1 + z) where z is the lower of two powers of chance, each with mean 1 (exponential): mean and deviation.
CHANCE_MEAN, CHANCE_SPREAD = 0.3613, 0.2833


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """Strength of the lines of a frame, from 0 to half the sampling rate: (F,) each, log(1 + power over neighbours).

    both: the lower of the two axes. width: of a line, as a frequency. resolution: the same for the whole frame line.
    """

    frequencies: Floats
    both: Floats
    width: float
    resolution: float

    def at(self, frequency: float) -> float:
        """The strength at a frequency, to the nearest of the grid."""
        return float(self.both[round(frequency / self.frequencies[1])])


@dataclass(frozen=True, slots=True)
class Found:
    """The strongest lattice off the codec's grid. period: pixels; score: how far its lines stand out together, in
    deviations of chance for one lattice; lines: how many of its harmonics could be looked at.
    """

    period: float
    score: float
    lines: int


def spectrum(windows: Sequence[WindowFingerprint]) -> Spectrum | None:
    """The lines of a file's windows; None where no window kept profiles."""
    kept = [window for window in windows if {"signed_x", "signed_y"} <= window.profiles.keys()]
    if not kept:
        return None
    across = [(w.left + MARGIN, np.asarray(w.profiles["signed_x"], np.float64)) for w in kept]
    down = [(w.top + MARGIN, np.asarray(w.profiles["signed_y"], np.float64)) for w in kept]
    extent = max(at + len(profile) for at, profile in (*across, *down))
    shortest = min(len(profile) for _, profile in (*across, *down))
    size = 1 << int(np.ceil(np.log2(8 * extent)))
    both = np.minimum(*(_lines(each, size, 1 / shortest) for each in (across, down)))
    frequencies = np.arange(size // 2 + 1) / size
    return Spectrum(frequencies, both, 1 / shortest, 1 / extent)


def _lines(placed: Sequence[tuple[int, Floats]], size: int, width: float) -> Floats:
    """log(1 + power over that of the neighbours) at every frequency of the grid: (size // 2 + 1,)."""
    line = np.zeros(size)
    for first, profile in placed:
        # A strong line of the codec would spread over its neighbours without the taper.
        line[first : first + len(profile)] += np.hanning(len(profile)) * (profile - profile.mean())
    transformed = np.fft.rfft(line)
    power = transformed.real**2 + transformed.imag**2
    # The neighbourhood is as wide as many lines, so that it need not be looked at more often than twice a line.
    at = np.arange(0, len(power), max(1, int(width * size / 2)))
    offsets = np.arange(int(_GUARD * width * size), int(_REACH * width * size) + 1)
    around = np.abs(at[:, None] + np.concatenate([-offsets, offsets]))
    around = np.where(around < len(power), around, 2 * (len(power) - 1) - around)
    floor = np.median(power[around], axis=1) / np.log(2)  # of exponential powers the median is log 2 of the mean
    strength: Floats = np.log1p(power / (np.interp(np.arange(len(power)), at, floor) + 1e-9))
    return strength


def codec_lines(seen: Spectrum) -> dict[int, float]:
    """Mean strength of the lines that each unscaled stride has and shorter strides have not."""
    return {stride: float(np.mean([seen.at(k / stride) for k in range(1, stride // 2 + 1, 2)])) for stride in STRIDES}


def search(seen: Spectrum) -> Found:
    """The period whose lines stand out farthest together, of those off the codec's grid."""
    best = Found(0.0, 0.0, 0)
    masked = _off_codec(seen)
    for count in range(1, int(LONGEST / 2) + 1):
        # Fundamentals of which so many harmonics lie below half the sampling rate; from one to the next the highest
        # harmonic moves by a quarter of its width.
        low, high = max(0.5 / (count + 1), 1 / LONGEST), min(0.5 / count, 1 / SHORTEST)
        fundamentals = np.arange(low, high, seen.resolution / (4 * count))
        if not len(fundamentals):
            continue
        at = np.rint(fundamentals[:, None] * np.arange(1, count + 1) / seen.frequencies[1]).astype(np.intp)
        lines = masked[np.minimum(at, len(masked) - 1)]
        known = np.isfinite(lines)
        number = known.sum(axis=1)
        sums = np.where(known, lines - CHANCE_MEAN, 0.0).sum(axis=1)
        # A lattice most of whose lines are the codec's is not told from it.
        scores = np.where(2 * number >= count, sums / (CHANCE_SPREAD * np.sqrt(np.maximum(number, 1))), -np.inf)
        top = int(np.argmax(scores))
        if scores[top] > best.score:
            best = Found(float(1 / fundamentals[top]), float(scores[top]), int(number[top]))
    return best


def _off_codec(seen: Spectrum) -> Floats:
    """The strengths, NaN where a codec's own lines are, with their skirts, and below the longest period."""
    away = np.abs(seen.frequencies * _CODEC - np.rint(seen.frequencies * _CODEC)) / _CODEC
    masked: Floats = np.where((away > _GUARD * seen.width) & (seen.frequencies >= 1 / LONGEST), seen.both, np.nan)
    return masked


def excess(lines: Mapping[int, float], stride: int, weights: Sequence[float]) -> float:
    """The strength of a stride's lines beyond what the others' say of the codec.

    weights: a constant, then one for each other stride of STRIDES in turn, fitted on camera footage.
    """
    others = [lines[other] for other in STRIDES if other != stride]
    return lines[stride] - float(weights[0]) - float(np.dot(weights[1:], others))
