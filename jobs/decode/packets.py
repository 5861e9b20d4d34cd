"""Reads packets without decoding them: how many frames there are, when they are shown, where decoding can begin."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from jobs.decode.probe import FIRST_PACKETS, LONGEST_S, SEI_BYTES, encoder_marks

HEARTBEAT_S = 0.5
MAX_READ_ERRORS = 16  # consecutive; a demuxer that answers only errors is at its end
_RATE_FRAMES = 4  # fewer have no usual step
_TAIL = 8  # intervals at the end in which a cut in coded order leaves gaps: the longest usual run of B-frames
_UNEVEN_SHARE = 0.02  # of the intervals may be off (a dropped frame) before the rate is called variable


class Pulse:
    """Says when it is time for a sign of life."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def due(self) -> bool:
        now = time.monotonic()
        if now - self._last < HEARTBEAT_S:
            return False
        self._last = now
        return True


class Packets:
    """Packets of one stream, in coded order, past damage; ``errors`` counts what could not be read.

    Ends with the flush packet (size 0) that drains the decoder.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container = container
        self._stream = stream
        self.errors = 0

    def __iter__(self) -> Iterator[Packet[VideoStream]]:
        in_a_row = 0
        while True:
            try:
                for packet in self._container.demux(self._stream):
                    if packet.size == 0 and packet.pts is None and packet.dts is None:
                        yield packet
                        return
                    in_a_row = 0
                    yield packet
                return
            except av.FFmpegError:  # the demuxer resynchronises on the next call; a dead one repeats its error
                self.errors += 1
                in_a_row += 1
                if in_a_row >= MAX_READ_ERRORS:
                    drain: Packet[Any] = Packet()
                    yield drain
                    return


@dataclass(frozen=True, slots=True, eq=False)
class PacketIndex:
    """What a pass over the packets found.

    pts: (n,) int64 ascending presentation times of the frames, in units of ``base`` seconds; empty when untimed.
    keys: frame numbers, in presentation order, where decoding can begin. count: frames shown; hidden: frames that an
    edit list hides; whole: frames before the gaps that a cut in coded order left at the end. size: coded bytes.
    errors: packets that were unreadable or marked corrupt. uneven: shown at a varying
    rate. closed: no frame shown before a keyframe is coded after it. marks: what a file declares that
    only its packets show, the encoder's signature above all; entries of ``VideoFacts.declared``.
    """

    pts: NDArray[np.int64]
    base: float
    keys: tuple[int, ...]
    count: int
    hidden: int
    whole: int
    size: int
    errors: int
    uneven: bool
    closed: bool
    marks: dict[str, str]

    @property
    def timed(self) -> bool:
        return len(self.pts) > 0


def index_packets(container: InputContainer, stream: VideoStream) -> Generator[None, None, PacketIndex]:
    """One pass over all packets of ``stream``; yields None as a sign of life, returns the index."""
    pulse, packets = Pulse(), Packets(container, stream)
    times: list[int | None] = []
    keyed: list[int] = []
    size = corrupt = seen = hidden = 0
    all_key = True
    marks: dict[str, str] = {}
    for packet in packets:
        if pulse.due():
            yield None
        if packet.size == 0:
            continue
        seen += 1
        if seen <= FIRST_PACKETS and not marks:
            marks = encoder_marks(bytes(packet)[:SEI_BYTES])
        size += packet.size
        corrupt += packet.is_corrupt
        if packet.is_discard:  # hidden by an edit list: decoded on the way, never shown
            hidden += 1
            continue
        if packet.is_keyframe:
            keyed.append(len(times))
        else:
            all_key = False
        times.append(packet.pts)
    # AVI has no presentation times: with B-frames FFmpeg hands out decode times in their place.
    untimed = container.format.name == "avi" and not all_key
    known = [pts for pts in times if pts is not None]
    # In Python's integers, as two 64-bit times may be further apart than 64 bits hold.
    damaged = bool(known) and (max(known) - min(known)) * float(stream.time_base or 1) > LONGEST_S
    if untimed or damaged or not known or len(known) < len(times) or len(set(known)) < len(known):
        pts, keys = np.zeros(0, np.int64), keyed
    else:
        pts = np.sort(np.asarray(known, np.int64))
        keys = sorted(int(key) for key in np.searchsorted(pts, np.asarray(known, np.int64)[keyed]))
    whole = frames_before_cut(pts) if len(pts) else len(times)
    base = float(stream.time_base or 1)
    return PacketIndex(
        pts=pts,
        base=base,
        keys=tuple(keys),
        count=len(times),
        hidden=hidden,
        whole=whole,
        size=size,
        errors=packets.errors + corrupt,
        uneven=uneven_times(pts[:whole]),
        closed=len(pts) > 0 and list(keys) == keyed,
        marks={**marks, **usual_rate(pts, base)},
    )


def usual_rate(pts: NDArray[np.int64], base: float) -> dict[str, str]:
    """``usual_rate``: frames a second by the median step between frames; {} for too few frames.

    A stream that was cut, or that drops a frame here and there, keeps it while its average rate moves.
    """
    step = float(np.median(np.diff(pts))) * base if len(pts) >= _RATE_FRAMES else 0.0
    return {"usual_rate": f"{1 / step:.6g}"} if step > 0 else {}


def uneven_times(pts: NDArray[np.int64]) -> bool:
    """Whether frames are shown at a varying rate, beyond the rounding of the time base and a rare dropped frame."""
    steps = np.diff(pts)
    if len(steps) < 3:
        return False
    typical = float(np.median(steps))
    off = np.abs(steps - typical) > max(1.5, 0.1 * typical)
    return bool(off.mean() > _UNEVEN_SHARE)


def frames_before_cut(pts: NDArray[np.int64]) -> int:
    """How many frames follow each other at the usual interval before the gaps that a cut left at the very end.

    A stream copied up to some packet has lost the frames coded after it, though later ones are shown before them.
    """
    steps = np.diff(pts)
    if len(steps) <= _TAIL:
        return len(pts)
    gaps = np.flatnonzero(steps[-_TAIL:] > 1.5 * np.median(steps) + 1.5)
    if not len(gaps):
        return len(pts)
    whole = len(pts) - _TAIL + int(gaps[0])
    return len(pts) if uneven_times(pts[:whole]) else whole
