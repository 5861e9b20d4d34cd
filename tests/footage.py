"""Real test files: a seeded, textured, moving scene with camera-like noise, encoded by PyAV, then damaged on purpose.

Everything here is deterministic for a given seed. Frames are small (128-320 px) so that whole suites stay fast.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

DEFAULT_CODEC = {
    ".mp4": "libx264",
    ".mov": "libx264",
    ".mkv": "libx264",
    ".avi": "mpeg4",
    ".ts": "libx264",
    ".mpg": "mpeg2video",
    ".webm": "libvpx-vp9",
    ".gif": "gif",
    ".flv": "libx264",
    ".nut": "ffv1",
    ".m2v": "mpeg2video",
    ".h264": "libx264",
    ".ivf": "libvpx-vp9",
}
QUICK = {
    "libx264": {"preset": "ultrafast", "threads": "1"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=none:frame-threads=1:wpp=0"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "threads": "1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "threads": "1"},
    "libsvtav1": {"preset": "12", "svtav1-params": "lp=1"},
}


def scene(frames: int, size: tuple[int, int], seed: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Frames of (3, H, W) uint8 Y, Cb, Cr: a drifting texture, an edge that turns, a moving ball, sensor noise."""
    width, height = size
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(height // 8 + 9, width // 8 + 9))
    texture = np.kron(coarse, np.ones((8, 8)))
    texture = (texture + np.roll(texture, 3, 0) + np.roll(texture, 5, 1)) / 3
    rows, cols = np.mgrid[0:height, 0:width]
    for number in range(frames):
        dy, dx = (number // 2) % 32, number % 48
        drift = texture[dy : dy + height, dx : dx + width]
        edge = np.tanh(((cols - width / 2) * np.cos(number / 20) + (rows - height / 2) * np.sin(number / 20)) / 4)
        ball = np.hypot(rows - height / 2, cols - (number * 5) % width) < height / 6
        luma = 120 + 25 * drift + 40 * edge + 35 * ball + rng.normal(0, 3, (height, width))
        blue = 128 + 12 * edge - 20 * ball + rng.normal(0, 1.5, (height, width))
        red = 128 + 10 * drift + 25 * ball + rng.normal(0, 1.5, (height, width))
        yield np.stack([luma, blue, red]).clip(16, 235).astype(np.uint8)


def make_video(
    path: Path,
    *,
    codec: str | None = None,
    pix_fmt: str | None = None,
    size: tuple[int, int] = (192, 128),
    frames: int = 48,
    fps: int = 25,
    gop: int = 12,
    bframes: int = 2,
    vfr: bool = False,
    rotate: int | None = None,
    interlaced: bool = False,
    audio: bool = False,
    start_pts: int = 0,
    seed: int = 0,
    color_trc: int | None = None,
    metadata: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    pictures: Iterator[NDArray[np.uint8]] | None = None,
) -> Path:
    """Encode the scene; the container follows the suffix. Returns ``path``.

    start_pts: shifts all times, in frames. vfr: every fifth frame is held three times as long.
    rotate: display rotation in degrees clockwise, as a phone writes it.
    """
    codec = codec or DEFAULT_CODEC[path.suffix]
    settings = {**QUICK.get(codec, {}), **(options or {})}
    if codec in ("libx264", "libx265"):
        settings.setdefault("sc_threshold", "0")
    if interlaced:
        settings["flags"] = "+ildct+ilme"
        settings["x264-params"] = "tff=1"
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=fps, options=settings)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt or {"gif": "rgb8", "mjpeg": "yuvj420p", "prores_ks": "yuv422p10le"}.get(
            codec, "yuv420p"
        )
        stream.codec_context.gop_size = gop
        if codec not in ("gif", "mjpeg", "ffv1", "prores_ks", "libsvtav1", "libvpx-vp9", "libvpx", "qtrle", "png"):
            stream.codec_context.max_b_frames = bframes
        stream.codec_context.time_base = Fraction(1, fps)
        if color_trc is not None:
            stream.codec_context.color_trc = color_trc
        if rotate is not None:
            stream.set_display_rotation(-rotate)
        sound = container.add_stream("aac" if path.suffix != ".webm" else "libopus", rate=48000) if audio else None
        pts = start_pts
        shown = scene(frames, size, seed) if pictures is None else pictures
        for number, picture in enumerate(_fields(shown) if interlaced else shown):
            frame = av.VideoFrame.from_ndarray(picture, format="yuv444p")
            if stream.pix_fmt != "yuv444p":
                frame = frame.reformat(format=stream.pix_fmt, threads=1)
            frame.pts, frame.time_base = pts, Fraction(1, fps)
            pts += 3 if vfr and number % 5 == 4 else 1
            container.mux(stream.encode(frame))
        if sound is not None:
            assert isinstance(sound, av.AudioStream)
            _mux_tone(container, sound, frames / fps)
        container.mux(stream.encode(None))
    return path


def _fields(pictures: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Weave the odd lines of the next moment into each picture, as an interlaced camera does."""
    earlier: NDArray[np.uint8] | None = None
    for later in pictures:
        woven = later.copy()
        if earlier is not None:
            woven[:, 0::2] = earlier[:, 0::2]
        earlier = later
        yield woven


def _mux_tone(container: av.container.OutputContainer, sound: av.AudioStream, seconds: float) -> None:
    phase = np.arange(int(seconds * 48000)) * (2 * np.pi * 440 / 48000)
    tone = (0.3 * np.sin(phase)).astype(np.float32)
    step = 1024 if sound.codec_context.name == "aac" else 960
    for start in range(0, len(tone) - step + 1, step):
        block = av.AudioFrame.from_ndarray(np.stack([tone[start : start + step]] * 2), format="fltp", layout="stereo")
        block.sample_rate, block.pts, block.time_base = 48000, start, Fraction(1, 48000)
        for ready in _resampled(sound, block):
            container.mux(sound.encode(ready))
    container.mux(sound.encode(None))


def _resampled(sound: av.AudioStream, block: av.AudioFrame) -> list[av.AudioFrame]:
    if sound.codec_context.name == "aac":
        return [block]
    return list(av.AudioResampler(format="flt", layout="stereo", rate=48000).resample(block))


def audio_only(path: Path, seconds: float = 1.0, *, cover: bool = False) -> Path:
    """A sound file whatever its name says; with ``cover`` a still picture is attached, as music files have it."""
    with av.open(str(path), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=48000)
        assert isinstance(sound, av.AudioStream)
        picture = None
        if cover:
            picture = container.add_stream("mjpeg", rate=25)
            assert isinstance(picture, av.VideoStream)
            picture.width, picture.height, picture.pix_fmt = 64, 64, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
        _mux_tone(container, sound, seconds)
        if picture is not None:
            still = av.VideoFrame.from_ndarray(next(scene(1, (64, 64))), format="yuv444p").reformat(format="yuvj420p")
            still.pts = 0
            container.mux(picture.encode(still))
            container.mux(picture.encode(None))
    return path


def text_named_mp4(path: Path, text: str = "Dear colleague,\nthis is not a video.\n" * 40) -> Path:
    """Plain text (or a web page, or a playlist) under a video's name."""
    path.write_text(text)
    return path


def still_image(path: Path, codec: str = "png", size: tuple[int, int] = (128, 96)) -> Path:
    """One PNG, JPEG (``mjpeg``) or WebP (``libwebp``) picture, whatever the name says."""
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height = size
    encoder.pix_fmt = {"png": "rgb24", "mjpeg": "yuvj420p", "libwebp": "yuv420p"}[codec]
    encoder.time_base = Fraction(1, 25)
    picture = av.VideoFrame.from_ndarray(next(scene(1, size)), format="yuv444p").reformat(format=encoder.pix_fmt)
    picture.pts = 0
    path.write_bytes(b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)]))
    return path


def animated_webp(path: Path, frames: int = 6) -> Path:
    """An animated WebP picture."""
    with av.open(str(path), "w", format="webp") as container:
        stream = container.add_stream("libwebp_anim", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
        for number, picture in enumerate(scene(frames, (96, 96))):
            frame = av.VideoFrame.from_ndarray(picture, format="yuv444p").reformat(format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def gif(path: Path, frames: int = 20, size: tuple[int, int] = (160, 128)) -> Path:
    """An animated GIF."""
    return make_video(path, codec="gif", frames=frames, size=size, fps=10)


def one_frame(path: Path) -> Path:
    """A proper video of a single frame."""
    return make_video(path, frames=1)


def mpegts_no_index(path: Path, **settings: object) -> Path:
    """An MPEG transport stream: no index, times that begin above zero, often cut in the middle of a GOP."""
    return make_video(path, codec="libx264", **settings)  # type: ignore[arg-type]


def edit_list(path: Path, source: Path, skipped: int = 5) -> Path:
    """``source`` remuxed to mp4 with an edit list that hides its first ``skipped`` frames, as a trimming phone does."""
    with (
        av.open(str(source)) as reader,
        av.open(str(path), "w", container_options={"avoid_negative_ts": "disabled"}) as writer,
    ):
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        assert stream.average_rate is not None
        assert stream.time_base is not None
        shift = round(skipped / stream.average_rate / stream.time_base)
        for packet in reader.demux(stream):
            if packet.dts is None or packet.pts is None:
                continue
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = copy
            writer.mux(packet)
    return path


def cut_by_copying(source: Path, path: Path, packets: int) -> Path:
    """The first ``packets`` coded frames of ``source``, copied: with B-frames, gaps are left before the end."""
    with av.open(str(source)) as reader, av.open(str(path), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        for number, packet in enumerate(reader.demux(stream)):
            if number == packets or packet.dts is None:
                break
            packet.stream = copy
            writer.mux(packet)
    return path


def repeated(path: Path, reel: Path, laps: int, *, container_options: dict[str, str] | None = None) -> Path:
    """``reel`` shown so many times over, its packets copied: a long film without the time that coding one takes."""
    with av.open(str(reel)) as reader, av.open(str(path), "w", container_options=container_options or {}) as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        base, rate = stream.time_base, stream.average_rate
        assert base is not None
        assert rate is not None
        lap = round(stream.frames / rate / base)
        coded = [(packet.pts, packet.dts, bytes(packet), packet.is_keyframe) for packet in reader.demux(stream)]
        for number in range(laps):
            for pts, dts, data, key in coded:
                if pts is None or dts is None:  # the flush packet
                    continue
                packet = av.Packet(data)
                packet.pts, packet.dts, packet.time_base = pts + number * lap, dts + number * lap, Fraction(base)
                packet.is_keyframe, packet.stream = key, copy
                writer.mux(packet)
    return path


def size_change(path: Path, first: Path, second: Path) -> Path:
    """Two elementary or transport streams of different frame size, one after the other in one file."""
    path.write_bytes(first.read_bytes() + second.read_bytes())
    return path


def truncate(source: Path, path: Path, share: float) -> Path:
    """The first ``share`` of a file's bytes, as a broken upload leaves it."""
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def flip_bits(source: Path, path: Path, seed: int, n: int, spare: int = 0) -> Path:
    """``n`` random bits of a file turned over, none in its first ``spare`` bytes."""
    rng = random.Random(seed)
    data = bytearray(source.read_bytes())
    for _ in range(n):
        position = rng.randrange(spare, len(data))
        data[position] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(data))
    return path


def mutate(data: bytes, seed: int) -> bytes:
    """One of: flipped bits, a cut, a hole of zeros, a block moved elsewhere, random bytes; chosen by ``seed``."""
    rng = random.Random(seed)
    out = bytearray(data)
    kind = seed % 5
    if kind == 0:
        for _ in range(rng.choice([1, 4, 32])):
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del out[rng.randrange(len(out)) :]
    else:
        start = rng.randrange(len(out))
        length = min(rng.choice([8, 200, 3000]), len(out) - start)
        if kind == 2:
            out[start : start + length] = bytes(length)
        elif kind == 3:
            block = out[start : start + length]
            del out[start : start + length]
            place = rng.randrange(len(out) + 1)
            out[place:place] = block
        else:
            out[start : start + length] = rng.randbytes(length)
    return bytes(out)


def huge_claimed_dimensions(path: Path, side: int = 60000) -> Path:
    """A few kilobytes that claim ``side`` x ``side`` pixels: AVI, PNG, GIF or IVF, by suffix."""
    if path.suffix == ".avi":
        data = bytearray(make_video(path, codec="ffv1", frames=2).read_bytes())
        struct.pack_into("<II", data, data.index(b"avih") + 8 + 32, side, side)
        struct.pack_into("<II", data, data.index(b"strf") + 8 + 4, side, side)
    elif path.suffix == ".png":
        data = bytearray(still_image(path).read_bytes())
        struct.pack_into(">II", data, 16, side, side)
    elif path.suffix == ".gif":
        data = bytearray(gif(path, frames=3).read_bytes())
        struct.pack_into("<HH", data, 6, side, side)
    else:
        data = bytearray(make_video(path, codec="libvpx-vp9", frames=6).read_bytes())
        struct.pack_into("<HH", data, 12, side, side)
        first = 32 + 12  # VP9 key frame: frame marker and sync code, then two 16-bit sizes minus one, bit aligned
        bits = int.from_bytes(data[first : first + 12], "big")
        for offset in (8 + 24 + 4, 8 + 24 + 4 + 16):
            shift = 12 * 8 - offset - 16
            bits = bits & ~(0xFFFF << shift) | (side - 1) << shift
        data[first : first + 12] = bits.to_bytes(12, "big")
    path.write_bytes(bytes(data))
    return path
