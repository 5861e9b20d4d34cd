"""Camera footage that was softened, sharpened or compressed before, and which no decoder made: how it is answered.

A statistic of what a picture loses can take a soft picture for a decoded one. So the threshold that 5 % of plain camera
clips pass is put to processed ones, and likelihood ratios are given as calibrated on plain camera clips alone, and as
enrollment does it, on softened ones too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.calibrate import Floats
from fingerprint_db.reconstruction import fit_reconstruction
from jobs.bench.contents import Content
from jobs.bench.negatives import NEGATIVES
from jobs.evaluate.metrics import auc, bootstrap_by_source, clopper_pearson
from jobs.measured import Figure
from jobs.reconstruct.calibrate import softened_as
from jobs.reconstruct.measure import Finding
from jobs.reconstruct.trials import CAMERA

PASSED = 0.05
# A calibration wants three sources beside the one it judges.
MIN_SOURCES = 4

Found = Mapping[tuple[str, str, int], Finding]  # (content, member, crf)
Value = Callable[[Finding], float]


@dataclass(frozen=True, slots=True, eq=False)
class _Clips:
    """All clips at one CRF: (N,) numbers that are low for what the decoder made, members and sources."""

    numbers: Floats
    members: NDArray[np.str_]
    sources: NDArray[np.str_]
    contents: NDArray[np.str_]


def negatives_figures(
    first: str, contents: Sequence[Content], aligned: Found, processed: Found, crf: int, seed: int
) -> list[Figure]:
    """Figures of all processed clips and by kind, by the excess and by the drop alone, then likelihood ratios.

    aligned: all contents, plain and of the checkpoint ``first``. processed: of some or all, by kind of NEGATIVES.
    None with fewer than MIN_SOURCES sources.
    """
    if len({content.clip.source for content in contents}) < MIN_SOURCES or not processed:
        return []
    at = {**aligned, **processed}

    def clips(value: Value) -> _Clips:
        every = [(content, member) for content in contents for member in (CAMERA, first, *NEGATIVES)]
        keys = [(content, member) for content, member in every if (content.id, member, crf) in at]
        return _Clips(
            np.array([value(at[content.id, member, crf]) for content, member in keys]),
            np.array([member for _, member in keys]),
            np.array([content.clip.source for content, _ in keys]),
            np.array([content.id for content, _ in keys]),
        )

    excess, drop = clips(lambda one: one.excess), clips(lambda one: one.drop)
    figures: list[Figure] = []
    groups: list[tuple[str, tuple[str, ...]]] = [("all processed camera footage", tuple(NEGATIVES))]
    groups += [(kind, (kind,)) for kind in NEGATIVES if np.any(excess.members == kind)]
    everyone = [("plain camera footage", (CAMERA,)), ("made", (first,)), *groups]
    for said, side in (("", excess), ("drop alone, ", drop)):
        for name, members in everyone:
            figures.append(_passed(f"{said}passed as made, {name}, CRF {crf}", side, members))
        for name, members in groups:
            figures.append(_against(f"{said}AUC, made against {name}, CRF {crf}", side, members, first, seed))
    softened = softened_as(contents)
    as_enrolled = excess.members == np.array([softened[content] for content in excess.contents])
    plain = np.isin(excess.members, (CAMERA, first))
    for said, known in (("plain camera clips", plain), ("plain and softened camera clips", plain | as_enrolled)):
        llrs = _llrs(excess, first, known)
        for name, members in everyone:
            how = f"natural log, calibrated on {said} and decoded ones, of other sources"
            figures.append(_mean(f"mean llr by {said}, {name}, CRF {crf}", excess, members, llrs, how, seed))
    return figures


def _count(clips: _Clips, rows: NDArray[np.intp]) -> str:
    return f"{len(rows)} clips of {len(set(clips.sources[rows].tolist()))} sources"


def _rows(clips: _Clips, members: Sequence[str]) -> NDArray[np.intp]:
    return np.flatnonzero(np.isin(clips.members, members))


def _passed(name: str, clips: _Clips, members: Sequence[str]) -> Figure:
    rows = _rows(clips, members)
    camera = clips.members == CAMERA
    edges = {s: np.quantile(clips.numbers[camera & (clips.sources != s)], PASSED) for s in set(clips.sources.tolist())}
    hits = sum(bool(clips.numbers[row] <= edges[clips.sources[row]]) for row in rows)
    how = f"share that goes where {PASSED:.0%} of plain camera clips of other sources do"
    bounds = clopper_pearson(hits, len(rows))
    return Figure(name, hits / len(rows), *bounds, _count(clips, rows), "", how)


def _against(name: str, clips: _Clips, members: Sequence[str], first: str, seed: int) -> Figure:
    rows = _rows(clips, members)
    own = {
        content: clips.numbers[(clips.contents == content) & (clips.members == first)][0] for content in clips.contents
    }
    made = np.array([own[content] for content in clips.contents[rows]])

    def again(chosen: NDArray[np.intp]) -> Mapping[str, float]:
        return {"auc": auc(-made[chosen], -clips.numbers[rows[chosen]])}

    sources = clips.sources[rows].tolist()
    low, high = bootstrap_by_source(sources, ["pair"] * len(rows), again, seed=seed)["auc"] or (None, None)
    how = "what the checkpoint made of the same contents against them, unpaired; chance 0.5"
    return Figure(name, again(np.arange(len(rows)))["auc"], low, high, _count(clips, rows), "", how)


def _mean(name: str, clips: _Clips, members: Sequence[str], llrs: Floats, how: str, seed: int) -> Figure:
    rows = _rows(clips, members)

    def again(chosen: NDArray[np.intp]) -> Mapping[str, float]:
        return {"mean": float(llrs[rows[chosen]].mean())}

    sources = clips.sources[rows].tolist()
    low, high = bootstrap_by_source(sources, ["clip"] * len(rows), again, seed=seed)["mean"] or (None, None)
    above = int((llrs[rows] > 0).sum())
    how = f"{how}; above 0, for the decoder: {above} of {len(rows)}"
    return Figure(name, float(llrs[rows].mean()), low, high, _count(clips, rows), "", how)


def _llrs(clips: _Clips, first: str, known: NDArray[np.bool_]) -> Floats:
    """(N,) of every clip, from a calibration on the clips ``known`` of all other sources."""
    llrs = np.zeros(len(clips.numbers))
    for source in sorted(set(clips.sources.tolist())):
        others, judged = known & (clips.sources != source), clips.sources == source
        made = clips.members[others] == first
        model, _ = fit_reconstruction(
            clips.numbers[others], made, clips.sources[others].tolist(), np.zeros(int(others.sum()))
        )
        llrs[judged] = model.llr(clips.numbers[judged], np.zeros(int(judged.sum())))
    return llrs
