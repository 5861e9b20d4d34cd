"""Long files: each burst is reached by a checked seek; where seeks go wrong, by one pass over the packets."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import av
from av.packet import Packet
from av.video.stream import VideoStream

from fingerprint_db.spec import WindowPlan
from fingerprint_db.window import FrameWindow
from jobs.decode.burst import Burst
from jobs.decode.harvest import Harvest
from jobs.decode.packets import Packets, Pulse
from jobs.decode.passes import GUESSED_FPS
from jobs.decode.plan import SEARCH_BURSTS, BurstPlace, plan_bursts
from jobs.decode.protocol import VideoFacts
from jobs.decode.reader import Reader


@dataclass(frozen=True, slots=True)
class Ruler:
    """Turns frame numbers of the plan into stream time. origin: stream time zero; fps: average rate; base: seconds."""

    origin: int
    fps: float
    base: float

    def pts(self, frame: float) -> int:
        return self.origin + round(frame / self.fps / self.base)

    def seconds(self, pts: int) -> float:
        return (pts - self.origin) * self.base


def ruler_for(reader: Reader, fps: float) -> Ruler:
    """Time zero is where the container starts, as players count it."""
    base = float(reader.stream.time_base or 0) or 1.0 / fps
    start = reader.container.start_time
    origin = round(start / 1_000_000 / base) if start is not None else (reader.stream.start_time or 0)
    return Ruler(origin, fps, base)


def plan_by_index(reader: Reader, facts: VideoFacts, plan: WindowPlan) -> tuple[Ruler, tuple[BurstPlace, ...]]:
    """The bursts of a file that is not read through, from what its container claims and its own index lists."""
    fps = facts.fps or GUESSED_FPS
    total = max(facts.frame_count, round(facts.duration_s * fps), 1)
    ruler = ruler_for(reader, fps)
    return ruler, plan_bursts(total, known_keyframes(reader, ruler), plan, seconds=total / fps)


def known_keyframes(reader: Reader, ruler: Ruler) -> list[int]:
    """Keyframes that the container's own index lists, as frame numbers; [] where it has none."""
    with contextlib.suppress(av.FFmpegError, OSError):
        reader.container.seek(ruler.origin, stream=reader.stream)  # Matroska reads its index at the first seek
    # QuickTime's index holds decode times, which lie before presentation times by the reordering delay.
    delay = reader.stream.codec_context.reorder_depth if reader.container.format.name.startswith("mov") else 0
    stamps = [entry.timestamp for entry in reader.stream.index_entries if entry.is_keyframe]
    return sorted({max(0, round(ruler.seconds(stamp) * ruler.fps) + delay) for stamp in stamps})


def first_sight(
    harvest: Harvest, reader: Reader, ruler: Ruler, places: Sequence[BurstPlace]
) -> Generator[FrameWindow | None, None, bool]:
    """Look at the first frame that a pass over all bursts would see, by which it settles size, format and crops.

    What a pass over some later bursts does first, so that it cuts and judges frames alike. False: a seek led astray.
    """
    pulse = Pulse()
    for number, place in enumerate(places):
        try:
            reader.container.seek(max(ruler.pts(place.start + 0.5), ruler.origin), stream=reader.stream)
        except (av.FFmpegError, OSError):
            return False
        reader.restart()
        packets = iter(Packets(reader.container, reader.stream))
        reached = yield from _fill(harvest, reader, ruler, Burst(number, place), packets, pulse, glance=True)
        if not reached:
            return False
        if harvest.size != (0, 0):
            return True
    return True


def seek_pass(
    harvest: Harvest,
    reader: Reader,
    ruler: Ruler,
    places: Sequence[BurstPlace],
    first: int = 0,
    last: int | None = None,
) -> Generator[FrameWindow | None, None, int]:
    """Seek to each burst (from ``first`` up to ``last``) in turn; returns the number of the first one not done, because
    a seek led astray, or the number of places."""
    pulse = Pulse()
    for number, place in enumerate(places[first:last], first):
        try:
            reader.container.seek(max(ruler.pts(place.start + 0.5), ruler.origin), stream=reader.stream)
        except (av.FFmpegError, OSError):
            return number
        reader.restart()
        burst, damaged = Burst(number, place), reader.damaged
        reached = yield from _fill(harvest, reader, ruler, burst, iter(Packets(reader.container, reader.stream)), pulse)
        if harvest.unfit:
            return len(places)
        if not reached or (not burst.complete and reader.damaged == damaged):
            return number
        yield from harvest.deliver(burst)
    return len(places)


def packet_pass(
    harvest: Harvest, reader: Reader, ruler: Ruler, places: Sequence[BurstPlace], number: int
) -> Iterator[FrameWindow | None]:
    """Read all packets from the start; decode from the first keyframe within each burst's stretch of the video."""
    pulse, packets = Pulse(), iter(reader.packets)
    for late, place in enumerate(places[number:], number):
        burst = Burst(late, place)
        reader.restart()
        yield from _fill(harvest, reader, ruler, burst, packets, pulse, earliest=ruler.pts(place.earliest))
        yield from harvest.deliver(burst)


def _fill(
    harvest: Harvest,
    reader: Reader,
    ruler: Ruler,
    burst: Burst,
    packets: Iterator[Packet[VideoStream]],
    pulse: Pulse,
    earliest: int | None = None,
    glance: bool = False,
) -> Generator[None, None, bool]:
    """Feed packets from a keyframe on until the burst is complete; False when the place was missed altogether.

    glance: only until a first frame has been seen.
    A keyframe within the burst's stretch begins it; from one before that, frames are decoded up to the planned start.
    """
    place = burst.place
    low, high = ruler.pts(place.earliest - 0.5), ruler.pts(place.limit - place.frames + 0.5)
    give_up = ruler.pts(min(place.limit, place.start + SEARCH_BURSTS * place.frames))
    start: int | None = None
    guessed: int | None = None
    landed = 0
    begun = False
    timeless = reader.container.format.name == "avi"
    for packet in packets:
        if pulse.due():
            yield None
        stamp = packet.pts if packet.pts is not None else packet.dts
        if not begun:
            if not packet.size:
                return False
            if not packet.is_keyframe or (earliest is not None and stamp is not None and stamp < earliest):
                continue
            if stamp is None or stamp > high:
                return False
            begun, landed, start = True, stamp, (stamp if stamp >= low else ruler.pts(place.start))
        for shown in reader.feed(packet):
            harvest.look(shown.frame)
            if harvest.unfit or glance:
                return True
            at = None if timeless else shown.frame.pts
            if at is None:  # AVI and raw streams: frames have no times of their own; they follow the keyframe
                at = landed if guessed is None else guessed + max(1, round(1 / ruler.fps / ruler.base))
                guessed = at
                harvest.note("frame times guessed from the frame rate")
            if at is None or start is None or at < start:
                continue
            if at >= max(give_up, start + 1) and burst.frames == 0:
                return True
            harvest.offer(burst, shown, ruler.seconds(at))
            if burst.complete:
                return True
        if begun and stamp is not None and stamp > give_up + (high - low):
            return True
    return begun
