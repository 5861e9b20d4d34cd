"""The index: exact cosines, in a stable order, on disk and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingerprint_db.errors import SnapshotError
from fingerprint_db.index import SignatureIndex


def brute_force(rows, queries, k):
    """Cosines by definition, one pair at a time."""
    answers = []
    for query in queries:
        scores = [float(row @ query / (np.linalg.norm(row) * np.linalg.norm(query))) for row in rows]
        answers.append(sorted(((score, -i) for i, score in enumerate(scores)), reverse=True)[:k])
    return answers


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 60), st.integers(1, 40), st.integers(1, 8))
def test_search_finds_what_comparing_every_pair_finds(seed, rows, dim, k):
    rng = np.random.default_rng(seed)
    signatures, queries = rng.normal(size=(rows, dim)) * 50, rng.normal(size=(3, dim))
    index = SignatureIndex(dim)
    index.add(signatures)
    scores, _ = index.search(queries, k)
    expected = brute_force(signatures, queries, k)
    assert scores.shape == (3, min(k, rows))
    assert np.allclose(scores, [[score for score, _ in row] for row in expected], atol=1e-5)


def test_rows_are_named_by_their_order_of_addition_and_a_signature_finds_itself():
    signatures = np.random.default_rng(1).normal(size=(30, 12))
    index = SignatureIndex(12)
    index.add(signatures[:10])
    index.add(signatures[10:])
    scores, rows = index.search(signatures * 7.0, 1)
    assert rows[:, 0].tolist() == list(range(30))
    assert np.allclose(scores, 1.0, atol=1e-5)


def test_equal_scores_come_in_the_order_of_addition():
    index = SignatureIndex(3)
    index.add(np.tile([[1.0, 2.0, 3.0]], (5, 1)))
    _, rows = index.search(np.array([[1.0, 2.0, 3.0]]), 5)
    assert rows.tolist() == [[0, 1, 2, 3, 4]]


def test_an_empty_index_finds_nothing():
    scores, rows = SignatureIndex(4).search(np.ones((2, 4)), 5)
    assert scores.shape == rows.shape == (2, 0)


def test_a_zero_vector_has_cosine_zero_with_everything():
    index = SignatureIndex(2)
    index.add(np.array([[1.0, 0.0]]))
    assert index.search(np.zeros((1, 2)), 1)[0].tolist() == [[0.0]]


def test_an_index_comes_back_from_its_bytes_and_equal_indexes_have_equal_bytes():
    signatures = np.random.default_rng(2).normal(size=(20, 6))
    index, twin = SignatureIndex(6), SignatureIndex(6)
    index.add(signatures)
    twin.add(signatures)
    assert index.to_bytes() == twin.to_bytes()
    back = SignatureIndex.from_bytes(index.to_bytes())
    assert (len(back), back.dim) == (20, 6)
    assert np.array_equal(back.search(signatures, 3)[1], index.search(signatures, 3)[1])


@pytest.mark.parametrize("damaged", [b"", b"not an index at all", SignatureIndex(3).to_bytes()[:10]])
def test_bytes_that_are_no_index_are_refused(damaged):
    with pytest.raises(SnapshotError, match="damaged"):
        SignatureIndex.from_bytes(damaged)


def test_vectors_of_another_length_are_refused():
    with pytest.raises(ValueError, match="5 dimensions; this index holds 4"):
        SignatureIndex(4).add(np.ones((1, 5)))
