"""Seams between spatial tiles: straight lines that stay on one native row or column while the picture moves.

A decoder that makes a frame tile by tile leaves a small step across the whole length of a tile's border. The mean of the
signed step across every line of a window, frame by frame, is kept where it is strongest (``fingerprint_db.traces``);
what counts here is that the same native line is the strongest in most frames although the picture moves. In footage
at rest a straight edge of the scene does the same, so nothing is said of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fingerprint_db.bursts import Timeline

AXES = ("column", "row")
MOVES = 1.5  # 8-bit levels of change a frame: below it the scene is at rest
STANDS_OUT = 6.0  # how many times the usual step across a line
SHARE = 0.7  # of the frames looked at, those in which the same line is the strongest
MIN_FRAMES = 24


@dataclass(frozen=True, slots=True)
class Line:
    """A tile's border. at: the native row or column that begins the new tile. strength: step over the usual one."""

    axis: str
    at: int
    strength: float


@dataclass(frozen=True, slots=True)
class Tiling:
    """frames: how many frames of moving picture were looked at, over all crops."""

    lines: tuple[Line, ...]
    frames: int


def tiling(film: Timeline) -> Tiling:
    """Lines of a file's moving windows that stay; empty where its series do not hold them or nothing moves."""
    seen: dict[tuple[str, int], list[list[tuple[int, float]]]] = {}
    frames = 0
    for burst in film.bursts:
        if not {f"{axis}_line" for axis in AXES} <= set(burst.series):
            continue
        for row, place in enumerate(burst.crops):
            moving = np.nan_to_num(burst.series["change"][row]) >= MOVES
            frames += int(moving.sum())
            for axis, offset in zip(AXES, (place[1], place[0]), strict=True):
                lines = burst.series[f"{axis}_line"][row][moving] + offset
                steps = burst.series[f"{axis}_step"][row][moving]
                pairs = [(int(at), float(step)) for at, step in zip(lines, steps, strict=True)]
                seen.setdefault((axis, offset), []).append(pairs)
    found: dict[tuple[str, int], list[float]] = {}
    for (axis, _), parts in seen.items():
        pairs = [pair for part in parts for pair in part]
        if len(pairs) < MIN_FRAMES:
            continue
        values, counts = np.unique([at for at, _ in pairs], return_counts=True)
        best = int(values[np.argmax(counts)])
        strength = float(np.median([step for at, step in pairs if at == best]))
        if counts.max() >= SHARE * len(pairs) and strength >= STANDS_OUT:
            found.setdefault((axis, best), []).append(strength)
    lines = tuple(Line(axis, at, max(strength)) for (axis, at), strength in sorted(found.items()))
    return Tiling(lines, frames)
