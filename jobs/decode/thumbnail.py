"""What can be had without looking closely: a file's packaging, a tiny mean picture, how much fine detail there is.

The evaluation's nulls see no more than this. Nothing here is a fingerprint: the picture is averaged down until no trace
of a decoder can be in it, and the packaging is read without decoding a frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from jobs.errors import FailureKind

SIDE = 16
# Which frames are looked at: only early ones, because containers without an index seek to wrong places, and a null
# needs no more. A shorter video is looked at as far as it goes.
FRAME_NUMBERS = (0, 4, 8, 12, 16, 24, 32, 48)
# A file that claims no end is no longer walked from here on; an hour at 30 frames a second has as many packets.
MAX_PACKETS = 108_000


@dataclass(frozen=True, slots=True, eq=False)
class Glance:
    """thumbnail: (16, 16, 3) float32 mean picture, luma and the two chroma planes, 0..1 of full scale.

    hf_energy: energy of the second differences over the energy of the picture about its mean, per frame, median over
    the sampled frames; no unit, 0 for a flat picture. A blurred picture has less, whatever it shows.
    """

    thumbnail: NDArray[np.float32]
    hf_energy: float


@dataclass(frozen=True, slots=True)
class Packaging:
    """What container and packets say, counted over the packets themselves, since headers leave fields open.

    fps: frames over duration where the stream states no average rate. bit_rate: of the video packets, bits a second.
    keyframe_gap: packets between the first two keyframes, the packet count when there is one. reordered: B-frames.
    clock: ticks of the stream's time base a second. encoder: the muxer's or encoder's own words, empty when absent.
    """

    container: str
    codec: str
    profile: str
    pixel_format: str
    encoder: str
    width: int
    height: int
    fps: float
    frames: int
    bit_rate: float
    keyframe_gap: int
    reordered: bool
    clock: float
    has_audio: bool


def read_packaging(path: Path) -> Packaging:
    """Read the header and walk the packets; no frame is decoded. Raises FailureError as ``glance`` does."""
    frames, size, order, keyframes = 0, 0, list[int](), list[int]()
    with _video(path) as container:
        stream = container.streams.video[0]
        with suppress(av.error.FFmpegError):  # damage further on ends the walk; what came before still counts
            for packet in container.demux(stream):
                if frames == MAX_PACKETS:
                    break
                if packet.size:
                    if packet.is_keyframe:
                        keyframes.append(frames)
                    if packet.pts is not None:
                        order.append(packet.pts)
                    frames += 1
                    size += packet.size
        context = stream.codec_context
        rate = float(stream.average_rate or 0)
        span = float((max(order) - min(order)) * (stream.time_base or 0)) if len(order) > 1 else 0.0
        rate = rate or ((frames - 1) / span if span > 0 else 0.0)
        return Packaging(
            container=container.format.name,
            codec=context.name if context else "",
            profile=(context.profile or "") if context else "",
            pixel_format=(context.pix_fmt or "") if context else "",
            encoder=" ".join(filter(None, (container.metadata.get("encoder"), stream.metadata.get("encoder")))),
            width=context.width if context else 0,
            height=context.height if context else 0,
            fps=rate,
            frames=frames,
            bit_rate=8 * size * rate / frames if frames else 0.0,
            keyframe_gap=keyframes[1] - keyframes[0] if len(keyframes) > 1 else frames,
            reordered=any(later < earlier for earlier, later in pairwise(order)),
            clock=1 / float(stream.time_base) if stream.time_base else 0.0,
            has_audio=bool(container.streams.audio),
        )


def glance(path: Path) -> Glance:
    """Decode the first 49 frames and look at 8 of them, one in memory at a time.

    Raises FailureError (not_a_video, no_video_stream, damaged) when no frame can be had.
    """
    thumbnails: list[NDArray[np.float64]] = []
    energies: list[float] = []
    with _video(path) as container:
        for picture in _pictures(container):
            thumbnails.append(_shrink(picture))
            energies.append(high_frequency_share(picture[0]))
    if not thumbnails:
        raise FailureKind.DAMAGED.error(f"no frame of {path.name} can be decoded")
    thumbnail = np.mean(thumbnails, axis=0).transpose(1, 2, 0) / 255
    return Glance(thumbnail.astype(np.float32), float(np.median(energies)))


def high_frequency_share(luma: NDArray[np.uint8]) -> float:
    """Energy of the 3x3 Laplacian over the variance of the picture; 0 when the picture is flat or below 3 pixels."""
    if min(luma.shape) < 3:
        return 0.0
    y = luma.astype(np.float32)
    laplacian = 4 * y[1:-1, 1:-1] - y[:-2, 1:-1] - y[2:, 1:-1] - y[1:-1, :-2] - y[1:-1, 2:]
    variance = float(y.var())
    return float((laplacian**2).mean()) / variance if variance > 0 else 0.0


@contextmanager
def _video(path: Path) -> Iterator[InputContainer]:
    """The opened container, which has a video stream; FFmpeg's errors become classed ones."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.video:
                raise FailureKind.NO_VIDEO_STREAM.error(f"{path.name} has no video stream")
            yield container
    except FileNotFoundError:
        raise FailureKind.NOT_FOUND.error(f"{path.name} is not there") from None
    except (av.error.FFmpegError, ValueError, OSError):
        raise FailureKind.NOT_A_VIDEO.error(f"{path.name} cannot be opened as a video") from None


def _pictures(container: InputContainer) -> Iterator[NDArray[np.uint8]]:
    """The looked-at frames as (3, H, W) 8-bit planes; damage further on ends the sequence and is no error."""
    frames = container.decode(video=0)
    for number in range(FRAME_NUMBERS[-1] + 1):
        try:
            frame = next(frames, None)
        except av.error.FFmpegError:
            return
        if frame is None:
            return
        if number in FRAME_NUMBERS:
            yield np.asarray(frame.to_ndarray(format="yuv444p"), dtype=np.uint8)


def _shrink(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(3, H, W) to (3, 16, 16) by averaging; a side below 16 pixels repeats its pixels."""
    small = picture.astype(np.float64)
    for axis in (1, 2):
        size = small.shape[axis]
        edges = np.linspace(0, size, SIDE + 1).astype(int)
        sums = np.add.reduceat(small, np.minimum(edges[:-1], size - 1), axis=axis)
        widths = np.maximum(np.diff(edges), 1)
        small = sums / (widths[:, None] if axis == 1 else widths)
    return small
