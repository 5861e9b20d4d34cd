"""Collects the frames of one burst: crops only, consecutive and undamaged, never a full frame kept."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fingerprint_db.window import FrameWindow, Plane
from jobs.decode.plan import BurstPlace, CropPlace

Parts = tuple[Plane, Plane, Plane]  # luma, Cb, Cr of one crop


class Burst:
    """Grows frame by frame; a break (damage, lost frames) begins a new run, and the longest run counts.

    Memory: crops x frames x crop area, whatever the size of the frames.
    """

    def __init__(self, number: int, place: BurstPlace) -> None:
        self.number = number
        self.place = place
        self._run: list[list[Parts]] = []
        self._times: list[float] = []
        self._pts: list[int | None] = []
        self._types: list[str] = []
        self._best: tuple[list[list[Parts]], list[float], list[int | None], list[str]] | None = None

    def add(self, parts: list[Parts], time_s: float, pts: int | None, picture_type: str) -> None:
        """One more frame, as its crops."""
        self._run.append(parts)
        self._times.append(time_s)
        self._pts.append(pts)
        self._types.append(picture_type)

    def break_run(self) -> None:
        """What comes next does not follow what came before."""
        if self._run and (self._best is None or len(self._run) > len(self._best[0])):
            self._best = (self._run, self._times, self._pts, self._types)
        self._run, self._times, self._pts, self._types = [], [], [], []

    @property
    def offset(self) -> int:
        """The place of the next frame in the run that is growing."""
        return len(self._run)

    @property
    def complete(self) -> bool:
        return len(self._run) >= self.place.frames

    @property
    def frames(self) -> int:
        """Frames of the longest run so far."""
        return max(len(self._run), len(self._best[0]) if self._best else 0)

    @property
    def pts(self) -> list[int | None]:
        """Times of the longest run, in the stream's own units."""
        return self._best[2] if self._best and len(self._best[0]) > len(self._run) else self._pts

    def windows(
        self, crops: tuple[CropPlace, ...], bit_depth: int, full_range: bool, min_frames: int, frame_px: int = 0
    ) -> Iterator[FrameWindow]:
        """The longest run as one window a crop (the crops that ``add`` was given); nothing below ``min_frames``."""
        self.break_run()
        if self._best is None or len(self._best[0]) < min_frames:
            return
        run, times, _, types = self._best
        self._best = None
        for number, crop in enumerate(crops):
            luma, blue, red = (_stack([parts[number][plane] for parts in run]) for plane in range(3))
            yield FrameWindow(
                burst=self.number,
                crop=number,
                top=crop.top,
                left=crop.left,
                luma=luma,
                chroma_b=blue,
                chroma_r=red,
                bit_depth=bit_depth,
                full_range=full_range,
                times_s=np.asarray(times, np.float64),
                picture_types="".join(types),
                frame_px=frame_px,
                crops=len(crops),
            )


def _stack(pictures: list[Plane]) -> Plane:
    stacked = np.empty((len(pictures), *pictures[0].shape), pictures[0].dtype)
    for number, picture in enumerate(pictures):
        stacked[number] = picture
    return stacked
