"""Published clips as lessons for a bench: what decoders of real generators share carries over to one nobody enrolled.

Simulated and quickly trained decoders teach little of a published VAE; clips that published generators made teach it,
though none of them shows its decoder alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from fingerprint_db.build import PIECES
from fingerprint_db.residual import spread
from fingerprint_db.scoring import VIEWS, Vectors
from jobs.bench.windows import CAMERA
from jobs.errors import BadUsageError
from jobs.evaluate.cache import EvaluationCache
from jobs.evaluate.chain import parse_chain
from jobs.evaluate.gather import gather
from jobs.evaluate.manifest import Label, ManifestError, load_manifest
from jobs.progress import Meter
from jobs.settings import Settings

# As the product learns them: as published, and after one common encoding.
_CHAINS = ("none", "x264-crf23")


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """One row a window, N in all. vectors: view -> (N, D). maker: the generator's slug, or camera. made: or filmed."""

    maker: NDArray[np.str_]
    source: NDArray[np.str_]
    made: NDArray[np.bool_]
    vectors: Vectors

    def apart_from(self, sources: Sequence[str]) -> Lessons:
        """The rows that come from none of these sources."""
        keep = ~np.isin(self.source, list(sources))
        vectors = {name: self.vectors[name][keep] for name in VIEWS}
        return Lessons(self.maker[keep], self.source[keep], self.made[keep], vectors)


def load_lessons(manifest: Path, folder: Path, settings: Settings, console: Console) -> Lessons:
    """Windows of a manifest's camera and generated clips; fingerprints are kept in the bench's ``fingerprints``.

    Raises BadUsageError for a manifest that cannot be read or has no generated clip that can be fingerprinted.
    """
    try:
        listed = load_manifest(manifest)
    except ManifestError as error:
        raise BadUsageError(str(error)) from error
    # What somebody processed is neither side's lesson.
    known = replace(listed, clips=tuple(clip for clip in listed.clips if clip.label is not Label.PROCESSED))
    if not any(clip.label is Label.GENERATED for clip in known.clips):
        raise BadUsageError(f"{manifest} has no generated clip to learn from")
    makers, sources, made = list[str](), list[str](), list[bool]()
    vectors: dict[str, list[NDArray[np.float32]]] = {name: [] for name in VIEWS}
    clips = {clip.name: clip for clip in known.clips}
    with Meter(console, "lessons", 2 * len(_CHAINS) * len(known.clips)) as meter:
        for chain in _CHAINS:
            found = gather(
                known,
                settings,
                chain=parse_chain(chain),
                cache=EvaluationCache(folder / "fingerprints"),
                progress=lambda step: meter.advance(note=step),
            )
            for name, evidence in found.evidence.items():
                windows = evidence.file.windows
                clip = clips[name]
                chosen = spread(len(windows), PIECES)
                for place in chosen:
                    vectors["decoder"].append(windows[place].decoder)
                    vectors["texture"].append(windows[place].texture)
                makers += [CAMERA if clip.label is Label.CAMERA else str(clip.generator)] * len(chosen)
                sources += [clip.source] * len(chosen)
                made += [clip.label is Label.GENERATED] * len(chosen)
    if not any(made):
        raise BadUsageError(f"no generated clip of {manifest} could be fingerprinted")
    return Lessons(
        np.array(makers), np.array(sources), np.array(made), {name: np.stack(rows) for name, rows in vectors.items()}
    )
