"""What can be had without any fingerprint: the same folds judged from packaging, from a 16-pixel picture, from blur.

A claim is only what exceeds the strongest of these (SCIENCE, the honest protocol). They are therefore built to win:
extremely randomised trees (Geurts et al., 2006) on everything the packaging says, which beat a linear discriminant,
nearest neighbours and a random forest on the labelled clips that the project is developed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from jobs.decode.thumbnail import Glance, Packaging
from jobs.evaluate.folds import Fold
from jobs.evaluate.manifest import Clip, Label

NullName = Literal["metadata", "thumbnail", "hf_energy"]
NULLS: tuple[NullName, ...] = ("metadata", "thumbnail", "hf_energy")
TREES = 300
_CATEGORIES = ("codec", "container", "profile", "pixel_format", "encoder")

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class NullScores:
    """One null's answers, a row a clip. scores: (N,) higher is more likely generated, NaN where nothing could be
    learned (a fold without both classes) and for processed clips. guesses: the generator it names, None likewise.
    """

    scores: Matrix
    guesses: tuple[str | None, ...]


def score_nulls(
    clips: Sequence[Clip],
    packagings: Sequence[Packaging],
    glances: Sequence[Glance],
    folds: Sequence[Fold],
    *,
    seed: int = 0,
    trees: int = TREES,
) -> dict[NullName, NullScores]:
    """All nulls over the system's own folds. packagings: of the original files; glances: of the pixels that the system
    saw. One entry a clip in each; ``folds`` number the clips. trees: more are stronger and slower.
    """
    features: dict[NullName, Matrix] = {
        "metadata": metadata_features(packagings),
        "thumbnail": np.stack([glance.thumbnail.ravel() for glance in glances]).astype(np.float64),
        "hf_energy": np.log(np.array([[glance.hf_energy] for glance in glances]) + 1e-6),
    }
    return {name: _cross_judge(clips, features[name], folds, _Classifiers(name, seed, trees)) for name in NULLS}


def metadata_features(packagings: Sequence[Packaging]) -> Matrix:
    """(N, 24): sizes, rates, counts and their remainders, which give native sizes and frame rules away; and the
    categorical fields as numbers in order of first use, which trees can cut apart.
    """
    rows = []
    codes: dict[str, dict[str, int]] = {field: {} for field in _CATEGORIES}
    for p in packagings:
        pixels = max(p.width * p.height, 1)
        rows.append(
            [
                p.width,
                p.height,
                pixels,
                p.width / max(p.height, 1),
                p.fps,
                p.frames,
                np.log1p(p.bit_rate),
                np.log1p(p.bit_rate / (pixels * max(p.fps, 1.0))),
                p.frames % 4,
                p.frames % 8,
                p.width % 16,
                p.height % 16,
                p.frames / max(p.fps, 0.1),
                float(p.fps == round(p.fps)),
                p.keyframe_gap,
                float(p.keyframe_gap == p.frames),
                float(p.reordered),
                p.clock,
                float(p.has_audio),
                *(codes[field].setdefault(getattr(p, field), len(codes[field])) for field in _CATEGORIES),
            ]
        )
    return np.array(rows, dtype=np.float64).reshape(len(packagings), -1)


def _cross_judge(clips: Sequence[Clip], features: Matrix, folds: Sequence[Fold], make: _Classifiers) -> NullScores:
    made = np.array([clip.label is Label.GENERATED for clip in clips])
    plain = np.array([clip.label is not Label.PROCESSED for clip in clips])
    makers = np.array([clip.generator or "" for clip in clips])
    scores = np.full(len(clips), np.nan)
    guesses: list[str | None] = [None] * len(clips)
    for fold in folds:
        known = np.array([i for i in fold.known if plain[i]], dtype=np.intp)
        held = np.array([i for i in fold.held_out if plain[i]], dtype=np.intp)
        if held.size and len(set(made[known])) == 2:
            detector = make().fit(features[known], made[known])
            scores[held] = detector.predict_proba(features[held])[:, 1]
        known, held = known[made[known]], held[made[held]]
        if held.size and known.size:
            answers = _name(make, features[known], makers[known], features[held])
            for i, answer in zip(held, answers, strict=True):
                guesses[i] = str(answer)
    return NullScores(scores, tuple(guesses))


def _name(make: _Classifiers, known: Matrix, makers: NDArray[Any], held: Matrix) -> Sequence[Any]:
    if len(set(makers)) == 1:
        return [makers[0]] * len(held)
    answers: NDArray[Any] = make().fit(known, makers).predict(held)
    return list(answers)


@dataclass(frozen=True, slots=True)
class _Classifiers:
    """Makes a fresh classifier of the kind that is strongest for a null."""

    name: NullName
    seed: int
    trees: int

    def __call__(self) -> Any:
        # scikit-learn takes a second to import, which only the evaluation should pay.
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
        from sklearn.ensemble import ExtraTreesClassifier

        if self.name == "hf_energy":
            # One number: trees would learn its noise, a Gaussian a class is stronger.
            return LinearDiscriminantAnalysis()
        return ExtraTreesClassifier(self.trees, class_weight="balanced", random_state=self.seed, n_jobs=1)
