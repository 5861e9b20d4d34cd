"""One canonical chain for every clip, camera and generated alike, so that no figure rests on who encoded it how.

What is here runs in killable children too, and therefore imports neither torch nor the matcher.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, get_args

from jobs.decode.thumbnail import Glance, Packaging, glance, read_packaging
from jobs.encode import Codec, CodecChain, reencode
from jobs.errors import FailureKind

_SPELLING = re.compile(r"(?P<codec>[a-z0-9]+)-crf(?P<crf>\d+)(-(?P<preset>[a-z]+))?(-x(?P<scale>\d+(\.\d+)?))?")


@dataclass(frozen=True, slots=True)
class EvaluationChain:
    """Crop rule, length and codec chain for all clips. crop_px: centre crop to at most this side, before scaling."""

    codec: CodecChain = field(default_factory=lambda: CodecChain("x264", 23))
    crop_px: int = 512
    max_frames: int = 64

    @property
    def name(self) -> str:
        """Stable text of everything that changes the pixels: ``x264-crf23, centre 512 px, 64 frames``."""
        return f"{self.codec.name}, centre {self.crop_px} px, {self.max_frames} frames"


def parse_chain(text: str) -> EvaluationChain | None:
    """``x264-crf23``, ``x265-crf28-fast``, ``vp9-crf33-x0.75`` (codec, quality, preset, scale); ``none`` judges the
    files as they are. Raises ValueError with one sentence for anything else.
    """
    if text == "none":
        return None
    found = _SPELLING.fullmatch(text)
    if not found or found["codec"] not in get_args(Codec):
        codecs = ", ".join(get_args(Codec))
        raise ValueError(f"no chain is called {text!r}; write none, or like x264-crf23-x0.75 with one of {codecs}")
    chain = CodecChain(
        cast(Codec, found["codec"]),
        int(found["crf"]),
        preset=found["preset"] or "medium",
        scale=float(found["scale"] or 1.0),
    )
    return EvaluationChain(chain)


@dataclass(frozen=True, slots=True)
class PrepareRequest:
    """One clip's preparation. target: where the copy goes; None judges the original."""

    source: Path
    target: Path | None
    chain: EvaluationChain | None


def serve(request: PrepareRequest) -> Iterator[tuple[Packaging, Glance]]:
    """What the child does: read the packaging, encode, glance at the result."""
    packaging = read_packaging(request.source)
    judged = request.source
    if request.target is not None and request.chain is not None:
        judged = request.target
        if not judged.is_file():
            chain = request.chain
            try:
                reencode(request.source, judged, chain.codec, max_frames=chain.max_frames, crop_px=chain.crop_px)
            except ValueError as error:
                raise FailureKind.DAMAGED.error(f"{request.source.name} does not fit the chain: {error}") from error
    yield packaging, glance(judged)
