"""What a decoding child may say, checked before anything is computed from it: the child may be a file's puppet by then.

``cluster.replies`` has seen to it that fields are of their types; here they have to make sense together. A child that
lies within these bounds can still spoil its own file's verdict, and no other's but those it decodes later.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

import numpy as np

from cluster.outcome import ClusterFault, FailureError
from fingerprint_db import overlays
from fingerprint_db.spec import WindowPlan
from fingerprint_db.window import FrameWindow
from jobs.decode.failures import MAX_SIDE
from jobs.decode.plan import cut_ranges
from jobs.decode.protocol import DecodeSummary, Missed, Outline, VideoFacts
from jobs.decode.source import Extents
from jobs.decode.tally import Tally

REPLIES: tuple[type, ...] = (FrameWindow, DecodeSummary, Tally, Missed, Outline, VideoFacts)
# A window of 16 frames of 256 x 256 pixels, 16 bits a sample and no subsampling, has 6 MiB.
REPLY_MB = 64
_TEXTS, _TEXT_CHARACTERS, _LARGEST = 200, 2000, 1e30
_PARTS = 2048  # of a file that one range reads; they travel with its task


def checked(
    replies: Iterable[object], plan: WindowPlan, *, partial: bool = False
) -> Iterator[FrameWindow | DecodeSummary | Tally | Missed]:
    """Pass on windows and the summary (or a range's account), drop signs of life.

    partial: the decoder had parts of the file only, and may have missed others.

    Raises FailureError (crashed) for what no decoder says.
    """
    seen: set[tuple[int, int]] = set()
    ended = False
    for reply in replies:
        if reply is None:
            continue
        place = (reply.burst, reply.crop) if isinstance(reply, FrameWindow) else None
        if ended:
            sound = False
        elif isinstance(reply, FrameWindow):
            sound = place not in seen and _is_window(reply, plan)
        else:
            sound = _is_end(reply, len(seen)) or (partial and isinstance(reply, Missed))
            ended = True
        if not sound:
            what = type(reply).__name__
            raise FailureError(ClusterFault.CRASHED.failure(f"the decoder sent a {what} that makes no sense"))
        if place is not None:
            seen.add(place)
        assert isinstance(reply, FrameWindow | DecodeSummary | Tally | Missed)
        yield reply


def outlined(replies: Iterable[object], plan: WindowPlan, size: int, at_most: int) -> Outline:
    """The answer to a LengthRequest about a file of ``size`` bytes. Raises FailureError (crashed) for nonsense."""
    found = [reply for reply in replies if reply is not None]
    if len(found) == 1 and isinstance(found[0], Outline):
        said = found[0]
        ranges = len(cut_ranges(said.bursts, at_most)) if said.extents and said.bursts > 0 and at_most else 0
        if (
            0 <= said.bursts <= max(plan.max_bursts, plan.bursts)
            and len(said.extents) == ranges
            and all(_are_parts(parts, size) for parts in said.extents)
        ):
            return said
    raise FailureError(ClusterFault.CRASHED.failure("the decoder sent an outline that makes no sense"))


def described(replies: Iterable[object]) -> VideoFacts:
    """The answer of ``jobs.decode.declaration``. Raises FailureError (crashed) for nonsense."""
    found = [reply for reply in replies if reply is not None]
    if len(found) == 1 and isinstance(found[0], VideoFacts) and _are_facts(found[0], []):
        return found[0]
    raise FailureError(ClusterFault.CRASHED.failure("the decoder sent facts that make no sense"))


def _are_parts(parts: Extents, size: int) -> bool:
    edges = [edge for part in parts for edge in part]
    ascending = all(one < other for one, other in itertools.pairwise(edges))
    return len(parts) <= _PARTS and ascending and (not edges or (edges[0] >= 0 and edges[-1] <= size))


def _is_window(window: FrameWindow, plan: WindowPlan) -> bool:
    luma, blue, red = window.luma, window.chroma_b, window.chroma_r
    if luma.ndim != 3 or blue.ndim != 3 or blue.shape != red.shape or not luma.dtype == blue.dtype == red.dtype:
        return False
    frames, height, width = luma.shape
    return (
        0 <= window.burst < max(plan.max_bursts, plan.bursts)
        and 0 <= window.crop < plan.crops
        and 0 <= window.top <= MAX_SIDE
        and 0 <= window.left <= MAX_SIDE
        and 0 < frames <= plan.frames
        and 0 < height <= plan.crop_px
        and 0 < width <= plan.crop_px
        and (blue.size == 0 or (len(blue) == frames and blue.shape[1] <= height and blue.shape[2] <= width))
        and window.times_s.shape == (frames,)
        and bool(np.all(np.abs(window.times_s) < _LARGEST))
        and len(window.picture_types) == frames
        and set(window.picture_types) <= set("IPB?")
        and (window.bit_depth == 8 if luma.dtype == np.uint8 else 8 < window.bit_depth <= 16)
    )


def _is_end(end: object, windows: int) -> bool:
    if isinstance(end, DecodeSummary):
        counts = end.delivered == windows <= end.planned < _LARGEST
        return counts and _are_facts(end.facts, [end.reason])
    if isinstance(end, Tally):
        counts = end.delivered == windows <= end.bursts * max(1, end.crops) < _LARGEST and 0 <= end.short <= end.bursts
        # Of a range that went astray nothing counts, its windows neither.
        return (counts or end.astray) and _are_facts(end.facts, [end.unfit, *end.notes, *end.causes])
    return False


def _are_facts(facts: VideoFacts, said: list[str]) -> bool:
    numbers = (facts.fps, facts.duration_s, facts.bit_rate, facts.frame_count, facts.width, facts.height)
    texts = [facts.container, facts.codec, facts.pixel_format, *said, *facts.notes]
    texts += [*facts.declared, *facts.declared.values()]
    return (
        all(math.isfinite(number) and 0 <= number < _LARGEST for number in numbers)
        and max(facts.width, facts.height) <= MAX_SIDE
        and 0 < facts.bit_depth <= 32
        and len(texts) <= _TEXTS
        # Control characters would reach terminals; PostgreSQL takes no NUL at all.
        and all(len(text) <= _TEXT_CHARACTERS and text.isprintable() for text in texts)
        and (overlays.FACT not in facts.declared or overlays.is_sound(facts.declared[overlays.FACT]))
    )
