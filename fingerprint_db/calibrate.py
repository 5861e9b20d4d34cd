"""Turns scores into numbers that mean something: log-likelihood ratios, p-values, and how good they are (Cllr).

Everything here expects scores of clips whose source was not among those that the scoring model was fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Floats = NDArray[np.float64]

RIDGE = 1.0  # strength of the prior that a standardised score is worth nothing, in clips


@dataclass(frozen=True, slots=True, eq=False)
class LogisticCalibration:
    """Several scores of one clip to one natural-log likelihood ratio.

    centre, scale, weights: (F,). limit: the largest absolute value that the amount of data can support; values
    approach it smoothly, so the order of clips is kept.
    """

    centre: Floats
    scale: Floats
    weights: Floats
    bias: float
    limit: float

    def llr(self, scores: NDArray[Any]) -> Floats:
        """(N, F) scores to (N,) natural-log likelihood ratios."""
        rows = (np.atleast_2d(np.asarray(scores, dtype=np.float64)) - self.centre) / self.scale
        raw = rows @ self.weights + self.bias
        bounded: Floats = self.limit * np.tanh(raw / self.limit)
        return bounded


def fit_logistic(scores: NDArray[Any], positive: NDArray[np.bool_], weights: NDArray[Any]) -> LogisticCalibration:
    """Logistic regression of ``positive`` on (N, F) scores, both classes given the same total weight.

    With equal class weights the prior odds are one, so the fitted log-odds are log-likelihood ratios (Brümmer and du
    Preez 2006). The slopes carry a weak ridge and cannot fall below zero: a score that would count against itself is
    noise. The limit is the log of one more than the effective number of clips in the smaller class: a likelihood
    ratio of a million to one cannot be learned from fifty clips.
    Raises ValueError when a class is empty.
    """
    rows = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    truth = np.asarray(positive, dtype=bool)
    if not truth.any() or truth.all():
        raise ValueError("Calibration needs clips of both classes.")
    raw_weights = np.asarray(weights, dtype=np.float64)
    sizes = [float(effective_size(raw_weights[truth])), float(effective_size(raw_weights[~truth]))]
    balanced = np.where(truth, raw_weights / raw_weights[truth].sum(), raw_weights / raw_weights[~truth].sum())
    balanced *= min(sizes)
    centre = np.average(rows, axis=0, weights=balanced)
    spread = np.sqrt(np.average((rows - centre) ** 2, axis=0, weights=balanced))
    scale = np.where(spread > 1e-12, spread, 1.0)
    x = (rows - centre) / scale
    sign = np.where(truth, 1.0, -1.0)

    def loss(theta: Floats) -> tuple[float, Floats]:
        odds = sign * (x @ theta[:-1] + theta[-1])
        value = float((balanced * np.logaddexp(0.0, -odds)).sum() + 0.5 * RIDGE * (theta[:-1] ** 2).sum())
        pull = -balanced * sign * special.expit(-odds)
        return value, np.append(pull @ x + RIDGE * theta[:-1], pull.sum())

    features = x.shape[1]
    bounds = [(0.0, None)] * features + [(None, None)]
    found = optimize.minimize(loss, np.zeros(features + 1), jac=True, method="L-BFGS-B", bounds=bounds)
    return LogisticCalibration(centre, scale, found.x[:-1], float(found.x[-1]), float(np.log1p(min(sizes))))


def effective_size(weights: NDArray[Any]) -> float:
    """Kish's effective number of equally weighted rows; 0 for none."""
    square = float((np.asarray(weights) ** 2).sum())
    return float(np.asarray(weights).sum() ** 2 / square) if square > 0 else 0.0


def conformal_p(scores: NDArray[Any], cohort: NDArray[Any]) -> Floats:
    """(N,) p-values of "this is one of the cohort": (1 + how many of the cohort score at least as high) / (1 + cohort).

    Never 0, and valid for any score function if the cohort was scored out of sample (Vovk et al. 2005).
    """
    ordered = np.sort(np.asarray(cohort, dtype=np.float64))
    above = len(ordered) - np.searchsorted(ordered, np.asarray(scores, dtype=np.float64), side="left")
    return np.asarray((1.0 + above) / (1.0 + len(ordered)), dtype=np.float64)


def cllr(llr: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Cost of log-likelihood ratios in bits (Brümmer 2006): 0 is perfect, 1 is as good as knowing nothing."""
    values, truth = np.asarray(llr, dtype=np.float64), np.asarray(positive, dtype=bool)
    missed = np.logaddexp(0.0, -values[truth]).mean()
    alarmed = np.logaddexp(0.0, values[~truth]).mean()
    return float((missed + alarmed) / 2 / np.log(2))


def auc(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Probability that a positive scores above a negative, ties counted half."""
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
    negatives = np.sort(values[~truth])
    below = np.searchsorted(negatives, values[truth], side="left")
    upto = np.searchsorted(negatives, values[truth], side="right")
    return float((below + upto).mean() / 2 / len(negatives))


def fit_temperature(scores: NDArray[Any], truths: NDArray[Any]) -> float:
    """The factor that makes softmax(factor * row) fit the true classes best (Guo et al. 2017, without a bias).

    scores: (N, C), -inf for a class that is not in the running. truths: (N,) columns. 1e-3..1e3; 1 without rows.
    """
    if not len(truths):
        return 1.0
    own = scores[np.arange(len(truths)), truths]

    def loss(log_factor: float) -> float:
        factor = np.exp(log_factor)
        return float((special.logsumexp(factor * scores, axis=1) - factor * own).mean())

    found = optimize.minimize_scalar(loss, bounds=(np.log(1e-3), np.log(1e3)), method="bounded")
    return float(np.exp(found.x))
