"""Contents: stretches of camera footage, cut once at native resolution, that every decoder is given."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobs.bench.footage import Footage, cut_sides
from jobs.encode import Rgb
from jobs.errors import FailureKind

# Networks pad with zeros or reflections, and that border would give every one of them away: it is cut off again. A
# multiple of every spatial stride up to 16 keeps the decoders' lattices where they were.
TRIM = 16


@dataclass(frozen=True, slots=True)
class Content:
    """``count`` frames of a clip from ``start`` on; box: (top, left, height, width) in luma pixels, never resized.

    id: depends on the seed, the clip's content and which cut of it this is, so that footage may be added later.
    """

    id: str
    clip: Footage
    start: int
    count: int
    box: tuple[int, int, int, int]

    def read(self) -> list[Rgb]:
        """The frames as decoders get them. Raises FailureError where the film cannot be read or ends early."""
        frames = self.clip.read(self.start, self.count, self.box)
        if len(frames) != self.count:
            raise FailureKind.DAMAGED.error(f"{len(frames)} of {self.count} frames came from frame {self.start} on")
        return frames


def plan_contents(clips: Sequence[Footage], number: int, crop: int, frames: int, seed: int) -> list[Content]:
    """``number`` contents, one of every clip before any clip gives a second, at random places and times.

    Offsets are any number of pixels, so that the footage's own blocks lie anywhere against a decoder's lattice.
    """
    if not clips:
        return []
    order = sorted(clips, key=lambda clip: _digest(seed, clip.sha256, 0))
    return [_cut(order[i % len(order)], i // len(order), crop, frames, seed) for i in range(number)]


def trimmed(frames: Sequence[Rgb]) -> list[Rgb]:
    """The frames without the TRIM pixels around them."""
    return [np.ascontiguousarray(frame[TRIM:-TRIM, TRIM:-TRIM]) for frame in frames]


def _cut(clip: Footage, which: int, crop: int, frames: int, seed: int) -> Content:
    digest = _digest(seed, clip.sha256, which)
    rng = np.random.default_rng(int(digest[:16], 16))
    height, width = cut_sides(clip, crop)
    start = int(rng.integers(0, clip.frames - frames + 1))
    top = int(rng.integers(0, clip.height - height + 1))
    left = int(rng.integers(0, clip.width - width + 1))
    return Content(digest[:12], clip, start, frames, (top, left, height, width))


def _digest(seed: int, sha256: str, which: int) -> str:
    return hashlib.sha256(f"{seed}|{sha256}|{which}".encode()).hexdigest()
