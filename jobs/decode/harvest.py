"""What one file has yielded so far: its picture facts, the windows delivered, and why others are missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import av
import numpy as np
from av.video.frame import VideoFrame

from fingerprint_db.overlays import FACT
from fingerprint_db.spec import WindowPlan
from fingerprint_db.window import FrameWindow, Plane
from jobs.decode.burst import Burst
from jobs.decode.failures import check_size
from jobs.decode.overlays import OverlayWatch
from jobs.decode.pixels import Layout, cut, layout_of, whole_luma
from jobs.decode.plan import CropPlace, plan_crops, too_small
from jobs.decode.probe import is_hdr
from jobs.decode.protocol import DecodeSummary, VideoFacts
from jobs.decode.reader import Reader, Shown
from jobs.decode.tally import DAMAGED_CAUSE, DAMAGED_NOTE, RESIZED_CAUSE, RESIZED_NOTE, Tally, conclude

_TYPES = {1: "I", 2: "P", 3: "B", 4: "P", 5: "I", 6: "P", 7: "B"}  # AVPictureType; S, SI, SP, BI to their kin
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG


class Harvest:
    """Gathers windows and remembers what the summary has to say.

    depth, limited: what a decoder that converts delivers whatever the source has; as coded when not given.
    unfit: why no window can come of this video (too small, too short); '' otherwise.
    """

    def __init__(self, plan: WindowPlan, *, depth: int = 0, limited: bool = False) -> None:
        self.plan = plan
        self.rotation = 0
        self.size = (0, 0)
        self._depth = depth
        self._limited = limited
        self.crops: tuple[CropPlace, ...] = ()
        self.unfit = ""
        self.notes: list[str] = []
        self.causes: list[str] = []
        self.delivered = 0
        self.last_error: Exception | None = None
        self._short = 0
        self._layout: Layout | None = None
        self._format = ""
        self._full_range = self._interlaced = self._hdr = False
        self.overlays = OverlayWatch()

    def look(self, frame: VideoFrame) -> None:
        """Learn size, pixel format, range and orientation from the first frame; interlacing from any."""
        self._interlaced = self._interlaced or frame.interlaced_frame
        if self._layout is not None:
            return
        check_size(frame.width, frame.height)
        self._format, self.size = frame.format.name, (frame.width, frame.height)
        self._layout = layout_of(self._format)
        # An RGB source says "full range" of itself; swscale converts it to limited range.
        native = not self._layout.convert
        self._full_range = (
            native and not self._limited and (frame.color_range == _FULL_RANGE or self._format.startswith("yuvj"))
        )
        self.rotation = -frame.rotation % 360
        self._hdr = is_hdr(frame.color_trc)
        self.crops = plan_crops(*self.size, self.plan)
        self.unfit = too_small(*self.size, self.plan)
        if not native:
            kind = "rgb" if av.VideoFormat(self._format).is_rgb or "pal" in self._format else self._format
            self.note(f"converted from {kind}")

    def offer(self, burst: Burst, shown: Shown, time_s: float) -> None:
        """Give a frame to a burst; an unclean one breaks its run."""
        if shown.clean and self._layout is not None:
            if self.overlays.wants(burst.number, burst.offset):
                picture = np.rot90(whole_luma(shown.frame, self._layout), -self.rotation // 90)
                self.overlays.see(picture, self._layout.depth, burst.number, burst.offset)
            burst.add(self._cut(shown.frame), time_s, shown.frame.pts, picture_letter(int(shown.frame.pict_type)))
        else:
            burst.break_run()

    def deliver(self, burst: Burst) -> Iterator[FrameWindow]:
        """The windows of a burst that gets no more frames."""
        if 0 < burst.frames < burst.place.frames:
            self._short += 1
        depth = self._depth or (self._layout.depth if self._layout else 8)
        width, height = self.size
        for window in burst.windows(self.crops, depth, self._full_range, self.plan.min_frames, width * height):
            self.delivered += 1
            yield window

    def note(self, phrase: str) -> None:
        if phrase not in self.notes:
            self.notes.append(phrase)

    def blame(self, phrase: str) -> None:
        """A cause for missing windows."""
        if phrase not in self.causes:
            self.causes.append(phrase)

    def take_stock(self, reader: Reader) -> None:
        """Remember what a reader met with, before it is closed."""
        self.last_error = reader.last_error or self.last_error
        if reader.damaged or reader.packets.errors:
            self.note(DAMAGED_NOTE)
            self.blame(DAMAGED_CAUSE)
        if reader.resized:
            self.note(RESIZED_NOTE)
            self.blame(RESIZED_CAUSE)

    def tally(self, facts: VideoFacts, bursts: int, *, astray: bool = False) -> Tally:
        """Everything so far as one account. bursts: planned in the whole file."""
        return Tally(
            facts=self._pictured(facts),
            bursts=bursts,
            crops=len(self.crops),
            delivered=self.delivered,
            short=self._short,
            unfit=self.unfit,
            notes=tuple(self.notes),
            causes=tuple(self.causes),
            astray=astray,
        )

    def summary(self, facts: VideoFacts, bursts: int) -> DecodeSummary:
        """The end of the story. Errors: damaged, when there was something to decode and nothing came of it."""
        return conclude(self.tally(facts, bursts))

    def _pictured(self, facts: VideoFacts) -> VideoFacts:
        """Declared facts with what the frames showed in their place."""
        if self._layout is None:
            return facts
        looked = self.overlays.looked()
        return replace(
            facts,
            declared={**facts.declared, FACT: looked.text()} if looked is not None else facts.declared,
            pixel_format=self._format,
            width=self.size[0],
            height=self.size[1],
            bit_depth=self._layout.depth,
            rotation=self.rotation,
            hdr=facts.hdr or self._hdr,
            interlaced=facts.interlaced or self._interlaced,
        )

    def _cut(self, frame: VideoFrame) -> list[tuple[Plane, Plane, Plane]]:
        assert self._layout is not None
        return cut(frame, self._layout, [(crop.top, crop.left, crop.height, crop.width) for crop in self.crops])


def picture_letter(kind: int) -> str:
    """``I P B`` or ``?`` for FFmpeg's picture type."""
    return _TYPES.get(kind, "?")
