"""Frames into video files and back, one codec chain for all: what the demo makes and what the evaluation re-encodes.

Everything here is single-threaded and free of clocks and random identifiers, so that the same frames through the same
chain give the same bytes on one machine. Files appear under their name only when they are whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange, Interpolation
from av.video.stream import VideoStream
from numpy.typing import NDArray

from jobs.errors import FailureKind

Rgb = NDArray[np.uint8]  # (H, W, 3)
Codec = Literal["x264", "x265", "vp9", "av1"]

_ENCODERS: dict[Codec, str] = {"x264": "libx264", "x265": "libx265", "vp9": "libvpx-vp9", "av1": "libsvtav1"}
_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".ts": "mpegts"}
# libvpx and SVT-AV1 name their speeds with numbers; these are the nearest to x264's words.
_SPEEDS = {"slow": 1, "medium": 3, "fast": 4, "faster": 5, "veryfast": 6, "ultrafast": 8}
_MAX_PIXELS = 8192 * 8192  # a header may claim any size; a frame above this would take the memory of the whole worker
_SCALER = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_FURTHEST_DELAY = 2**20  # ticks that a packet can be decoded before it is shown; beyond it, the time is no time


@dataclass(frozen=True, slots=True)
class CodecChain:
    """What happens to a frame on its way into a file: crop, then scale, then one encoder.

    crf: the encoder's own constant-quality number (x264 and x265 take fractions); the scales of codecs differ.
    preset: ``slow medium fast faster veryfast ultrafast``; for vp9 and av1 the nearest speed of theirs.
    scale: factor on both sides, bicubic; sides are rounded down to even numbers.
    crop: (top, left, height, width) in luma pixels of the source, even numbers, cut before scaling.
    gop: the longest distance between keyframes in frames. bframes: None leaves the encoder's default (x264, x265 only).
    """

    codec: Codec
    crf: float
    preset: str = "medium"
    scale: float = 1.0
    crop: tuple[int, int, int, int] | None = None
    gop: int = 48
    bframes: int | None = None

    def __post_init__(self) -> None:
        if self.codec not in _ENCODERS:
            raise ValueError(f"unknown codec {self.codec!r}; choose one of {', '.join(_ENCODERS)}")
        if self.preset not in _SPEEDS:
            raise ValueError(f"unknown preset {self.preset!r}; choose one of {', '.join(_SPEEDS)}")
        if not 0 <= self.crf <= 63 or self.gop < 1 or not 0 < self.scale <= 8:
            raise ValueError("crf is 0..63, gop at least 1, scale above 0 and at most 8")
        if self.crop is not None and (any(n % 2 or n < 0 for n in self.crop) or min(self.crop[2:]) == 0):
            raise ValueError("crop is (top, left, height, width) in even numbers, height and width above 0")

    @property
    def name(self) -> str:
        """Stable and unique per chain: ``x264-crf23``, then every setting that differs from the default."""
        parts = [f"{self.codec}-crf{self.crf:g}"]
        if self.preset != "medium":
            parts.append(self.preset)
        if self.crop is not None:
            parts.append("crop" + ".".join(map(str, self.crop)))
        if self.scale != 1.0:
            parts.append(f"x{self.scale:g}")
        if self.gop != 48:
            parts.append(f"gop{self.gop}")
        if self.bframes is not None:
            parts.append(f"b{self.bframes}")
        return "-".join(parts)


def write_video(path: Path, frames: Iterable[Rgb], *, fps: Fraction, chain: CodecChain) -> int:
    """Encodes RGB frames as 4:2:0 video; the container is named by the suffix (mp4 m4v mov mkv webm ts).

    Returns the number of frames written. Raises ValueError for no frames, a frame of another shape than the first, or
    an unknown suffix; the file then does not appear.
    """
    with _Target(path, chain, fps) as target:
        for rgb in frames:
            target.add(_to_420(VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")))
        if target.frames == 0:
            raise ValueError(f"no frames for {path.name}: a video needs at least one")
    return target.frames


def write_lossless(path: Path, frames: Iterable[Rgb], *, fps: Fraction) -> int:
    """Keeps RGB frames as 4:2:0 planes without further loss (FFV1 in Matroska); returns their number.

    The planes are those that ``write_video`` would hand to its encoder. Raises ValueError for no frames.
    """
    with _whole(path) as part, av.open(str(part), "w", format="matroska", options={"fflags": "+bitexact"}) as out:
        stream: Any = None
        number = 0
        for number, rgb in enumerate(frames, start=1):
            frame = _to_420(VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24"))
            if stream is None:
                settings = {"level": "3", "slices": "4", "slicecrc": "1", "g": "1", "threads": "1"}
                stream = out.add_stream("ffv1", rate=fps, options=settings)
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
                stream.codec_context.time_base = 1 / fps
            frame.pts, frame.time_base = number - 1, 1 / fps
            out.mux(stream.encode(frame))
        if stream is None:
            raise ValueError(f"no frames for {path.name}: a video needs at least one")
        out.mux(stream.encode(None))
    return number


def reencode(
    source: Path,
    target: Path,
    chain: CodecChain,
    *,
    max_frames: int | None = None,
    crop_px: int | None = None,
    fps: Fraction | None = None,
) -> int:
    """Takes a video of any kind through the chain, plane to plane: 8-bit 4:2:0 in, no detour over RGB.

    crop_px: first a centre crop to at most this side, with even sides and offsets. Frames keep their order and get
    even spacing at the average rate, or at ``fps``; metadata, audio and colour tags are dropped, so that files out of
    one chain differ in their pixels only. Full-range, deeper or denser-chroma sources become 8-bit limited 4:2:0.
    Returns the number of frames. Damaged packets are skipped; a stream that changes its size ends there. Raises
    FailureError (jobs.errors) where nothing can be read: not_found, empty_file, not_a_video, no_video_stream,
    unsupported_codec (also for pictures too small for the encoder), too_large, damaged. Raises ValueError where
    ``chain.crop`` does not fit.
    """
    with _opened(source) as (container, stream), _Target(target, chain, fps or _rate(stream)) as sink:
        size: tuple[int, int] | None = None
        for frame in _decoded(container, stream):
            size = size or (frame.width, frame.height)
            if (frame.width, frame.height) != size or (max_frames is not None and sink.frames >= max_frames):
                break
            flat = _to_420(frame)
            sink.add(flat if crop_px is None else _crop(flat, _centre(flat, crop_px)))
        if sink.frames == 0:
            raise FailureKind.DAMAGED.error(f"no frame of {source.name} could be decoded; fetch the file again")
    return sink.frames


def read_frames(path: Path, *, start: int = 0, count: int | None = None, scale: float = 1.0) -> Iterator[Rgb]:
    """Yields (H, W, 3) frames of a video, or the one frame of a picture file, from number ``start`` on.

    scale: bicubic factor on both sides, rounded down to even. Raises FailureError as reencode does.
    """
    with _opened(path) as (container, stream):
        for number, frame in enumerate(_decoded(container, stream)):
            if count is not None and number >= start + count:
                return
            if number >= start:
                size = _scaled(frame.width, frame.height, scale) if scale != 1.0 else (frame.width, frame.height)
                rgb = frame.reformat(width=size[0], height=size[1], format="rgb24", interpolation=_SCALER, threads=1)
                yield np.asarray(rgb.to_ndarray(), dtype=np.uint8)


def write_gif(path: Path, frames: Iterable[Rgb], *, fps: Fraction) -> int:
    """Encodes RGB frames as an animated GIF in FFmpeg's fixed 256-colour palette; returns their number."""
    with _whole(path) as part, av.open(str(part), "w", format="gif") as out:
        stream: Any = None
        number = 0
        for number, rgb in enumerate(frames, start=1):
            if stream is None:
                stream = out.add_stream("gif", rate=fps)
                stream.height, stream.width = rgb.shape[:2]
                stream.pix_fmt = "rgb8"
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            frame = frame.reformat(format="rgb8", threads=1)
            frame.pts, frame.time_base = number - 1, 1 / fps
            out.mux(stream.encode(frame))
        if stream is None:
            raise ValueError(f"no frames for {path.name}: a video needs at least one")
        out.mux(stream.encode(None))
    return number


def write_audio(path: Path, samples: NDArray[np.int16], *, rate: int = 44100) -> None:
    """Encodes mono samples (N,) as AAC in the container of the suffix: a media file without any picture."""
    with _whole(path) as part, av.open(str(part), "w", format=_format(path), options={"fflags": "+bitexact"}) as out:
        stream: Any = out.add_stream("aac", rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = rate
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


class _Target:
    """A video file being written: opened at the first frame, moved to its name when it is whole."""

    def __init__(self, path: Path, chain: CodecChain, fps: Fraction) -> None:
        self.frames = 0
        self._path, self._chain, self._fps = path, chain, fps
        self._whole = _whole(path)
        self._format = _format(path)
        self._out: Any = None
        self._stream: Any = None
        self._source_size = (0, 0)

    def __enter__(self) -> _Target:
        self._part = self._whole.__enter__()
        return self

    def add(self, frame: VideoFrame) -> None:
        """One 4:2:0 frame through crop, scale and encoder."""
        if self._out is None:
            self._source_size = (frame.width, frame.height)
        elif (frame.width, frame.height) != self._source_size:
            # An encoder cannot change its size midway, and a resize would add a resampling trace.
            raise ValueError(
                f"frame {self.frames} is {frame.width}x{frame.height}, the first was "
                f"{self._source_size[0]}x{self._source_size[1]}"
            )
        chain = self._chain
        top, left, height, width = chain.crop or (0, 0, frame.height // 2 * 2, frame.width // 2 * 2)
        picture = _crop(frame, (top, left, height, width))
        if chain.scale != 1.0:
            wide, high = _scaled(width, height, chain.scale)
            picture = picture.reformat(width=wide, height=high, interpolation=_SCALER, threads=1)
        if self._out is None:
            self._open(picture.width, picture.height)
        picture.pts, picture.time_base = self.frames, 1 / self._fps
        picture.pict_type = PictureType.NONE  # otherwise the source's picture types would steer the new encoder
        self._mux(self._stream.encode(picture))
        self.frames += 1

    def __exit__(self, *reason: Any) -> None:
        try:
            if self._out is not None:
                try:
                    if reason[0] is None:
                        self._mux(self._stream.encode(None))
                finally:
                    self._out.close()
        except BaseException as error:
            self._whole.__exit__(type(error), error, error.__traceback__)
            raise
        self._whole.__exit__(*reason)

    def _mux(self, packets: Sequence[Any]) -> None:
        for packet in packets:
            # A film shorter than libx265's delay comes with decoding times that were never set: any number.
            if packet.dts is not None and not 0 <= packet.pts - packet.dts < _FURTHEST_DELAY:
                packet.dts = packet.pts
        self._out.mux(packets)

    def _open(self, width: int, height: int) -> None:
        # bitexact keeps the muxers from writing their version, the time of day and Matroska's random segment id.
        name, options = _encoder(self._chain)
        smallest = 64 if self._chain.codec == "av1" else 16
        if min(width, height) < smallest:
            raise FailureKind.UNSUPPORTED_CODEC.error(
                f"{width}x{height} pixels are too few to encode as {self._chain.codec}; it takes {smallest} and more"
            )
        self._out = av.open(str(self._part), "w", format=self._format, options={"fflags": "+bitexact"})
        stream: Any = self._out.add_stream(name, rate=self._fps, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = self._chain.gop
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = 1 / self._fps
        if self._chain.bframes is not None and self._chain.codec in ("x264", "x265"):
            stream.codec_context.max_b_frames = self._chain.bframes
        self._stream = stream


def _encoder(chain: CodecChain) -> tuple[str, dict[str, str]]:
    """FFmpeg's encoder name and its options: quiet, one thread."""
    options = {"crf": f"{chain.crf:g}"}
    match chain.codec:
        case "x264":
            # x264's macroblock tree gives other bytes from run to run on processors with AVX-512 (core 165, one
            # thread, same frames); without it 600 encodings in four processes agreed.
            options |= {"preset": chain.preset, "x264-params": "threads=1:lookahead-threads=1:mbtree=0"}
        case "x265":
            quiet = "log-level=none:pools=none:frame-threads=1"
            options |= {"preset": chain.preset, "x265-params": f"{quiet}:keyint={chain.gop}"}
        case "vp9":
            speed = str(min(_SPEEDS[chain.preset], 5))
            options |= {"b": "0", "deadline": "good", "cpu-used": speed, "row-mt": "0", "threads": "1"}
        case "av1":
            os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 writes its banner past FFmpeg's log, straight to stderr
            options |= {"preset": str(_SPEEDS[chain.preset] + 4), "svtav1-params": "lp=1"}
    return _ENCODERS[chain.codec], options


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` that takes its place on success and vanishes on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _format(path: Path) -> str:
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError:
        raise ValueError(f"{path.name}: no container for this suffix; use one of {', '.join(_FORMATS)}") from None


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its first real video stream (cover pictures of audio files do not count)."""
    if not path.is_file():
        raise FailureKind.NOT_FOUND.error(f"{path.name} is not there or not a file")
    if path.stat().st_size == 0:
        raise FailureKind.EMPTY_FILE.error(f"{path.name} has no bytes")
    try:
        container = av.open(str(path), metadata_errors="replace")
    except PermissionError:
        raise FailureKind.ACCESS_DENIED.error(f"{path.name} may not be read by this user") from None
    except (av.error.FFmpegError, ValueError, OSError):
        raise FailureKind.NOT_A_VIDEO.error(f"{path.name} is no media file that FFmpeg can open") from None
    with container:
        if container.format.name == "tty":  # FFmpeg renders plain text as a terminal's picture
            raise FailureKind.NOT_A_VIDEO.error(f"{path.name} is a text file")
        streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not streams:
            raise FailureKind.NO_VIDEO_STREAM.error(f"{path.name} holds no video")
        stream = streams[0]
        context: Any = stream.codec_context
        if context is None:
            raise FailureKind.UNSUPPORTED_CODEC.error(f"no decoder here for the video of {path.name}")
        if context.width * context.height > _MAX_PIXELS:
            raise FailureKind.TOO_LARGE.error(f"{path.name} claims {context.width}x{context.height} pixels a frame")
        context.thread_count = 1
        yield container, stream


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Frames in display order, packet by packet, so that a damaged packet costs its own frames and no more."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, OSError):
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        for frame in frames:
            if isinstance(frame, VideoFrame) and frame.width * frame.height <= _MAX_PIXELS:
                yield frame


def _rate(stream: VideoStream) -> Fraction:
    """The average frame rate, or 25 where the container states none or an absurd one."""
    rate = stream.average_rate or stream.guessed_rate
    return Fraction(rate) if rate is not None and 1 <= rate <= 240 else Fraction(25)


def _to_420(frame: VideoFrame) -> VideoFrame:
    """The frame as 8-bit limited-range 4:2:0; such frames pass untouched."""
    full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
    if frame.format.name == "yuv420p" and not full:
        return frame
    source_range = ColorRange.JPEG if full else None
    return frame.reformat(
        format="yuv420p",
        src_color_range=source_range,
        dst_color_range=ColorRange.MPEG if full else None,
        interpolation=_SCALER,
        threads=1,
    )


def _crop(frame: VideoFrame, box: tuple[int, int, int, int]) -> VideoFrame:
    """Cuts an even box out of a 4:2:0 frame by copying its planes."""
    top, left, height, width = box
    if top + height > frame.height or left + width > frame.width:
        raise ValueError(f"crop {box} does not fit into {frame.width}x{frame.height}")
    parts = []
    for plane, step in zip(frame.planes, (1, 2, 2), strict=True):
        rows = np.frombuffer(memoryview(plane), dtype=np.uint8)[: plane.height * plane.line_size].reshape(
            plane.height, -1
        )
        area = rows[top // step : (top + height) // step, left // step : (left + width) // step]
        parts.append(area.reshape(-1))
    return VideoFrame.from_ndarray(np.concatenate(parts).reshape(height * 3 // 2, width), format="yuv420p")


def _centre(frame: VideoFrame, side: int) -> tuple[int, int, int, int]:
    height, width = (min(side, n) // 2 * 2 for n in (frame.height, frame.width))
    return ((frame.height - height) // 4 * 2, (frame.width - width) // 4 * 2, height, width)


def _scaled(width: int, height: int, scale: float) -> tuple[int, int]:
    return (max(2, int(width * scale) // 2 * 2), max(2, int(height * scale) // 2 * 2))
