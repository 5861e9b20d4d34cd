"""The measures of an evaluation: ranking, operating points, calibration, open-set naming, and their uncertainty.

Scores are log-likelihood ratios (natural log) of "made" against "camera"; higher means more likely made. Every function
takes plain arrays and returns plain numbers; NaN means "not defined on this sample" (for example no negatives).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression
from scipy.stats import beta, rankdata

Floats = NDArray[np.float64]

# The false-positive rates at which an archive is judged (SCIENCE: an archive needs a tiny one).
FPR_TARGETS = (0.05, 0.01, 0.001)


def auc(positives: ArrayLike, negatives: ArrayLike) -> float:
    """Probability that a random positive scores above a random negative, ties counted half (Mann-Whitney U)."""
    pos, neg = _floats(positives), _floats(negatives)
    if not pos.size or not neg.size:
        return float("nan")
    ranks = rankdata(np.concatenate([pos, neg]))
    u = ranks[: pos.size].sum() - pos.size * (pos.size + 1) / 2
    return float(u / (pos.size * neg.size))


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The largest share of positives found while at most ``target_fpr`` of the negatives raise an alarm.

    tpr is None when the negatives are too few to speak of that rate at all; ``note`` then says so in one sentence.
    fpr_bound: one-sided 95 % Clopper-Pearson bound on the true false-positive rate at this threshold.
    """

    target_fpr: float
    tpr: float | None
    threshold: float
    false_alarms: int
    negatives: int
    fpr_bound: float
    note: str


def operating_point(positives: ArrayLike, negatives: ArrayLike, target_fpr: float) -> OperatingPoint:
    """TPR at the lowest threshold whose measured FPR does not pass ``target_fpr`` (a score equal to it is an alarm).

    The rate counts as measurable when the target stands for at least half a negative (n * fpr >= 0.5). Between half
    and one negative the threshold lies above every negative, and the note says what that proves.
    """
    pos, neg = _floats(positives), np.sort(_floats(negatives))[::-1]
    allowed = int(np.floor(neg.size * target_fpr + 1e-9))
    if neg.size * target_fpr < 0.5 or not pos.size:
        why = f"{neg.size} negatives cannot show a false-positive rate of {target_fpr:.1%}"
        why = f"{why}: it takes {round(0.5 / target_fpr)} or more" if pos.size else "there is no positive to find"
        return OperatingPoint(target_fpr, None, float("nan"), 0, neg.size, float("nan"), why)
    # Alarms are scores above the (allowed + 1)-th highest negative; with ties there that is fewer than allowed.
    limit = neg[allowed] if allowed < neg.size else -np.inf
    threshold = float(np.nextafter(limit, np.inf))
    alarms = int((neg >= threshold).sum())
    bound = clopper_pearson(alarms, neg.size, level=0.90)[1]
    note = ""
    if bound > target_fpr:
        note = f"{alarms} alarms in {neg.size} negatives prove a false-positive rate of at most {bound:.1%} (95 %)"
    return OperatingPoint(target_fpr, float((pos >= threshold).mean()), threshold, alarms, neg.size, bound, note)


def roc_curve(positives: ArrayLike, negatives: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """(thresholds, fpr, tpr), thresholds falling from +inf; one point for each distinct score."""
    pos, neg = np.sort(_floats(positives)), np.sort(_floats(negatives))
    thresholds = np.concatenate([[np.inf], np.unique(np.concatenate([pos, neg]))[::-1]])

    def share(sample: Floats) -> Floats:
        above = sample.size - np.searchsorted(sample, thresholds, side="left")
        return above / sample.size if sample.size else np.full(thresholds.size, np.nan)

    return thresholds, share(neg), share(pos)


def clopper_pearson(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Exact two-sided binomial interval (Clopper and Pearson, 1934); (0, 1) without trials."""
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials")
    if trials == 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, successes, trials - successes + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, trials - successes)) if successes < trials else 1.0
    return low, high


def cllr(positives: ArrayLike, negatives: ArrayLike) -> float:
    """Log-likelihood-ratio cost in bits (Brümmer and du Preez, 2006): 0 perfect, 1 knows nothing, above 1 misleads."""
    pos, neg = _floats(positives), _floats(negatives)
    if not pos.size or not neg.size:
        return float("nan")
    misses = np.logaddexp(0.0, -pos).mean()
    alarms = np.logaddexp(0.0, neg).mean()
    return float((misses + alarms) / (2 * np.log(2)))


def min_cllr(positives: ArrayLike, negatives: ArrayLike) -> float:
    """Cllr after the best monotone recalibration (pool adjacent violators): what discrimination alone costs."""
    pos, neg = _floats(positives), _floats(negatives)
    if not pos.size or not neg.size:
        return float("nan")
    scores = np.concatenate([pos, neg])
    # Equal total weight for both classes gives posteriors at even prior odds, whose log-odds are the LLR. Tied scores
    # have to share one value, therefore the regression runs over distinct scores.
    values, where = np.unique(scores, return_inverse=True)
    hits = np.bincount(where[: pos.size], minlength=values.size) / pos.size
    alarms = np.bincount(where[pos.size :], minlength=values.size) / neg.size
    posterior = isotonic_regression(hits / (hits + alarms), weights=hits + alarms).x
    with np.errstate(divide="ignore"):
        llr = np.log(posterior) - np.log1p(-posterior)
    return cllr(llr[where[: pos.size]], llr[where[pos.size :]])


def calibration_error(positives: ArrayLike, negatives: ArrayLike, bins: int = 10) -> float:
    """Expected calibration error of the posterior at even prior odds, both classes weighing half; 0 is perfect."""
    pos, neg = _floats(positives), _floats(negatives)
    if not pos.size or not neg.size:
        return float("nan")
    posterior = 0.5 * (1 + np.tanh(np.concatenate([pos, neg]) / 2))  # the logistic function without overflow
    truth = np.concatenate([np.ones(pos.size), np.zeros(neg.size)])
    weight = np.concatenate([np.full(pos.size, 0.5 / pos.size), np.full(neg.size, 0.5 / neg.size)])
    bin_of = np.minimum((posterior * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, weights=weight * (truth - posterior), minlength=bins)
    return float(np.abs(gaps).sum())


def oscr(known: ArrayLike, right: ArrayLike, unknown: ArrayLike) -> float:
    """Area under correct naming of the known against false naming of the unknown (OSCR; Dhamija et al., 2018).

    known: score of each clip whose class is enrolled; right: whether its name was right; unknown: scores of the rest.
    The area cannot pass the closed-set accuracy ``right.mean()``.
    """
    known_, unknown_, right_ = _floats(known), _floats(unknown), np.asarray(right, dtype=bool)
    if not known_.size or not unknown_.size:
        return float("nan")
    # A pair counts when the known clip is named rightly and scores above the unknown one, ties half: the area under
    # the OSCR steps, without building them.
    below = np.searchsorted(np.sort(unknown_), known_, side="left")
    upto = np.searchsorted(np.sort(unknown_), known_, side="right")
    return float((0.5 * (below + upto) * right_).sum() / (known_.size * unknown_.size))


def risk_coverage(confidence: ArrayLike, right: ArrayLike) -> tuple[Floats, Floats]:
    """(coverage, risk): answer the most confident first; risk is the share of wrong answers among those given.

    One point for each distinct confidence, so that ties are answered together (Geifman and El-Yaniv, 2017).
    """
    score, good = _floats(confidence), np.asarray(right, dtype=bool)
    if not score.size:
        return np.zeros(0), np.zeros(0)
    order = np.argsort(-score, kind="stable")
    answered = np.arange(1, score.size + 1)
    last_of_tie = np.append(np.diff(score[order]) != 0, True)
    wrong = np.cumsum(~good[order])
    return (answered / score.size)[last_of_tie], (wrong / answered)[last_of_tie]


def confusion(truth: Sequence[str], answer: Sequence[str]) -> dict[str, dict[str, int]]:
    """Nested counts {truth: {answer: clips}}, both levels sorted by name."""
    table: dict[str, dict[str, int]] = {}
    for t, a in sorted(zip(truth, answer, strict=True)):
        row = table.setdefault(t, {})
        row[a] = row.get(a, 0) + 1
    return table


def bootstrap_by_source(
    sources: Sequence[str],
    strata: Sequence[str],
    statistics: Callable[[NDArray[np.intp]], Mapping[str, float]],
    *,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float] | None]:
    """Percentile intervals from resampling whole sources, since clips of one source are not independent.

    sources, strata: one entry a clip; a source is drawn within the set of strata it belongs to, so that every replicate
    keeps its camera and its generated sources. statistics: clip indices (with repeats) to named numbers.
    An interval is None when fewer than half of the replicates define the number, or fewer than three sources exist.
    """
    members: dict[str, list[int]] = {}
    kinds: dict[str, set[str]] = {}
    for i, (source, stratum) in enumerate(zip(sources, strata, strict=True)):
        members.setdefault(source, []).append(i)
        kinds.setdefault(source, set()).add(stratum)
    groups: dict[tuple[str, ...], list[NDArray[np.intp]]] = {}
    for source in sorted(members):
        groups.setdefault(tuple(sorted(kinds[source])), []).append(np.asarray(members[source], dtype=np.intp))
    everything = np.arange(len(sources), dtype=np.intp)
    samples: dict[str, list[float]] = {name: [] for name in statistics(everything)}
    if len(members) < 3:
        return dict.fromkeys(samples)
    random = np.random.default_rng(seed)
    for _ in range(replicates):
        drawn = [g[k] for g in groups.values() for k in random.integers(len(g), size=len(g))]
        for name, value in statistics(np.concatenate(drawn)).items():
            if np.isfinite(value):
                samples[name].append(value)
    tail = 50 * (1 - level)

    def interval(values: list[float]) -> tuple[float, float] | None:
        if len(values) * 2 < replicates:
            return None
        low, high = np.percentile(values, [tail, 100 - tail])
        return float(low), float(high)

    return {name: interval(values) for name, values in samples.items()}


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64).ravel()
