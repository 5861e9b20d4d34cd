"""The arithmetic of assembly written out one frame at a time: what the fast forms in fingerprint_db have to give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.bursts import Burst, Floats
from fingerprint_db.repeats import PATTERNS
from fingerprint_db.seams import PERIODS, Seam


def without_trend(series: Floats, period: int) -> Floats:
    kernel = np.full(period, 1 / period) if period % 2 else np.array([0.5, *([1.0] * (period - 1)), 0.5]) / period
    reach = len(kernel) // 2
    out = np.full(len(series), np.nan)
    for at in range(reach, len(series) - reach):
        out[at] = series[at] - kernel @ series[at - reach : at + reach + 1]
    return out


def contrasts(bursts: Sequence[Burst], name: str, period: int, cycles: int) -> tuple[Floats, Floats]:
    values, phases = [], []
    for burst in bursts:
        away = without_trend(burst.mean(name), period)
        known = np.isfinite(away)
        values.append(away[known])
        phases.append(burst.numbers[known] % period)
    value, phase = np.concatenate(values), np.concatenate(phases)
    found, error = np.zeros(period), np.full(period, np.inf)
    if len(value) < cycles * period:
        return found, error
    for at in range(period):
        own, rest = value[phase == at], value[phase != at]
        if min(len(own), len(rest)) < 2:
            continue
        spread = ((own - own.mean()) ** 2).sum() + ((rest - rest.mean()) ** 2).sum()
        found[at] = own.mean() - rest.mean()
        error[at] = np.sqrt(spread / (len(value) - 2) * (1 / len(own) + 1 / len(rest)))
    return found, error


def spikes(series: Floats, neighbours: int) -> Floats:
    out = np.full(len(series), np.nan)
    for at in range(len(series)):
        near = [series[n] for n in range(max(0, at - neighbours), min(len(series), at + neighbours + 1)) if n != at]
        known = [value for value in near if np.isfinite(value)]
        if len(known) >= 2 and np.isfinite(series[at]):
            out[at] = series[at] - max(known)
    return out


def pattern(change: Floats, number: NDArray[np.int64], *, apart: float, share: float) -> str:
    best, found = apart, ""
    for name, cycle in PATTERNS.items():
        for phase in range(len(cycle)):
            meant = np.array(cycle)[(number + phase) % len(cycle)] > 0
            if min(meant.sum(), (~meant).sum()) < 3:
                continue
            rank = (change[meant][:, None] < change[~meant][None, :]).mean()
            small = np.quantile(change[meant], 0.75) <= share * np.median(change[~meant])
            if small and rank > best:
                best, found = float(rank), name
    return found


def lattice(seen: Sequence[Seam], *, thresholds: dict[int, float], few: Sequence[int]) -> tuple[int, list[Seam]]:
    enough, expected = 6.0, 1.5
    best, found = 0.0, (0, list[Seam]())
    for period in PERIODS:
        for phase in range(period):
            points = [seam for seam in seen if seam.number % period == phase]
            strength = [min(seam.strength, enough) for seam in points]
            least = thresholds[min(len(points), 4)] if len(points) >= (2 if period in few else 3) else np.inf
            if not points or float(np.mean(strength)) < least:
                continue
            explained = float(np.sum(strength)) - expected * len(points)
            if explained > best:
                best, found = explained, (period, [seam for seam in points if seam.strength > expected])
    return found
