"""The codec chain that all members of a content share, drawn by a seed or named."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import cast, get_args

import numpy as np

from jobs.encode import Codec, CodecChain
from jobs.errors import BadUsageError

SUFFIX: dict[Codec, str] = {"x264": ".mp4", "x265": ".mkv", "vp9": ".webm", "av1": ".mp4"}
# A crop phase moves the decoder's lattice against the codec's; so many pixels are given up for it.
PHASES = 16
_SPELLING = re.compile(r"(?P<codec>[a-z0-9]+)-crf(?P<crf>\d+)(-x(?P<scale>\d+(\.\d+)?))?(?P<aligned>-aligned)?")
_RANDOM = re.compile(r"random(-(?P<number>\d+))?")


@dataclass(frozen=True, slots=True)
class SharedChain:
    """A chain as one content gets it. fps: the rate that the file states, whatever the camera's was."""

    name: str
    codec: CodecChain
    fps: Fraction

    @property
    def suffix(self) -> str:
        return SUFFIX[self.codec.codec]


def check_chain(name: str) -> str:
    """The name, if a chain is called so: ``random``, ``random-2``, ``x264-crf23``, ``vp9-crf33-x0.75``,
    ``x264-crf23-aligned``.

    Raises BadUsageError otherwise.
    """
    spelled = _SPELLING.fullmatch(name)
    if _RANDOM.fullmatch(name) or (spelled and spelled["codec"] in get_args(Codec)):
        return name
    raise BadUsageError(f"no chain is called {name!r}; write random, random-2 or like x264-crf23-x0.75")


def shared_chain(name: str, content: str, seed: int, height: int, width: int, fps: Fraction) -> SharedChain:
    """The chain of that name for one content of height x width pixels.

    The crop phase depends on the seed and the content alone: every chain of a content, and every member in it, has the
    same. ``-aligned`` leaves the decoder's lattice where a generator's own files have it, at the frame's corner:
    signatures are enrolled from such clips. ``random``: x264 in 6 of 10, x265 and VP9; quality 15-35, preset, GOP,
    B-frames, scale 0.5-1.25 (4 in 10 unscaled) and stated frame rate are drawn too.
    """
    phase = _generator("phase", content, seed)
    top, left = (2 * int(phase.integers(PHASES // 2)) for _ in range(2))
    crop = (top, left, (height - PHASES) // 2 * 2, (width - PHASES) // 2 * 2)
    spelled = _SPELLING.fullmatch(check_chain(name))
    if spelled is not None:
        scale = float(spelled["scale"] or 1)
        if spelled["aligned"]:
            crop = (0, 0, *crop[2:])
        codec = CodecChain(cast(Codec, spelled["codec"]), int(spelled["crf"]), scale=scale, crop=crop)
        return SharedChain(name, codec, fps)
    rng = _generator(name, content, seed)
    kind = ("x264", "x265", "vp9")[int(rng.choice(3, p=[0.6, 0.2, 0.2]))]
    presets = ("slow", "medium", "fast", "veryfast") if kind == "x264" else ("medium", "fast", "faster", "veryfast")
    scale = 1.0 if rng.random() < 0.4 else round(float(rng.uniform(0.5, 1.25)), 2)
    reordered = (None, 0, 1, 2, 3)[int(rng.integers(5))]
    codec = CodecChain(
        cast(Codec, kind),
        int(rng.integers(15, 36)),
        preset=presets[int(rng.integers(4))],
        scale=scale,
        crop=crop,
        gop=int(rng.choice([8, 12, 24, 48, 250])),
        bframes=None if kind == "vp9" else reordered,
    )
    stated = (fps, fps, Fraction(24), Fraction(25), Fraction(30))[int(rng.integers(5))]
    return SharedChain(name, codec, stated)


def _generator(what: str, content: str, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}|{content}|{what}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))
