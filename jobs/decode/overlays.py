"""Still overlays in the corners of a picture, while the rest of it moves: logos and burnt-in words.

An edge that an overlay draws has the same gradient in every frame; the edges behind it come and go, so that over the
frames of several bursts the mean gradient keeps the former alone (after Dekel et al., On the effectiveness of visible
watermarks, CVPR 2017, who take the median; sums need one pass and keep no frames). Only frames that were decoded anyway
are looked at. Where hardly anything moves, nothing can be told apart and nothing is said.

The bounds below were set by looking at published clips (docs/declared.md says on how many, and what they find there).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.overlays import MOST, Looked, Overlay, drawn
from fingerprint_db.window import Plane
from jobs.decode.clumps import Box, cells, clumps, inside, meet
from jobs.decode.plan import FIRST_BURSTS

SHORT_SIDE = 360  # to about so many pixels a side frames are reduced, by whole numbers
BAND = 0.27  # of the height, at the top and at the bottom

_STEP, _LATER = 5, 10  # every so manieth frame of the first burst (a short clip has no more), and of the others
_MOVES = 18.0  # range of luma over the frames, 8-bit levels
_FLAT = 4.0  # the same within a bar, and its root mean square gradient
_EDGE = 8.0  # root mean square gradient of an edge, 8-bit levels a pixel
_STILL = (6.0, 0.75)  # mean gradient and persistence of an edge that stays where it is
_CELLS = 60  # to the short side, on which edges gather into clumps
_LUMA = np.array([0.299, 0.587, 0.114], np.float32) * np.float32(219 / 255)  # ITU-R BT.601, limited range
_RING = 0.06  # of the short side: how far around a clump its surroundings go


@dataclass(frozen=True, slots=True)
class _Level:
    """With low bounds a mark runs together with the still edges around it, with high ones it breaks up: all are tried.

    gradient, persistence: of a pixel that counts. strength: least mean gradient of a clump. density: least share of its
    box that counts.
    """

    gradient: float
    persistence: float
    strength: float
    density: float


_LEVELS = (_Level(*_STILL, 12.0, 0.15), _Level(16.0, 0.9, 22.0, 0.13), _Level(40.0, 0.95, 40.0, 0.1))


@dataclass(slots=True)
class _Band:
    """Sums over frames, in 8-bit levels. top: first row. gx, gy: gradients, of so few frames that 16 bits hold them;
    gg: their squared length. high, low: extremes of luma.
    """

    top: int
    gx: NDArray[np.int16]
    gy: NDArray[np.int16]
    gg: NDArray[np.float32]
    high: NDArray[np.int16]
    low: NDArray[np.int16]

    def add(self, luma: NDArray[np.int16]) -> None:
        across = luma[:-1, 1:] - luma[:-1, :-1]
        down = luma[1:, :-1] - luma[:-1, :-1]
        self.gx[:-1, :-1] += across
        self.gy[:-1, :-1] += down
        for gradient in (across, down):
            squared = gradient.astype(np.float32)
            squared *= squared
            self.gg[:-1, :-1] += squared
        np.maximum(self.high, luma, out=self.high)
        np.minimum(self.low, luma, out=self.low)


class OverlayWatch:
    """Looks at frames as they come; what it holds does not grow with the length of the film."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()
        self._frames = 0
        self._shape = (0, 0)
        self._factor = 1
        self._bands: list[_Band] = []

    def wants(self, burst: int, offset: int) -> bool:
        """Whether the frame of this number in this burst is one to look at; once, however often it is decoded."""
        chosen = burst < FIRST_BURSTS and offset % (_LATER if burst else _STEP) == 0
        return chosen and (burst, offset) not in self._seen

    def see(self, picture: Plane, bit_depth: int, burst: int, offset: int) -> None:
        """A whole picture as it is shown: luma (H, W) or RGB (H, W, 3); left out if of another size than the first."""
        self._seen.add((burst, offset))
        if not self._bands:
            self._begin(picture.shape[0], picture.shape[1])
        if picture.shape[:2] != self._shape:
            return
        for band in self._bands:
            rows, cols = band.gx.shape
            lines = picture[band.top * self._factor : (band.top + rows) * self._factor, : cols * self._factor]
            band.add(_reduced(lines, self._factor, bit_depth))
        self._frames += 1

    def looked(self) -> Looked | None:
        """What was found; None where no frame was seen."""
        if not self._frames:
            return None
        bands = [_Weighed(band, self._frames) for band in self._bands]
        moving = sum(int(band.moves.sum()) for band in bands) / sum(band.moves.size for band in bands)
        nothing = Looked(self._frames, moving, ())
        if not nothing.measurable:
            return nothing
        height, width = (side // self._factor for side in self._shape)
        found = [one for band in bands for one in band.overlays(height, width)]
        found.sort(key=lambda one: -one.strength * one.width * one.height)
        return Looked(self._frames, moving, tuple(found[:MOST]))

    def _begin(self, height: int, width: int) -> None:
        self._shape = (height, width)
        self._factor = max(1, round(min(height, width) / SHORT_SIDE))
        rows, cols = height // self._factor, width // self._factor
        deep = max(1, int(rows * BAND))
        for top in (0, rows - deep):
            gx, gy, high, low = (np.zeros((deep, cols), np.int16) for _ in range(4))
            self._bands.append(_Band(top, gx, gy, np.zeros((deep, cols), np.float32), high, low + 255))


def _reduced(lines: NDArray[Any], factor: int, bit_depth: int) -> NDArray[np.int16]:
    """Luma in means over ``factor`` x ``factor`` pixels, in 8-bit levels."""
    if factor > 1:
        wide: type[np.uint16 | np.uint32] = np.uint32 if bit_depth > 8 else np.uint16
        rows: NDArray[Any] = lines[::factor].astype(wide)
        for step in range(1, factor):
            np.add(rows, lines[step::factor], out=rows)
        summed: NDArray[Any] = rows[:, ::factor].copy()
        for step in range(1, factor):
            np.add(summed, rows[:, step::factor], out=summed)
        lines = np.floor_divide(summed, wide(factor**2))
    if bit_depth > 8:
        lines = np.right_shift(lines, bit_depth - 8)
    return lines.astype(np.int16) if lines.ndim == 2 else (lines.astype(np.float32) @ _LUMA).astype(np.int16)


class _Weighed:
    """One band with its sums turned into means. still: squared mean gradient; every: mean squared gradient."""

    def __init__(self, band: _Band, frames: int) -> None:
        self.top = band.top
        self.gx, self.gy = (total.astype(np.float32) / frames for total in (band.gx, band.gy))
        self.still = self.gx**2 + self.gy**2
        self.every = band.gg / frames
        span = band.high - band.low
        self.moves = span > _MOVES
        bar = (span < _FLAT) & (self.every < _FLAT**2)
        self._picture = inside(bar, at_top=band.top == 0)
        outside = np.ones(bar.shape, bool)
        outside[self._picture] = False
        self.still[outside] = 0
        self.every[outside] = 0
        self.edges = self.every > _EDGE**2
        self.stays = (self.still > _STILL[0] ** 2) & (self.still > _STILL[1] * self.every)

    def overlays(self, height: int, width: int) -> Iterator[Overlay]:
        """height, width: of the whole reduced picture."""
        side = min(height, width)
        found: list[Box] = []
        for level in _LEVELS:
            kept = (self.still > level.gradient**2) & (self.still > level.persistence * self.every)
            for box in clumps(kept, max(3, round(side / _CELLS))):
                if any(meet(box, other) for other in found) or not self._stands_out(kept, box, level, height, width):
                    continue
                found.append(box)
                yield self._told(kept, box, height, width)

    def _stands_out(self, kept: NDArray[np.bool_], box: Box, level: _Level, height: int, width: int) -> bool:
        """Whether a clump is an overlay: in a corner of the picture, of a mark's size, whole, and the only thing that
        stays where it is while its surroundings, or at least the rest of the band, move.
        """
        side = min(height, width)
        lines, cols = box
        tall, wide = (lines.stop - lines.start) / height, (cols.stop - cols.start) / width
        inner_rows, inner_cols = self._picture
        first, last = lines.start - inner_rows.start, inner_rows.stop - lines.stop
        end, inner = (first, last) if self.top == 0 else (last, first)
        flank = min(cols.start - inner_cols.start, inner_cols.stop - cols.stop)
        # What runs on beyond the picture or the band is part of something larger.
        if not (1 <= end <= 0.09 * height and 1 <= flank <= 0.08 * width and inner >= 2):
            return False
        counted = kept[box]
        still, every = self.still[box][counted], self.every[box][counted]
        strength, density = float(np.sqrt(still).mean()), float(counted.mean())
        persistence = float(still.sum() / every.sum())
        ring, size = self._ring(box, side)
        moving = max(float((self.moves[ring[0]] & ring[1]).sum()) / size, float(self.moves.mean()))
        edges, stays = int((self.edges[ring[0]] & ring[1]).sum()), int((self.stays[ring[0]] & ring[1]).sum())
        others = int(self.edges.sum()) - int(self.edges[box].sum())
        other_still = int((self.stays & self.edges).sum()) - int((self.stays & self.edges)[box].sum())
        rest_still = other_still / max(others, 1)
        lively = moving > 0.4 and (strength > 25 or rest_still < 0.02)
        tiny = moving > 0.5 and strength > 35
        around = float((self.still[ring[0]] * (self.stays[ring[0]] & ring[1])).sum()) / size
        return (
            (0.012 if tiny else 0.025) <= tall <= 0.22
            and 0.02 <= wide <= 0.5
            and counted.sum() / side**2 >= (1e-4 if tiny else 6e-4)
            and strength >= level.strength
            and density >= (0.1 if lively else level.density)
            and persistence >= (0.8 if lively else 0.88)
            and not self._is_a_line(counted, box)
            and float(self.still[box].mean()) >= 5 * (around + 1)
            and stays / size <= 0.1
            and (level is not _LEVELS[0] or edges <= 0.03 * size or stays <= 0.5 * edges)
            and moving >= 0.1
            and rest_still <= 0.7
        )

    def _ring(self, box: Box, side: int) -> tuple[tuple[Box, NDArray[np.bool_]], int]:
        """The surroundings of a box: where they lie, which pixels of that place are theirs, and how many."""
        wide = max(4, round(side * _RING))
        area, hole = [], []
        for span, end in zip(box, self.still.shape, strict=True):
            start = max(0, span.start - wide)
            area.append(slice(start, min(end, span.stop + wide)))
            hole.append(slice(max(0, span.start - 2 - start), span.stop + 2 - start))
        mask = np.ones((area[0].stop - area[0].start, area[1].stop - area[1].start), bool)
        mask[hole[0], hole[1]] = False
        return ((area[0], area[1]), mask), max(1, int(mask.sum()))

    def _is_a_line(self, counted: NDArray[np.bool_], box: Box) -> bool:
        """Edges all in one direction, but for a row of upright strokes."""
        across = float((self.gx[box][counted] ** 2).sum())
        down = float((self.gy[box][counted] ** 2).sum())
        share = across / (across + down)
        height, width = counted.shape
        return min(share, 1 - share) < 0.12 and not (share > 0.5 and width >= 2 * height)

    def _told(self, kept: NDArray[np.bool_], box: Box, height: int, width: int) -> Overlay:
        counted = kept[box]
        still, every = self.still[box][counted], self.every[box][counted]
        lines, cols = box
        return Overlay(
            x=cols.start / width,
            y=(self.top + lines.start) / height,
            width=(cols.stop - cols.start) / width,
            height=(lines.stop - lines.start) / height,
            strength=float(np.sqrt(still).mean()),
            persistence=min(1.0, float(still.sum() / every.sum())),
            pattern=drawn(cells(np.sqrt(self.still[box]) * self.stays[box])),
        )
