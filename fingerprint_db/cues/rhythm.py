"""The family that shows how a video was put together: repeated frames, and rhythms of change and of sharpness."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fingerprint_db.cues.definitions import PERIODS


def rhythm_cues(change: Sequence[float], steady: Sequence[float]) -> dict[str, float]:
    """change: mean absolute change of each frame pair in levels; steady: the fine detail's strength of each frame in
    dB, differences between picture types removed.
    """
    logs = [math.log(c + 0.05) for c in change]
    found = {"repeated_frames": repeated_share(change)}
    for p in PERIODS:
        found[f"difference_period_{p}"] = period_strength(logs, p)
        found[f"sharpness_period_{p}"] = period_strength(steady, p)
    return found


def repeated_share(change: Sequence[float]) -> float:
    """Share of frame pairs that repeat a frame: no change at all, or far less than the moving pairs show.

    In a still scene (upper quartile of the change below 0.3 levels) only exact repeats count.
    """
    moving = sorted(change)[(3 * len(change)) // 4]
    limit = 0.2 * moving if moving >= 0.3 else 0.0
    return sum(c <= limit for c in change) / len(change)


def period_strength(values: Sequence[float], period: int) -> float:
    """Adjusted share of variance explained by the position modulo ``period`` (0..1); 0 with under two periods.

    The adjustment (as of an adjusted R squared) takes off what a random sequence of this length would show.
    """
    n = len(values)
    if n < 2 * period + 1:
        return 0.0
    mean = sum(values) / n
    total = sum((v - mean) ** 2 for v in values)
    if total < 1e-6 * n:
        return 0.0
    between = 0.0
    for phase in range(period):
        part = values[phase::period]
        between += len(part) * (sum(part) / len(part) - mean) ** 2
    unexplained = (1 - between / total) * (n - 1) / (n - period)
    return min(1.0, max(0.0, 1 - unexplained))
