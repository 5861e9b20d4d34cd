"""Normalisation, against slow references and its own promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingerprint_db.normalise import (
    CLIP,
    fit_normaliser,
    pool,
    robust_location,
    shrunk_covariance,
    source_weights,
    within_covariance,
)


def clips(seed, classes=5, per_class=40, dim=12, nuisance=0.0):
    """Gaussian classes; clips of a source share an offset along one axis."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(classes, dim)) * 2
    makers = [f"m{c}" for c in range(classes) for _ in range(per_class)]
    sources = [f"s{c}-{i % 4}" for c in range(classes) for i in range(per_class)]
    offset = {source: rng.normal() * nuisance for source in sorted(set(sources))}
    rows = means[[int(m[1:]) for m in makers]] + rng.normal(size=(len(makers), dim))
    rows[:, 0] += [offset[source] for source in sources]
    return rows, makers, sources


def slow_shrunk_covariance(rows, weights):
    """OAS written out entry by entry."""
    n = sum(weights) ** 2 / sum(w * w for w in weights)
    dim = len(rows[0])
    s = [
        [sum(w * r[i] * r[j] for r, w in zip(rows, weights, strict=True)) / sum(weights) for j in range(dim)]
        for i in range(dim)
    ]
    trace = sum(s[i][i] for i in range(dim))
    square = sum(s[i][j] ** 2 for i in range(dim) for j in range(dim))
    rho = ((1 - 2 / dim) * square + trace**2) / ((n + 1 - 2 / dim) * (square - trace**2 / dim))
    rho = min(1.0, rho)
    return [[(1 - rho) * s[i][j] + (rho * trace / dim if i == j else 0.0) for j in range(dim)] for i in range(dim)]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 25), st.integers(2, 7))
def test_the_shrunken_covariance_is_the_published_formula(seed, rows, dim):
    rng = np.random.default_rng(seed)
    data, weights = rng.normal(size=(rows, dim)) * rng.uniform(0.1, 5, size=dim), rng.uniform(0.2, 2, size=rows)
    assert np.allclose(shrunk_covariance(data, weights), slow_shrunk_covariance(data.tolist(), weights.tolist()))


def test_fewer_clips_than_dimensions_still_give_an_invertible_covariance():
    covariance = shrunk_covariance(np.random.default_rng(0).normal(size=(10, 60)), np.ones(10))
    assert np.linalg.eigvalsh(covariance).min() > 1e-3


def test_within_class_covariance_becomes_the_identity_in_the_discriminant_space():
    rows, makers, sources = clips(1, per_class=200)
    normaliser = fit_normaliser(rows, makers, sources, components=4)
    within = within_covariance(normaliser.standardise(rows), makers, source_weights(makers, sources))
    assert np.allclose(normaliser.projection.T @ within @ normaliser.projection, np.eye(4), atol=1e-8)


def test_discriminant_directions_maximise_fishers_ratio():
    rows, makers, sources = clips(2)
    normaliser = fit_normaliser(rows, makers, sources, components=4)
    standard = normaliser.standardise(rows)
    within = within_covariance(standard, makers, source_weights(makers, sources))
    means = np.array([standard[[m == name for m in makers]].mean(axis=0) for name in sorted(set(makers))])
    between = np.cov(means.T)

    def ratio(direction):
        return direction @ between @ direction / (direction @ within @ direction)

    best = ratio(normaliser.projection[:, 0])
    assert best == pytest.approx(normaliser.spread[0])
    rng = np.random.default_rng(0)
    assert all(ratio(rng.normal(size=12)) <= best for _ in range(300))
    assert np.all(np.diff(normaliser.spread) <= 0)


def test_class_means_scatter_around_zero():
    rows, makers, sources = clips(3)
    normaliser = fit_normaliser(rows, makers, sources, components=4)
    out = normaliser.apply(rows)
    means = [np.average(out[[m == name for m in makers]], axis=0) for name in sorted(set(makers))]
    assert np.allclose(np.mean(means, axis=0), 0, atol=1e-8)


def test_a_direction_in_which_sources_differ_is_turned_down():
    quiet, makers, sources = clips(4)
    loud, _, _ = clips(4, nuisance=20.0)
    weight = [np.abs(fit_normaliser(rows, makers, sources, components=4).projection[0]).max() for rows in (quiet, loud)]
    assert weight[1] < 0.5 * weight[0]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_units_do_not_matter(seed, factor, shift):
    rows, makers, sources = clips(seed, per_class=8, dim=5)
    plain = fit_normaliser(rows, makers, sources, components=3).apply(rows)
    changed = fit_normaliser(rows * factor + shift, makers, sources, components=3).apply(rows * factor + shift)
    assert np.allclose(plain, changed, atol=1e-5)


def test_one_wild_value_moves_a_vector_no_farther_than_the_clip():
    rows, makers, sources = clips(5)
    normaliser = fit_normaliser(rows, makers, sources, components=4)
    wild = rows[:1].copy()
    wild[0, 3] = 1e9
    assert normaliser.standardise(wild)[0, 3] == CLIP


def test_a_constant_dimension_says_nothing():
    rows, makers, sources = clips(6)
    rows[:, 2] = 7.0
    normaliser = fit_normaliser(rows, makers, sources, components=4)
    moved = rows.copy()
    moved[:, 2] = 9.0
    assert np.array_equal(normaliser.apply(rows), normaliser.apply(moved))


def test_a_dimension_that_is_mostly_zero_is_scaled_by_its_deviation_and_not_thrown_away():
    column = np.zeros((100, 1))
    column[:20] = 3.0
    assert robust_location(column)[1][0] == pytest.approx(column.std())


def test_fitting_twice_gives_the_same_bits():
    rows, makers, sources = clips(7)
    first, second = (fit_normaliser(rows, makers, sources, components=4) for _ in range(2))
    assert first.projection.tobytes() == second.projection.tobytes()


@pytest.mark.parametrize("makers", [["a", "a"], ["a", "b"]])
def test_two_clips_suffice_to_fit_something_finite(makers):
    normaliser = fit_normaliser(np.array([[1.0, 2.0, 3.0], [2.0, 2.0, 1.0]]), makers, ["s", "t"], components=4)
    assert np.isfinite(normaliser.apply(np.ones((1, 3)))).all()


def test_pooling_ignores_a_tenth_of_the_windows_at_either_end():
    windows = np.ones((20, 3))
    windows[4] = 1e6
    windows[9] = -1e6
    assert pool(windows).tolist() == [1.0, 1.0, 1.0]


def test_pooling_few_windows_is_their_mean_and_their_order_does_not_matter():
    windows = np.random.default_rng(0).normal(size=(7, 4))
    assert np.allclose(pool(windows), windows.mean(axis=0))
    assert np.array_equal(pool(windows), pool(windows[::-1]))


def test_a_page_with_many_clips_weighs_the_root_of_their_number():
    weights = source_weights(["a"] * 16 + ["a"], ["big"] * 16 + ["small"])
    assert weights[:16].sum() / weights[16] == pytest.approx(4.0)
    assert weights.mean() == pytest.approx(1.0)
