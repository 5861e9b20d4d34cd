"""Joins in time: a seam at its frame, and cuts, keyframes, flashes, freezes and jerks that are none."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint_db.repeats import without_repeats
from fingerprint_db.seams import COARSE_SHARE, LATTICE_THRESHOLDS, NEIGHBOURS, Seam, joins, lattice, strengths
from tests.fingerprint_db.moving import FPS, SIDE, Film, camera, line, moved, path


def grain(seed: int) -> np.ndarray:
    """Fine texture of a decoder's own, as strong as a VAE's: (SIDE, SIDE)."""
    rng = np.random.default_rng([seed, 9])
    noise = rng.normal(size=(SIDE, SIDE))
    return 4.0 * (noise - moved(noise, 1, 1)) / 1.4


def chunked(length: int, first: int, seed: int = 0) -> Film:
    """A camera's film with another fine texture in every chunk; the second chunk begins at the frame ``first``."""
    film = camera(60, seed, noise=0.5)
    for n in range(60):
        film[n] += grain(100 * seed + 50 + (n - first) // length)
    return film


def numbers(film: Film, **how: object) -> tuple[list[int], int]:
    found = joins(line(film, **how))
    return [round(seam.at_s * FPS) for seam in found.seams], found.period


@pytest.mark.parametrize("seed", [0, 1])
def test_seams_of_chunks_are_found_at_their_frames_with_their_period(seed: int) -> None:
    seams, period = numbers(chunked(16, 10, seed), bursts=(0, 16, 32, 44))
    assert seams == [10, 26, 42, 58]
    assert period == 16


def test_seams_that_fall_between_bursts_are_found_where_one_burst_follows_the_other() -> None:
    # 16-frame chunks of a short film begin exactly where its 16-frame bursts do.
    film = chunked(16, 0)
    assert numbers(film, bursts=(0, 16, 32, 48)) == ([16, 32, 48], 16)
    assert numbers(film, bursts=(0, 17, 34)) == ([32, 48], 16), "what lies between bursts that are apart is not seen"


def test_one_seam_alone_is_found_without_a_period() -> None:
    seams, period = numbers(chunked(1000, 25), bursts=(0, 20, 40))
    assert (seams, period) == ([25], 0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_camera_has_none(seed: int) -> None:
    found = joins(line(camera(60, seed)))
    assert found.seams == ()
    assert found.cuts == ()
    assert found.boundaries > 30


def test_a_cut_is_a_cut_and_no_seam() -> None:
    film = camera(60)
    film[25:] = camera(60, 7)[25:]
    found = joins(line(film, bursts=(0, 20, 40)))
    assert [round(at * FPS) for at in found.cuts] == [25]
    assert found.seams == ()


def test_what_happens_on_a_keyframe_is_never_called_a_seam() -> None:
    # A codec draws the fine texture anew at each of its keyframes.
    film = chunked(12, 12)

    def types(n: int) -> str:
        return "I" if n % 12 == 0 else "P"

    assert numbers(film, types=types, bursts=(0, 20, 40)) == ([], 0)
    assert numbers(film, types=lambda _n: "P", bursts=(0, 20, 40))[0] == [12, 24, 48]


def test_a_flash_is_no_seam() -> None:
    film = camera(60)
    film[25] = np.clip(film[25] * 1.5 + 20, 0, 255)
    film[26] = np.clip(film[26] * 1.2, 0, 255)
    assert joins(line(film, bursts=(0, 20, 40))).seams == ()


def test_a_jerk_of_the_camera_is_no_seam() -> None:
    where = path(60, 0)
    where[25:] += 6.0
    assert joins(line(camera(60, where=where), bursts=(0, 20, 40))).seams == ()


def test_a_cross_fade_is_no_seam_and_no_cut() -> None:
    film, other = camera(60), camera(60, 7)
    for n in range(20, 34):
        share = (n - 19) / 15
        film[n] = (1 - share) * film[n] + share * other[n]
    film[34:] = other[34:]
    found = joins(line(film, bursts=(0, 14, 30, 44)))
    assert (found.seams, found.cuts) == ((), ())


def test_the_ends_of_a_freeze_are_no_seams() -> None:
    film = camera(60)
    film[24:30] = film[24]
    assert joins(line(film, bursts=(0, 20, 40))).seams == ()


def test_strength_is_the_spike_of_calm_change_less_a_share_of_the_whole_pictures() -> None:
    (burst,) = line(camera(16), bursts=(0,)).bursts
    got, least = strengths(without_repeats(burst))
    fine, coarse = burst.mean("fine_change"), burst.mean("coarse_change")

    def spike(series: np.ndarray, at: int) -> float:
        near = [n for n in range(at - NEIGHBOURS, at + NEIGHBOURS + 1) if n != at and 1 <= n < 16]
        return float(series[at] - max(series[n] for n in near))

    for at in range(1, 16):
        expected = spike(fine, at) - COARSE_SHARE * max(spike(coarse, at), -4.0)
        assert got[at] == pytest.approx(expected, abs=1e-6)
        assert least[at] == pytest.approx(expected, abs=1e-6)  # one crop: the mean and the least are one
    assert np.isnan(got[0])


def seam(number: int, strength: float) -> Seam:
    return Seam(number / FPS, number, strength, strength)


def test_a_lattice_needs_more_of_few_points_than_of_many() -> None:
    rest = [seam(n, -1.0) for n in range(64) if n % 12]
    few, many = LATTICE_THRESHOLDS[2] - 0.5, LATTICE_THRESHOLDS[4] + 0.1
    assert lattice([seam(12, few), seam(24, few), *rest]) == (0, [])
    period, found = lattice([*(seam(n, many) for n in (12, 24, 36, 48)), *rest])
    assert (period, [s.number for s in found]) == (12, [12, 24, 36, 48])


def test_one_strong_point_carries_no_lattice() -> None:
    rest = [seam(n, -1.0) for n in range(64) if n != 16]
    assert lattice([seam(16, 40.0), *rest]) == (0, [])
