"""What a decoder has brought of a file, whole or a range of it, in a form that adds up; pure bookkeeping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jobs.decode.protocol import DecodeSummary, VideoFacts
from jobs.errors import FailureKind

DAMAGED_NOTE, DAMAGED_CAUSE = "damaged in places", "the data are damaged there"
RESIZED_NOTE = "the frame size or format changes on the way"
RESIZED_CAUSE = "frames of another size or format were left out"


@dataclass(frozen=True, slots=True)
class Tally:
    """The account of one range of bursts, or of all of them.

    facts: what container and frames say, without notes. bursts: planned in the whole file; crops: windows a burst.
    delivered: windows; short: bursts with fewer frames than planned. unfit: why no window can come of this video.
    notes, causes: oddities, and reasons for missing windows. damaged, resized: met with on the way.
    astray: this file cannot be decoded in ranges; nothing else here counts then.
    """

    facts: VideoFacts
    bursts: int
    crops: int
    delivered: int
    short: int
    unfit: str = ""
    notes: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    damaged: bool = False
    resized: bool = False
    astray: bool = False


def added_up(ranges: Sequence[Tally]) -> Tally:
    """The account of several ranges, given in order of time, as one pass over all of them would have given it."""
    first = ranges[0]
    facts = replace(first.facts, interlaced=any(tally.facts.interlaced for tally in ranges))
    return replace(
        first,
        facts=facts,
        delivered=sum(tally.delivered for tally in ranges),
        short=sum(tally.short for tally in ranges),
        unfit=next((tally.unfit for tally in ranges if tally.unfit), ""),
        notes=tuple(dict.fromkeys(note for tally in ranges for note in tally.notes)),
        causes=tuple(dict.fromkeys(cause for tally in ranges for cause in tally.causes)),
        damaged=any(tally.damaged for tally in ranges),
        resized=any(tally.resized for tally in ranges),
    )


def conclude(tally: Tally) -> DecodeSummary:
    """The end of the story. Errors: damaged, when there was something to decode and nothing came of it."""
    notes, causes = list(tally.notes), list(tally.causes)
    for met, note, cause in (
        (tally.damaged, DAMAGED_NOTE, DAMAGED_CAUSE),
        (tally.resized, RESIZED_NOTE, RESIZED_CAUSE),
    ):
        if met and note not in notes:
            notes.append(note)
        if met and cause not in causes:
            causes.append(cause)
    told = "; ".join(causes) or "the decoder gave too few frames there"
    planned = tally.bursts * max(1, tally.crops)
    missing = planned - tally.delivered
    reason = ""
    if tally.unfit:
        reason = tally.unfit
    elif missing:
        if not tally.delivered:
            raise FailureKind.DAMAGED.error(f"No part of the video could be decoded: {told}.")
        reason = f"{missing} of {planned} windows are missing: {told}"
    elif tally.short:
        reason = f"{tally.short} of {tally.bursts} bursts are shorter than planned: {told}"
    return DecodeSummary(_noted(tally.facts, notes), planned, tally.delivered, reason)


def _noted(facts: VideoFacts, notes: Sequence[str]) -> VideoFacts:
    told = [
        "interlaced" if facts.interlaced else "",
        "variable frame rate" if facts.variable_frame_rate else "",
        f"shown rotated by {facts.rotation} degrees" if facts.rotation else "",
        "high dynamic range" if facts.hdr else "",
        f"{facts.bit_depth} bits a sample" if facts.bit_depth > 8 else "",
    ]
    return replace(facts, notes=(*filter(None, told), *notes))
