"""Where things lie in a map of pixels: the picture within its bars, clumps of what is set, boxes and small pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.overlays import GRID_COLS, GRID_ROWS

_REACH = 2  # cells between letters of a word
_RIM = 4  # pixels at the edge of a bar, over which encoders smear it

Box = tuple[slice, slice]


def inside(bar: NDArray[np.bool_], *, at_top: bool) -> Box:
    """The picture within bars: rows and columns from the border inwards that neither change nor hold an edge."""
    rows, cols = bar.mean(axis=1), bar.mean(axis=0)
    above, below = (_depth(rows), 0) if at_top else (0, _depth(rows[::-1]))
    left, right = _depth(cols), _depth(cols[::-1])
    # The last row and column have no gradient.
    return slice(above, max(above, bar.shape[0] - below - 1)), slice(left, max(left, bar.shape[1] - right - 1))


def _depth(calm: NDArray[np.float64]) -> int:
    """How deep a bar is, with its rim. calm: by row or column, the share of a bar's pixels."""
    lively = np.flatnonzero(calm <= 0.98)
    depth = int(lively[0]) if len(lively) else 0
    # A mark upon a bar ends the run of calm rows too, and has no rim.
    return depth + _RIM if depth and calm[min(depth + _RIM, len(calm) - 1)] < 0.5 else depth


def clumps(kept: NDArray[np.bool_], cell: int) -> Iterator[Box]:
    """Boxes around pixels that lie near each other."""
    height, width = kept.shape
    rows, cols = -(-height // cell), -(-width // cell)
    grid = np.zeros((rows * cell, cols * cell), np.uint8)
    grid[:height, :width] = kept
    lines = np.add.reduce(grid.reshape(rows, cell, -1), axis=1, dtype=np.uint8)  # a cell has fewer than 256 rows
    counts = np.add.reduce(lines.reshape(rows, cols, cell), axis=2, dtype=np.uint16)
    # A margin of empty cells spares the question whether a neighbour lies outside.
    wide = cols + 2 * _REACH
    flags = np.zeros((rows + 2 * _REACH, wide), np.uint8)
    flags[_REACH:-_REACH, _REACH:-_REACH] = counts >= max(2.0, 0.06 * cell * cell)
    left = bytearray(flags.tobytes())
    near = [y * wide + x for y in range(-_REACH, _REACH + 1) for x in range(-_REACH, _REACH + 1) if y or x]
    at = left.find(1)
    while at >= 0:
        left[at] = 0
        found = [at]
        for place in found:
            for step in near:
                if left[place + step]:
                    left[place + step] = 0
                    found.append(place + step)
        at = left.find(1, at)
        if len(found) > 1:
            over = [place % wide - _REACH for place in found]
            top, bottom = (found_row // wide - _REACH for found_row in (min(found), max(found)))
            yield _tight(kept, top * cell, (bottom + 1) * cell, min(over) * cell, (max(over) + 1) * cell)


def _tight(kept: NDArray[np.bool_], top: int, bottom: int, start: int, end: int) -> Box:
    """The smallest box around what is set within these bounds, which something is."""
    part = kept[top:bottom, start:end]
    lines, across = (np.flatnonzero(part.any(axis=axis)) for axis in (1, 0))
    return (
        slice(top + int(lines[0]), top + int(lines[-1]) + 1),
        slice(start + int(across[0]), start + int(across[-1]) + 1),
    )


def meet(one: Box, other: Box) -> bool:
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))


def cells(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Means over an 8 x 24 grid; a cell narrower than a pixel has the pixel it lies in."""
    small = values.astype(np.float64)
    for axis, count in ((0, GRID_ROWS), (1, GRID_COLS)):
        size = small.shape[axis]
        edges = np.linspace(0, size, count + 1).astype(int)
        starts = np.minimum(edges[:-1], size - 1)
        widths = np.maximum(np.diff(edges), 1)
        small = np.add.reduceat(small, starts, axis=axis) / (widths[:, None] if axis == 0 else widths)
    return small
