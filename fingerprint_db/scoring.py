"""Scores of one clip against what was learned: is it made or filmed, and whose class does it fit.

Detection is Fisher's shrunken linear discriminant between made and camera clips. A class score is the cosine between a
clip and the class's mean in the space of all discriminant directions, in which the within-class covariance is the
identity. Both read the decoder and the texture vector as one, so that what the two share through content and codec
cancels.

The detection direction is learned from windows, not from the clips' means alone (pieces of ``fit_model``). On the 385
clips below, learned from them as published and after x264 CRF 23, pages held out in 10 folds, through the whole path:
AUC after CRF 23 .833 with twelve windows a clip, .820 with four, .804 with none; as published .813, .792, .769. Class
scores stay with the means: learned from windows they named more clips, and half of them wrongly.

Measured on 385 published clips of 66 pages after one H.264 re-encode (303 + 275 numbers a window), pages held out in
15 groups. Detection AUC: .715 on decoder vectors, .707 on texture vectors, .755 with the two scores added, .764 on the
joint vector (.760 with the covariance within the two sides instead of within makers; .729-.763 for ridge logistic
regression; .669-.760 for kernel ridge). Maker named rightly among 51, of 175 clips whose maker was known from another
page: .23 by the joint cosine (.21 as a mean over makers), .22 (.11) by the nearest mean, .15 (.12) with the cosines of
the two views added, .08 (.04) by two-covariance likelihoods (class means from one or two pages are too uncertain),
.05 (.04) by the nearest mean without discriminants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from fingerprint_db.normalise import (
    Floats,
    Normaliser,
    class_means,
    fit_normaliser,
    source_weights,
    within_covariance,
)

VIEWS = ("decoder", "texture")
VIEW_COMPONENTS = 32  # coordinates kept of each view for retrieval
JOINT_COMPONENTS = 256  # the classes less one are kept up to here
Vectors = Mapping[str, NDArray[Any]]  # view -> (N, D)


@dataclass(frozen=True, slots=True, eq=False)
class ScoringModel:
    """What was learned of pooled clips.

    classes: every maker with a signature, by slug, camera makers included. views: a normaliser for each kind of vector,
    for retrieval. joint: the normaliser of both vectors end to end, for scores. direction: (D,) detection direction in
    the joint standardised space, all zero where made and camera clips were not both at hand; offset: the score half
    way between the two. means: (C, K) class means in the joint discriminant space.
    """

    classes: tuple[str, ...]
    views: Mapping[str, Normaliser]
    joint: Normaliser
    direction: Floats
    offset: float
    means: Floats

    def detect(self, vectors: Vectors) -> Floats:
        """(N, 1) raw detection scores: larger is more likely made."""
        scores: Floats = self.joint.standardise(_join(vectors)) @ self.direction - self.offset
        return scores[:, None]

    def class_cosines(self, vectors: Vectors) -> Floats:
        """(N, C) cosines with the class means, -1..1."""
        cosines: Floats = _unit(self.joint.apply(_join(vectors))) @ _unit(self.means).T
        return cosines

    def retrieval(self, name: str, vectors: Vectors) -> Floats:
        """(N, K) coordinates of one view, as its index holds them."""
        return self.views[name].apply(vectors[name])


def fit_model(
    vectors: Vectors,
    classes: Sequence[str],
    sources: Sequence[str],
    made: NDArray[np.bool_],
    *,
    pieces: tuple[Vectors, NDArray[np.int64]] | None = None,
    retrieval: bool = True,
) -> ScoringModel:
    """Fit on pooled clips: view -> (N, D), with each clip's maker, source, and whether it was made or filmed.

    pieces: view -> (M, D) windows of the clips and (M,) the clip of each, to learn the detection direction from; None
    learns it from the pooled clips. What differs between windows of one clip is content, of which clips alone show too
    little: they are fewer than the dimensions.
    retrieval: False skips the normalisers of the views, which scores do not need.
    """
    joined = _join(vectors)
    joint = fit_normaliser(joined, classes, sources, components=JOINT_COMPONENTS)
    weights = source_weights(classes, sources)
    if pieces is None:
        direction, offset = _fisher(joint.standardise(joined), classes, made, weights)
    else:
        rows, owners = _join(pieces[0]), pieces[1]
        makers, places = [classes[i] for i in owners], [sources[i] for i in owners]
        direction, offset = _fisher(joint.standardise(rows), makers, made[owners], source_weights(makers, places))
    names, means = class_means(joint.apply(joined), classes, weights)
    views = {
        name: fit_normaliser(vectors[name], classes, sources, components=VIEW_COMPONENTS)
        for name in (VIEWS if retrieval else ())
    }
    return ScoringModel(tuple(names), views, joint, direction, offset, means)


def _fisher(rows: Floats, classes: Sequence[str], made: NDArray[np.bool_], weights: Floats) -> tuple[Floats, float]:
    """Direction and offset of the discriminant; zeros when one side is empty.

    The covariance is the one within makers, not within the two sides: makers differ from each other in ways that do not
    tell made from filmed, but so few makers would not describe that spread.
    """
    if not made.any() or made.all():
        return np.zeros(rows.shape[1]), 0.0
    filmed, produced = (np.average(rows[side], axis=0, weights=weights[side]) for side in (~made, made))
    within = within_covariance(rows, classes, weights)
    if float(np.trace(within)) <= 0:
        within = np.eye(rows.shape[1])
    direction: Floats = linalg.solve(within, produced - filmed, assume_a="pos")
    return direction, float((produced + filmed) @ direction / 2)


def _join(vectors: Vectors) -> Floats:
    return np.hstack([np.asarray(vectors[name], dtype=np.float64) for name in VIEWS])


def _unit(rows: Floats) -> Floats:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = rows / np.where(norms > 0, norms, 1.0)
    return unit
