"""What is said about a file, and about which seconds of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class VerdictKind(StrEnum):
    """The closed set of answers. All are evidence ("consistent with"), none is proof."""

    ATTRIBUTED = "attributed"  # decoder family and generator
    FAMILY = "family"  # the family is clear, the generator within it is not
    SYNTHETIC = "synthetic"  # traces of some decoder, of no known one
    PROCESSED_CAMERA = "processed_camera"  # camera footage through a known neural processor (upscaler, stylizer)
    NO_KNOWN_GENERATOR = "no_known_generator"  # nothing known fits; consistent with camera footage
    INCONCLUSIVE = "inconclusive"  # cannot be judged, with the reason


@dataclass(frozen=True, slots=True)
class Nearest:
    """One neighbour among the known signatures; score: cosine after the snapshot's normalisation, -1..1."""

    generator: str
    family: str | None
    score: float


@dataclass(frozen=True, slots=True)
class Segment:
    """Seconds of a file that carry one verdict. llr as in Verdict, of these seconds alone."""

    start_s: float
    end_s: float
    verdict: VerdictKind
    family: str | None
    generator: str | None
    llr: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one file.

    llr: natural-log likelihood ratio of "made by a known decoder" against "camera footage", calibrated.
    None only when no window could be fingerprinted at all.
    p_value: share of the snapshot's camera cohort that scores at least as high (conformal, never 0).
    margin: how far the named family's (or best) posterior log-odds lie above the runner-up's, natural log.
    nearest: best first. cues: medians over windows. spec, snapshot: ids by which every number here is traced.
    evidence: what else was found, each kind under its own name, as plain JSON values (see ``jobs.evidence``); it
    explains a verdict and never makes one.
    """

    verdict: VerdictKind
    reason: str
    family: str | None
    generator: str | None
    llr: float | None
    p_value: float | None
    margin: float | None
    segments: tuple[Segment, ...]
    nearest: tuple[Nearest, ...]
    cues: Mapping[str, float]
    spec: str
    snapshot: str | None = field(default=None)
    evidence: Mapping[str, Any] = field(default_factory=dict)
