"""Temporal traces and artefact cues: known answers in their own units, and the arithmetic against references."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fingerprint_db.cues.definitions import CUE_NAMES, CUES
from fingerprint_db.cues.measure import measure_cues
from fingerprint_db.cues.motion import global_shifts
from fingerprint_db.cues.rhythm import period_strength, repeated_share
from fingerprint_db.residual import load_planes
from fingerprint_db.window import FrameWindow
from tests.fingerprint_db import reference
from tests.fingerprint_db.reference import Array, make_window, moving_scene, whole


def cues(window: FrameWindow, *, full_range: bool = False) -> dict[str, float]:
    return measure_cues(load_planes(window), full_range=full_range)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(99)


def test_every_cue_is_measured_and_has_a_definition_and_a_unit(rng: np.random.Generator) -> None:
    found = cues(make_window(whole(moving_scene(rng))))
    assert tuple(found) == CUE_NAMES
    assert all(d.definition and d.unit for d in CUES.values())


def test_one_frame_gives_neutral_cues_of_time_and_real_cues_of_the_picture(rng: np.random.Generator) -> None:
    found = cues(make_window(whole(moving_scene(rng, frames=1))))
    assert found["repeated_frames"] == 0
    assert found["difference"] == 0
    assert found["noise"] > 1


@pytest.mark.parametrize("period", [2, 3, 4])
def test_the_strength_of_a_period_equals_an_adjusted_r_squared(rng: np.random.Generator, period: int) -> None:
    values = rng.normal(size=15) + np.arange(15) % period
    assert period_strength(values.tolist(), period) == pytest.approx(reference.period_strength(values, period))


def test_too_short_or_constant_sequences_have_no_period() -> None:
    assert period_strength([1.0, 2.0, 1.0, 2.0], 2) == 0
    assert period_strength([3.0] * 15, 3) == 0


def test_frames_shown_three_times_are_counted_and_their_period_is_found(rng: np.random.Generator) -> None:
    tripled = np.repeat(whole(moving_scene(rng, frames=6)), 3, axis=0)[:16]
    found = cues(make_window(tripled))
    assert found["repeated_frames"] == pytest.approx(10 / 15)
    assert found["difference_period_3"] > 0.95
    assert found["difference_period_2"] < 0.2
    assert found["difference_period_4"] < 0.2


def test_repeats_are_found_when_a_codec_left_a_little_change(rng: np.random.Generator) -> None:
    assert repeated_share([4.0, 0.2, 3.8, 0.3, 4.1, 0.1]) == 0.5
    assert repeated_share([0.2, 0.21, 0.0, 0.19]) == 0.25  # a still scene: only the exact repeat counts
    assert repeated_share([4.0, 3.0, 2.5, 3.5]) == 0


def test_every_other_frame_interpolated_shows_as_a_period_of_two_in_sharpness(rng: np.random.Generator) -> None:
    scene = moving_scene(rng, frames=17, noise=4.0)
    scene[1:-1:2] = (scene[0:-2:2] + scene[2::2]) / 2
    found = cues(make_window(whole(scene[:16])))
    plain = cues(make_window(whole(moving_scene(rng, frames=16, noise=4.0))))
    assert found["sharpness_period_2"] > 0.9
    assert plain["sharpness_period_2"] < 0.5


def test_a_rhythm_of_picture_types_is_not_taken_for_interpolation(rng: np.random.Generator) -> None:
    types = "PB" * 8
    scene = moving_scene(rng, frames=16, noise=0.0)
    sigma = np.array([6.0 if t == "P" else 3.0 for t in types])  # B frames coded more coarsely
    scene += sigma[:, None, None] * rng.normal(size=scene.shape)
    assert cues(make_window(whole(scene)))["sharpness_period_2"] > 0.9
    assert cues(make_window(whole(scene), picture_types=types))["sharpness_period_2"] < 0.3


@pytest.mark.parametrize("sigma", [1.0, 3.0, 6.0])
def test_noise_is_measured_in_levels(rng: np.random.Generator, sigma: float) -> None:
    found = cues(make_window(whole(moving_scene(rng, size=256, noise=sigma))))
    assert found["noise"] == pytest.approx(math.hypot(sigma, math.sqrt(1 / 12)), rel=0.15)


def test_global_shifts_are_found_in_pixels(rng: np.random.Generator) -> None:
    big = rng.normal(size=(200, 200))
    frames = np.stack([big[10 + 3 * t : 138 + 3 * t, 60 - 5 * t : 188 - 5 * t] for t in range(5)])
    shifts = global_shifts(torch.tensor(frames, dtype=torch.float32))
    assert shifts == pytest.approx(np.tile([-3.0, 5.0], (4, 1)), abs=0.15)


def test_a_steady_pan_has_speed_and_no_jerk_and_a_shaking_camera_has_jerk(rng: np.random.Generator) -> None:
    big = 128 + 30 * rng.normal(size=(400, 400))

    def seen(places: list[int]) -> dict[str, float]:
        return cues(make_window(whole(np.clip(np.stack([big[p : p + 128, 4:132] for p in places]), 0, 255))))

    steady, shaking = seen([100 + 4 * t for t in range(9)]), seen([100, 112, 96, 120, 92, 108, 90, 110, 94])
    assert steady["camera_speed"] == pytest.approx(4.0, abs=0.3)
    assert steady["camera_jerk"] < 0.5
    assert shaking["camera_jerk"] > 20


def test_blocks_of_eight_show_as_blockiness_only_on_their_grid(rng: np.random.Generator) -> None:
    blocks = 128 + np.kron(6 * rng.normal(size=(2, 16, 16)), np.ones((8, 8))) + rng.normal(size=(2, 128, 128))
    on_grid = cues(make_window(whole(blocks)))
    off_grid = cues(make_window(whole(blocks), top=3, left=5))
    assert on_grid["blockiness"] > 2
    assert off_grid["blockiness"] < 0.1


def test_saturation_follows_the_range_that_the_footage_uses() -> None:
    picture = np.full((2, 128, 128), 100.0)
    picture[:, :32] = 16
    picture[:, 32:64] = 0
    assert cues(make_window(picture))["saturated"] == pytest.approx(0.5)
    assert cues(make_window(picture), full_range=True)["saturated"] == pytest.approx(0.25)


def test_a_gradient_in_steps_is_banded_and_a_dithered_one_is_not(rng: np.random.Generator) -> None:
    ramp = np.tile(100 + np.arange(128) / 6, (2, 128, 1))
    assert cues(make_window(whole(ramp)))["banding"] > 0.5
    assert cues(make_window(whole(ramp + 0.8 * rng.normal(size=ramp.shape))))["banding"] < 0.1


def test_a_blurred_picture_lacks_high_frequencies(rng: np.random.Generator) -> None:
    sharp = 128 + 20 * rng.normal(size=(2, 128, 128))
    soft = np.stack([reference.box_mean(f, 1) for f in sharp])
    found, null = cues(make_window(whole(soft))), cues(make_window(whole(sharp)))
    assert found["high_frequency_deficit"] > null["high_frequency_deficit"] + 6


def test_a_checkerboard_residue_is_an_upsampling_peak(rng: np.random.Generator) -> None:
    noise = 128 + 4 * rng.normal(size=(2, 128, 128))
    columns = noise + 3 * (np.arange(128) % 2)
    assert cues(make_window(whole(columns)))["upsampling_peak"] > cues(make_window(whole(noise)))["upsampling_peak"] + 6


def test_a_flash_is_a_light_jump_in_levels(rng: np.random.Generator) -> None:
    scene = moving_scene(rng, frames=8)
    scene[5:] += 15
    assert cues(make_window(whole(scene)))["light_jump"] == pytest.approx(15, abs=1.5)


def test_an_object_that_appears_at_once_is_a_local_change(rng: np.random.Generator) -> None:
    scene = moving_scene(rng, frames=12)
    popped = scene.copy()
    popped[6:, 32:64, 64:96] += 50
    found, null = cues(make_window(whole(popped))), cues(make_window(whole(scene)))
    assert found["object_change"] > null["object_change"] + 3


def test_flicker_of_texture_is_seen_in_decibels(rng: np.random.Generator) -> None:
    strength = np.where(np.arange(12) % 3 == 0, 6.0, 3.0)[:, None, None]
    flickering = 128 + strength * rng.normal(size=(12, 128, 128))
    steady = 128 + 4 * rng.normal(size=(12, 128, 128))
    assert cues(make_window(whole(flickering)))["texture_flicker"] == pytest.approx(6.0, abs=0.5)
    assert cues(make_window(whole(steady)))["texture_flicker"] < 0.5


def test_fresh_noise_is_rough_in_time_and_a_slow_drift_is_smooth(rng: np.random.Generator) -> None:
    noise = 128 + 10 * rng.normal(size=(8, 128, 128))
    drift = 100 + 3.0 * np.arange(8)[:, None, None] + np.zeros((8, 128, 128))
    assert cues(make_window(whole(noise)))["motion_roughness"] == pytest.approx(math.sqrt(3), abs=0.05)
    assert cues(make_window(whole(drift)))["motion_roughness"] < 0.05


def test_detail_that_falls_as_motion_rises_is_blur_with_motion(rng: np.random.Generator) -> None:
    shapes = reference.box_mean(reference.box_mean(rng.normal(size=(128, 700)), 9), 9)
    big = 128 + 30 * shapes / shapes.std() + 2 * rng.normal(size=(128, 700))
    places, frames = 0, []
    for t in range(16):
        speed = 1 + t % 8
        places += speed
        smear = np.mean([big[:, places + k : places + k + 128] for k in range(speed)], axis=0)
        frames.append(smear)
    found = cues(make_window(whole(np.clip(np.stack(frames), 0, 255))))
    assert found["blur_with_motion"] > 0.2


def test_colour_detail_is_relative_to_luma_in_decibels(rng: np.random.Generator) -> None:
    luma: Array = 128 + 20 * np.kron(rng.normal(size=(3, 64, 64)), np.ones((2, 2)))
    chroma = 128 + 2 * rng.normal(size=(2, 3, 64, 64))
    found = cues(make_window(whole(np.clip(luma, 0, 255)), chroma=whole(chroma)))
    assert found["chroma_detail"] == pytest.approx(-20, abs=0.7)
