"""Scores of one clip against what was learned: is it made or filmed, and whose class does it fit.

Two views of a clip are scored apart and joined late: the decoder vector and the texture vector. Detection is Fisher's
linear discriminant between made and camera clips. Class scores are those of a two-covariance model (Ioffe 2006,
"probabilistic LDA"): class means are Gaussian around the grand mean, clips are Gaussian around their class mean, and
a class known from few sources is known less exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from fingerprint_db.normalise import Floats, Normaliser, fit_normaliser, shrunk_covariance, source_weights

VIEWS = ("decoder", "texture")
COMPONENTS = 24  # discriminant coordinates kept a view
Vectors = Mapping[str, NDArray[Any]]  # view -> (N, D)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What was learned of one kind of vector.

    direction: (D,) in the standardised space, all zero where made and camera clips were not both at hand.
    offset: the score half way between the two. means: (C, K) class means. precision: (C,) in how many independent
    observations each mean is known.
    """

    normaliser: Normaliser
    direction: Floats
    offset: float
    means: Floats
    precision: Floats

    def detect(self, vectors: NDArray[Any]) -> Floats:
        """(N, D) to (N,): larger is more likely made."""
        return self.normaliser.standardise(vectors) @ self.direction - self.offset

    def predictive(self) -> tuple[Floats, Floats]:
        """Mean and variance (C, K) of a new clip of each class, given the clips that were seen."""
        between = np.maximum(self.normaliser.spread, 1e-6)
        shrink = self.precision[:, None] * between / (1.0 + self.precision[:, None] * between)
        return shrink * self.means, 1.0 + between / (1.0 + self.precision[:, None] * between)

    def distances(self, vectors: NDArray[Any]) -> Floats:
        """(N, C) squared distances to each class, in predictive standard deviations."""
        mean, variance = self.predictive()
        rows = self.normaliser.apply(vectors)
        result: Floats = (((rows[:, None, :] - mean) ** 2) / variance).sum(axis=2)
        return result

    def log_likelihoods(self, vectors: NDArray[Any]) -> Floats:
        """(N, C) natural-log likelihoods up to a constant of the clip."""
        _, variance = self.predictive()
        result: Floats = -0.5 * (self.distances(vectors) + np.log(variance).sum(axis=1))
        return result


@dataclass(frozen=True, slots=True, eq=False)
class ScoringModel:
    """Both views, and the classes whose rows they share: every maker with a signature, camera makers included."""

    classes: tuple[str, ...]
    views: Mapping[str, View]

    def detect(self, vectors: Vectors) -> Floats:
        """(N, V) raw detection scores, one a view."""
        return np.stack([self.views[name].detect(vectors[name]) for name in VIEWS], axis=1)

    def log_likelihoods(self, vectors: Vectors) -> Floats:
        """(N, C): the views' log likelihoods added, as if they were independent; calibration corrects the excess."""
        added: Floats = np.stack([self.views[name].log_likelihoods(vectors[name]) for name in VIEWS]).sum(axis=0)
        return added

    def distances(self, vectors: Vectors) -> Floats:
        """(N, C) squared distances, the views' added."""
        added: Floats = np.stack([self.views[name].distances(vectors[name]) for name in VIEWS]).sum(axis=0)
        return added


def fit_model(
    vectors: Vectors, classes: Sequence[str], sources: Sequence[str], made: NDArray[np.bool_]
) -> ScoringModel:
    """Fit on pooled clips: view -> (N, D), with each clip's maker, source, and whether it was made or filmed."""
    names = tuple(sorted(set(classes)))
    views = {name: _fit_view(vectors[name], names, classes, sources, made) for name in VIEWS}
    return ScoringModel(names, views)


def _fit_view(
    vectors: NDArray[Any],
    names: Sequence[str],
    classes: Sequence[str],
    sources: Sequence[str],
    made: NDArray[np.bool_],
) -> View:
    normaliser = fit_normaliser(vectors, classes, sources, components=COMPONENTS)
    direction, offset = _fisher(normaliser.standardise(vectors), made, source_weights(classes, sources))
    rows = normaliser.apply(vectors)
    labels = np.array(classes)
    weights = source_weights(classes, sources)
    means = np.array([np.average(rows[labels == name], axis=0, weights=weights[labels == name]) for name in names])
    pages = [len({s for c, s in zip(classes, sources, strict=True) if c == name}) for name in names]
    return View(normaliser, direction, offset, means, np.array(pages, dtype=np.float64))


def _fisher(rows: Floats, made: NDArray[np.bool_], weights: Floats) -> tuple[Floats, float]:
    """Direction and offset of the shrunken linear discriminant; zeros when one side is empty."""
    if not made.any() or made.all():
        return np.zeros(rows.shape[1]), 0.0
    centres = np.stack([np.average(rows[side], axis=0, weights=weights[side]) for side in (~made, made)])
    balanced = weights / np.where(made, weights[made].sum(), weights[~made].sum()) * len(rows) / 2
    within = shrunk_covariance(rows - centres[made.astype(int)], balanced)
    if float(np.trace(within)) <= 0:
        within = np.eye(rows.shape[1])
    direction: Floats = linalg.solve(within, centres[1] - centres[0], assume_a="pos")
    return direction, float(centres.mean(axis=0) @ direction)
