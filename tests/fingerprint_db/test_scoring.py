"""Class scores and detection scores, against densities computed the long way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fingerprint_db.scoring import VIEWS, fit_model


def clips(seed=0, per_class=30, dim=6):
    rng = np.random.default_rng(seed)
    names = ["camera", "svd", "wan"]
    means = {name: rng.normal(size=dim) * 2 for name in names}
    makers = [name for name in names for _ in range(per_class)]
    sources = [f"{name}-{i % 3}" for name in names for i in range(per_class)]
    vectors = {view: np.stack([means[m] + rng.normal(size=dim) for m in makers]) for view in VIEWS}
    return vectors, makers, sources, np.array([m != "camera" for m in makers])


def test_the_class_likelihood_is_the_predictive_density_of_the_two_covariance_model():
    vectors, makers, sources, made = clips()
    model = fit_model(vectors, makers, sources, made)
    view = model.views["decoder"]
    query = vectors["decoder"][:4]
    coordinates = view.normaliser.apply(query)
    for c in range(3):
        for row in range(4):
            # Observe the class's mean of `precision` unit-variance clips, then predict one more: the joint Gaussian
            # of (observed mean, new clip) conditioned the textbook way, one coordinate after the other.
            total = 0.0
            for k, between in enumerate(view.normaliser.spread):
                n = view.precision[c]
                joint = np.array([[between + 1 / n, between], [between, between + 1]])
                mean = joint[1, 0] / joint[0, 0] * view.means[c, k]
                variance = joint[1, 1] - joint[1, 0] ** 2 / joint[0, 0]
                total += stats.norm(mean, np.sqrt(variance)).logpdf(coordinates[row, k])
            constant = 0.5 * len(view.normaliser.spread) * np.log(2 * np.pi)
            assert view.log_likelihoods(query)[row, c] == pytest.approx(total + constant)


def test_the_views_likelihoods_are_added():
    vectors, makers, sources, made = clips()
    model = fit_model(vectors, makers, sources, made)
    parts = [model.views[view].log_likelihoods(vectors[view]) for view in VIEWS]
    assert np.allclose(model.log_likelihoods(vectors), parts[0] + parts[1])


def test_a_class_known_from_more_sources_is_known_more_exactly():
    vectors, makers, sources, made = clips()
    few = ["one-page" if maker == "wan" else source for maker, source in zip(makers, sources, strict=True)]
    _, sure = fit_model(vectors, makers, sources, made).views["decoder"].predictive()
    _, unsure = fit_model(vectors, makers, few, made).views["decoder"].predictive()
    wan = 2
    assert (unsure[wan] > sure[wan]).all()


def test_detection_scores_of_made_clips_lie_above_those_of_camera_clips():
    vectors, makers, sources, made = clips(seed=1)
    scores = fit_model(vectors, makers, sources, made).detect(vectors)
    assert scores.shape == (90, 2)
    assert (scores[made].mean(axis=0) > 0).all()
    assert (scores[~made].mean(axis=0) < 0).all()


def test_without_camera_clips_the_detection_score_says_nothing():
    vectors, makers, sources, _ = clips()
    model = fit_model(vectors, makers, sources, np.ones(90, dtype=bool))
    assert not model.detect(vectors).any()


def test_detection_is_balanced_when_made_clips_far_outnumber_camera_clips():
    vectors, makers, sources, made = clips(seed=2)
    keep = np.array([m != "camera" or i < 5 for i, m in enumerate(makers)])
    few = {view: rows[keep] for view, rows in vectors.items()}
    thin = fit_model(
        few,
        [m for m, k in zip(makers, keep, strict=True) if k],
        [s for s, k in zip(sources, keep, strict=True) if k],
        made[keep],
    )
    scores = thin.detect(vectors)
    assert (scores[~made] < 0).mean() > 0.6
    assert (scores[made] > 0).mean() > 0.6
