"""Curves of an evaluation as plain points: detection, how often an answer is wrong when fewer are given, who is taken
for whom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from jobs.evaluate import metrics
from jobs.evaluate.figures import Judged
from jobs.evaluate.manifest import Label

Points = tuple[tuple[float, float], ...]
TARGET_RISK = 0.15  # names are to be right in 85 of 100
MOST_POINTS = 400


@dataclass(frozen=True, slots=True)
class Curves:
    """roc: (false-positive rate, true-positive rate) of the llr, generated against camera, rising.

    risk_generator, risk_family: (coverage, risk), the surest answers first: the share of generated clips (of clips of a
    known family) that would be given their best-fitting maker's name (family), and the share of those names that is
    wrong. The order is that of the margin; clips whose maker is in no signature can only be named wrongly, and count.
    coverage_generator, coverage_family: the largest coverage at which the risk is at most TARGET_RISK, 0 if none.
    llr_generated, llr_camera: sorted. confusion: {truth: {best-fitting maker, or camera where that fits better}}.
    """

    roc: Points = ()
    risk_generator: Points = ()
    risk_family: Points = ()
    coverage_generator: float = 0.0
    coverage_family: float = 0.0
    llr_generated: tuple[float, ...] = ()
    llr_camera: tuple[float, ...] = ()
    confusion: dict[str, dict[str, int]] = field(default_factory=dict)


def curves_of(judged: Sequence[Judged]) -> Curves:
    """All curves of these verdicts."""
    made = [j for j in judged if j.clip.label is Label.GENERATED]
    filmed = [j for j in judged if j.clip.label is Label.CAMERA]
    with_family = [j for j in made if j.clip.family is not None]
    positive, negative = _llr(made), _llr(filmed)
    roc: Points = ()
    if positive.size and negative.size:
        _, fpr, tpr = metrics.roc_curve(positive, negative)
        roc = _points(fpr, tpr)
    generator = _risk(made, [j.leading is not None and j.leading.generator == j.clip.generator for j in made])
    family = _risk(with_family, [j.leading is not None and j.leading.family == j.clip.family for j in with_family])
    shown = [j for j in judged if j.clip.label is not Label.PROCESSED]
    return Curves(
        roc=roc,
        risk_generator=_points(*generator),
        risk_family=_points(*family),
        coverage_generator=_largest(*generator),
        coverage_family=_largest(*family),
        llr_generated=tuple(positive.tolist()),
        llr_camera=tuple(negative.tolist()),
        confusion=metrics.confusion(
            [j.clip.generator or j.clip.label.value for j in shown], [_taken_for(j) for j in shown]
        ),
    )


def _risk(judged: Sequence[Judged], right: Sequence[bool]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # Without anything to compare with there is no answer to give: last of all, and wrong.
    sureness = [j.leading.margin if j.leading is not None else -np.inf for j in judged]
    return metrics.risk_coverage(sureness, right)


def _largest(coverage: NDArray[np.float64], risk: NDArray[np.float64]) -> float:
    good = coverage[risk <= TARGET_RISK]
    return float(good.max()) if good.size else 0.0


def _taken_for(judged: Judged) -> str:
    if judged.leading is None:
        return "nothing"
    return judged.leading.generator if judged.leading.margin > 0 else "camera"


def _llr(judged: Sequence[Judged]) -> NDArray[np.float64]:
    return np.sort(np.array([j.verdict.llr for j in judged if j.verdict.llr is not None], dtype=np.float64))


def _points(x: NDArray[np.float64], y: NDArray[np.float64]) -> Points:
    """At most MOST_POINTS of them, the first and the last among them."""
    keep = np.unique(np.linspace(0, max(len(x) - 1, 0), min(len(x), MOST_POINTS)).round().astype(int))
    return tuple((float(x[i]), float(y[i])) for i in keep)
