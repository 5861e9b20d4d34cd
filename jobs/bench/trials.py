"""What fingerprints of known decoders are worth: every window judged by a system that saw neither its footage's source
nor, where the figure says so, its decoder.

The arithmetic that judges is the product's own (``fingerprint_db.scoring``), so that figures here are the system's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from fingerprint_db.normalise import (
    CLIP,
    Floats,
    class_means,
    fit_normaliser,
    robust_location,
    source_weights,
    within_covariance,
)
from fingerprint_db.scoring import fit_model
from jobs.bench.lessons import Lessons
from jobs.bench.windows import CAMERA, NEGATIVE, BenchWindows

Rows = NDArray[np.bool_]
FOLDS = 6
SHOTS = 10  # clips that an enrollment trial learns a decoder from


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """known, judged: rows by footage source. unknown: rows of decoders that this fold has not seen either."""

    known: Rows
    judged: Rows
    unknown: Rows


def folds_of(windows: BenchWindows, seed: int) -> list[Fold]:
    """Sources and designs dealt at random; kind B belongs to the unknown of every fold."""
    rng = np.random.default_rng(seed)
    source = _dealt(windows.source, rng)
    design = _dealt(windows.design, rng)
    folds = []
    for number in range(min(FOLDS, int(source.max()) + 1)):
        judged = source == number
        unseen = (windows.kind == "B") | (np.isin(windows.kind, ("A", "C", "D")) & (design == number))
        folds.append(Fold(~judged, judged, unseen))
    return folds


def detection_scores(
    windows: BenchWindows,
    folds: Sequence[Fold],
    progress: Callable[[str], None],
    lessons: Lessons | None = None,
    *,
    lessons_alone: bool = False,
) -> Floats:
    """(N,) scores of "through a decoder" against "camera" for camera footage, hard negatives and unseen decoders.

    Learned from camera footage and hard negatives on one side, sharp decoders of kinds C and D on the other, through
    all chains at once. Standardised by the fold's known camera windows of the chain; NaN for decoders that were seen.
    A learned fingerprint has no part in it; see ``BenchWindows.by_learned_alone``.

    lessons: published clips that every fold learns from as well, save those of a source it judges. lessons_alone: and
    from no decoder of the bench, so that all of them are unseen.
    """
    scores = np.full(len(windows), np.nan)
    made = np.isin(windows.kind, ("C", "D"))
    for number, fold in enumerate(folds):
        progress(f"detection, fold {number + 1} of {len(folds)}")
        usable = windows.sharp | (windows.kind == NEGATIVE)
        plain = np.isin(windows.kind, (CAMERA, NEGATIVE))
        taught = fold.known & ~fold.unknown & usable & (plain if lessons_alone else made | plain)
        vectors, classes, sources = windows.take(taught), windows.decoder[taught], windows.source[taught]
        sides = made[taught]
        if lessons is not None:
            apart = lessons.apart_from(np.unique(windows.source[fold.judged]).tolist())
            vectors = {name: np.concatenate([vectors[name], apart.vectors[name]]) for name in vectors}
            classes, sources = np.append(classes, apart.maker), np.append(sources, apart.source)
            sides = np.append(sides, apart.made)
        if not sides.any():
            continue
        model = fit_model(vectors, classes.tolist(), sources.tolist(), sides, retrieval=False)
        asked = fold.judged & (fold.unknown | plain | lessons_alone)
        raw = model.detect(windows.take(asked))[:, 0]
        for chain in np.unique(windows.chain):
            camera = fold.known & (windows.kind == CAMERA) & (windows.chain == chain)
            own = model.detect(windows.take(camera))[:, 0]
            rows = windows.chain[asked] == chain
            raw[rows] = (raw[rows] - own.mean()) / max(float(own.std()), 1e-9)
        scores[asked] = raw
    return scores


def pooled_auc(positives: Floats, negatives: Floats, count: int, seed: int, draws: int = 2000) -> float:
    """AUC of means of ``count`` windows drawn with replacement from all contents of a side."""
    rng = np.random.default_rng(seed)
    means = [side[rng.integers(len(side), size=(draws, count))].mean(axis=1) for side in (positives, negatives)]
    below = np.searchsorted(np.sort(means[1]), means[0], side="left")
    above = np.searchsorted(np.sort(means[1]), means[0], side="right")
    return float((below + above).mean() / 2 / draws)


@dataclass(frozen=True, slots=True)
class Pooled:
    """One decision from ``windows`` windows together: whether it is right, and whether the null's is."""

    chain: str
    windows: int
    right: bool
    null: bool


def closed_set(windows: BenchWindows, folds: Sequence[Fold], members: Rows) -> tuple[Rows, Rows, list[Pooled]]:
    """(N,) whether a window's decoder is named rightly among those of ``members``, by the fingerprint and by the null;
    and the same of all held-out windows together, of every decoder, chain and fold.

    The null knows one number, the high-frequency cue: the nearest class mean of the same chain.
    """
    right, null = np.zeros(len(windows), bool), np.zeros(len(windows), bool)
    pooled: list[Pooled] = []
    for fold in folds:
        taught, asked = fold.known & members, fold.judged & members
        if not asked.any():
            continue
        names, cosines = _cosines(windows, taught, asked)
        truth, chains, detail = windows.decoder[asked], windows.chain[asked], windows.detail[asked]
        right[asked] = names[cosines.argmax(axis=1)] == truth
        guessed = np.zeros(len(truth), bool)
        for chain in np.unique(chains):
            there = taught & (windows.chain == chain)
            kinds = np.unique(windows.decoder[there])
            if not len(kinds):
                continue
            means = np.array([windows.detail[there & (windows.decoder == kind)].mean() for kind in kinds])
            here = chains == chain
            guessed[here] = kinds[np.abs(detail[here][:, None] - means).argmin(axis=1)] == truth[here]
            for decoder in np.unique(truth[here]):
                rows = here & (truth == decoder)
                named = names[cosines[rows].mean(axis=0).argmax()]
                nearest = kinds[np.abs(detail[rows].mean() - means).argmin()]
                pooled.append(Pooled(str(chain), int(rows.sum()), bool(named == decoder), bool(nearest == decoder)))
        null[asked] = guessed
    return right, null, pooled


def enrolled_late(
    windows: BenchWindows, folds: Sequence[Fold], members: Rows, seed: int
) -> tuple[Rows, Rows, list[Pooled]]:
    """(asked, right): rank-1 of decoders that a fold has not seen, once each is enrolled from SHOTS clips; and the same
    of all held-out windows of a decoder, chain and fold together, without a null.

    As in the product, enrollment fits the scoring anew with those clips among the rest. Enrolled footage is of known
    sources, queries are of the others; both went through the same chain.
    """
    rng = np.random.default_rng(seed)
    asked_all, right = np.zeros(len(windows), bool), np.zeros(len(windows), bool)
    pooled: list[Pooled] = []
    for fold in folds:
        for chain in np.unique(windows.chain):
            here = members & (windows.chain == chain)
            taught = here & fold.known & ~fold.unknown
            for name in np.unique(windows.decoder[here & fold.known & fold.unknown]):
                rows = np.flatnonzero(here & fold.known & (windows.decoder == name))
                taught[rng.permutation(rows)[:SHOTS]] = True
            asked = here & fold.judged & fold.unknown & np.isin(windows.decoder, windows.decoder[taught])
            if not asked.any() or len(np.unique(windows.decoder[taught])) < 2:
                continue
            names, cosines = _cosines(windows, taught, asked)
            asked_all |= asked
            truth = windows.decoder[asked]
            right[asked] = names[cosines.argmax(axis=1)] == truth
            for decoder in np.unique(truth):
                rows = truth == decoder
                named = names[cosines[rows].mean(axis=0).argmax()]
                pooled.append(Pooled(str(chain), int(rows.sum()), bool(named == decoder), False))
    return asked_all, right, pooled


def design_distances(windows: BenchWindows, members: Rows, seed: int) -> Iterator[tuple[bool, float]]:
    """(same design, squared distance) for pairs of decoders that the same contents went through.

    The distance is between means of differences to the same content's camera window, in units of the spread between
    camera windows, cross-validated over two halves of the sources (Walther et al. 2016): two decoders that are alike
    are at zero in expectation, so that few contents do not pretend a distance.
    """
    camera = windows.kind == CAMERA
    centre, scale = robust_location(_joined(windows, camera))
    rows = _joined(windows, np.ones(len(windows), bool))
    rows = np.clip((rows - centre) / np.where(scale > 0, scale, 1.0), -CLIP, CLIP) * (scale > 0)
    # The camera alone: a spread that the members had a part in would fit their noise and find distances in it.
    chains = windows.chain[camera].tolist()
    spread = linalg.cho_factor(within_covariance(rows[camera], chains, np.ones(len(chains))))
    places = np.array([" ".join(place) for place in zip(windows.content, windows.chain, strict=True)])
    own = {place: rows[camera & (places == place)].mean(axis=0) for place in set(places[camera])}
    paired = members & np.isin(places, list(own))
    half = _dealt(windows.source, np.random.default_rng(seed), 2)
    names, means = [], []
    for name in np.unique(windows.decoder[paired]):
        at = np.flatnonzero(paired & (windows.decoder == name))
        shifts = rows[at] - np.array([own[place] for place in places[at]])
        if len(set(half[at])) == 2:
            names.append(name)
            means.append([shifts[half[at] == side].mean(axis=0) for side in (0, 1)])
    designs = {name: windows.design[members & (windows.decoder == name)][0] for name in names}
    for i, one in enumerate(names):
        for j in range(i + 1, len(names)):
            first, second = (means[i][side] - means[j][side] for side in (0, 1))
            yield designs[one] == designs[names[j]], float(first @ linalg.cho_solve(spread, second))


def _cosines(windows: BenchWindows, taught: Rows, asked: Rows) -> tuple[NDArray[np.str_], Floats]:
    classes, sources = windows.decoder[taught].tolist(), windows.source[taught].tolist()
    normaliser = fit_normaliser(_joined(windows, taught), classes, sources, components=256)
    names, means = class_means(normaliser.apply(_joined(windows, taught)), classes, source_weights(classes, sources))
    return np.array(names), _unit(normaliser.apply(_joined(windows, asked))) @ _unit(means).T


def _joined(windows: BenchWindows, rows: Rows) -> Floats:
    views = list(windows.take(rows).values())
    if windows.learned is not None:
        views.append(windows.learned[rows])
    return np.hstack([np.asarray(vectors, np.float64) for vectors in views])


def _dealt(labels: NDArray[np.str_], rng: np.random.Generator, parts: int = FOLDS) -> NDArray[np.intp]:
    """(N,) part of each row; equal labels share one, and the largest go to the emptiest part."""
    names, counts = np.unique(labels, return_counts=True)
    load, part = np.zeros(parts), dict[str, int]()
    for i in sorted(rng.permutation(len(names)), key=lambda at: -counts[at]):
        emptiest = int(load.argmin())
        part[str(names[i])] = emptiest
        load[emptiest] += counts[i]
    return np.array([part[str(label)] for label in labels])


def _unit(rows: Floats) -> Floats:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = rows / np.where(norms > 0, norms, 1.0)
    return unit
