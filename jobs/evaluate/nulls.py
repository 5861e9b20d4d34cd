"""What can be had without any fingerprint: the same folds judged from packaging, from the codec's parameters alone,
from a 16-pixel picture, from blur. (The null of shuffled labels is the system itself: see jobs.evaluate.judging.train.)

A claim is only what exceeds the strongest of these (SCIENCE, the honest protocol). They are therefore built to win:
extremely randomised trees (Geurts et al., 2006) on everything the packaging says, which beat a linear discriminant,
nearest neighbours and a random forest on the labelled clips that the project is developed on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from jobs.decode.thumbnail import Glance, Packaging
from jobs.evaluate.folds import Fold
from jobs.evaluate.manifest import Clip, Label

NullName = Literal["metadata", "thumbnail", "hf_energy", "codec_parameters", "majority"]
NULLS: tuple[NullName, ...] = ("metadata", "thumbnail", "hf_energy", "codec_parameters")  # those that learn
TREES = 300
_CATEGORIES = ("codec", "container", "profile", "pixel_format", "encoder")

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class NullScores:
    """One null's answers, a row a clip. scores: (N,) higher is more likely generated, NaN where nothing could be
    learned (a fold without both classes) and for processed clips. guesses: the generator it names, None likewise;
    families: the decoder family it names, by the generator where it knows no better.
    """

    scores: Matrix
    guesses: tuple[str | None, ...]
    families: tuple[str | None, ...] = ()


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
        "hf_energy": _sharpness(glances),
        "codec_parameters": codec_features(packagings),
    }
    found: dict[NullName, NullScores] = {}
    for name in NULLS:
        found[name] = _cross_judge(clips, features[name], features[name], folds, _Classifiers(name, seed, trees))
    found["majority"] = _majority(clips, folds)
    return found


def _majority(clips: Sequence[Clip], folds: Sequence[Fold]) -> NullScores:
    """Says of every clip what is most frequent among the fold's known ones: what a skew of the classes alone gives."""
    scores = np.full(len(clips), np.nan)
    guesses: list[str | None] = [None] * len(clips)
    families: list[str | None] = [None] * len(clips)
    for fold in folds:
        known = [clips[i] for i in fold.known if clips[i].label is Label.GENERATED]
        both = bool(known) and any(clips[i].label is Label.CAMERA for i in fold.known)
        for i in fold.held_out:
            if both and clips[i].label is not Label.PROCESSED:
                scores[i] = 0.0  # the same for all: it tells nothing of who was filmed
            if clips[i].label is Label.GENERATED:
                guesses[i] = _most_frequent([clip.generator for clip in known])
                families[i] = _most_frequent([clip.family for clip in known])
    return NullScores(scores, tuple(guesses), tuple(families))


def _most_frequent(names: Sequence[str | None]) -> str | None:
    counts = Counter(name for name in names if name is not None)
    return min(counts, key=lambda name: (-counts[name], name)) if counts else None


def score_sharpness(
    clips: Sequence[Clip], learned: Sequence[Glance], judged: Sequence[Glance], folds: Sequence[Fold]
) -> NullScores:
    """The null of sharpness, learned from one chain's glances and judging another's; one of each a clip."""
    return _cross_judge(clips, _sharpness(learned), _sharpness(judged), folds, _Classifiers("hf_energy", 0, 0))


def _sharpness(glances: Sequence[Glance]) -> Matrix:
    return np.log(np.array([[glance.hf_energy] for glance in glances]) + 1e-6)


def codec_features(packagings: Sequence[Packaging]) -> Matrix:
    """(N, 10): what the encoder was told, and nothing of the picture's size, length or rate."""
    fields = ("codec", "profile", "pixel_format", "encoder")
    codes: dict[str, dict[str, int]] = {field: {} for field in fields}
    rows = []
    for p in packagings:
        pixels = max(p.width * p.height, 1)
        rows.append(
            [
                np.log1p(1e3 * p.bit_rate / (pixels * max(p.fps, 1.0))),
                p.keyframe_gap,
                float(p.keyframe_gap == p.frames),
                float(p.reordered),
                p.clock,
                float(p.has_audio),
                *(codes[field].setdefault(getattr(p, field), len(codes[field])) for field in fields),
            ]
        )
    return np.array(rows, dtype=np.float64).reshape(len(packagings), -1)


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


def _cross_judge(
    clips: Sequence[Clip], features: Matrix, judged: Matrix, folds: Sequence[Fold], make: _Classifiers
) -> NullScores:
    """Learned from ``features`` of each fold's known clips, asked about ``judged`` of its held-out ones."""
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
            scores[held] = detector.predict_proba(judged[held])[:, 1]
        known, held = known[made[known]], held[made[held]]
        if held.size and known.size:
            answers = _name(make, features[known], makers[known], judged[held])
            for i, answer in zip(held, answers, strict=True):
                guesses[i] = str(answer)
    family = {clip.generator: clip.family for clip in clips if clip.label is Label.GENERATED}
    return NullScores(scores, tuple(guesses), tuple(family.get(guess) for guess in guesses))


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
