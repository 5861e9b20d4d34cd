"""What is known of a decoder family and of a generator: frozen records whose empty fields mean "unknown"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

# The stride product s*s*t from which a latent space counts as highly compressed: one latent position then stands for
# 512 pixels or more, against 256 in the common 8x8x4 spaces. It separates Paradigm.COMPRESSION from END_TO_END.
HIGH_COMPRESSION_PIXELS = 512

_FRAME_RULE = re.compile(r"(?P<step>[1-9]\d*)k(?:\+(?P<offset>[1-9]\d*))?")
_SOURCE = re.compile(r"arXiv:\d{4}\.\d{5}|repo [\w.-]+/[\w.-]+( \S.*)?|(diffusers|package|page) \S.*")


class Kind(StrEnum):
    """Whether pixels come out of nothing or out of camera footage; the second is never called "generated"."""

    GENERATOR = "generator"
    PROCESSOR = "processor"  # upscaler, interpolator, denoiser, stylizer: processed camera footage


class Paradigm(StrEnum):
    """How a generator reaches its length: the five paradigms of long-video generation.

    The assignment is a reading of each published design by the rules beside the values; undisclosed designs have none.
    """

    KEYFRAMES = "keyframes+interpolation"  # one stage makes sparse frames, a later one fills the gaps
    CHUNKS = "chunks and stitching"  # stretches made one after another, each conditioned on the one before
    COMPRESSION = "high latent compression"  # the whole clip at once, at HIGH_COMPRESSION_PIXELS a latent or more
    END_TO_END = "end-to-end spatio-temporal"  # the whole clip at once, below that compression or in pixel space
    TOKENS = "autoregressive tokens"  # a sequence model emits tokens or token sets in order


class Causality(StrEnum):
    """What a frame's decoding may look at: nothing else, only earlier frames, or both sides."""

    PER_FRAME = "per frame"
    CAUSAL = "causal"
    NON_CAUSAL = "non-causal"


class Tag(StrEnum):
    """How a row is known."""

    CONFIRMED = "confirmed"  # stated by the maker in a paper, model card or announcement
    SOURCE_READ = "source-read"  # read in the published code or configuration
    ESTIMATE = "estimate"  # inferred from published descriptions or outputs; to be replaced by a measurement


@dataclass(frozen=True, slots=True)
class DecoderFamily:
    """One set of decoder weights (or several that were never told apart) which leaves one kind of trace.

    spatial_stride: output pixels along each side that one latent position (a generator) or one input pixel (a
    processor) covers. temporal_stride: the same in frames. latent_channels: values a latent position holds.
    upsampler, decode_pattern: free text in the field's terms. licence: of the published weights or package.
    tiles: how the published decoder cuts up large pictures, in pixels: height and width of a tile, then how far apart
    tiles begin down and across; empty where no tiling is documented. Most do so only where it is switched on.
    """

    slug: str
    name: str
    vae_class: str
    kind: Kind
    tag: Tag
    sources: tuple[str, ...]
    spatial_stride: int | None = None
    temporal_stride: int | None = None
    latent_channels: int | None = None
    upsampler: str | None = None
    causality: Causality | None = None
    decode_pattern: str | None = None
    tiles: tuple[int, ...] = ()
    licence: str | None = None
    notes: str = ""

    @property
    def stride(self) -> str | None:
        """Spatial by temporal stride as the tables print it, such as ``8x4``; None unless both are known."""
        if self.spatial_stride is None or self.temporal_stride is None:
            return None
        return f"{self.spatial_stride}x{self.temporal_stride}"

    @property
    def pixels_per_latent(self) -> int | None:
        """Pixels (space times time) behind one latent position; None unless both strides are known."""
        if self.spatial_stride is None or self.temporal_stride is None:
            return None
        return self.spatial_stride**2 * self.temporal_stride


@dataclass(frozen=True, slots=True)
class Generator:
    """One generator (or neural processor) that a verdict may name.

    released: year or ISO month. native_sizes: (width, height) in pixels. fps: frames a second of its own output.
    frame_counts: published clip lengths in frames; frame_rule: the form every length has, such as ``4k+1``.
    declared_marks: what an untouched download states about itself (C2PA, watermark, encoder strings); spoofable.
    version_of: the slug that verdicts use for this row where versions are not told apart; see Catalogue.target_of.
    mission: one of the seven generators the project was built for.
    """

    slug: str
    name: str
    maker: str
    kind: Kind
    tag: Tag
    sources: tuple[str, ...]
    released: str | None = None
    paradigm: Paradigm | None = None
    backbone: str | None = None
    text_tower: str | None = None
    positional_encoding: str | None = None
    family: str | None = None
    native_sizes: tuple[tuple[int, int], ...] = ()
    fps: tuple[float, ...] = ()
    frame_counts: tuple[int, ...] = ()
    frame_rule: str | None = None
    declared_marks: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    version_of: str | None = None
    mission: bool = False
    notes: str = ""


def frame_rule_allows(rule: str, frames: int) -> bool:
    """Whether a clip of so many frames has the form that a rule such as ``4k+1`` or ``8k`` gives (k = 0, 1, 2, ...).

    A clip has at least one frame, so ``4k`` starts at 4 and ``4k+1`` at 1. Raises ValueError for an unreadable rule.
    """
    match = _FRAME_RULE.fullmatch(rule)
    if match is None:
        raise ValueError(f"{rule!r} is not a frame rule; write it like '4k+1' or '8k'")
    rest = frames - int(match["offset"] or 0)
    return frames >= 1 and rest >= 0 and rest % int(match["step"]) == 0


def is_source(text: str) -> bool:
    """Whether a citation has one of the forms ``arXiv:ID``, ``repo OWNER/NAME [PATH]``, ``diffusers PATH``,
    ``package NAME VERSION`` or ``page TITLE``.
    """
    return _SOURCE.fullmatch(text) is not None
