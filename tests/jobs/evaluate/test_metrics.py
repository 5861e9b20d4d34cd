"""The measures against slow definitions, and at the edges where a quick formula goes wrong."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from jobs.evaluate import metrics

scores = st.lists(st.integers(-6, 6).map(lambda k: k / 2), min_size=1, max_size=25)


@settings(max_examples=80, deadline=None)
@given(scores, scores)
def test_auc_is_the_share_of_pairs_in_the_right_order_with_ties_counted_half(
    pos: list[float], neg: list[float]
) -> None:
    pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for p, n in itertools.product(pos, neg)]
    assert metrics.auc(pos, neg) == pytest.approx(np.mean(pairs))


def test_auc_without_one_side_is_not_a_number() -> None:
    assert math.isnan(metrics.auc([], [1.0]))
    assert math.isnan(metrics.auc([1.0], []))


@settings(max_examples=80, deadline=None)
@given(scores, st.lists(st.integers(-6, 6).map(float), min_size=10, max_size=60), st.sampled_from([0.05, 0.1, 0.3]))
def test_tpr_at_fpr_is_the_best_of_all_thresholds_that_keep_the_rate(
    pos: list[float], neg: list[float], target: float
) -> None:
    point = metrics.operating_point(pos, neg, target)
    thresholds = sorted({*pos, *neg, 1e9})
    allowed = [t for t in thresholds if np.mean([n >= t for n in neg]) <= target + 1e-12]
    assert point.tpr == max(np.mean([p >= t for p in pos]) for t in allowed)
    assert point.false_alarms == sum(n >= point.threshold for n in neg)
    assert point.false_alarms / len(neg) <= target + 1e-12


def test_a_rate_that_the_negatives_cannot_show_is_refused_with_a_reason() -> None:
    point = metrics.operating_point(np.ones(300), np.zeros(84), 0.001)
    assert point.tpr is None
    assert point.note == "84 negatives cannot show a false-positive rate of 0.1%: it takes 500 or more"


def test_zero_false_alarms_come_with_the_bound_that_they_prove() -> None:
    point = metrics.operating_point(np.linspace(1, 2, 10), np.zeros(300), 0.001 * 5)
    assert (point.tpr, point.false_alarms) == (1.0, 0)
    assert point.fpr_bound == pytest.approx(0.00994, abs=1e-4)  # 1 - 0.05 ** (1 / 300)
    assert "0 alarms in 300 negatives" in point.note


@pytest.mark.parametrize(("k", "n"), [(0, 20), (1, 20), (7, 20), (20, 20)])
def test_the_exact_interval_is_where_each_binomial_tail_holds_two_and_a_half_percent(k: int, n: int) -> None:
    low, high = metrics.clopper_pearson(k, n)
    assert low == 0.0 if k == 0 else binom.sf(k - 1, n, low) == pytest.approx(0.025)
    assert high == 1.0 if k == n else binom.cdf(k, n, high) == pytest.approx(0.025)


def test_the_roc_runs_from_nothing_to_everything_through_every_distinct_score() -> None:
    thresholds, fpr, tpr = metrics.roc_curve([3, 2, 2], [2, 1])
    assert thresholds.tolist() == [np.inf, 3, 2, 1]
    assert fpr.tolist() == [0, 0, 0.5, 1]
    assert tpr.tolist() == [0, pytest.approx(1 / 3), 1, 1]
    assert np.trapezoid(tpr, fpr) == pytest.approx(metrics.auc([3, 2, 2], [2, 1]))


def test_cllr_is_one_for_a_system_that_knows_nothing_and_near_zero_for_one_that_knows() -> None:
    assert metrics.cllr(np.zeros(5), np.zeros(9)) == pytest.approx(1.0)
    assert metrics.cllr(np.full(5, 30.0), np.full(9, -30.0)) < 1e-9
    assert metrics.cllr(np.full(5, -3.0), np.full(9, 3.0)) > 1.0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 5).map(float), min_size=1, max_size=7), st.lists(st.integers(0, 5).map(float), min_size=1)
)
def test_min_cllr_is_the_least_cost_of_any_monotone_relabelling(pos: list[float], neg: list[float]) -> None:
    assert metrics.min_cllr(pos, neg) == pytest.approx(_least_monotone_cllr(pos, neg), abs=1e-9)


def _least_monotone_cllr(pos: list[float], neg: list[float]) -> float:
    """Pool adjacent violators, written out: merge neighbouring scores while the share of positives falls."""
    blocks = [[pos.count(v) / len(pos), neg.count(v) / len(neg)] for v in sorted({*pos, *neg})]
    merged = True
    while merged:
        merged = False
        for i in range(len(blocks) - 1):
            (a, b), (c, d) = blocks[i], blocks[i + 1]
            if a / (a + b) >= c / (c + d):
                blocks[i : i + 2] = [[a + c, b + d]]
                merged = True
                break
    cost = 0.0
    for hit, alarm in blocks:
        share = hit / (hit + alarm)
        cost += (hit * -math.log2(share) if hit else 0) + (alarm * -math.log2(1 - share) if alarm else 0)
    return cost / 2


def test_calibration_error_is_nothing_for_honest_ratios_and_large_for_boasting_ones() -> None:
    random = np.random.default_rng(1)
    llr = random.normal(0, 2, 200_000)
    made = random.random(llr.size) < 1 / (1 + np.exp(-llr))
    assert metrics.calibration_error(llr[made], llr[~made]) < 0.02
    assert metrics.calibration_error(5 * llr[made], 5 * llr[~made]) > 0.1
    assert metrics.calibration_error([1000.0], [-1000.0]) == 0.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=12), scores)
def test_oscr_is_the_area_under_right_naming_against_false_naming(
    known: list[tuple[int, bool]], unknown: list[float]
) -> None:
    score = np.array([float(s) for s, _ in known])
    right = np.array([r for _, r in known])
    thresholds = sorted({*score, *unknown, np.inf}, reverse=True)
    named = [float(np.mean(right & (score >= t))) for t in thresholds]
    alarms = [float(np.mean(np.array(unknown) >= t)) for t in thresholds]
    assert metrics.oscr(score, right, unknown) == pytest.approx(np.trapezoid(named, alarms))


def test_risk_falls_when_only_the_confident_answers_are_given() -> None:
    coverage, risk = metrics.risk_coverage([4, 3, 3, 1], [True, True, False, False])
    assert coverage.tolist() == [0.25, 0.75, 1.0]
    assert risk.tolist() == [0.0, pytest.approx(1 / 3), 0.5]


def test_confusion_counts_answers_under_each_truth() -> None:
    assert metrics.confusion(["a", "b", "a"], ["x", "b", "x"]) == {"a": {"x": 2}, "b": {"b": 1}}


def test_the_bootstrap_draws_whole_sources_so_that_repeats_of_one_source_add_no_certainty() -> None:
    random = np.random.default_rng(0)
    value = random.normal(size=12)
    few = metrics.bootstrap_by_source(
        [str(i) for i in range(12)], ["x"] * 12, lambda rows: {"mean": float(value[rows].mean())}, seed=3
    )
    repeated = np.repeat(value, 50)
    many = metrics.bootstrap_by_source(
        [str(i // 50) for i in range(600)], ["x"] * 600, lambda rows: {"mean": float(repeated[rows].mean())}, seed=3
    )
    assert few["mean"] is not None
    assert many["mean"] == pytest.approx(few["mean"])


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(7)
    sources = [str(i // 4) for i in range(160)]

    def covered() -> bool:
        value = np.repeat(random.normal(size=40), 4) + 0.3 * random.normal(size=160)
        low, high = metrics.bootstrap_by_source(
            sources, ["x"] * 160, lambda rows: {"m": float(value[rows].mean())}, replicates=200
        )["m"] or (1.0, 1.0)
        return low <= 0.0 <= high

    assert 0.85 <= np.mean([covered() for _ in range(100)]) <= 1.0


def test_the_bootstrap_keeps_both_classes_in_every_replicate_and_is_seeded() -> None:
    sources, strata = ["a", "b", "c", "d", "e"], ["camera", "made", "made", "made", "made"]

    def cameras(rows: NDArray[np.intp]) -> dict[str, float]:
        return {"cameras": float((rows == 0).sum()), "first": float(rows.mean())}

    first = metrics.bootstrap_by_source(sources, strata, cameras, seed=5, replicates=100)
    assert first["cameras"] == (1.0, 1.0)
    assert first == metrics.bootstrap_by_source(sources, strata, cameras, seed=5, replicates=100)


def test_two_sources_support_no_interval() -> None:
    assert metrics.bootstrap_by_source(["a", "b"], ["x", "x"], lambda rows: {"m": float(rows.mean())}) == {"m": None}
