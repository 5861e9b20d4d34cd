"""Keyframes of a file in full, with the quantiser that coded each part: what reconstruction evidence looks at.

A codec spends most on its keyframes, so a decoder's trace survives there longest: under x264's defaults their quantiser
lies some five steps below that of the frames between (measured: 17.8 against 23 at CRF 23).
"""

from __future__ import annotations

import contextlib
import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from fingerprint_db.window import Plane
from jobs.decode.failures import check_size, failure_of
from jobs.decode.pixels import cut, layout_of
from jobs.decode.probe import declared_facts, first_look, open_container, pick_stream
from jobs.decode.protocol import VideoFacts
from jobs.decode.service import guarded
from jobs.decode.source import Source
from jobs.errors import FailureKind

BLOCK = 16  # pixels a side of one entry of a quantiser map
MAX_PACKETS = 200_000
MAX_PIXELS = 3840 * 2160  # of a still that is sent; of a larger frame the middle
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_H264 = 1  # AV_VIDEO_ENC_PARAMS_H264


@dataclass(frozen=True, slots=True)
class StillsRequest:
    """The keyframes of one local file. count: how many, evenly spread over those there are."""

    path: str
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """One keyframe. luma: (H, W); chroma as in FrameWindow. top, left: of these pixels in the frame, multiples of 64.

    quantiser: (rows, columns) mean H.264 quantiser of blocks of BLOCK pixels, empty where the codec's is not told.
    packet_bytes: of the coded frame; 0 unknown. lines: of the whole frame.
    """

    luma: Plane
    chroma_b: Plane
    chroma_r: Plane
    bit_depth: int
    full_range: bool
    top: int
    left: int
    lines: int
    time_s: float
    quantiser: NDArray[np.float32]
    packet_bytes: int


@dataclass(frozen=True, slots=True)
class StillsEnd:
    """The file's facts; keyframes: how many were counted in it."""

    facts: VideoFacts
    keyframes: int


def serve(request: StillsRequest) -> Iterator[Still | StillsEnd | None]:
    """In a child: the keyframes in order of time, then the end. Errors: FailureError as of the window decoders."""
    yield None
    yield from guarded(read_stills(request))


def read_stills(request: StillsRequest) -> Iterator[Still | StillsEnd | None]:
    """The same in this process, for files of our own making."""
    source = Source(request.path)
    sniffed = first_look(source)
    with open_container(source, sniffed) as container:
        stream = pick_stream(container, sniffed)
        facts = declared_facts(source, container, stream)
        keys = _keyframes(container, stream)
        yield None
        sent = 0
        last_error: Exception | None = None
        for pts, size in _spread(keys, request.count):
            try:
                frame = _decode(container, stream, pts)
            except (av.error.FFmpegError, OSError) as error:
                last_error = error
                continue
            if frame is None:
                continue
            sent += 1
            yield _still(frame, size)
    if not sent:  # streams without an index (raw H.264) cannot go back to what was passed
        with open_container(source, sniffed) as container:
            stream = pick_stream(container, sniffed)
            try:
                frame = _decode(container, stream, None)
            except (av.error.FFmpegError, OSError) as error:
                frame, last_error = None, error
            if frame is not None:
                sent += 1
                yield _still(frame, keys[0][1] if keys else 0)
        if not sent:
            if last_error is not None:
                raise failure_of(last_error, sniffed, opened=True)
            raise FailureKind.DAMAGED.error("No keyframe of the file can be decoded.")
    yield StillsEnd(facts, max(len(keys), sent))


def check_still(still: Still) -> bool:
    """Whether what a child sent can be a keyframe: shapes that go together."""
    height, width = still.luma.shape if still.luma.ndim == 2 else (0, 0)
    chroma = still.chroma_b.shape == still.chroma_r.shape and still.chroma_b.ndim == 2
    small = chroma and still.chroma_b.shape[0] <= height and still.chroma_b.shape[1] <= width
    kinds = {still.luma.dtype.str, still.chroma_b.dtype.str, still.chroma_r.dtype.str}
    return (
        0 < height <= still.lines
        and width > 0
        and height * width <= MAX_PIXELS
        and small
        and kinds <= {"|u1", "<u2"}
        and 8 <= still.bit_depth <= 16
        and min(still.top, still.left, still.packet_bytes) >= 0
        and still.quantiser.ndim == 2
        and still.quantiser.dtype == np.float32
        and bool(np.isfinite(still.quantiser).all())
        and np.isfinite(still.time_s)
    )


def _keyframes(container: InputContainer, stream: VideoStream) -> list[tuple[int, int]]:
    """Time stamp and size of every keyframe's packet; no frame is decoded."""
    found: list[tuple[int, int]] = []
    with contextlib.suppress(av.error.FFmpegError, OSError):  # damage ends the walk; what came before counts
        for packet in itertools.islice(container.demux(stream), MAX_PACKETS):
            stamp = packet.pts if packet.pts is not None else packet.dts
            if packet.size and packet.is_keyframe and stamp is not None:
                found.append((int(stamp), int(packet.size)))
    return found


def _spread(keys: list[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    wanted = min(count, len(keys))
    return [keys[(2 * number + 1) * len(keys) // (2 * wanted)] for number in range(wanted)]


def _decode(container: InputContainer, stream: VideoStream, pts: int | None) -> VideoFrame | None:
    """The keyframe at or before a time stamp; None: the first frame of a container that was just opened."""
    if pts is not None:
        container.seek(pts, stream=stream, backward=True, any_frame=False)
    context: Any = stream.codec_context
    if not context.is_open:
        context.options = {**context.options, "export_side_data": "venc_params"}
        context.thread_count = 1
    for packet in container.demux(stream):
        for frame in packet.decode():
            if isinstance(frame, VideoFrame):
                check_size(frame.width, frame.height)
                return frame
    return None


def _still(frame: VideoFrame, packet_bytes: int) -> Still:
    layout = layout_of(frame.format.name)
    top, left, height, width = _middle(frame.height, frame.width)
    ((luma, blue, red),) = cut(frame, layout, [(top, left, height, width)])
    native = not layout.convert
    full = native and (frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj"))
    return Still(
        luma,
        blue,
        red,
        layout.depth,
        full,
        top,
        left,
        frame.height,
        float(frame.time or 0.0),
        _quantiser(frame)[top // BLOCK : (top + height) // BLOCK, left // BLOCK : (left + width) // BLOCK],
        packet_bytes,
    )


def _middle(height: int, width: int) -> tuple[int, int, int, int]:
    high, wide = height // 2 * 2, width // 2 * 2
    if high * wide <= MAX_PIXELS:
        return 0, 0, high, wide
    kept_high, kept_wide = min(high, 2160), min(wide, 3840)
    return (high - kept_high) // 128 * 64, (wide - kept_wide) // 128 * 64, kept_high, kept_wide


def _quantiser(frame: VideoFrame) -> NDArray[np.float32]:
    """H.264's quantiser of every macroblock, as FFmpeg exports it (AVVideoEncParams); empty for other codecs."""
    none = np.zeros((0, 0), np.float32)
    found_data: Any = frame.side_data  # its type says mapping; what it gives when looped over are the entries
    for entry in found_data:
        if "VIDEO_ENC_PARAMS" not in str(entry.type):
            continue
        raw = bytes(memoryview(entry))
        (count,) = struct.unpack_from("<I", raw, 0)
        offset, size = struct.unpack_from("<QQ", raw, 8)
        kind, base = struct.unpack_from("<ii", raw, 24)
        if kind != _H264 or size < 20 or offset + count * size > len(raw) or not count:
            return none
        block = np.dtype(
            {
                "names": ["x", "y", "w", "h", "delta"],
                "formats": ["<i4"] * 5,
                "offsets": [0, 4, 8, 12, 16],
                "itemsize": int(size),
            }
        )
        blocks = np.frombuffer(raw, block, count=count, offset=offset)
        rows, cols = -(-frame.height // BLOCK), -(-frame.width // BLOCK)
        found = np.full((rows, cols), float(base), np.float32)
        down, across = blocks["y"] // BLOCK, blocks["x"] // BLOCK
        inside = (down >= 0) & (down < rows) & (across >= 0) & (across < cols)
        found[down[inside], across[inside]] = base + blocks["delta"][inside]
        return found
    return none
