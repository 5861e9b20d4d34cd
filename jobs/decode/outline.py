"""Which bytes of a long file each range of its bursts needs, found by going through the motions without decoding."""

from __future__ import annotations

from collections.abc import Generator

import av

from jobs.decode.packets import Packets, Pulse
from jobs.decode.plan import SEARCH_BURSTS, BurstPlace, cut_ranges
from jobs.decode.reader import Reader
from jobs.decode.seeking import Ruler
from jobs.decode.source import Extents, Source, length, merged

# Containers whose own index says where a frame lies. Elsewhere (transport streams above all) a seek searches, and where
# it looks depends on what was read before; such files are read whole.
INDEXED = ("mov,", "matroska")
SPARE_PACKETS = 8  # beyond a burst's frames and the decoder's delay
PAD = 1 << 15  # a demuxer reads in buffers of this size
GAP = 1 << 17  # bytes between two parts that cost less than a request of their own
WORTH = 0.6  # of the file's size; above it a range is no bargain


def outline(
    source: Source, reader: Reader, ruler: Ruler, places: tuple[BurstPlace, ...], at_most: int
) -> Generator[None, None, tuple[Extents, ...]]:
    """For each range of at most so many bursts the parts of the file that decoding it will read; () for a whole read.

    source: notes what is read, and has since the file was opened. A guess at what a decoder will ask for, good for
    sound files; the guard in ``Source`` tells where it was not.
    """
    if not reader.container.format.name.startswith(INDEXED) or not places:
        return ()
    pulse = Pulse()
    opening = list(source.noted())
    yield from _walk(reader, ruler, places[0], 1, pulse)
    opening += source.noted()
    ranges: list[Extents] = []
    for bursts in cut_ranges(len(places), at_most):
        parts = list(opening)
        for place in places[bursts.first : bursts.last]:
            yield from _walk(reader, ruler, place, place.frames, pulse)
            parts += source.noted()
        padded = ((start, min(end + PAD, source.size)) for start, end in parts)
        needed = merged(padded, GAP)
        ranges.append(needed if length(needed) <= WORTH * source.size else ())
    return tuple(ranges)


def _walk(reader: Reader, ruler: Ruler, place: BurstPlace, frames: int, pulse: Pulse) -> Generator[None, None, None]:
    """Read the packets that ``jobs.decode.seeking`` would feed to the decoder for a burst, and a few more."""
    try:
        reader.container.seek(max(ruler.pts(place.start + 0.5), ruler.origin), stream=reader.stream)
    except (av.FFmpegError, OSError):
        return
    low, high = ruler.pts(place.earliest - 0.5), ruler.pts(place.limit - place.frames + 0.5)
    over = ruler.pts(min(place.limit, place.start + SEARCH_BURSTS * place.frames)) + high - low
    wanted = frames + reader.stream.codec_context.reorder_depth + SPARE_PACKETS
    start: int | None = None
    for packet in Packets(reader.container, reader.stream):
        if pulse.due():
            yield None
        stamp = packet.pts if packet.pts is not None else packet.dts
        if not packet.size or stamp is None or stamp > over:
            return
        if start is None:
            if not packet.is_keyframe:
                continue
            start = stamp if stamp >= low else ruler.pts(place.start)
        wanted -= stamp >= start
        if wanted <= 0:
            return
