"""Pictures of a file as a decoder network wants them: keyframes as RGB on the native grid, with their quantiser."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cluster.outcome import ClusterFault, FailureError
from cluster.sandbox import Limits, Sandbox
from fingerprint_db.spec import WindowPlan
from fingerprint_db.window import FrameWindow
from jobs.decode.protocol import DecodeRequest, DecodeSummary, VideoFacts
from jobs.decode.replies import REPLIES, REPLY_MB, checked
from jobs.decode.stills import BLOCK, Still, StillsEnd, StillsRequest, check_still, read_stills
from jobs.encode import Rgb
from jobs.errors import FailureKind
from jobs.settings import Settings

STILLS_SERVICE = "jobs.decode.stills:serve"
WINDOWS_SERVICE = "jobs.decode.service:serve"
# ITU-R BT.709 from this many lines on, BT.601 below: what players assume of files that do not say.
HIGH_DEFINITION_LINES = 720


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One keyframe, or a stretch of frames of one crop. rgb: (T, 3, H, W) float32 in 0..1, T = 1 for a keyframe.

    top, left: of these pixels in the frame, multiples of 32. quantiser: H.264's by blocks of 16 pixels, empty where it
    is not known. packet_bytes: of the coded whole frame, 0 where unknown or where this is not the whole frame.
    """

    rgb: Tensor
    top: int
    left: int
    time_s: float
    quantiser: NDArray[np.float32]
    packet_bytes: int = 0

    def mean_quantiser(self, box: tuple[int, int, int, int]) -> float | None:
        """Over a (top, left, height, width) within these pixels; None where it is not known."""
        top, left, height, width = (side // BLOCK for side in box)
        part = self.quantiser[top : top + max(1, height), left : left + max(1, width)]
        return float(part.mean()) if part.size else None


class FrameReader:
    """Decodes files in killable children, as a sweep does, and converts what comes to RGB."""

    def __init__(self, settings: Settings) -> None:
        limits = Limits(
            total_s=settings.file_s, stall_s=settings.stall_s, memory_mb=settings.decode_mb, reply_mb=REPLY_MB
        )
        self._decoder = settings.decoder
        self._stills = Sandbox(STILLS_SERVICE, limits, replies=(Still, StillsEnd, VideoFacts))
        self._windows = Sandbox(WINDOWS_SERVICE, limits, replies=REPLIES)

    def keyframes(self, path: Path, count: int) -> tuple[list[Picture], VideoFacts]:
        """At most ``count`` keyframes, evenly spread. Raises FailureError when none can be had."""
        with contextlib.closing(self._stills.call(StillsRequest(str(path), count))) as replies:
            return _pictures(replies, count)

    def stretches(self, path: Path, plan: WindowPlan) -> tuple[list[Picture], VideoFacts]:
        """Consecutive frames, for networks of volumes. Raises FailureError when none can be had."""
        windows: list[FrameWindow] = []
        end: DecodeSummary | None = None
        request = DecodeRequest(str(path), plan, self._decoder)
        with contextlib.closing(self._windows.call(request)) as replies:
            for reply in checked(replies, plan):
                if isinstance(reply, FrameWindow):
                    windows.append(reply)
                elif isinstance(reply, DecodeSummary):
                    end = reply
        if end is None or not windows:
            raise FailureKind.DAMAGED.error((end.reason if end else "") or f"no frame of {path.name} could be decoded")
        none = np.zeros((0, 0), np.float32)
        ordered = sorted(windows, key=lambda one: (one.burst, one.crop))
        found = []
        for one in ordered:
            rgb = to_rgb(one.luma, one.chroma_b, one.chroma_r, one.bit_depth, one.full_range, lines=end.facts.height)
            found.append(Picture(rgb, one.top, one.left, float(one.times_s[0]), none))
        return found, end.facts

    def close(self) -> None:
        self._stills.close()
        self._windows.close()

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def own_keyframes(path: Path, count: int) -> tuple[list[Picture], VideoFacts]:
    """Keyframes of a file of our own making, decoded in this process."""
    return _pictures(read_stills(StillsRequest(str(path), count)), count)


def _pictures(replies: Any, count: int) -> tuple[list[Picture], VideoFacts]:
    found: list[Picture] = []
    end: StillsEnd | None = None
    for reply in replies:
        if reply is None:
            continue
        if isinstance(reply, StillsEnd) and end is None:
            end = reply
        elif isinstance(reply, Still) and end is None and len(found) < count and check_still(reply):
            whole = reply.top == 0 and reply.left == 0 and reply.lines - reply.luma.shape[0] < 2
            found.append(
                Picture(
                    to_rgb(
                        reply.luma[None],
                        reply.chroma_b[None],
                        reply.chroma_r[None],
                        reply.bit_depth,
                        reply.full_range,
                        lines=reply.lines,
                    ),
                    reply.top,
                    reply.left,
                    reply.time_s,
                    reply.quantiser,
                    reply.packet_bytes if whole else 0,
                )
            )
        else:
            raise FailureError(ClusterFault.CRASHED.failure("the decoder sent a keyframe that makes no sense"))
    if end is None or not found:
        raise FailureKind.DAMAGED.error("no keyframe of the file could be decoded")
    return found, end.facts


def to_rgb(
    luma: NDArray[Any], blue: NDArray[Any], red: NDArray[Any], bit_depth: int, full_range: bool, *, lines: int
) -> Tensor:
    """(T, H, W) luma and (T, h, w) colour differences (absent: zero-size) to (T, 3, H, W) float32 in 0..1.

    lines: height of the whole frame, which decides the colour matrix. Chroma is interpolated linearly between its
    sample centres; nothing is rounded to eight bits on the way.
    """
    peak, step = float((1 << bit_depth) - 1), float(1 << (bit_depth - 8))
    low, span, swing = (0.0, peak, peak) if full_range else (16 * step, 219 * step, 224 * step)
    y = (torch.from_numpy(luma.astype(np.float32)) - low) / span
    colour = []
    for plane in (blue, red):
        if plane.size == 0:
            colour.append(torch.zeros_like(y))
            continue
        values = ((torch.from_numpy(plane.astype(np.float32)) - 128 * step) / swing)[:, None]
        if values.shape[-2:] != y.shape[-2:]:
            values = functional.interpolate(values, size=y.shape[-2:], mode="bilinear", align_corners=False)
        colour.append(values[:, 0])
    of_red, of_blue = (0.2126, 0.0722) if lines >= HIGH_DEFINITION_LINES else (0.299, 0.114)
    r, b = y + 2 * (1 - of_red) * colour[1], y + 2 * (1 - of_blue) * colour[0]
    g = (y - of_red * r - of_blue * b) / (1 - of_red - of_blue)
    return torch.stack([r, g, b], dim=1).clamp(0, 1)


def to_bytes(rgb: Tensor) -> list[Rgb]:
    """(T, 3, H, W) in 0..1 to (H, W, 3) uint8 frames, for encoders."""
    pixels = (rgb * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    return [np.ascontiguousarray(frame) for frame in pixels.numpy()]
