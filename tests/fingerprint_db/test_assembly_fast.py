"""Assembly's fast forms give what its arithmetic gives when it is written out frame by frame."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint_db import repeats, seams
from fingerprint_db.bursts import Burst, Floats
from fingerprint_db.interpolation import PERIODS, contrasts, without_trend
from fingerprint_db.seams import FEW, LATTICE_THRESHOLDS, NEIGHBOURS, Seam, lattice
from tests.fingerprint_db import slow_assembly as slow


def series(rng: np.random.Generator, frames: int, gaps: float) -> Floats:
    values = rng.normal(20, 6, frames)
    values[rng.random(frames) < gaps] = np.nan
    return values


def a_film(seed: int, gaps: float = 0.1) -> list[Burst]:
    rng = np.random.default_rng(seed)
    bursts = []
    for number in range(int(rng.integers(1, 9))):
        frames = int(rng.integers(1, 40))
        start = 50 * number + int(rng.integers(0, 9))
        rows = np.stack([series(rng, frames, gaps) for _ in range(3)])
        crops = ((0, 0), (0, 9), (9, 0))
        bursts.append(
            Burst(np.arange(frames) / 25, np.arange(start, start + frames), "P" * frames, {"middle": rows}, crops)
        )
    return bursts


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("period", PERIODS)
def test_contrasts_are_those_of_phases_compared_one_by_one(seed: int, period: int) -> None:
    bursts = a_film(seed)
    for cycles in (2, 4):
        for part in (bursts, bursts[:1]):
            fast, reference = contrasts(part, "middle", period, cycles), slow.contrasts(part, "middle", period, cycles)
            np.testing.assert_allclose(fast[0], reference[0], rtol=1e-9, atol=1e-10)
            np.testing.assert_allclose(fast[1], reference[1], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("frames", [0, 1, 2, 4, 5, 16, 33])
def test_the_trend_taken_off_is_that_of_a_moving_mean(frames: int) -> None:
    values = series(np.random.default_rng(frames), frames, 0.1)
    for period in PERIODS:
        np.testing.assert_allclose(without_trend(values, period), slow.without_trend(values, period), atol=1e-12)


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 16, 33])
def test_spikes_stand_out_from_the_same_neighbours_in_rows_as_alone(frames: int) -> None:
    rng = np.random.default_rng(frames)
    rows = np.stack([series(rng, frames, gaps) for gaps in (0.0, 0.2, 0.6, 1.0)])
    together = seams._spikes(rows)
    for row, found in zip(rows, together, strict=True):
        np.testing.assert_array_equal(found, slow.spikes(row, NEIGHBOURS))
        np.testing.assert_array_equal(seams._spikes(row), found)


@pytest.mark.parametrize("seed", range(30))
def test_patterns_of_repeats_are_those_of_all_pairs_compared(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = list(repeats.PATTERNS)
    cycle = np.array(repeats.PATTERNS[names[seed % len(names)]])
    number = np.arange(int(rng.integers(12, 70))) + int(rng.integers(0, 9))
    change = np.where(cycle[number % len(cycle)] > 0, 0.02, 1.0) * rng.random(len(number)) ** rng.choice([0.2, 3])
    told = repeats._pattern(change, number)
    assert told == slow.pattern(change, number, apart=repeats._APART, share=repeats._PATTERN_SHARE)


def test_quantiles_are_numpys_to_the_digit() -> None:
    rng = np.random.default_rng(1)
    for count in range(1, 40):
        values = rng.random(count)
        for share in (0.5, 0.75, 0.8):
            assert repeats._quantile(np.sort(values), share) == float(np.quantile(values, share))


@pytest.mark.parametrize("seed", range(20))
def test_the_lattice_found_is_the_one_that_a_search_point_by_point_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    period, numbers = int(rng.choice(seams.PERIODS)), np.flatnonzero(rng.random(200) < 0.6)
    strength = rng.normal(0.5, 1.5, len(numbers)) + 5 * (numbers % period == seed % period) * (seed % 3 > 0)
    seen = [Seam(n / 25, int(n), float(s), float(s) - 1) for n, s in zip(numbers, strength, strict=True)]
    assert lattice(seen) == slow.lattice(seen, thresholds=dict(LATTICE_THRESHOLDS), few=FEW)
    assert lattice([]) == (0, [])
