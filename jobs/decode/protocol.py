"""The decoder protocol: what is asked of a decoder, and what it says about a video."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from fingerprint_db.spec import WindowPlan
from fingerprint_db.window import FrameWindow, Quality
from jobs.decode.source import Extents

if TYPE_CHECKING:
    from jobs.decode.tally import Tally

DecoderName = Literal["pyav", "decord"]


@dataclass(frozen=True, slots=True)
class BurstRange:
    """Bursts ``first`` up to, not including, ``last`` of the plan over the whole file; None: up to the end."""

    first: int
    last: int | None = None


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """One file to decode. path: a local file. plan: which windows. bursts: only these of them; the answer then ends in
    a Tally (jobs.decode.tally) in place of the summary. present: the only bytes of the file that are there (see
    ``jobs.decode.source``), empty for all of them; the answer ends in Missed where others were needed. PyAV only."""

    path: str
    plan: WindowPlan
    decoder: DecoderName = "pyav"
    bursts: BurstRange | None = None
    present: Extents = ()


@dataclass(frozen=True, slots=True)
class Missed:
    """The end of an answer that could not be given: it takes bytes that are not present. All before it is void."""


@dataclass(frozen=True, slots=True)
class LengthRequest:
    """How many bursts does the plan make of this file, and which bytes does each range of them need?

    at_most: bursts a range, as ``jobs.decode.plan.cut_ranges`` cuts them; 0 when the bytes are not wanted.
    """

    path: str
    plan: WindowPlan
    at_most: int = 0


@dataclass(frozen=True, slots=True)
class Outline:
    """bursts: 0 for a file that cannot be decoded in ranges. extents: for each range the parts of the file that it
    reads, () for a range that needs nearly all; empty where nobody asked or it cannot be told."""

    bursts: int
    extents: tuple[Extents, ...] = ()


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What the container and the codec say about a video.

    fps: average frame rate; frame_count and duration_s are 0 when the container does not say and nothing was counted.
    bit_rate: bits per second of the video stream (of the file when the stream does not say), 0 when unknown.
    rotation: display rotation in degrees clockwise; pixels are never rotated before fingerprinting.
    declared: what the file says of its own making (encoder strings, muxer, comments): shown, never measured.
    notes: oddities that a reader of the verdict should know, each one short phrase.
    """

    container: str
    codec: str
    pixel_format: str
    width: int
    height: int
    fps: float
    frame_count: int
    duration_s: float
    bit_rate: float
    bit_depth: int
    rotation: int
    interlaced: bool
    variable_frame_rate: bool
    hdr: bool
    has_audio: bool
    declared: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def quality(self, coverage: float) -> Quality:
        """The circumstances in the matcher's terms."""
        pixels = self.width * self.height * self.fps
        return Quality(
            width=self.width,
            height=self.height,
            fps=self.fps,
            duration_s=self.duration_s,
            bits_per_pixel=self.bit_rate / pixels if pixels > 0 else 0.0,
            bit_depth=self.bit_depth,
            hdr=self.hdr,
            interlaced=self.interlaced,
            coverage=coverage,
        )


@dataclass(frozen=True, slots=True)
class DecodeSummary:
    """How the decoding ended. planned / delivered count windows (burst x crop).

    facts: final; measured values replace what the container left open. reason: why windows are missing, '' if none.
    """

    facts: VideoFacts
    planned: int
    delivered: int
    reason: str

    @property
    def coverage(self) -> float:
        return self.delivered / self.planned if self.planned else 0.0


class Decoder(Protocol):
    """Turns one local file, or a range of it, into windows in order of time, then one summary (a range: one Tally).

    Yields None as a sign of life, about once a second of work without a window; consumers skip it.

    Raises FailureError (jobs.errors) when the file yields nothing: not_a_video, no_video_stream, unsupported_codec,
    damaged, too_large. A file that yields some of its windows is never an error: the summary tells what is missing.
    """

    name: DecoderName
    version: str

    def decode(self, request: DecodeRequest) -> Iterator[FrameWindow | DecodeSummary | Tally | Missed | None]: ...
