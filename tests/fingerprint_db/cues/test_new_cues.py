"""Cues of light, camera, lines, texture and regions: synthetic windows whose answer is known, and slow references."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from fingerprint_db.cues.definitions import CUE_NAMES, CUES
from fingerprint_db.cues.measure import measure_cues
from fingerprint_db.cues.motion import CELL, best_match, correlations, measure_motion, patch_spectra
from fingerprint_db.cues.physical import camera_cues, shading_turns
from fingerprint_db.cues.reconstruction import banding, line_width, width_of_ratio
from fingerprint_db.cues.spatiotemporal import pooled, without_types
from fingerprint_db.residual import halve, load_planes
from fingerprint_db.window import FrameWindow
from tests.fingerprint_db.reference import Array, make_window, moving_scene, whole

FRAMES, SIZE = 16, 256


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def cues(scene: Array, **more: object) -> dict[str, float]:
    window: FrameWindow = make_window(whole(np.clip(scene, 0, 255)), **more)  # type: ignore[arg-type]
    return measure_cues(load_planes(window), full_range=False)


def texture(rng: np.random.Generator, height: int, width: int, sigma: float = 2.0, levels: float = 25.0) -> Array:
    """Isotropic texture around 0, its blobs about 2 sigma across."""
    field = ndimage.gaussian_filter(rng.normal(size=(height, width)), sigma, mode="wrap")
    return levels * field / field.std()


def seen_at(big: Array, places: list[tuple[float, float]], size: int = SIZE) -> Array:
    """A camera that looks at a large picture from each place (row, column), by cubic interpolation: (T, size, size)."""
    return np.stack([ndimage.shift(big, (-y, -x), order=3, mode="wrap")[:size, :size] for y, x in places])


def lit(rng: np.random.Generator, angles: list[float], strength: float = 0.6) -> Array:
    """A textured wall whose shading brightens towards each angle (degrees)."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE - 0.5
    wall = np.exp(0.01 * texture(rng, SIZE, SIZE))
    ways = [(math.sin(math.radians(a)), math.cos(math.radians(a))) for a in angles]
    return np.stack([110 * wall * np.exp(strength * (dy * y + dx * x)) for dy, dx in ways])


# light


def test_a_light_that_turns_by_ninety_degrees_between_two_frames_is_measured_in_degrees(
    rng: np.random.Generator,
) -> None:
    found = cues(lit(rng, [0.0] * 8 + [90.0] * 8))
    assert found["light_turn"] == pytest.approx(90, abs=6)
    assert found["light_jump"] < 3


def test_a_light_that_wanders_steadily_does_not_jump(rng: np.random.Generator) -> None:
    assert cues(lit(rng, [4.0 * t for t in range(FRAMES)]))["light_turn"] < 3


def test_a_pan_over_a_lit_wall_is_no_turn_of_the_light(rng: np.random.Generator) -> None:
    y, x = np.mgrid[0:400, 0:400] / 400 - 0.5
    wall = 100 * np.exp(0.01 * texture(rng, 400, 400) + 1.2 * x + 0.9 * np.sin(6 * y))
    assert cues(seen_at(wall, [(0.0, 6.0 * t) for t in range(FRAMES)]))["light_turn"] < 10


def test_the_direction_of_shading_equals_a_plane_fitted_by_least_squares(rng: np.random.Generator) -> None:
    ramps = np.linspace(0, 1, 64)[None, :, None] * np.array([30, 5])[:, None, None]
    ramps = ramps + np.linspace(0, 1, 64) * np.array([10, 40])[:, None, None]
    frames = torch.tensor(100 + ramps + 5 * rng.normal(size=(2, 64, 64)), dtype=torch.float32)
    found = float(shading_turns(halve(halve(frames)), np.zeros((1, 2)))[0])
    slopes = []
    for frame in frames.numpy():
        shade = np.log(frame.reshape(8, 8, 8, 8).mean(axis=(1, 3)) + 16)
        y, x = np.mgrid[0:8, 0:8]
        a = np.column_stack([y.ravel(), x.ravel(), np.ones(64)])
        slopes.append(np.linalg.lstsq(a, shade.ravel(), rcond=None)[0][:2])
    cosine = slopes[0] @ slopes[1] / np.linalg.norm(slopes[0]) / np.linalg.norm(slopes[1])
    assert found == pytest.approx(math.degrees(math.acos(cosine)), abs=0.5)


# the camera


def test_a_shake_of_known_amplitude_is_measured_in_pixels(rng: np.random.Generator) -> None:
    t = np.arange(FRAMES)
    sway = 2.0 * np.sin(2 * np.pi * t / 5)  # root mean square 1.41 px
    found = cues(128 + seen_at(texture(rng, 320, 320), [(float(s), 1.0 * k) for k, s in enumerate(sway)]))
    assert found["camera_shake"] == pytest.approx(1.41, abs=0.3)
    assert found["camera_speed"] == pytest.approx(1.9, abs=0.7)


def test_a_camera_on_rails_glides_and_one_in_the_hand_does_not(rng: np.random.Generator) -> None:
    big = 128 + texture(rng, 400, 400)
    rails = cues(seen_at(big, [(0.0, 0.05 * t * t + 2.0 * t) for t in range(FRAMES)]))
    hand = rng.normal(size=(FRAMES, 2))
    held = cues(seen_at(big, [(float(h[0]), 2.0 * t + float(h[1])) for t, h in enumerate(hand)]))
    assert rails["camera_shake"] < 0.15
    assert rails["camera_glide"] > 20
    assert held["camera_glide"] < 12
    assert held["camera_shake"] > 0.6


def test_white_jitter_is_fast_and_a_slow_sway_is_not(rng: np.random.Generator) -> None:
    big = 128 + texture(rng, 320, 320)
    sway = cues(seen_at(big, [(4.0 * math.sin(2 * math.pi * t / 14), 0.0) for t in range(FRAMES)]))
    jitter = cues(seen_at(big, [(float(a), float(b)) for a, b in rng.normal(size=(FRAMES, 2))]))
    assert sway["camera_jitter"] < 0.1
    assert jitter["camera_jitter"] > 0.5


def test_shake_and_jitter_equal_their_plain_definitions(rng: np.random.Generator) -> None:
    big = 128 + texture(rng, 320, 320)
    motion = measure_motion(
        load_planes(make_window(whole(seen_at(big, [(float(a), float(b)) for a, b in rng.normal(size=(12, 2))])))).half
    )
    found = camera_cues(motion)
    steps = motion.shifts.astype(float)
    path = np.concatenate([[[0, 0]], np.cumsum(steps, axis=0)])
    t = np.arange(len(path))
    left = np.stack([path[:, k] - np.polyval(np.polyfit(t, path[:, k], 2), t) for k in range(2)], axis=1)
    assert float(found["camera_shake"]) == pytest.approx(math.sqrt((left**2).sum(axis=1).mean()), rel=1e-4)
    t = t[:-1]
    wobble = np.stack([steps[:, k] - np.polyval(np.polyfit(t, steps[:, k], 1), t) for k in range(2)], axis=1)
    power = (np.abs(np.fft.fft(wobble, axis=0)) ** 2).sum(axis=1)
    fast = np.abs(np.fft.fftfreq(len(t))) > 0.25
    assert float(found["camera_jitter"]) == pytest.approx(power[fast].sum() / power.sum(), rel=1e-4)


def test_a_shutter_blurs_along_the_motion_and_a_sharp_pan_does_not(rng: np.random.Generator) -> None:
    big = 128 + texture(rng, SIZE, 600, sigma=1.0, levels=40)
    smear = ndimage.uniform_filter1d(big, 8, axis=1)
    sharp = cues(np.stack([big[:, 8 * t : 8 * t + SIZE] for t in range(FRAMES)]))
    blurred = cues(np.stack([smear[:, 8 * t : 8 * t + SIZE] for t in range(FRAMES)]))
    assert abs(sharp["blur_along_motion"]) < 1
    assert blurred["blur_along_motion"] > 3


# lines


def line_chart(sigma: float, contrast: float = 80.0) -> Array:
    """Vertical and horizontal lines of a Gaussian profile on grey, (1, 256, 256)."""
    at = np.arange(SIZE)
    profile = sum(np.exp(-((at - c) ** 2) / (2 * sigma**2)) for c in range(8, SIZE, 16))
    chart = np.full((SIZE, SIZE), 60.0)
    chart[: SIZE // 2] += contrast * profile[None, :]
    chart[SIZE // 2 :] += contrast * profile[SIZE // 2 :, None]
    return chart[None]


@pytest.mark.parametrize("sigma", [0.6, 0.8, 1.0, 1.3])
def test_the_width_of_lines_is_measured_in_pixels(sigma: float) -> None:
    assert line_width(line_chart(sigma)[0].astype(np.float32)) == pytest.approx(2.3548 * sigma, rel=0.03)


def test_a_lines_chart_blurred_by_a_pixel_has_wider_lines(rng: np.random.Generator) -> None:
    sharp = np.repeat(line_chart(0.6), 4, axis=0)
    soft = ndimage.gaussian_filter(sharp, (0, 1, 1))
    wide, narrow = cues(soft)["line_width"], cues(sharp)["line_width"]
    assert wide == pytest.approx(2.3548 * math.hypot(0.6, 1.0), rel=0.1)
    assert narrow == pytest.approx(2.3548 * 0.6, rel=0.1)


def test_the_ratio_of_contrasts_is_turned_back_into_a_width() -> None:
    for s in (0.5, 1.0, 2.0):
        ratio = (1 - math.exp(-0.5 / s**2)) / (1 - math.exp(-4.5 / s**2))
        assert width_of_ratio(ratio) == pytest.approx(2.3548 * s, rel=1e-4)


def test_banding_equals_a_plain_loop(rng: np.random.Generator) -> None:
    ramp = np.round(100 + np.arange(48) / 5 + 0.3 * rng.normal(size=(1, 32, 48)))
    shares = []
    for top in range(0, 32, 16):
        for left in range(0, 48, 16):
            patch = ramp[0, top : top + 16, left : left + 16]
            if not 2 <= patch.max() - patch.min() <= 8:
                continue
            hits = 0
            for y in range(top, top + 16):
                for x in range(left, left + 16):
                    near = [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
                    hits += all(ramp[0, b, a] == ramp[0, y, x] for b, a in near if 0 <= b < 32 and 0 <= a < 48)
            shares.append(hits / 256)
    assert shares
    assert float(banding(ramp[0].astype(np.float32))) == pytest.approx(np.mean(shares))


# texture and regions


def test_texture_drawn_anew_at_rest_boils_and_a_still_picture_does_not(rng: np.random.Generator) -> None:
    still = np.repeat(128 + texture(rng, SIZE, SIZE, levels=12)[None], FRAMES, axis=0)
    boiling = np.stack([128 + texture(rng, SIZE, SIZE, sigma=1.0, levels=4) for _ in range(FRAMES)])
    assert cues(still)["texture_boiling"] < 0.05
    assert cues(boiling)["texture_boiling"] > 0.8


def test_half_of_the_texture_drawn_anew_is_a_half(rng: np.random.Generator) -> None:
    fixed = texture(rng, SIZE, SIZE, sigma=1.0, levels=4)
    fresh = [texture(rng, SIZE, SIZE, sigma=1.0, levels=4) for _ in range(FRAMES)]
    assert cues(128 + fixed + np.stack(fresh))["texture_boiling"] == pytest.approx(0.5, abs=0.08)


def test_flicker_at_rest_is_seen_in_decibels_and_not_where_the_camera_moves(rng: np.random.Generator) -> None:
    base = texture(rng, SIZE, SIZE, sigma=1.0, levels=6)
    strength = np.where(np.arange(FRAMES) % 2 == 0, 1.0, 2.0)
    found = cues(128 + strength[:, None, None] * base)
    assert found["still_flicker"] == pytest.approx(6.0, abs=0.7)
    big = texture(rng, SIZE, 400, sigma=1.0, levels=6)
    panned = np.stack([128 + s * big[:, 4 * t : 4 * t + SIZE] for t, s in enumerate(strength)])
    assert cues(panned)["still_flicker"] == 0


def test_what_vanishes_has_a_negative_gain_and_what_appears_a_positive_one(rng: np.random.Generator) -> None:
    plain = 120 + 1.0 * rng.normal(size=(FRAMES, SIZE, SIZE))
    patch = texture(rng, 32, 32, sigma=1.0, levels=30)
    vanishing, appearing = plain.copy(), plain.copy()
    vanishing[:8, 96:128, 96:128] += patch
    appearing[8:, 96:128, 96:128] += patch
    gone, come = cues(vanishing), cues(appearing)
    assert gone["object_gain"] < -8
    assert come["object_gain"] > 8
    assert min(gone["object_change"], come["object_change"]) > 8


def test_a_patch_that_changes_its_shape_at_once_breaks_and_a_moving_one_does_not(rng: np.random.Generator) -> None:
    big = 128 + texture(rng, 400, 400, sigma=3.0)
    scene = np.stack([big[2 * t : 2 * t + SIZE, 4 * t : 4 * t + SIZE] for t in range(FRAMES)])
    broken = scene.copy()
    broken[8:, 64:128, 64:128] = np.transpose(scene[8:, 64:128, 64:128], (0, 2, 1))[:, ::-1]
    assert cues(scene)["region_break"] < 0.1
    assert cues(broken)["region_break"] > 0.35


def test_a_texture_that_morphs_while_it_moves_drifts_and_one_that_only_moves_does_not(
    rng: np.random.Generator,
) -> None:
    first, last = texture(rng, 400, 400, sigma=3.0), texture(rng, 400, 400, sigma=3.0)

    def view(mix: float, t: int) -> Array:
        at = (slice(0, SIZE), slice(2 * t, 2 * t + SIZE))
        return np.asarray(128 + math.cos(mix) * first[at] + math.sin(mix) * last[at])

    steady = cues(np.stack([view(0.0, t) for t in range(FRAMES)]))
    morphing = cues(np.stack([view(math.pi / 3 * t / (FRAMES - 1), t) for t in range(FRAMES)]))
    # From likeness 1 to cos 60 degrees over the 14 steps beyond the first, 1/25 s each.
    assert morphing["identity_drift"] == pytest.approx(0.5 / (14 / 25), rel=0.2)
    assert steady["identity_drift"] < 0.15


def test_drift_is_told_per_second_of_the_window_s_own_times(rng: np.random.Generator) -> None:
    first, last = texture(rng, SIZE, SIZE, sigma=3.0), texture(rng, SIZE, SIZE, sigma=3.0)
    turn = np.linspace(0, math.pi / 3, FRAMES)
    scene = np.stack([128 + math.cos(a) * first + math.sin(a) * last for a in turn])
    window = make_window(whole(scene))
    slow = replace(window, times_s=window.times_s * 2)
    unknown = replace(window, times_s=np.zeros(FRAMES))
    at = [measure_cues(load_planes(w), full_range=False)["identity_drift"] for w in (window, slow, unknown)]
    assert at[0] == pytest.approx(2 * at[1], rel=1e-6)
    assert at[2] == 0


# what they share


def test_patches_are_found_where_they_moved_to_with_the_likeness_of_a_plain_correlation(
    rng: np.random.Generator,
) -> None:
    big = texture(rng, 64, 64, sigma=2.0)
    first, second = big[16:48, 16:48], big[12:44, 19:51]  # content moves by (+4, -3)
    spectra, energy = patch_spectra(torch.tensor(np.stack([first, second]), dtype=torch.float32))
    moves, likeness = best_match(correlations(spectra[:1], spectra[1:]))
    assert moves[0].tolist() == [4, -3]
    assert 0.7 < float(likeness[0]) <= 1
    # The same by plain sums at no displacement: both patches windowed and filtered, then correlated.
    window = np.hanning(CELL + 1)[:-1]
    fy, fx = np.fft.fftfreq(CELL)[:, None], np.fft.fftfreq(CELL)[None, :]
    weight = 0.5 - 0.5 * np.cos(4 * np.pi * np.minimum(np.hypot(fy, fx), 0.5))
    plain = [
        np.fft.ifft2(np.fft.fft2((p - p.mean()) * window[:, None] * window[None, :]) * weight).real
        for p in (first, second)
    ]
    expected = (plain[0] * plain[1]).sum() / math.sqrt((plain[0] ** 2).sum() * (plain[1] ** 2).sum())
    middle = correlations(spectra[:1], spectra[1:])[0, 8, 8]
    assert float(middle) == pytest.approx(expected, abs=1e-3)
    assert float(energy[0]) == pytest.approx((plain[0] ** 2).sum() / CELL**2 / (3 / 8) ** 2, rel=1e-3)


@pytest.mark.parametrize("step", [(0.0, 0.5), (3.0, -5.0), (-6.0, 40.0)])
def test_the_camera_s_shift_is_told_within_a_fifth_of_a_pixel(
    rng: np.random.Generator, step: tuple[float, float]
) -> None:
    big = 128 + texture(rng, 512, 512, sigma=2.0)
    scene = seen_at(big, [(80 + step[0] * t, 40 + step[1] * t) for t in range(6)])
    motion = measure_motion(load_planes(make_window(whole(scene))).half)
    assert motion.found.all()
    tolerance = 0.2 if max(map(abs, step)) < 12 else 1.0  # beyond the patches' reach the quarter-size picture decides
    assert motion.shifts == pytest.approx(np.tile([-step[0], -step[1]], (5, 1)), abs=tolerance)


def test_means_over_squares_and_medians_of_picture_types_are_plain(rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 35, 50))
    expected = [x[t, r : r + 16, c : c + 16].mean() for t in range(3) for r in (0, 16) for c in (0, 16, 32)]
    assert pooled(torch.tensor(x), 16).reshape(-1).numpy() == pytest.approx(np.array(expected))
    values = np.array([1.0, 10.0, 3.0, 12.0, 11.0])
    assert without_types(values, "IBIBB").tolist() == [-1.0, -1.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 16])
@pytest.mark.parametrize("size", [64, 128])
def test_flat_and_short_windows_have_neutral_cues(frames: int, size: int) -> None:
    found = cues(np.full((frames, size, size), 90.0))
    assert tuple(found) == CUE_NAMES
    flat = {
        "light_turn", "camera_shake", "camera_jitter", "camera_glide", "blur_along_motion", "line_width",
        "still_flicker", "texture_boiling", "object_gain", "region_break", "identity_drift",
    }  # fmt: skip
    assert {name: found[name] for name in flat} == {name: CUES[name].neutral for name in flat}


def test_cues_are_finite_for_noise_black_and_clipped_pictures(rng: np.random.Generator) -> None:
    for scene in (255 * rng.random((16, 128, 96)), np.zeros((16, 64, 80)), 400 * (rng.random((5, 64, 64)) > 0.5)):
        assert all(math.isfinite(value) for value in cues(scene).values())


def test_a_still_scene_of_real_looking_content_keeps_events_quiet(rng: np.random.Generator) -> None:
    found = cues(moving_scene(rng, frames=16, size=256, noise=1.0))
    assert found["light_turn"] < 8
    assert found["region_break"] < 0.25


def test_the_camera_s_shift_is_told_as_well_where_most_of_the_picture_is_sky(rng: np.random.Generator) -> None:
    big = np.full((256, 400), 140.0)
    big[176:256] += texture(rng, 80, 400, sigma=2.0)
    scene = np.stack([big[:, 2 * t : 2 * t + SIZE] for t in range(8)]) + 0.3 * rng.normal(size=(8, SIZE, SIZE))
    motion = measure_motion(load_planes(make_window(whole(scene))).half)
    assert motion.shifts == pytest.approx(np.tile([0.0, -2.0], (7, 1)), abs=0.2)
