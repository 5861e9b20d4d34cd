"""Short files: the bursts of a video in one pass over its packets, decoding as little as is safe, without seeking."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fingerprint_db.window import FrameWindow
from jobs.decode.burst import Burst
from jobs.decode.harvest import Harvest
from jobs.decode.packets import PacketIndex, Pulse
from jobs.decode.plan import SEARCH_BURSTS, BurstPlace
from jobs.decode.reader import Reader

GUESSED_FPS = 25.0


class Clock:
    """Where a frame stands: by its pts where the index knows them, else by counting frames as they come."""

    def __init__(self, index: PacketIndex, reader: Reader, fps: float) -> None:
        self._index = index
        self._base = index.base
        self._origin = first_time(index, reader)
        self._fps = fps or GUESSED_FPS
        self._counted = 0
        self._last: int | None = None
        self.guessed = not index.timed

    def read(self, frame: VideoFrame) -> tuple[int, float]:
        """(position, seconds from the start); position is comparable with ``start`` and ``end``."""
        self._counted += 1
        if not self._index.timed:
            return self._counted - 1, (self._counted - 1) / self._fps
        at = frame.pts
        if at is None:  # a decoder that lost the time of a frame: it follows its predecessor by one frame
            at = (self._origin if self._last is None else self._last) + max(1, round(1 / self._fps / self._base))
            self.guessed = True
        self._last = at
        return at, (at - self._origin) * self._base

    def at(self, frame: int) -> tuple[int | None, float]:
        """(pts, seconds from the start) of a frame by its number."""
        if not self._index.timed:
            return None, frame / self._fps
        pts = int(self._index.pts[min(frame, self._index.count - 1)])
        return pts, (pts - self._origin) * self._base

    def start(self, place: BurstPlace) -> int:
        return int(self._index.pts[place.start]) if self._index.timed else place.start

    def end(self, place: BurstPlace) -> int:
        """The position at which a burst that is not complete is given up."""
        last = min(place.limit, place.start + SEARCH_BURSTS * place.frames)
        if not self._index.timed:
            return last
        return (
            int(self._index.pts[last]) if last < self._index.whole else int(self._index.pts[self._index.whole - 1]) + 1
        )

    def key_before(self, place: BurstPlace) -> int | None:
        """The pts of the last keyframe not after a burst's start; None when decoding must begin with the stream."""
        before = [key for key in self._index.keys if key <= place.start]
        return int(self._index.pts[before[-1]]) if before else None

    def agrees(self, burst: Burst) -> bool:
        """Whether a burst holds exactly the frames that the index announced."""
        place = burst.place
        expected = self._index.pts[place.start : min(place.start + place.frames, self._index.whole)]
        return burst.pts == [int(pts) for pts in expected]


def first_time(index: PacketIndex, reader: Reader) -> int:
    """Time zero as players count it: where the container starts, at the latest the first frame; in stream units."""
    first = int(index.pts[0]) if index.timed else 0
    start, base = reader.container.start_time, reader.stream.time_base
    return min(first, round(start / 1_000_000 / base)) if start is not None and base else first


def decode_pass(
    harvest: Harvest,
    reader: Reader,
    clock: Clock,
    places: Sequence[BurstPlace],
    number: int,
    *,
    skipping: bool,
) -> Generator[FrameWindow | None, None, int]:
    """Decode bursts ``number`` and later; returns how many are done: the first one not done is out of step.

    skipping: feed the decoder only from the keyframe before a burst to its end, and stop at a burst whose frames are
    not those of the index though nothing was damaged. Without it every packet is decoded and whatever comes counts.
    """
    pulse = Pulse()
    burst = Burst(number, places[number])
    feeding, fed_key, damaged = not skipping, None, 0
    for packet in reader.packets:
        if pulse.due():
            yield None
        if not feeding:
            if not packet.size:
                break
            if not _begins(packet, clock.key_before(burst.place)):
                continue
            reader.restart()
            feeding = True
        if packet.is_keyframe and packet.pts is not None:
            fed_key = packet.pts if fed_key is None else max(fed_key, packet.pts)
        for shown in reader.feed(packet):
            harvest.look(shown.frame)
            if harvest.unfit:
                return len(places)
            at, time_s = clock.read(shown.frame)
            while at >= clock.start(burst.place):
                over = at >= clock.end(burst.place)
                if not over:
                    harvest.offer(burst, shown, time_s)
                    if not burst.complete:
                        break
                if skipping and reader.damaged == damaged and not clock.agrees(burst):
                    return number
                yield from harvest.deliver(burst)
                number, damaged = number + 1, reader.damaged
                if number == len(places):
                    return number
                burst = Burst(number, places[number])
                if not over:
                    break
        if skipping:
            key = clock.key_before(burst.place)
            feeding = key is None or (fed_key is not None and key <= fed_key)
    while number < len(places):  # the stream ended early
        if skipping and reader.damaged == damaged and not clock.agrees(burst):
            return number
        yield from harvest.deliver(burst)
        number += 1
        if number < len(places):
            burst = Burst(number, places[number])
    return number


def _begins(packet: Packet[VideoStream], key: int | None) -> bool:
    return key is None or (packet.is_keyframe and packet.pts is not None and packet.pts >= key)
