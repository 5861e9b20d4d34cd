"""Takes out of raw vectors what says nothing about the maker: units, outliers, and the spread that sources cause.

The order is fixed: robust standardisation, clipping, whitening by the within-class covariance, then the directions in
which classes differ most (Fisher's linear discriminants). All estimates are weighted, so that one page with fifty
clips counts no more than it should, and all of them are deterministic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Floats = NDArray[np.float64]

CLIP = 4.0  # robust standard deviations; beyond it a value tells "broken", not "more"
MAD_TO_SIGMA = 1.4826
TRIM = 0.1  # share of windows cut at either end of each dimension


@dataclass(frozen=True, slots=True, eq=False)
class Normaliser:
    """Raw vectors in, discriminant coordinates out, in which the within-class covariance is the identity.

    centre, scale: (D,) robust location and spread; a scale of 0 marks a constant dimension, which is dropped.
    projection: (D, K). origin: (K,) mean of the class means, so that they scatter around 0.
    spread: (K,) variance of the class means along each coordinate, largest first: how much the coordinate tells, in
    units of the within-class variance.
    """

    centre: Floats
    scale: Floats
    projection: Floats
    origin: Floats
    spread: Floats

    def standardise(self, vectors: NDArray[Any]) -> Floats:
        """(N, D) raw to (N, D) standardised and clipped."""
        rows = np.atleast_2d(np.asarray(vectors, dtype=np.float64))
        safe = np.where(self.scale > 0, self.scale, 1.0)
        return np.clip((rows - self.centre) / safe, -CLIP, CLIP) * (self.scale > 0)

    def apply(self, vectors: NDArray[Any]) -> Floats:
        """(N, D) raw to (N, K)."""
        return self.standardise(vectors) @ self.projection - self.origin


def pool(windows: NDArray[Any]) -> Floats:
    """(N, D) window vectors of one stretch of video to one (D,) vector: the trimmed mean of each dimension.

    Trimming keeps one odd window (a title card, a cut) from speaking for the file; a maximum would multiply false
    alarms with the number of windows.
    """
    rows = np.sort(np.asarray(windows, dtype=np.float64), axis=0)
    cut = int(TRIM * len(rows))
    kept: Floats = rows[cut : len(rows) - cut].mean(axis=0)
    return kept


def source_weights(classes: Sequence[str], sources: Sequence[str]) -> Floats:
    """(N,) weights, mean 1: clips of one class and one source share the weight of the square root of their number.

    Between counting clips (one page speaks for its class) and counting sources (a page with one clip is as sure as a
    page with fifty).
    """
    keys = list(zip(classes, sources, strict=True))
    sizes = Counter(keys)
    weights = np.array([sizes[key] ** -0.5 for key in keys])
    return weights / weights.mean() if len(weights) else weights


def robust_location(vectors: Floats) -> tuple[Floats, Floats]:
    """Median and scaled median absolute deviation of (N, D) rows; where half the rows agree, the standard deviation."""
    centre = np.median(vectors, axis=0)
    mad = MAD_TO_SIGMA * np.median(np.abs(vectors - centre), axis=0)
    std = vectors.std(axis=0)
    scale = np.where(mad > 1e-3 * std, mad, std)
    return centre, np.where(scale > 1e-9 * np.maximum(1.0, np.abs(centre)), scale, 0.0)


def shrunk_covariance(residuals: Floats, weights: Floats) -> Floats:
    """Covariance of centred (N, D) rows, shrunk towards a multiple of the identity.

    Oracle approximating shrinkage (Chen, Wiesel, Eldar, Hero 2010, eq. 23) with the effective number of rows in place
    of N; needed because there are fewer clips than dimensions.
    """
    dim = residuals.shape[1]
    total = weights.sum()
    effective = total**2 / (weights**2).sum()
    covariance = (residuals * weights[:, None]).T @ residuals / total
    trace = float(np.trace(covariance))
    square = float((covariance**2).sum())
    denominator = (effective + 1 - 2 / dim) * (square - trace**2 / dim)
    shrinkage = 1.0 if denominator <= 0 else min(1.0, ((1 - 2 / dim) * square + trace**2) / denominator)
    shrunk: Floats = (1 - shrinkage) * covariance + shrinkage * trace / dim * np.eye(dim)
    return shrunk


def class_means(vectors: Floats, classes: Sequence[str], weights: Floats) -> tuple[list[str], Floats]:
    """Sorted class names and their weighted means (C, D)."""
    names = sorted(set(classes))
    labels = np.array(classes)
    means = [np.average(vectors[labels == name], axis=0, weights=weights[labels == name]) for name in names]
    return names, np.array(means).reshape(len(names), vectors.shape[1])


def within_covariance(vectors: Floats, classes: Sequence[str], weights: Floats) -> Floats:
    """Shrunk covariance (D, D) of the rows around their class means."""
    names, means = class_means(vectors, classes, weights)
    rows = {name: i for i, name in enumerate(names)}
    residuals = vectors - means[[rows[name] for name in classes]]
    return shrunk_covariance(residuals, weights)


def fit_normaliser(
    vectors: NDArray[Any], classes: Sequence[str], sources: Sequence[str], *, components: int
) -> Normaliser:
    """Fit on pooled clip vectors (N, D), N >= 2.

    classes: the maker of each clip. sources: where it came from; its offsets are the nuisance, and they are part of
    the within-class covariance as far as a class has several sources.
    components: coordinates kept at most; at most one fewer than there are classes exist.
    """
    raw = np.asarray(vectors, dtype=np.float64)
    centre, scale = robust_location(raw)
    dim = raw.shape[1]
    plain = Normaliser(centre, scale, np.zeros((dim, 0)), np.zeros(0), np.zeros(0))
    rows = plain.standardise(raw)
    weights = source_weights(classes, sources)
    within = within_covariance(rows, classes, weights)
    if float(np.trace(within)) <= 0:  # every clip equals its class mean: any direction is as good as another
        within = np.eye(dim)
    _, means = class_means(rows, classes, weights)
    offsets = means - means.mean(axis=0)
    between = offsets.T @ offsets / max(1, len(means) - 1)
    keep = max(1, min(components, len(means) - 1, dim))
    spread, directions = linalg.eigh(between, within, subset_by_index=(dim - keep, dim - 1))
    spread, directions = np.maximum(spread[::-1], 0.0), directions[:, ::-1]
    # An eigenvector's sign is arbitrary; fixing it makes the same signatures give the same bytes.
    peaks = directions[np.abs(directions).argmax(axis=0), np.arange(keep)]
    projection = np.ascontiguousarray(directions * np.where(peaks < 0, -1.0, 1.0))
    return Normaliser(centre, scale, projection, means.mean(axis=0) @ projection, spread)
