"""The fingerprint specification: everything that can change a vector, and the id by which vectors cite it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field

# Raise the version of an extractor whenever its numbers change for any input; vectors of different
# versions are never compared.
DECODER_VERSION = 1
TEXTURE_VERSION = 1
CUES_VERSION = 3


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """Which pixels of a video are looked at.

    bursts: places in time, spread evenly over the video, each starting at a keyframe where there is one near.
    every_s / max_bursts: a longer video gets a burst at least every so many seconds, up to so many in all, so that a
    generated scene in the middle of a film is not passed over.
    frames: consecutive frames in a burst. A video with fewer gives one short burst; see ``min_frames``.
    crops: square crops of a frame at fixed places, on the native pixel grid; a resize would destroy the trace.
    crop_px: side of a crop. Smaller frames give one crop of the whole frame (sides cut to a multiple of 16).
    min_frames / min_px: below these a fingerprint is not computed; the verdict is ``inconclusive`` with that reason.
    """

    bursts: int = 8
    every_s: float = 10.0
    max_bursts: int = 720
    frames: int = 16
    crops: int = 4
    crop_px: int = 256
    min_frames: int = 4
    min_px: int = 64


@dataclass(frozen=True, slots=True)
class FingerprintSpec:
    """Names one exact way of turning a file into vectors. Two vectors are comparable only under one spec id.

    decoder: ``pyav`` or ``decord``; decoders differ in colour, rounding and damage handling, so it is part of the spec.
    decoder_version: the library version that decoded, since codec fixes change pixels.
    """

    decoder: str
    decoder_version: str
    plan: WindowPlan = field(default_factory=WindowPlan)
    decoder_fingerprint: int = DECODER_VERSION
    texture_fingerprint: int = TEXTURE_VERSION
    cues: int = CUES_VERSION

    @property
    def id(self) -> str:
        """16 hex digits of the SHA-256 of the canonical JSON form."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> FingerprintSpec:
        """The inverse of to_json."""
        raw = json.loads(text)
        return cls(**{**raw, "plan": WindowPlan(**raw["plan"])})
