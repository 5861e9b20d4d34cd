"""Calibration: likelihood ratios, p-values and costs against slow references and known truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingerprint_db.calibrate import auc, cllr, conformal_p, effective_size, fit_logistic, fit_temperature


def two_gaussians(seed, distance=2.0, made=2000, camera=2000):
    """Unit-variance scores at +-distance/2: the true natural-log LR of a score s is distance * s."""
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(distance / 2, 1, made), rng.normal(-distance / 2, 1, camera)])
    return scores[:, None], np.arange(made + camera) < made


def test_the_llr_of_two_gaussians_is_the_one_known_in_closed_form():
    scores, made = two_gaussians(0)
    fit = fit_logistic(scores, made, np.ones(len(made)))
    for score in (-1.0, 0.0, 0.5, 1.0):
        assert fit.llr(np.array([[score]]))[0] == pytest.approx(2.0 * score, abs=0.3)


def test_the_share_of_made_clips_in_the_training_set_does_not_move_the_llr():
    scores, made = two_gaussians(1, made=4000, camera=400)
    assert fit_logistic(scores, made, np.ones(len(made))).llr(np.array([[0.0]]))[0] == pytest.approx(0.0, abs=0.25)


def test_a_useless_score_gets_no_weight_beside_a_good_one_and_none_gets_a_negative_weight():
    scores, made = two_gaussians(2)
    rng = np.random.default_rng(3)
    both = np.hstack([scores, rng.normal(size=scores.shape)])
    fit = fit_logistic(both, made, np.ones(len(made)))
    assert abs(fit.weights[1]) < 0.1 * fit.weights[0]
    against = fit_logistic(-scores, made, np.ones(len(made)))
    assert against.weights[0] == 0.0
    assert against.llr(scores[:1])[0] == pytest.approx(0.0, abs=1e-4)


def test_no_llr_is_larger_than_the_data_supports_and_the_order_of_scores_is_kept():
    scores, made = two_gaussians(4, distance=12.0, made=30, camera=30)
    fit = fit_logistic(scores, made, np.ones(60))
    assert fit.limit == pytest.approx(math.log(31))
    llr = fit.llr(np.linspace(-8, 8, 50)[:, None])
    assert np.abs(llr).max() <= math.log(31)
    assert np.all(np.diff(llr) > 0)


def test_a_calibrated_llr_costs_less_than_knowing_nothing_and_less_than_an_overstated_one():
    scores, made = two_gaussians(5)
    fit = fit_logistic(scores, made, np.ones(len(made)))
    fresh, truth = two_gaussians(6)
    llr = fit.llr(fresh)
    assert cllr(llr, truth) < 0.6
    assert cllr(llr, truth) < cllr(10 * llr, truth)
    assert cllr(llr, truth) < cllr(llr + 2, truth)


def test_weights_count_as_repeated_clips_do():
    scores, made = two_gaussians(7, made=400, camera=600)
    weights = np.ones(1000)
    weights[::3] = 2.0
    repeated = np.repeat(np.arange(1000), weights.astype(int))
    a = fit_logistic(scores, made, weights)
    b = fit_logistic(scores[repeated], made[repeated], np.ones(len(repeated)))
    assert a.weights / a.scale == pytest.approx(b.weights / b.scale, rel=0.05)


def test_calibration_needs_both_classes():
    with pytest.raises(ValueError, match="both classes"):
        fit_logistic(np.zeros((3, 1)), np.array([True, True, True]), np.ones(3))


def slow_cllr(llr, truth):
    made = [math.log2(1 + math.exp(-v)) for v, t in zip(llr, truth, strict=True) if t]
    camera = [math.log2(1 + math.exp(v)) for v, t in zip(llr, truth, strict=True) if not t]
    return (sum(made) / len(made) + sum(camera) / len(camera)) / 2


lists = st.lists(st.tuples(st.floats(-20, 20), st.booleans()), min_size=2, max_size=30).filter(
    lambda rows: len({made for _, made in rows}) == 2
)


@given(lists)
def test_cllr_is_the_published_formula(rows):
    llr, truth = np.array([v for v, _ in rows]), np.array([t for _, t in rows])
    assert cllr(llr, truth) == pytest.approx(slow_cllr(llr, truth))


def test_knowing_nothing_costs_one_bit():
    assert cllr(np.zeros(4), np.array([True, False, True, False])) == pytest.approx(1.0)


@given(lists)
def test_auc_is_the_share_of_pairs_in_the_right_order(rows):
    pairs = [(a, b) for a, made in rows if made for b, other in rows if not other]
    slow = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)
    assert auc(np.array([v for v, _ in rows]), np.array([t for _, t in rows])) == pytest.approx(slow)


@given(st.lists(st.integers(-5, 5), max_size=20), st.integers(-6, 6))
def test_the_p_value_counts_the_cohort_at_or_above_the_score_and_is_never_zero(cohort, score):
    slow = (1 + sum(1 for other in cohort if other >= score)) / (1 + len(cohort))
    p = conformal_p(np.array([score]), np.array(cohort, dtype=float))[0]
    assert p == pytest.approx(slow)
    assert p > 0


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_camera_clips_get_a_small_p_value_as_rarely_as_it_says(seed):
    rng = np.random.default_rng(seed)
    p = np.array([conformal_p(rng.normal(size=1), rng.normal(size=19))[0] for _ in range(200)])
    assert (p <= 0.1).mean() < 0.1 + 5 * math.sqrt(0.1 * 0.9 / 200)


def test_the_effective_number_of_clips_is_their_number_when_weights_are_equal():
    assert effective_size(np.full(7, 0.3)) == pytest.approx(7.0)
    assert effective_size(np.array([1.0, 0.0, 0.0])) == pytest.approx(1.0)
    assert effective_size(np.zeros(0)) == 0.0


def test_the_temperature_undoes_an_overstatement():
    rng = np.random.default_rng(0)
    truths = rng.integers(0, 4, size=3000)
    likelihoods = rng.normal(size=(3000, 4))
    likelihoods[np.arange(3000), truths] += 1.0  # unit-variance scores shifted by one: already log likelihood ratios
    factor = fit_temperature(likelihoods, truths)
    overstated = fit_temperature(5 * likelihoods, truths)
    assert factor == pytest.approx(1.0, abs=0.15)
    assert overstated == pytest.approx(factor / 5, rel=0.02)


def test_without_clips_the_temperature_is_one():
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int)) == 1.0
