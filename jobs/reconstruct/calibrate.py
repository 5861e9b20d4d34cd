"""What a checkpoint's excesses mean: camera footage through it against untouched and softened, learned by source.

Softened camera footage has little to lose and looks much like decoded one. So every content gives a softened clip
beside the plain one, in turn blurred, resampled and denoised, and both count as camera footage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from fingerprint_db.calibrate import auc
from fingerprint_db.reconstruction import ReconstructionModel, fit_reconstruction
from jobs.bench.contents import Content
from jobs.bench.footage import load_footage
from jobs.errors import BadUsageError
from jobs.progress import Meter
from jobs.reconstruct.frames import own_keyframes
from jobs.reconstruct.measure import PARTS, Finding, measure, parts_of, pooled
from jobs.reconstruct.network import Network
from jobs.reconstruct.search import search_phase
from jobs.reconstruct.trials import CAMERA, CRFS, CROP, FRAMES, Trial, Trials, all_trials, chosen_contents, cropped

# Upper edges of the quality buckets, keyframe quantisers: x264's CRF 18, 23 and 28 lie at about 13, 18 and 23.
BUCKETS = (15.5, 20.5)
CONTENTS = 40
# Of jobs.bench.negatives, those that take fine detail away. Sharpened footage is far from what a decoder makes, and a
# calibration that counted it in would be surer of the rest.
SOFTENED = ("blur", "resample", "denoise")
# Camera clips on which it is learned how much lower an excess gets by choosing the phase.
SEARCHED = 6
MIN_SOURCES = 3


@dataclass(frozen=True, slots=True, eq=False)
class Calibrated:
    """A model and what it came from. contents: the camera footage used. auc: of the excesses by CRF, plain camera clips
    against made ones; nothing is fitted to an excess, so that no clip was seen before."""

    model: ReconstructionModel
    contents: tuple[Content, ...]
    auc: dict[int, float]


def footage_for(where: Path | None, number: int, seed: int, *, frames: int = FRAMES, side: int = CROP) -> list[Content]:
    """Contents of camera footage of at least three sources. where: as of the bench (folder, manifest, None: packages).

    Raises BadUsageError where there are fewer.
    """
    clips, _ = load_footage(where, frames=frames)
    contents = chosen_contents(clips, number, seed, frames=frames, side=side)
    sources = {content.clip.source for content in contents}
    if len(sources) < MIN_SOURCES:
        raise BadUsageError(
            f"a checkpoint is calibrated on camera footage of {MIN_SOURCES} sources, and there is {len(sources)}; "
            "name more with --footage FOLDER or MANIFEST.csv"
        )
    return contents


def calibrate(
    slug: str,
    checkpoint: str,
    network: Network,
    contents: Sequence[Content],
    *,
    cache: Path | None,
    console: Console,
    crfs: Sequence[int] = CRFS,
    searched: int | None = None,
) -> Calibrated:
    """Learn how a checkpoint's excesses separate what it made from camera footage, a quality bucket at a time.

    checkpoint: its id. searched: camera clips whose phase is searched too (None: SEARCHED); what that takes off
    excesses is kept in the cohort and given back to whatever is judged at a searched phase.
    """
    trials = Trials({slug: (checkpoint, network)}, cache)
    others = contents[: SEARCHED if searched is None else searched]
    kinds = softened_as(contents)
    todo = list(all_trials(contents, [slug], [slug], crfs))
    todo += [
        (content, Trial(content.id, content.clip.source, kinds[content.id], slug, crf))
        for content in contents
        for crf in crfs
    ]
    lowered: list[float] = []
    with Meter(console, f"calibrate {slug}", len(todo) + len(others)) as meter:
        found: list[tuple[Trial, Finding]] = []
        for content, trial in todo:
            found.append((trial, trials.run(content, trial)))
            meter.advance()
        for content in others:
            plain = Trial(content.id, content.clip.source, CAMERA, slug, crfs[len(crfs) // 2])
            with_search = trials.run(content, cropped(plain, 0), searched_finding)
            lowered.append(trials.run(content, plain).excess - with_search.excess)
            meter.advance()
    excess = np.array([finding.excess for _, finding in found])
    made = np.array([trial.member == slug for trial, _ in found])
    plain_or_made = np.array([trial.member in (CAMERA, slug) for trial, _ in found])
    sources = [trial.source for trial, _ in found]
    quality = np.array([finding.quality for _, finding in found])
    which = np.array([trial.crf for trial, _ in found])
    cohort = {
        "crfs": list(crfs),
        "codec": "x264 medium",
        "frames": "one keyframe a clip",
        "footage": sorted({content.clip.sha256 for content in contents}),
        "search_lowers_by": max(0.0, float(np.mean(lowered))) if lowered else 0.0,
        "searched": len(lowered),
        "softened_clips": int((~plain_or_made).sum()),
    }
    judged = {int(crf): plain_or_made & (which == crf) for crf in crfs}
    by_crf = {crf: float(auc(-excess[rows], made[rows])) for crf, rows in judged.items()}
    cohort["auc"] = {str(crf): round(value, 4) for crf, value in by_crf.items()}
    model, _ = fit_reconstruction(excess, made, sources, quality, buckets=BUCKETS, cohort=cohort)
    return Calibrated(model, tuple(contents), by_crf)


def softened_as(contents: Sequence[Content]) -> dict[str, str]:
    """By content, which of SOFTENED is done to it for a calibration."""
    return {content.id: SOFTENED[number % len(SOFTENED)] for number, content in enumerate(contents)}


def searched_finding(network: Network, path: Path) -> Finding:
    """A clip of our own making at the phase that is found for it."""
    pictures, facts = own_keyframes(path, 1)
    parts = parts_of(pictures, count=PARTS)
    sought = search_phase(network, parts[:1])
    return pooled([measure(network, part, facts.codec, sought.grid) for part in parts], sought.grid)
