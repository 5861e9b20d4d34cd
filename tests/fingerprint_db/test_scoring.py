"""Class scores and detection scores, against their definitions written out."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint_db.calibrate import auc
from fingerprint_db.normalise import source_weights, within_covariance
from fingerprint_db.scoring import VIEWS, fit_model


def clips(seed=0, per_class=30, dim=6):
    rng = np.random.default_rng(seed)
    names = ["camera", "svd", "wan"]
    means = {name: rng.normal(size=dim) * 2 for name in names}
    makers = [name for name in names for _ in range(per_class)]
    sources = [f"{name}-{i % 3}" for name in names for i in range(per_class)]
    vectors = {view: np.stack([means[m] + rng.normal(size=dim) for m in makers]) for view in VIEWS}
    return vectors, makers, sources, np.array([m != "camera" for m in makers])


def test_a_class_score_is_the_cosine_in_the_whitened_space_of_the_joint_vector():
    vectors, makers, sources, made = clips()
    model = fit_model(vectors, makers, sources, made)
    weights = source_weights(makers, sources)
    rows = model.joint.standardise(np.hstack([vectors[view] for view in VIEWS]))
    inverse = np.linalg.inv(within_covariance(rows, makers, weights))
    labels = np.array(makers)
    means = np.stack([rows[labels == n].T @ weights[labels == n] / weights[labels == n].sum() for n in model.classes])
    centred = means - means.mean(axis=0)
    query = rows[:5] - means.mean(axis=0)
    # Only the plane of the class means tells classes apart: project on it under the metric of the inverse covariance.
    plane = centred[:2].T
    projector = plane @ np.linalg.inv(plane.T @ inverse @ plane) @ plane.T @ inverse
    inside = query @ projector.T

    def cosine(a, b):
        return a @ inverse @ b / np.sqrt((a @ inverse @ a) * (b @ inverse @ b))

    slow = [[cosine(q, m) for m in centred] for q in inside]
    found = model.class_cosines({view: vectors[view][:5] for view in VIEWS})
    assert np.allclose(found, slow, atol=1e-8)


def test_the_detection_direction_is_fishers():
    vectors, makers, sources, made = clips()
    model = fit_model(vectors, makers, sources, made)
    weights = source_weights(makers, sources)
    rows = model.joint.standardise(np.hstack([vectors[view] for view in VIEWS]))
    sides = [np.average(rows[side], axis=0, weights=weights[side]) for side in (~made, made)]
    expected = np.linalg.inv(within_covariance(rows, makers, weights)) @ (sides[1] - sides[0])
    assert np.allclose(model.direction, expected)
    assert model.offset == pytest.approx(expected @ (sides[0] + sides[1]) / 2)


def test_detection_scores_of_made_clips_lie_above_those_of_camera_clips():
    vectors, makers, sources, made = clips(seed=1)
    scores = fit_model(vectors, makers, sources, made).detect(vectors)
    assert scores.shape == (90, 1)
    assert scores[made].mean() > 0 > scores[~made].mean()


def test_without_camera_clips_the_detection_score_says_nothing():
    vectors, makers, sources, _ = clips()
    model = fit_model(vectors, makers, sources, np.ones(90, dtype=bool))
    assert not model.detect(vectors).any()


def test_detection_is_balanced_when_made_clips_far_outnumber_camera_clips():
    vectors, makers, sources, made = clips(seed=2)
    keep = np.array([m != "camera" or i < 5 for i, m in enumerate(makers)])
    few = {view: rows[keep] for view, rows in vectors.items()}
    chosen = np.flatnonzero(keep)
    thin = fit_model(few, [makers[i] for i in chosen], [sources[i] for i in chosen], made[keep])
    scores = thin.detect(vectors)[:, 0]
    assert (scores[~made] < 0).mean() > 0.6
    assert (scores[made] > 0).mean() > 0.6


def test_scores_do_not_depend_on_whether_retrieval_was_asked_for():
    vectors, makers, sources, made = clips()
    full = fit_model(vectors, makers, sources, made)
    lean = fit_model(vectors, makers, sources, made, retrieval=False)
    assert lean.views == {}
    assert np.array_equal(full.class_cosines(vectors), lean.class_cosines(vectors))


def test_a_single_class_gives_finite_scores():
    vectors, _, sources, _ = clips()
    model = fit_model(vectors, ["camera"] * 90, sources, np.zeros(90, dtype=bool))
    assert np.isfinite(model.class_cosines(vectors)).all()


def test_the_direction_is_learned_from_the_windows_where_these_are_given():
    """Clips' means that hide a direction in which windows scatter: only the windows can tell it from the difference."""
    random = np.random.default_rng(5)
    made = np.arange(40) % 2 == 0
    makers = ["maker" if one else "camera" for one in made]
    sources = [f"page {i // 4}" for i in range(40)]
    owners = np.repeat(np.arange(40), 30)
    content = random.normal(size=(1200, 1)) * 8.0
    signal = np.where(made[owners], 1.0, -1.0)[:, None] + random.normal(size=(1200, 1))
    # The first number carries trace and content, the second content alone.
    rows = np.hstack([signal + content, content, random.normal(size=(1200, 4))])
    windows = {name: rows + 1e-3 * random.normal(size=rows.shape) for name in VIEWS}
    means = {name: np.stack([rows[owners == i].mean(axis=0) for i in range(40)]) for name in VIEWS}
    pooled = fit_model(means, makers, sources, made, retrieval=False)
    learned = fit_model(means, makers, sources, made, pieces=(windows, owners.astype(np.int64)), retrieval=False)
    assert auc(learned.detect(windows)[:, 0], made[owners]) > auc(pooled.detect(windows)[:, 0], made[owners])
    assert learned.means.tolist() == pooled.means.tolist(), "class scores stay with the means"
