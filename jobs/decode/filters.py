"""FFmpeg's own filters over frames at hand: what makes ground truth of interpolation and of frame-rate conversion."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]  # (H, W, 3)


def filtered(frames: Sequence[Rgb], fps: Fraction, filters: str) -> list[Rgb]:
    """The frames through a chain of FFmpeg filters, as 4:2:0; raises ValueError for a filter that does not exist."""
    height, width = frames[0].shape[:2]
    graph: Any = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format="yuv420p", time_base=1 / fps)
    last = source
    for number, text in enumerate(filters.split(",")):
        name, _, arguments = text.partition("=")
        link = graph.add(name, arguments or None, name=f"step{number}")
        last.link_to(link)
        last = link
    sink = graph.add("buffersink")
    last.link_to(sink)
    graph.configure()
    out: list[Rgb] = []

    def drain() -> None:
        while True:
            try:
                got = graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            out.append(got.to_ndarray(format="rgb24"))

    for number, rgb in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = number, 1 / fps
        graph.push(frame)
        drain()
    graph.push(None)
    drain()
    return out
