"""The slow way to the same pixels: decode every frame in order, copy whole planes line by line, then slice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from fingerprint_db.spec import WindowPlan
from fingerprint_db.window import FrameWindow, Plane
from jobs.decode.protocol import DecodeRequest, DecoderName, DecodeSummary
from jobs.decode.pyav import PyAVDecoder
from jobs.decode.service import serve

PLAN = WindowPlan(bursts=3, frames=8, crops=2, crop_px=64)
LETTERS = {1: "I", 2: "P", 3: "B"}


@dataclass(frozen=True, slots=True)
class Reference:
    """All frames in order of presentation: planes as (Y, Cb, Cr), pts, picture type."""

    planes: list[tuple[Plane, ...]]
    pts: list[int | None]
    types: str


def reference(path: Path) -> Reference:
    planes, pts, types = [], [], []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for frame in container.decode(stream):
            planes.append(whole_planes(frame))
            pts.append(frame.pts)
            types.append(LETTERS.get(int(frame.pict_type), "?"))
    return Reference(planes, pts, "".join(types))


def whole_planes(frame: av.VideoFrame) -> tuple[Plane, ...]:
    """Planes without padding; RGB goes through swscale to 4:4:4, as the decode room promises."""
    if not frame.format.name.startswith(("yuv", "gray")):
        frame = frame.reformat(format="yuv444p", threads=1)
    deep = any(component.bits > 8 for component in frame.format.components)
    out: list[Plane] = []
    for plane in frame.planes[:3]:
        data = bytes(plane)
        item = 2 if deep else 1
        lines = [
            np.frombuffer(
                data[row * plane.line_size : row * plane.line_size + plane.width * item], "<u2" if deep else "u1"
            )
            for row in range(plane.height)
        ]
        out.append(np.stack(lines))
    return tuple(out)


def decode(
    path: Path, plan: WindowPlan = PLAN, decoder: DecoderName = "pyav", long_s: float | None = None
) -> tuple[list[FrameWindow], DecodeSummary]:
    """Windows and summary of a file; ``long_s`` shortens what counts as a long file."""
    request = DecodeRequest(str(path), plan, decoder)
    steps = serve(request) if long_s is None else PyAVDecoder(long_s=long_s).decode(request)
    *windows, summary = [step for step in steps if step is not None]
    assert isinstance(summary, DecodeSummary)
    assert all(isinstance(window, FrameWindow) for window in windows)
    return windows, summary  # type: ignore[return-value]


def assert_exact(windows: list[FrameWindow], truth: Reference) -> list[int]:
    """Every window equals the same slice of some run of consecutive frames; returns the frame each begins at."""
    starts = []
    for window in windows:
        height, width = window.luma.shape[1:]
        cut = np.s_[window.top : window.top + height, window.left : window.left + width]
        lumas = [planes[0][cut] for planes in truth.planes]
        start = next(number for number, luma in enumerate(lumas) if np.array_equal(luma, window.luma[0]))
        starts.append(start)
        assert start + window.frames <= len(truth.planes)
        for offset in range(window.frames):
            whole = truth.planes[start + offset]
            assert np.array_equal(window.luma[offset], lumas[start + offset])
            for mine, plane in zip((window.chroma_b, window.chroma_r), whole[1:], strict=False):
                down, across = height // mine.shape[1], width // mine.shape[2]
                rows = slice(window.top // down, (window.top + height) // down)
                cols = slice(window.left // across, (window.left + width) // across)
                assert np.array_equal(mine[offset], plane[rows, cols])
        assert window.picture_types == truth.types[start : start + window.frames]
        assert window.times_s.dtype == np.float64
        assert np.all(np.diff(window.times_s) > 0)
    return starts
