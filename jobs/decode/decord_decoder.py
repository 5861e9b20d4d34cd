"""The second decoder: decord 0.6, which gives RGB; its pixels are turned back into Y, Cb, Cr.

decord's FFmpeg (4.x) knows no AV1; in MPEG transport streams its frames are wrong or never come; both are refused.
Its seeks count packets, not frames: with open GOPs (HEVC, MPEG-2), edit lists or AVI they return other frames than
asked for, so such files are read in order from the start. It conceals damage without a word. The spec names the
decoder, so its windows never meet PyAV's.
"""

from __future__ import annotations

import importlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.outcome import FailureError
from fingerprint_db.window import FrameWindow
from jobs.decode.burst import Burst, Parts
from jobs.decode.failures import failure_of
from jobs.decode.harvest import Harvest
from jobs.decode.packets import PacketIndex, Pulse, index_packets
from jobs.decode.passes import Clock
from jobs.decode.plan import BurstPlace, CropPlace, plan_bursts, too_short
from jobs.decode.probe import credential_facts, declared_facts, first_look
from jobs.decode.protocol import DecodeRequest, DecoderName, DecodeSummary, VideoFacts
from jobs.decode.pyav import declared_frames, measured_facts, seconds_of
from jobs.decode.reader import Reader
from jobs.decode.sniff import Sniffed, missing_bytes
from jobs.decode.source import Source
from jobs.decode.tally import Tally
from jobs.errors import FailureKind

WINDOWS_VERSION = 1  # raise it when plan, crops or the arithmetic below change
MAX_SEQUENTIAL_FRAMES = 60 * 60 * 30  # an hour at 30 fps: beyond, reading in order from the start is refused

_REFUSED_CODECS = {"av1", "vvc", "evc", "apv"}
_REFUSED_CONTAINERS = {
    "mpegts",
    "gif",
    "apng",
    "h264",
    "hevc",
    "mpegvideo",
    "mjpeg",
    "ivf",
    "obu",
    "m4v",
    "yuv4mpegpipe",
}
_SEEKABLE = {"mp4", "mov", "matroska", "webm"}


@dataclass(frozen=True, slots=True)
class _Look:
    """What PyAV says of the file first: decord tells neither codec nor colour nor damage."""

    facts: VideoFacts
    index: PacketIndex
    clock: Clock
    harvest: Harvest


class DecordDecoder:
    """Decoder over decord, for those who need its pixels; PyAV is faster, salvages damage and reads more."""

    name: DecoderName = "decord"

    def __init__(self) -> None:
        self.version = f"{metadata.version('decord')}-w{WINDOWS_VERSION}"

    def decode(self, request: DecodeRequest) -> Iterator[FrameWindow | DecodeSummary | Tally | None]:
        """See jobs.decode.protocol.Decoder. chroma is 4:2:0 by 2x2 means, 8 bits, limited range, BT.601."""
        sniffed = first_look(Source(request.path))
        decord = _load()
        try:
            yield from self._decode(request, sniffed, decord)
        except FailureError:
            raise
        except Exception as error:
            raise failure_of(error, sniffed, opened=True) from error

    def _decode(
        self, request: DecodeRequest, sniffed: Sniffed, decord: Any
    ) -> Iterator[FrameWindow | DecodeSummary | Tally | None]:
        look = yield from _look(request, sniffed)
        harvest, index = look.harvest, look.index
        total = max(index.count, declared_frames(look.facts) - index.hidden) if harvest.causes else index.whole
        facts = measured_facts(look.facts, index)
        places = plan_bursts(total, index.keys, request.plan, seconds=seconds_of(total, facts))
        by_seeking = facts.container in _SEEKABLE and index.closed and not index.hidden and not index.errors
        some = request.bursts
        if some is not None and not by_seeking:
            yield harvest.tally(facts, len(places), astray=True)
            return
        harvest.unfit = harvest.unfit or too_short(total, request.plan)
        if not harvest.unfit:
            present = [place for place in places if place.start < index.whole]
            if len(present) < len(places):
                harvest.blame("the last part of the video is not in the file")
            if not by_seeking and index.count > MAX_SEQUENTIAL_FRAMES:
                raise FailureKind.UNSUPPORTED_CODEC.error(
                    "decord cannot seek safely in this file and it is too long to be read in order; use PyAV."
                )
            video = _open(decord, request.path)
            wanted = slice(None) if some is None else slice(some.first, some.last)
            bursts = _by_seeking(video, look, present, wanted) if by_seeking else _in_order(video, look, present)
            for burst in bursts:
                if burst is None:
                    yield None
                else:
                    yield from harvest.deliver(burst)
        yield harvest.summary(facts, len(places)) if some is None else harvest.tally(facts, len(places))


def to_ycbcr(rgb: NDArray[np.uint8]) -> Parts:
    """(H, W, 3) RGB as Y (H, W) and Cb, Cr (H/2, W/2), uint8; H, W even.

    ITU-R BT.601, limited range, the inverse of what swscale does on the way to RGB unless told otherwise:
    Y = 16 + 219/255 (0.299 R + 0.587 G + 0.114 B), Cb = 128 + 112/255 (B - luma) / 0.886, Cr likewise with R and 0.701,
    chroma averaged over 2 x 2 pixels, rounded to nearest.
    """
    values = rgb.astype(np.float32)
    luma = values @ np.array([0.299, 0.587, 0.114], np.float32)
    height, width = luma.shape

    def chroma(channel: NDArray[np.float32], weight: float) -> NDArray[np.uint8]:
        full = 128 + (channel - luma) * np.float32(112 / 255 / (1 - weight))
        mean = np.rint(full.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)))
        return np.asarray(mean.clip(0, 255), np.uint8)

    grey = np.rint(16 + luma * np.float32(219 / 255)).clip(0, 255)
    return np.asarray(grey, np.uint8), chroma(values[..., 2], 0.114), chroma(values[..., 0], 0.299)


def _load() -> Any:
    try:
        decord = importlib.import_module("decord")
    except (ImportError, OSError) as error:
        raise FailureKind.UNSUPPORTED_CODEC.error(
            "The decord wheel is not installed or does not load on this platform; install decord 0.6 or use PyAV."
        ) from error
    decord.logging.set_level(decord.logging.QUIET)
    return decord


def _open(decord: Any, path: str) -> Any:
    try:
        return decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
    except Exception as error:  # decord raises its own class, RuntimeError or IndexError, as it comes
        raise FailureKind.UNSUPPORTED_CODEC.error(
            "decord cannot open this file, though FFmpeg can; use PyAV."
        ) from error


def _look(request: DecodeRequest, sniffed: Sniffed) -> Generator[None, None, _Look]:
    """Everything about the file that decord cannot tell, from PyAV."""
    harvest = Harvest(request.plan, depth=8, limited=True)
    source = Source(request.path)
    if missing_bytes(source):
        harvest.note("the file ends before its own structure does")
        harvest.blame("the file is cut")
    reader = Reader(source, sniffed)
    try:
        facts = credential_facts(source, declared_facts(source, reader.container, reader.stream))
        if facts.codec in _REFUSED_CODECS or facts.container in _REFUSED_CONTAINERS:
            raise FailureKind.UNSUPPORTED_CODEC.error(
                f"decord does not read {facts.codec} in {facts.container} reliably; use PyAV."
            )
        index = yield from index_packets(reader.container, reader.stream)
    finally:
        reader.close()
    if index.count == 0:
        raise FailureKind.DAMAGED.error("The file is damaged: it holds no readable frame.")
    reader = Reader(source, sniffed)
    try:
        for packet in reader.packets:  # the first frame tells size, depth and rotation
            shown = reader.feed(packet)
            if shown:
                harvest.look(shown[0].frame)
                break
        else:
            raise failure_of(reader.last_error or ValueError(), sniffed, opened=True)
        clock = Clock(index, reader, facts.fps)
    finally:
        reader.close()
    return _Look(facts, index, clock, harvest)


def _by_seeking(video: Any, look: _Look, places: list[BurstPlace], wanted: slice) -> Iterator[Burst | None]:
    for number, place in list(enumerate(places))[wanted]:
        yield None
        count = min(place.frames, len(video) - place.start)
        frames = video.get_batch(range(place.start, place.start + count)).asnumpy()
        video.seek(0)  # else decord decodes ahead into memory without end while nobody asks
        burst = Burst(number, place)
        for offset, rgb in enumerate(frames):
            _add(burst, rgb, look, place.start + offset)
        yield burst


def _in_order(video: Any, look: _Look, places: list[BurstPlace]) -> Iterator[Burst | None]:
    """All bursts are collected before the first is handed on: decord fills memory whenever it waits."""
    pulse, bursts, at = Pulse(), [], 0
    for number, place in enumerate(places):
        burst = Burst(number, place)
        bursts.append(burst)
        try:
            while at < place.start + place.frames:
                frame = video.next()  # not skip_frames: it seeks at keyframes, and lands beside them
                if at >= place.start:
                    _add(burst, frame.asnumpy(), look, at)
                at += 1
                if pulse.due():
                    yield None
        except StopIteration:
            break
    yield from bursts


def _add(burst: Burst, rgb: NDArray[np.uint8], look: _Look, frame: int) -> None:
    turned = look.harvest.rotation
    upright = np.rot90(rgb, turned // 90) if turned in (90, 180, 270) else rgb  # decord turns pictures; turn them back
    width, height = look.harvest.size
    if upright.shape[:2] != (height, width):
        burst.break_run()
        look.harvest.blame("decord gave frames of another size")
        return
    parts = [to_ycbcr(_crop(upright, crop)) for crop in look.harvest.crops]
    if look.harvest.overlays.wants(burst.number, burst.offset):
        look.harvest.overlays.see(rgb, 8, burst.number, burst.offset)
    pts, time_s = look.clock.at(frame)
    burst.add(parts, time_s, pts, "I" if frame in look.index.keys else "?")


def _crop(rgb: NDArray[np.uint8], crop: CropPlace) -> NDArray[np.uint8]:
    return rgb[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
