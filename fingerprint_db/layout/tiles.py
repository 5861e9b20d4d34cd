"""Seams between tiles: lines across the whole picture, fixed to the frame, where parts meet that were decoded apart.

At a line where two tiles meet without a fade, each was made from what lies on its own side, so that the step from one
pixel to the next is a little larger there than beside it, in every frame and whatever the content. Beside it means two
and three pixels away, which a structure of the scene shares; and as a codec's blocks make steps too, each pixel is held
against those a multiple of eight away. Tiles lie on a lattice: what counts is how far all its lines stand out together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.catalogue import load_catalogue
from fingerprint_db.layout.profiles import MARGIN
from fingerprint_db.window import WindowFingerprint

Floats = NDArray[np.float64]
BLOCK = 8  # px: a codec's own steps come at multiples of it
FREE_STEPS = range(128, 513, BLOCK)  # px: of lattices that nothing documented has, as latents of stride 8 allow them
_NEAR = (-3, -2, 2, 3)  # px: what a line is compared with first
_BLOCKS = 6  # multiples of BLOCK on either side that it is compared with next
_FEWEST = 4  # of these there must be
_MOST = 6.0  # deviations; no single line carries a lattice
_DOUBT = 0.5  # of the lines have to stand out by a deviation each


@dataclass(frozen=True, slots=True)
class Tiling:
    """A lattice of tiles. rows, columns: pixels from one tile to the next; families: slugs that document it."""

    rows: int
    columns: int
    families: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TileSeams:
    """The lattice that stands out most. score: deviations of chance by which its lines stand out together.

    lines: how many of them cross a window that was looked at. strongest: of these the three that stand out most, as
    (``x`` or ``y``, pixel from the frame's corner, deviations).
    """

    tiling: Tiling
    score: float
    lines: int
    strongest: tuple[tuple[str, int, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """How far the step into each pixel stands out, by axis and pixel from the frame's corner, in deviations."""

    x: Mapping[int, float]
    y: Mapping[int, float]


@lru_cache(maxsize=1)
def documented_tilings() -> tuple[Tiling, ...]:
    """The lattices of the catalogue's families (``tiles``), each once, with all that have it."""
    families: dict[tuple[int, int], list[str]] = defaultdict(list)
    for family in load_catalogue().families.values():
        if family.tiles:
            families[family.tiles[2], family.tiles[3]].append(family.slug)
    return tuple(Tiling(rows, columns, tuple(slugs)) for (rows, columns), slugs in families.items())


def free_tilings() -> tuple[Tiling, ...]:
    """Square lattices of FREE_STEPS that are not documented."""
    known = {(tiling.rows, tiling.columns) for tiling in documented_tilings()}
    return tuple(Tiling(step, step) for step in FREE_STEPS if (step, step) not in known)


def steps_of(windows: Sequence[WindowFingerprint]) -> Steps | None:
    """How far steps stand out in a file; None where no window kept profiles.

    Windows at one place of the frame are averaged first: what moves is not the same in all of them.
    """
    kept = [window for window in windows if {"step_x", "step_y"} <= window.profiles.keys()]
    if not kept:
        return None
    return Steps(
        _together((w.left, w.top, w.profiles["step_x"]) for w in kept),
        _together((w.top, w.left, w.profiles["step_y"]) for w in kept),
    )


def _together(placed: Iterable[tuple[int, int, NDArray[np.float32]]]) -> dict[int, float]:
    """From (place along the axis, place across it, profile) to deviations by pixel.

    A line goes through the whole picture: of windows at different places across, which see other parts of it, the sum
    counts, over the root of their number.
    """
    groups: dict[tuple[int, int, int], list[Floats]] = defaultdict(list)
    for along, across, profile in placed:
        groups[along, across, len(profile)].append(np.asarray(profile, np.float64))
    places: list[NDArray[np.intp]] = []
    found: list[Floats] = []
    for (along, _, _), profiles in groups.items():
        values = standing_out(np.mean(profiles, axis=0))
        known = np.flatnonzero(np.isfinite(values))
        places.append(along + MARGIN + known)
        found.append(values[known])
    if not places:
        return {}
    at, row = np.unique(np.concatenate(places), return_inverse=True)
    sums = np.bincount(row, weights=np.concatenate(found), minlength=len(at))
    together = sums / np.sqrt(np.bincount(row, minlength=len(at)))
    return dict(zip(at.tolist(), together.tolist(), strict=True))


def standing_out(profile: Floats) -> Floats:
    """How far each value of a ``step`` profile lies above its neighbours, in deviations; NaN at the ends."""
    size = len(profile)
    local = np.full(size, np.nan)
    inner = np.arange(3, size - 3)
    local[inner] = profile[inner] - np.mean([profile[inner + near] for near in _NEAR], axis=0)
    offsets = BLOCK * np.concatenate([np.arange(-_BLOCKS, 0), np.arange(1, _BLOCKS + 1)])
    at = np.arange(size)[:, None] + offsets
    beside = np.where((at >= 0) & (at < size), local[np.clip(at, 0, size - 1)], np.nan)
    enough = np.isfinite(beside).sum(axis=1) >= _FEWEST
    out = np.full(size, np.nan)
    out[enough] = local[enough] - np.nanmedian(beside[enough], axis=1)
    known = np.isfinite(out)
    if not known.any():
        return out
    deviation = 1.4826 * float(np.median(np.abs(out[known])))  # that of a normal distribution, without its tails
    return out / (deviation + 1e-9)


def tile_seams(steps: Steps, tilings: Sequence[Tiling]) -> TileSeams | None:
    """The one of these lattices that stands out most; None where no line of any crosses a window."""
    best: TileSeams | None = None
    for tiling in tilings:
        lines = [
            (axis, at, values[at])
            for axis, values, step in (("x", steps.x, tiling.columns), ("y", steps.y, tiling.rows))
            for at in range(step, max(values, default=0) + 1, step)
            if at in values
        ]
        if not lines:
            continue
        each = np.minimum([value for _, _, value in lines], _MOST)
        # One line that the scene has there is no lattice.
        score = float(each.sum() / np.sqrt(len(each))) if np.mean(each > 1) >= _DOUBT else 0.0
        if best is None or score > best.score:
            strongest = sorted(lines, key=lambda line: -line[2])[:3]
            best = TileSeams(tiling, score, len(lines), tuple(strongest))
    return best
