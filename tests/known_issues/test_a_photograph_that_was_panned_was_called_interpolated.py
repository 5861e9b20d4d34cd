"""Photographs that a program pans over were called interpolated: five of the 31 files of the demo's archive.

Such a motion has next to no acceleration at any frame. What rounding and the codec leave of it may still alternate, and
the rhythm alone was looked at, not whether there was anything to have a rhythm.
"""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint_db.interpolation import PERIODS, THRESHOLDS, cadence, rhythm
from tests.fingerprint_db.moving import camera, line


def panned(unsteady: float) -> np.ndarray:
    """(60, 2) places of a pan whose speed changes by ``unsteady`` px at every second frame, evenly between."""
    rng = np.random.default_rng(5)
    speed = np.array([0.8, -1.2]) + unsteady * rng.normal(size=(31, 2))
    places = np.cumsum(np.repeat(speed, 2, axis=0), axis=0)
    return places[:60]


@pytest.mark.parametrize(("unsteady", "kind"), [(0.02, "none"), (0.6, "interpolated")])
def test_a_rhythm_counts_where_there_is_an_acceleration_to_have_one(unsteady: float, kind: str) -> None:
    film = line(camera(60, where=panned(unsteady), noise=0.05), bursts=(0, 16, 32, 44))
    assert PERIODS[0] == 2
    assert rhythm(film, 2).score > THRESHOLDS[2], "the rhythm is there in both"
    assert cadence(film).kind == kind
