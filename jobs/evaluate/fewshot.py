"""Clips published side by side, told apart from a few examples each: one publisher, one encoder, other makers.

Inside a page every clip is judged from the others: at most five of each maker are learned, the clip itself never. What
is learned on other pages is only how clips of one maker scatter (the within-class covariance): the page's own vectors
are whitened by it, taken relative to the mean of the makers' means, and compared by cosine. Among seven ways to
compare, this one was chosen while looking at the page sets of the development collection, so it is somewhat
optimistic there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from fingerprint_db.matcher import pool_windows
from fingerprint_db.normalise import Floats, Normaliser, robust_location, source_weights, within_covariance
from fingerprint_db.scoring import VIEWS
from jobs.evaluate.folds import same_page_sets
from jobs.evaluate.gather import Evidence
from jobs.evaluate.judging import maker_of
from jobs.evaluate.manifest import Clip
from jobs.evaluate.metrics import clopper_pearson

FEWEST = 3  # clips of a maker on a page: one to judge, two to learn from
SHOTS = 5  # learned of a maker, at most
Scores = Callable[[Floats, Floats], Floats]  # (M, D) means of the makers and (D,) of one clip to (M,) scores


@dataclass(frozen=True, slots=True)
class FewShot:
    """One page. macro: mean over makers of the share of their clips named rightly; chance: one over the makers.

    hits of clips: named rightly, with ci95 (Clopper-Pearson; clips of one page are not independent, so it is too
    narrow). nulls: macro of the same game played with the thumbnail and with one number of sharpness.
    """

    makers: Mapping[str, int]
    clips: int
    hits: int
    macro: float
    chance: float
    ci95: tuple[float, float]
    nulls: Mapping[str, float]

    @property
    def over_chance(self) -> float:
        """How many times chance the macro accuracy is."""
        return self.macro / self.chance


def few_shot_pages(clips: Sequence[Clip], evidence: Sequence[Evidence]) -> dict[str, FewShot]:
    """Every page with two or more makers of at least three clips each, by page."""
    usable = [i for i, seen in enumerate(evidence) if seen.file.windows and maker_of(clips[i]) is not None]
    clips, evidence = [clips[i] for i in usable], [evidence[i] for i in usable]
    makers = [maker_of(clip) or "" for clip in clips]
    pages = {}
    vectors: Floats | None = None
    for page, members in same_page_sets(clips).items():
        counts = {maker: sum(makers[i] == maker for i in members) for maker in sorted({makers[i] for i in members})}
        counts = {maker: count for maker, count in counts.items() if count >= FEWEST}
        if len(counts) < 2:
            continue
        if vectors is None:
            vectors = np.stack([_joined(seen) for seen in evidence])
        rows = [i for i in members if makers[i] in counts]
        labels = [makers[i] for i in rows]
        gone = {clips[i].source for i in members}
        elsewhere = [i for i in range(len(clips)) if clips[i].source not in gone]
        ours = _whitened(vectors, rows, elsewhere, makers, [clip.source for clip in clips])
        right = _hits(ours, labels, _cosines)
        thumbnails = np.stack([evidence[i].prepared.glance.thumbnail.ravel() for i in rows]).astype(np.float64)
        sharpness = np.log(np.array([[evidence[i].prepared.glance.hf_energy] for i in rows]) + 1e-6)
        pages[page] = FewShot(
            makers=counts,
            clips=len(rows),
            hits=int(right.sum()),
            macro=_macro(right, labels),
            chance=1 / len(counts),
            ci95=clopper_pearson(int(right.sum()), len(rows)),
            nulls={
                # The stronger of both ways to compare: a null is built to win.
                "thumbnail": max(_macro(_hits(thumbnails, labels, way), labels) for way in (_cosines, _nearness)),
                "hf_energy": _macro(_hits(sharpness, labels, _nearness), labels),
            },
        )
    return pages


def _joined(seen: Evidence) -> Floats:
    pooled = pool_windows(seen.file.windows)
    joined: Floats = np.hstack([pooled[name][0] for name in VIEWS])
    return joined


def _whitened(
    vectors: Floats, rows: Sequence[int], elsewhere: Sequence[int], makers: Sequence[str], sources: Sequence[str]
) -> Floats:
    """The page's clips, standardised and whitened by what clips of other sources say; raw where there are too few."""
    if len(elsewhere) < 2:
        return vectors[list(rows)]
    known = vectors[list(elsewhere)]
    centre, scale = robust_location(known)
    empty = np.zeros(0)
    plain = Normaliser(centre, scale, np.zeros((vectors.shape[1], 0)), empty, empty)
    theirs = [makers[i] for i in elsewhere]
    weights = source_weights(theirs, [sources[i] for i in elsewhere])
    within = within_covariance(plain.standardise(known), theirs, weights)
    if float(np.trace(within)) <= 0:
        return plain.standardise(vectors[list(rows)])
    lower = linalg.cholesky(within, lower=True)
    white: Floats = linalg.solve_triangular(lower, plain.standardise(vectors[list(rows)]).T, lower=True).T
    return white


def _hits(vectors: Floats, labels: Sequence[str], score: Scores) -> NDArray[np.bool_]:
    """Whether each clip is given its own maker by what the other clips of the page teach."""
    names = sorted(set(labels))
    truth = np.array(labels)
    hits = []
    for i in range(len(labels)):
        others = np.arange(len(labels)) != i
        means = np.stack([vectors[np.flatnonzero(others & (truth == name))[:SHOTS]].mean(axis=0) for name in names])
        hits.append(names[int(score(means, vectors[i]).argmax())] == labels[i])
    return np.array(hits, dtype=bool)


def _macro(right: NDArray[np.bool_], labels: Sequence[str]) -> float:
    truth = np.array(labels)
    return float(np.mean([right[truth == name].mean() for name in sorted(set(labels))]))


def _cosines(means: Floats, clip: Floats) -> Floats:
    """Cosines about the mean of the means, which takes out what the page has in common; the clip had no part in it."""
    middle = means.mean(axis=0)
    rows, one = means - middle, clip - middle
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(one)
    cosines: Floats = rows @ one / np.where(norms > 0, norms, 1.0)
    return cosines


def _nearness(means: Floats, clip: Floats) -> Floats:
    near: Floats = -np.linalg.norm(means - clip, axis=1)
    return near
