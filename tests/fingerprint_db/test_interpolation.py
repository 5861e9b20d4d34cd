"""The rhythm of made frames and of repeats: found where it is, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fingerprint_db.bursts import timeline
from fingerprint_db.interpolation import THRESHOLDS, cadence, contrasts, rhythm, without_trend
from fingerprint_db.repeats import PATTERNS, repeats
from tests.fingerprint_db.moving import camera, halfway, line, read

SEEDS = (0, 1, 2)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("factor", [2, 4])
def test_frames_made_between_others_are_found_with_their_period(factor: int, seed: int) -> None:
    found = cadence(line(halfway(60, factor, seed)))
    assert (found.kind, found.period) == ("interpolated", factor)
    assert found.share == 1.0
    assert found.contrast > 5


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("rhythm_of_types", ["P", "PB", "PBB", "PBBB", "IBBBPBBBPBBB"])
def test_a_camera_is_not_interpolated_whatever_the_codecs_rhythm(rhythm_of_types: str, seed: int) -> None:
    def types(n: int) -> str:
        return rhythm_of_types[n % len(rhythm_of_types)]

    # B-frames are softer and have less noise, as a codec leaves them.
    film = camera(60, seed)
    calm = camera(60, seed, noise=0.2)
    film = np.stack([calm[n] if types(n) == "B" else film[n] for n in range(60)])
    assert cadence(line(film, types=types)).kind == "none"


def test_the_phase_is_followed_from_burst_to_burst() -> None:
    # The bursts begin at even and odd frames: only frame numbers bring their rhythms together.
    found = rhythm(line(halfway(80, 2), bursts=(0, 19, 38, 57)), 2)
    assert found.phase == 0
    assert found.score > THRESHOLDS[2]
    shuffled = line(halfway(80, 2), bursts=(0, 19, 38, 57))
    wrong = replace(
        shuffled,
        bursts=tuple(replace(b, numbers=np.arange(b.frames)) for b in shuffled.bursts),
    )
    assert rhythm(wrong, 2).score < found.score - 1


def test_bursts_off_the_frame_grid_are_judged_each_on_its_own() -> None:
    loose = replace(line(halfway(60, 2)), steady=False)
    loose = replace(loose, bursts=tuple(replace(b, numbers=b.numbers + n) for n, b in enumerate(loose.bursts)))
    found = cadence(loose)
    assert (found.kind, found.period) == ("interpolated", 2)
    assert cadence(replace(line(camera(60)), steady=False)).kind == "none"


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_frames_shown_again_are_repeats_with_their_pattern(pattern: str) -> None:
    shows = [int(n) for n in pattern.split(":")]
    film = camera(60, noise=0.5)
    order = [n for n in range(60) for _ in range(shows[n % len(shows)])][:60]
    rng = np.random.default_rng(0)
    repeated = film[order] + rng.normal(scale=0.1, size=film.shape)  # what a codec adds
    found = cadence(line(repeated))
    assert (found.kind, found.pattern, found.period) == ("repeated", pattern, len(PATTERNS[pattern]))


def test_pulldown_of_interpolated_looking_motion_is_still_repeats() -> None:
    film = halfway(60, 2, seed=4)
    order = [n for n in range(60) for _ in range((2, 3)[n % 2])][:60]
    assert cadence(line(film[order])).kind == "repeated"


def test_a_held_picture_is_frozen_for_as_long_as_it_is_held() -> None:
    film = camera(60)
    film[25:33] = film[25]
    found = cadence(line(film, bursts=(0, 16, 32, 44)))
    assert found.kind == "repeated"
    assert found.pattern == ""
    ((at, length),) = found.frozen
    assert at == pytest.approx(25 / 25)
    assert length == pytest.approx(7 / 25)  # across the edge of a burst
    ((_, length),) = cadence(line(film, bursts=(0, 16, 33))).frozen
    assert length == pytest.approx(6 / 25)  # up to the edge where the next frame is not looked at


def test_a_slow_start_is_not_frozen() -> None:
    speed = np.concatenate([np.full(12, 0.03), np.linspace(0.05, 2.0, 48)])
    where = np.cumsum(np.stack([speed, speed], axis=1), axis=0)
    assert cadence(line(camera(60, where=where, noise=0.3))).frozen == ()


def test_a_scene_at_rest_says_nothing() -> None:
    still = camera(60, where=np.zeros((60, 2)), noise=0.4)
    found = cadence(line(still))
    assert (found.kind, found.repeated) == ("none", 0.0)


def test_too_few_frames_say_nothing() -> None:
    found = cadence(line(halfway(8, 2), bursts=(0,)))
    assert found.kind == "none"
    assert rhythm(line(halfway(8, 2), bursts=(0,)), 4).score == 0


@pytest.mark.parametrize("period", [2, 3, 4])
def test_contrasts_are_differences_of_means_over_their_standard_error(period: int) -> None:
    film = line(camera(40), bursts=(0, 17))
    found, error = contrasts(film.bursts, "detail", period)
    values: list[tuple[int, float]] = []
    for burst in film.bursts:
        series = burst.mean("detail")
        half = period // 2
        for at in range(half, burst.frames - half):
            ends = 0.5 if period % 2 == 0 else 1.0
            near = [series[at + k] * (ends if abs(k) == half else 1.0) for k in range(-half, half + 1)]
            values.append((int(burst.numbers[at]) % period, series[at] - sum(near) / period))
    for phase in range(period):
        own, rest = ([v for p, v in values if (p == phase) is mine] for mine in (True, False))
        spread = sum((v - np.mean(part)) ** 2 for part in (own, rest) for v in part) / (len(values) - 2)
        assert found[phase] == pytest.approx(np.mean(own) - np.mean(rest))
        assert error[phase] == pytest.approx(np.sqrt(spread * (1 / len(own) + 1 / len(rest))))


def test_a_steady_drift_and_a_whole_period_leave_nothing_behind() -> None:
    assert np.nanmax(np.abs(without_trend(np.linspace(3, 9, 16), 4))) == pytest.approx(0, abs=1e-12)
    assert np.nanmax(np.abs(without_trend(np.linspace(3, 9, 16), 3))) == pytest.approx(0, abs=1e-12)
    assert np.isnan(without_trend(np.zeros(16), 4)[[0, 1, -1]]).all()


def test_windows_of_before_series_were_kept_give_no_time_line() -> None:
    old = [replace(window, traces={}, picture_types="") for window in read(camera(20), bursts=(0,))]
    assert timeline(old, 25.0) is None
    assert repeats(line(camera(20), bursts=(0,)))[1] == ""
