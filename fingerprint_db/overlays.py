"""Still overlays as facts of a file: where they are, how strong, a small picture of their edges; text and back.

A logo in a corner is declared, like a tag: put there by somebody, easily added, easily cropped away. Pure data; how
overlays are found in frames is in ``jobs/decode/overlays.py``.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FACT = "still_overlays"  # its name among the declared facts
MOST = 4  # overlays that are told
MIN_FRAMES = 3  # to tell what stays from what does not
MIN_MOVING = 0.03  # of the pixels looked at; below, the film stands still, and so does everything in it
GRID_COLS, GRID_ROWS = 24, 8
_DIGITS = "0123456789abcdef"
_SHIFTS = (-1, 0, 1)  # cells by which two pictures of one mark may lie apart


@dataclass(frozen=True, slots=True)
class Overlay:
    """One overlay. x, y, width, height: shares of the picture as it is shown, from its upper left corner.

    strength: mean gradient of its edges, 8-bit levels a pixel of the reduced frame. persistence: share (0..1) of the
    gradients' energy on its edges that is the same in all frames. pattern: how many edges each of 24 x 8 cells of its
    box holds, row by row, one hexadecimal digit a cell.
    """

    x: float
    y: float
    width: float
    height: float
    strength: float
    persistence: float
    pattern: str

    @property
    def place(self) -> str:
        """The corner it is in: ``bottom right`` and the like."""
        end = "top" if self.y < 1 - self.y - self.height else "bottom"
        return f"{end} {'left' if self.x < 1 - self.x - self.width else 'right'}"

    def sentence(self) -> str:
        wide = 100 * self.width
        return f"a still overlay at the {self.place}, {wide:.0f} % of the width; easily put there or removed"


@dataclass(frozen=True, slots=True)
class Looked:
    """frames: looked at. moving: share of the pixels looked at that change. overlays: strongest first."""

    frames: int
    moving: float
    overlays: tuple[Overlay, ...]

    @property
    def measurable(self) -> bool:
        """Whether an overlay could have been told from the picture behind it."""
        return self.frames >= MIN_FRAMES and self.moving >= MIN_MOVING

    def text(self) -> str:
        """As one declared fact, below 1200 characters."""
        told = [
            [
                *(round(share, 3) for share in (one.x, one.y, one.width, one.height)),
                round(one.strength, 1),
                round(one.persistence, 3),
                one.pattern,
            ]
            for one in self.overlays
        ]
        return json.dumps(
            {"frames": self.frames, "moving": round(self.moving, 3), "overlays": told}, separators=(",", ":")
        )


def read(text: str) -> Looked:
    """The inverse of ``Looked.text``. Raises ValueError for anything else."""
    try:
        said = json.loads(text)
        found = [_overlay(*row) for row in said["overlays"]]
        looked = Looked(int(said["frames"]), float(said["moving"]), tuple(found))
        sound = len(found) <= MOST and looked.frames >= 0 and 0 <= looked.moving <= 1
        if sound and all(map(_is_sound, found)):
            return looked
    except (TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError("this is no account of still overlays") from error
    raise ValueError("this account of still overlays makes no sense")


def _overlay(
    x: float, y: float, width: float, height: float, strength: float, persistence: float, pattern: str
) -> Overlay:
    return Overlay(float(x), float(y), float(width), float(height), float(strength), float(persistence), pattern)


def is_sound(text: str) -> bool:
    """Whether ``read`` takes it."""
    try:
        read(text)
    except ValueError:
        return False
    return True


def _is_sound(one: Overlay) -> bool:
    shares = (one.x, one.y, one.width, one.height, one.persistence)
    return (
        all(math.isfinite(share) and 0 <= share <= 1.001 for share in shares)
        and one.x + one.width <= 1.002
        and one.y + one.height <= 1.002
        and 0 <= one.strength <= 400
        and isinstance(one.pattern, str)
        and len(one.pattern) == GRID_COLS * GRID_ROWS
        and set(one.pattern) <= set(_DIGITS)
    )


def drawn(cells: NDArray[np.float64]) -> str:
    """The pattern of a (8, 24) array of non-negative numbers, in sixteen steps of its largest."""
    top = float(cells.max(initial=0.0))
    levels = np.rint(cells / top * 15).astype(int) if top > 0 else np.zeros(cells.shape, int)
    return "".join(_DIGITS[level] for level in levels.ravel())


def likeness(one: str, other: str) -> float:
    """Correlation (-1..1) of two patterns, the best over shifts by a cell; 0 where one of them is flat."""
    first, second = _picture(one), _picture(other)
    return max(_correlation(first, np.roll(second, (down, across), (0, 1))) for down in _SHIFTS for across in _SHIFTS)


def _picture(pattern: str) -> NDArray[np.float64]:
    return np.array([_DIGITS.index(digit) for digit in pattern], np.float64).reshape(GRID_ROWS, GRID_COLS)


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    one, other = one - one.mean(), other - other.mean()
    size = math.sqrt(float((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / size if size > 0 else 0.0
