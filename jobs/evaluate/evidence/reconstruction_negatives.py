"""Camera footage that was softened, sharpened or compressed before, and which no decoder made: how it is answered.

A statistic of what a picture loses can take a soft picture for a decoded one. So the threshold that 5 % of plain camera
clips pass is put to processed ones, and likelihood ratios are given as calibrated without and with processed clips.
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
from jobs.reconstruct.measure import Finding
from jobs.reconstruct.trials import CAMERA

PASSED = 0.05
ALL = "all processed camera footage"
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

    aligned: all contents, plain and of the checkpoint ``first``. processed: by kind of NEGATIVES; contents without are
    left out on all sides. None with fewer than MIN_SOURCES sources.
    """
    some = [content for content in contents if all((content.id, kind, crf) in processed for kind in NEGATIVES)]
    if len({content.clip.source for content in some}) < MIN_SOURCES:
        return []

    def clips(value: Value) -> _Clips:
        keys = [(content, member) for content in some for member in (CAMERA, first, *NEGATIVES)]
        at = {**aligned, **processed}
        return _Clips(
            np.array([value(at[content.id, member, crf]) for content, member in keys]),
            np.array([member for _, member in keys]),
            np.array([content.clip.source for content, _ in keys]),
            np.array([content.id for content, _ in keys]),
        )

    excess, drop = clips(lambda one: one.excess), clips(lambda one: one.drop)
    figures: list[Figure] = []
    for name, members in _groups():
        for said, side in (("", excess), ("drop alone, ", drop)):
            figures.append(_passed(f"{said}passed as made, {name}, CRF {crf}", side, members))
            figures.append(_against(f"{said}AUC, made against {name}, CRF {crf}", side, members, first, seed))
    for said, known in (("plain camera clips", (CAMERA,)), ("plain and processed camera clips", (CAMERA, *NEGATIVES))):
        llrs = _llrs(excess, first, known)
        for name, members in (("plain camera footage", (CAMERA,)), ("made", (first,)), *_groups()):
            how = f"natural log, calibrated on {said} and decoded ones, of other sources"
            figures.append(_mean(f"mean llr by {said}, {name}, CRF {crf}", excess, members, llrs, how, seed))
    return figures


def _groups() -> tuple[tuple[str, tuple[str, ...]], ...]:
    return ((ALL, tuple(NEGATIVES)), *((kind, (kind,)) for kind in NEGATIVES))


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


def _llrs(clips: _Clips, first: str, camera: Sequence[str]) -> Floats:
    """(N,) of every clip, from a calibration on decoded clips and those of ``camera``, of all other sources."""
    known = np.isin(clips.members, [first, *camera])
    llrs = np.zeros(len(clips.numbers))
    for source in sorted(set(clips.sources.tolist())):
        others, judged = known & (clips.sources != source), clips.sources == source
        made = clips.members[others] == first
        model, _ = fit_reconstruction(
            clips.numbers[others], made, clips.sources[others].tolist(), np.zeros(int(others.sum()))
        )
        llrs[judged] = model.llr(clips.numbers[judged], np.zeros(int(judged.sum())))
    return llrs
