"""The default decoder: PyAV (FFmpeg), planned over the packet index, verified burst by burst."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import av

from cluster.outcome import FailureError
from fingerprint_db.window import FrameWindow
from jobs.decode.failures import failure_of, not_a_video
from jobs.decode.harvest import Harvest
from jobs.decode.outline import outline
from jobs.decode.packets import PacketIndex, index_packets
from jobs.decode.passes import Clock, decode_pass
from jobs.decode.plan import BurstPlace, plan_bursts, too_short
from jobs.decode.probe import credential_facts, declared_facts, first_look
from jobs.decode.protocol import (
    BurstRange,
    DecodeRequest,
    DecoderName,
    DecodeSummary,
    LengthRequest,
    Missed,
    Outline,
    VideoFacts,
)
from jobs.decode.reader import Reader
from jobs.decode.seeking import first_sight, packet_pass, plan_by_index, seek_pass
from jobs.decode.sniff import Sniffed, missing_bytes
from jobs.decode.source import Extents, Source
from jobs.decode.tally import Tally
from jobs.errors import FailureKind

WINDOWS_VERSION = 1  # raise it when plan, crops or conversions change what a window holds
LONG_S = 600.0  # from here on the packets are not indexed; bursts are found by seeking
LONG_BYTES = 1 << 30

Step = FrameWindow | DecodeSummary | Tally | Missed | None


class PyAVDecoder:
    """Decoder over PyAV: one thread, deterministic, planes as coded.

    Short files: one pass over the packets plans the bursts; a second decodes only the packets that the bursts need,
    without seeking (seeks go silently wrong in streams without an index, with edit lists, in cut files). A burst whose
    times are not those of the index makes the rest of the file be decoded from its start, frame by frame.
    Files beyond ten minutes or 1 GiB: seeks, each checked, and one pass over the packets where they go wrong.

    long_s, long_bytes: from which length and size on a file counts as long.
    """

    name: DecoderName = "pyav"
    version: str = f"{av.__version__}-w{WINDOWS_VERSION}"

    def __init__(self, long_s: float = LONG_S, long_bytes: int = LONG_BYTES) -> None:
        self._long_s = long_s
        self._long_bytes = long_bytes

    def decode(self, request: DecodeRequest) -> Iterator[Step]:
        """See jobs.decode.protocol.Decoder."""
        source = Source(request.path, request.present)
        try:
            for step in self._classed(request, source):
                if source.missed:
                    break
                yield step
        except Exception:
            if not source.missed:
                raise
        finally:
            source.close()
        if source.missed:
            yield Missed()

    def _classed(self, request: DecodeRequest, source: Source) -> Iterator[Step]:
        sniffed = first_look(source)
        try:
            yield from self._decode(request, source, sniffed)
        except FailureError:
            raise
        except Exception as error:
            raise failure_of(error, sniffed, opened=True) from error

    def _decode(self, request: DecodeRequest, source: Source, sniffed: Sniffed) -> Iterator[Step]:
        harvest = Harvest(request.plan)
        lost = missing_bytes(source)
        if lost:
            harvest.note(f"the file ends {lost} bytes before its own structure does")
            harvest.blame("the file is cut")
        reader = Reader(source, sniffed)
        try:
            facts = declared_facts(source, reader.container, reader.stream)
            by_seeking = self._by_seeking(request.path, facts)
            if request.bursts is None or request.bursts.first == 0:
                yield None
                # Once a file: a manifest's hash is taken over all of it. Where only parts are here, a file that has a
                # manifest ends as missed, and is fetched whole.
                facts = credential_facts(source, facts)
            if request.bursts is not None and not by_seeking:
                yield harvest.tally(facts, 0, astray=True)
                return
            index = None if by_seeking else (yield from index_packets(reader.container, reader.stream))
        finally:
            reader.close()
        if request.bursts is not None:
            yield (yield from _some(harvest, source, sniffed, facts, request.bursts))
            return
        if index is None:
            facts, bursts = yield from _long(harvest, source, sniffed, facts)
        else:
            facts, bursts = yield from _short(harvest, source, sniffed, facts, index, lost > 0)
        yield harvest.summary(facts, bursts)

    def outline(self, request: LengthRequest) -> Iterator[Outline | None]:
        """How many bursts a long file gets by its container's claims (0 for one that is read through anyway), and which
        bytes the ranges read; None in between as a sign of life.

        Errors: those of opening the file.
        """
        source = Source(request.path, noting=request.at_most > 0)
        reader: Reader | None = None
        try:
            sniffed = first_look(source)
            missing_bytes(source)  # a range asks it too, and what it reads is noted
            reader = Reader(source, sniffed)
            facts = declared_facts(source, reader.container, reader.stream)
            if not self._by_seeking(request.path, facts):
                yield Outline(0)
                return
            ruler, places = plan_by_index(reader, facts, request.plan)
            extents: tuple[Extents, ...] = ()
            if request.at_most:
                extents = yield from outline(source, reader, ruler, places, request.at_most)
            yield Outline(len(places), extents)
        finally:
            if reader is not None:
                reader.close()
            source.close()

    def _by_seeking(self, path: str, facts: VideoFacts) -> bool:
        long = facts.duration_s > self._long_s or os.path.getsize(path) > self._long_bytes
        # Without a declared length there is nothing to aim seeks at: a raw stream is indexed whatever its size.
        return long and declared_frames(facts) > 0


def _short(
    harvest: Harvest, source: Source, sniffed: Sniffed, facts: VideoFacts, index: PacketIndex, cut: bool
) -> Generator[FrameWindow | None, None, tuple[VideoFacts, int]]:
    """Windows of an indexed file; returns the facts with what the index measured, and the number of bursts planned."""
    if index.count == 0:
        raise FailureKind.DAMAGED.error("The file is damaged: it holds no readable frame.")
    if index.count == 1 and sniffed.foreign:
        raise not_a_video(sniffed)
    total = max(index.count, declared_frames(facts) - index.hidden) if cut else index.whole
    if index.whole < index.count:
        harvest.note("cut in coded order: the last frames do not follow each other")
    measured = measured_facts(facts, index)
    places = plan_bursts(total, index.keys, harvest.plan, seconds=seconds_of(total, measured))
    present = [place for place in places if place.start < index.whole]
    if len(present) < len(places):
        harvest.blame("the last part of the video is not in the file")
    if index.errors:
        harvest.note("damaged in places")
        harvest.blame("the data are damaged there")
    done = 0
    for skipping in (True, False) if index.timed else (False,):
        if done == len(present):
            break
        if not skipping and index.timed:
            harvest.note("frame times differ from packet times; decoded from the start")
        reader = Reader(source, sniffed)
        try:
            clock = Clock(index, reader, facts.fps)
            done = yield from decode_pass(harvest, reader, clock, present, done, skipping=skipping)
            if clock.guessed:
                harvest.note("frame times guessed from the frame rate")
        finally:
            harvest.take_stock(reader)
            reader.close()
    if reason := too_short(total, harvest.plan):
        harvest.unfit = harvest.unfit or reason
    return measured, len(places)


def _long(
    harvest: Harvest, source: Source, sniffed: Sniffed, facts: VideoFacts
) -> Generator[FrameWindow | None, None, tuple[VideoFacts, int]]:
    """Windows of a file too long to be indexed; the facts stay the container's."""
    reader = Reader(source, sniffed)
    places: Sequence[BurstPlace] = ()
    try:
        ruler, places = plan_by_index(reader, facts, harvest.plan)
        done = yield from seek_pass(harvest, reader, ruler, places)
    finally:
        harvest.take_stock(reader)
        reader.close()
    if done < len(places):
        harvest.note("seeking led astray; read from the start")
        reader = Reader(source, sniffed)
        try:
            yield from packet_pass(harvest, reader, ruler, places, done)
        finally:
            harvest.take_stock(reader)
            reader.close()
    return facts, len(places)


def _some(
    harvest: Harvest, source: Source, sniffed: Sniffed, facts: VideoFacts, bursts: BurstRange
) -> Generator[FrameWindow | None, None, Tally]:
    """The windows of some bursts of a long file, exactly those of a pass over all; astray where seeks go wrong."""
    reader = Reader(source, sniffed)
    try:
        ruler, places = plan_by_index(reader, facts, harvest.plan)
        end = len(places) if bursts.last is None else min(bursts.last, len(places))
        seen = bursts.first == 0 or (yield from first_sight(harvest, reader, ruler, places[: bursts.first]))
        done = bursts.first
        if seen and done < end:
            done = yield from seek_pass(harvest, reader, ruler, places, bursts.first, end)
        tally = harvest.tally(facts, len(places), astray=not seen or done < end)
        damaged = reader.damaged > 0 or reader.packets.errors > 0
        return replace(tally, damaged=damaged, resized=reader.resized > 0)
    finally:
        reader.close()


def seconds_of(frames: int, facts: VideoFacts) -> float:
    """How long so many frames of this video last; what it lasts by its own account when its rate is unknown."""
    return frames / facts.fps if facts.fps > 0 else facts.duration_s


def declared_frames(facts: VideoFacts) -> int:
    """How many frames the container announces; 0 when it does not."""
    return facts.frame_count or round(facts.duration_s * facts.fps)


def measured_facts(facts: VideoFacts, index: PacketIndex) -> VideoFacts:
    """Facts with the index's measurements in place of the container's claims: frames, seconds, rate, bits."""
    facts = replace(facts, frame_count=index.count, declared={**facts.declared, **index.marks})
    if index.timed and index.count > 1:
        span = float(index.pts[-1] - index.pts[0]) * index.base
        rate = (index.count - 1) / span
        # The container's rate is exact where it is true; pts in milliseconds are not.
        fps = facts.fps if facts.fps > 0 and abs(rate / facts.fps - 1) < 0.02 else rate
        facts = replace(facts, fps=fps, duration_s=span + 1 / rate, variable_frame_rate=index.uneven)
    elif facts.fps > 0:
        facts = replace(facts, duration_s=index.count / facts.fps)
    if facts.duration_s > 0:
        facts = replace(facts, bit_rate=index.size * 8 / facts.duration_s)
    return facts
