"""Ground truth of how a video was put together: camera footage interpolated, repeated, converted, or decoded in chunks.

Every recipe takes decoded frames and gives frames with what is true of them: which frames were made from others, where
seams lie. Interpolated footage is made in two ways: ``drop`` keeps the rate and every second (fourth) frame, the others
are made anew; ``raise`` keeps every frame and multiplies the rate. FFmpeg's filters run inside PyAV. What a recipe
draws it draws from its seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

import numpy as np

from jobs.bench.chunked import chunked
from jobs.bench.published import rife_between
from jobs.decode.filters import filtered
from jobs.encode import Rgb

Kind = Literal["none", "interpolated", "repeated", "rate_conversion"]
Between = Callable[[Rgb, Rgb, float], Rgb]


@dataclass(frozen=True, slots=True, eq=False)
class Assembled:
    """Frames with what is true of them.

    kind: of the frame sequence. period: of the pattern in frames, 0 for none. made: numbers of frames that were
    synthesised. seams: frame numbers at which a new chunk begins, or its blend. cuts: those that begin another shot.
    """

    frames: list[Rgb]
    fps: Fraction
    kind: Kind = "none"
    period: int = 0
    made: tuple[int, ...] = ()
    seams: tuple[int, ...] = ()
    cuts: tuple[int, ...] = ()


Recipe = Callable[[Sequence[Rgb], Fraction, int], Assembled]


def untouched(frames: Sequence[Rgb], fps: Fraction, _seed: int) -> Assembled:
    return Assembled(list(frames), fps)


def dropped(
    frames: Sequence[Rgb], fps: Fraction, _seed: int, *, factor: int, between: Callable[[], Between]
) -> Assembled:
    """Keeps every ``factor``-th frame and makes the others from the two kept ones around each; the rate stays."""
    make, count = between(), (len(frames) - 1) // factor * factor + 1
    out = list(frames[:count])
    made = [n for n in range(count) if n % factor]
    for n in made:
        first = n // factor * factor
        out[n] = make(frames[first], frames[first + factor], (n - first) / factor)
    return Assembled(out, fps, "interpolated", factor, tuple(made))


def raised(
    frames: Sequence[Rgb], fps: Fraction, _seed: int, *, factor: int, between: Callable[[], Between]
) -> Assembled:
    """Keeps every frame and puts ``factor - 1`` made ones between each two, from as few as give that length."""
    make, kept = between(), frames[: (len(frames) - 1) // factor + 1]
    out: list[Rgb] = []
    for first, second in pairwise(kept):
        out += [first, *(make(first, second, step / factor) for step in range(1, factor))]
    out.append(kept[-1])
    return Assembled(out, fps * factor, "interpolated", factor, tuple(n for n in range(len(out)) if n % factor))


def blend_between() -> Between:
    def between(before: Rgb, after: Rgb, at: float) -> Rgb:
        mixed = before * (1 - at) + after * at
        return np.round(mixed).astype(np.uint8)

    return between


def minterpolated(frames: Sequence[Rgb], fps: Fraction, _seed: int, *, factor: int, mode: str = "mci") -> Assembled:
    """Every ``factor``-th frame through FFmpeg's minterpolate (mci: motion compensated) back to the rate there was."""
    out = filtered(frames[::factor], fps / factor, f"minterpolate=fps={fps}:mi_mode={mode}:scd=none")
    # The filter keeps its input's frames where times agree: the first one out is the first one in.
    return Assembled(out, fps, "interpolated", factor, tuple(n for n in range(len(out)) if n % factor))


def held(frames: Sequence[Rgb], fps: Fraction, _seed: int, *, pattern: Sequence[int]) -> Assembled:
    """Each frame as often as the pattern says in turn: (2,) doubles, (2, 3) is 24 in 60, (1, 1, 1, 2) 24 in 30."""
    out: list[Rgb] = []
    for number, frame in enumerate(frames):
        out += [frame] * pattern[number % len(pattern)]
    rate = fps * sum(pattern) / len(pattern)
    return Assembled(out[: len(frames)], rate, "repeated", sum(pattern))


def frozen(frames: Sequence[Rgb], fps: Fraction, seed: int) -> Assembled:
    """One frame is held for a third to a half of a second, as a stalled camera does; the rest goes on after it."""
    rng = np.random.default_rng([seed, 11])
    length = max(5, round(float(fps) * float(rng.uniform(0.33, 0.5))))
    length = min(length, max(len(frames) // 4, 3))
    at = int(rng.integers(2, max(3, len(frames) - length - 2)))
    out = [*frames[:at], *([frames[at]] * length), *frames[at:]][: len(frames)]
    return Assembled(out, fps, "repeated", 0)


def converted(frames: Sequence[Rgb], fps: Fraction, _seed: int, *, ratio: Fraction, blend: bool) -> Assembled:
    """Another frame rate, ``ratio`` times this one: blended (FFmpeg's framerate) or repeated and dropped (fps)."""
    rate = fps * ratio
    scheme = f"framerate=fps={rate}:interp_start=0:interp_end=255:scene=100" if blend else f"fps=fps={rate}"
    out = filtered(frames, fps, scheme)
    kind: Kind = "rate_conversion" if blend else "repeated" if ratio > 1 else "rate_conversion"
    return Assembled(out, rate, kind, 0)


def joined(frames: Sequence[Rgb], fps: Fraction, _seed: int) -> Assembled:
    """A hard cut half-way: the second half is the first one mirrored both ways, so nothing but the content changes."""
    half = len(frames) // 2
    return Assembled([*frames[:half], *(f[::-1, ::-1].copy() for f in frames[half:])], fps, cuts=(half,))


def faded(frames: Sequence[Rgb], fps: Fraction, _seed: int, *, length: int = 8) -> Assembled:
    """A cross-fade to the mirrored second half, over ``length`` frames."""
    start = len(frames) // 2 - length // 2
    out = []
    for n, frame in enumerate(frames):
        share = min(max((n - start + 0.5) / length, 0.0), 1.0)
        out.append(np.round(frame * (1 - share) + frame[::-1, ::-1] * share).astype(np.uint8))
    return Assembled(out, fps)


def flashed(frames: Sequence[Rgb], fps: Fraction, _seed: int) -> Assembled:
    """A photographer's flash: two frames much brighter, then the light as before."""
    out = list(frames)
    for n, gain in ((len(frames) // 2, 1.6), (len(frames) // 2 + 1, 1.25)):
        if n < len(out):
            out[n] = np.clip(frames[n] * gain + 10, 0, 255).astype(np.uint8)
    return Assembled(out, fps)


def in_chunks(frames: Sequence[Rgb], fps: Fraction, seed: int, *, size: int, stride: int, blend: int) -> Assembled:
    """Through a simulated temporal decoder whose state restarts every ``stride`` frames (see jobs.bench.chunked)."""
    out, joins = chunked(frames, size=size, stride=stride, blend=blend, seed=seed)
    return Assembled(out, fps, period=stride, seams=joins)


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "camera": untouched,
        "rife-x2-drop": partial(dropped, factor=2, between=rife_between),
        "rife-x2-raise": partial(raised, factor=2, between=rife_between),
        "rife-x4-drop": partial(dropped, factor=4, between=rife_between),
        "rife-x4-raise": partial(raised, factor=4, between=rife_between),
        "blend-x2": partial(dropped, factor=2, between=blend_between),
        "blend-x4": partial(dropped, factor=4, between=blend_between),
        "minterpolate-x2": partial(minterpolated, factor=2),
        "minterpolate-x4": partial(minterpolated, factor=4),
        "double": partial(held, pattern=(2,)),
        "triple": partial(held, pattern=(3,)),
        "24-in-60": partial(held, pattern=(2, 3)),
        "24-in-30": partial(held, pattern=(1, 1, 1, 2)),
        "frozen": frozen,
        "convert-25-30-blend": partial(converted, ratio=Fraction(6, 5), blend=True),
        "convert-30-25-blend": partial(converted, ratio=Fraction(5, 6), blend=True),
        "convert-24-25-blend": partial(converted, ratio=Fraction(25, 24), blend=True),
        "convert-25-30-repeat": partial(converted, ratio=Fraction(6, 5), blend=False),
        "convert-30-25-drop": partial(converted, ratio=Fraction(5, 6), blend=False),
        "cut": joined,
        "fade": faded,
        "flash": flashed,
        "chunks-16": partial(in_chunks, size=16, stride=16, blend=0),
        "chunks-8": partial(in_chunks, size=8, stride=8, blend=0),
        "chunks-16-12-blend4": partial(in_chunks, size=16, stride=12, blend=4),
        "chunks-16-12-cut": partial(in_chunks, size=16, stride=12, blend=0),
    }
)
