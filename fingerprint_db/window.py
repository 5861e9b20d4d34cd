"""A window of decoded pixels on its way in, and a window's fingerprint on its way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8] | NDArray[np.uint16]
# Luma pixels below which a frame is small, and below which it is at least middling: how much is measured beside the
# vectors follows from it, as the cost of decoding does. 480p is small, 720p middling, 1080p neither.
SMALL_PX, MIDDLING_PX = 600_000, 1_500_000


@dataclass(frozen=True, slots=True, eq=False)
class FrameWindow:
    """Consecutive frames of one crop, as the decoder's own planes at native resolution.

    luma: (T, H, W); chroma_b, chroma_r: (T, h, w) with h, w as the subsampling has them (absent: zero-size).
    8-bit footage is uint8, deeper footage uint16 with ``bit_depth`` significant bits.
    burst / crop: which place in time and which place in the frame; top / left: offset in luma pixels.
    times_s: (T,) presentation times in seconds. picture_types: one of ``I P B ?`` a frame, as coded.
    frame_px: luma pixels of the whole frame; crops: how many crops of it a burst has; 0 each where that is not known.
    """

    burst: int
    crop: int
    top: int
    left: int
    luma: Plane
    chroma_b: Plane
    chroma_r: Plane
    bit_depth: int
    full_range: bool
    times_s: NDArray[np.float64]
    picture_types: str
    frame_px: int = 0
    crops: int = 0

    @property
    def frames(self) -> int:
        return int(self.luma.shape[0])


class Predecessors:
    """Which frame comes just before a burst, where the burst before it ends there: short films are covered whole.

    bursts: only so many bursts of a film are looked at so. More of them have gaps between them, and a film that is
    done in ranges must give what it would give whole.
    """

    def __init__(self, bursts: int) -> None:
        self._bursts = bursts
        self._last: dict[int, FrameWindow] = {}

    def of(self, window: FrameWindow) -> FrameWindow | None:
        """One frame of the same crop, the one before the window's first, or None; windows come in order of time."""
        before = self._last.get(window.crop)
        if window.burst < self._bursts:
            self._last[window.crop] = replace(
                window,
                luma=window.luma[-1:].copy(),  # copies, so that the other frames can be forgotten
                chroma_b=window.chroma_b[:0].copy(),  # no series compares colour with the frame before
                chroma_r=window.chroma_r[:0].copy(),
                times_s=window.times_s[-1:].copy(),
                picture_types=window.picture_types[-1:],
            )
            return before if before is not None and _goes_on(before, window) else None
        return None


def _goes_on(before: FrameWindow, window: FrameWindow) -> bool:
    steps = np.diff(window.times_s)
    if not len(steps) or not len(before.times_s) or before.burst != window.burst - 1:
        return False
    gap = float(window.times_s[0] - before.times_s[-1])
    shapes = (window.luma.shape[1:], window.chroma_b.shape[1:]) == (before.luma.shape[1:], before.chroma_b.shape[1:])
    return shapes and (window.top, window.left) == (before.top, before.left) and 0 < gap < 1.5 * float(np.median(steps))


@dataclass(frozen=True, slots=True, eq=False)
class WindowFingerprint:
    """What is kept of a window: kilobytes, enough to judge it again without decoding.

    decoder: (DECODER_DIM,) float32; texture: (TEXTURE_DIM,) float32; both raw, normalised only by a snapshot.
    cues: named numbers; the unit is part of each cue's documentation.
    traces: named series with a value a frame (NaN where a frame has none, as the first of differences), so that how a
    video was put together can be read over many windows; each series' documentation says what it is.
    picture_types: as in FrameWindow. profiles: named series along columns and rows (fingerprint_db.layout.profiles).
    All three are empty in windows fingerprinted before they were kept.
    """

    burst: int
    crop: int
    top: int
    left: int
    height: int
    width: int
    start_s: float
    end_s: float
    decoder: NDArray[np.float32]
    texture: NDArray[np.float32]
    cues: Mapping[str, float]
    traces: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    picture_types: str = ""
    profiles: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        window: FrameWindow,
        *,
        decoder: NDArray[np.float32] | None = None,
        texture: NDArray[np.float32] | None = None,
        cues: Mapping[str, float] | None = None,
        traces: Mapping[str, NDArray[np.float32]] | None = None,
        profiles: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> WindowFingerprint:
        """What was measured of a window, under its place and times; what was not measured stays empty."""
        height, width = window.luma.shape[1:]
        times, none = window.times_s, np.zeros(0, np.float32)
        return cls(
            burst=window.burst,
            crop=window.crop,
            top=window.top,
            left=window.left,
            height=int(height),
            width=int(width),
            start_s=float(times[0]) if len(times) else 0.0,
            end_s=float(times[-1]) if len(times) else 0.0,
            decoder=none if decoder is None else decoder,
            texture=none if texture is None else texture,
            cues=cues or {},
            traces=traces or {},
            picture_types=window.picture_types.ljust(window.frames, "?")[: window.frames],
            profiles=profiles or {},
        )


@dataclass(frozen=True, slots=True)
class Quality:
    """The circumstances a score has to be read in: what the picture is, not what it shows.

    bits_per_pixel: coded bits per luma pixel and frame; 0 when unknown.
    coverage: share of the planned windows that came, 0..1.
    """

    width: int
    height: int
    fps: float
    duration_s: float
    bits_per_pixel: float
    bit_depth: int = 8
    hdr: bool = False
    interlaced: bool = False
    coverage: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}
