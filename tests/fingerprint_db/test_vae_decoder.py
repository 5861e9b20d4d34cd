"""The decoder fingerprint against slow references, its invariances, and traces that we put there ourselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fingerprint_db import residual, vae_decoder
from fingerprint_db.residual import Planes, load_planes
from fingerprint_db.vae_decoder import decoder_numbers
from fingerprint_db.window import FrameWindow
from tests.fingerprint_db import reference
from tests.fingerprint_db.reference import Array, make_window, moving_scene, whole


def named(window: FrameWindow) -> dict[str, float]:
    numbers = decoder_numbers(load_planes(window))
    return dict(zip(numbers.names, numbers.vector().tolist(), strict=True))


def tensor(x: Array) -> torch.Tensor:
    return torch.tensor(x, dtype=torch.float32)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240601)


def test_the_residual_is_the_picture_minus_its_binomial_blur(rng: np.random.Generator) -> None:
    x = rng.uniform(0, 255, (40, 52))
    assert residual.binomial_residual(tensor(x)).numpy() == pytest.approx(reference.binomial_residual(x), abs=2e-3)


@pytest.mark.parametrize("radius", [1, 3, 6])
def test_the_box_mean_equals_a_uniform_filter(rng: np.random.Generator, radius: int) -> None:
    x = rng.uniform(0, 9, (40, 52))
    assert residual.box_mean(tensor(x), radius).numpy() == pytest.approx(reference.box_mean(x, radius), rel=1e-4)


def test_the_equalised_residual_equals_its_reference(rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, 40, 40)) * np.linspace(0.5, 20, 40)
    assert residual.equalise(tensor(x)).numpy() == pytest.approx(reference.equalise(x), abs=1e-3)


@pytest.mark.parametrize("lag", [(0, 1), (1, 0), (1, 1), (2, 1), (0, 4), (8, 0)])
def test_the_spatial_correlation_equals_its_reference(rng: np.random.Generator, lag: tuple[int, int]) -> None:
    x = np.cumsum(rng.normal(size=(3, 30, 34)), axis=2)
    got = residual.autocorrelation(tensor(x), [lag])
    assert got.item() == pytest.approx(reference.autocorrelation(x, *lag), abs=1e-4)


def test_the_temporal_correlation_equals_the_correlation_of_shifted_frames(rng: np.random.Generator) -> None:
    x = np.cumsum(rng.normal(size=(9, 20, 20)), axis=0)
    got = residual.lagged_correlation(tensor(x), (1, 3, 9))
    for value, lag in zip(got.tolist(), (1, 3), strict=False):
        a, b = x[lag:], x[:-lag]
        assert value == pytest.approx((a * b).mean() / np.sqrt((a**2).mean() * (b**2).mean()), abs=1e-4)
    assert got[2] == 0


def test_comb_harmonics_equal_an_explicit_sum_over_the_frames_grid(rng: np.random.Generator) -> None:
    x = rng.normal(size=(64, 96))
    comb, _ = vae_decoder._harmonics(tensor(x), 32, top=5, left=11)
    for ky, kx in ((0, 4), (4, 0), (8, 8), (16, 16), (3, 29)):
        assert complex(comb[ky, kx]) == pytest.approx(reference.harmonic(x, ky, kx, 32, 5, 11), abs=1e-3)


def test_the_fold_sums_every_cell_of_the_frames_grid(rng: np.random.Generator) -> None:
    x = rng.normal(size=(1, 60, 92))  # a residual: two pixels a side were lost to the filter
    folded = vae_decoder._fold(tensor(x), 32, 5, 11)[0].numpy()
    assert folded * (2 * 3) == pytest.approx(reference.fold(x[0], 32, 5 + 2, 11 + 2), abs=1e-4)


def lattice(size: int, stride: int, frames: int) -> Array:
    """A fixed mark on the grid of a stride: one brighter pixel a cell, as a badly overlapping upsampler leaves."""
    mark = np.zeros((size, size))
    mark[1::stride, 2::stride] = 1.0
    return np.broadcast_to(mark, (frames, size, size))


@pytest.mark.parametrize("stride", [4, 8, 16, 32])
def test_a_faint_mark_on_the_decoders_grid_lights_up_its_own_stride_under_moving_content(
    rng: np.random.Generator, stride: int
) -> None:
    scene = moving_scene(rng, frames=16, size=256)
    clean = named(make_window(whole(scene)))
    marked = named(make_window(whole(scene + stride * 0.5 * lattice(256, stride, 16))))
    rise = {n: marked[n] - clean[n] for n in clean}
    for axis in "hv":
        own = rise[f"comb.luma.strength.{stride}{axis}"]
        assert own > 1.0
        assert rise[f"hold.{stride}{axis}"] > 0.05
        for longer in (s for s in (8, 16, 32) if s > stride):
            assert rise[f"comb.luma.strength.{longer}{axis}"] < own / 3


def test_a_nearest_upsampled_texture_lights_up_stride_8_against_noise(rng: np.random.Generator) -> None:
    noise = 128 + 12 * rng.normal(size=(8, 128, 128))
    blocks = 128 + 12 * np.kron(rng.normal(size=(8, 16, 16)), np.ones((8, 8)))
    found, null = named(make_window(whole(blocks))), named(make_window(whole(noise)))
    for axis in "hv":
        assert found[f"cyclic.energy.8{axis}"] > null[f"cyclic.energy.8{axis}"] + 1.5
        assert found[f"cyclic.energy.16{axis}"] < found[f"cyclic.energy.8{axis}"] - 1.5


def test_doubled_pixels_show_at_half_the_sampling_rate(rng: np.random.Generator) -> None:
    noise = 128 + 12 * rng.normal(size=(4, 128, 128))
    doubled = 128 + 12 * np.kron(rng.normal(size=(4, 64, 64)), np.ones((2, 2)))
    found, null = named(make_window(whole(doubled))), named(make_window(whole(noise)))
    assert found["cyclic.product.2h"] > null["cyclic.product.2h"] + 1.5
    assert found["cyclic.product.2v"] > null["cyclic.product.2v"] + 1.5


def test_crops_of_one_frame_agree_in_signed_combs_when_their_offset_is_known(rng: np.random.Generator) -> None:
    scene = whole(moving_scene(rng, frames=8, size=192) + 6 * lattice(192, 8, 8))
    whole_frame = named(make_window(scene[:, :128, :128]))
    known = named(make_window(scene[:, 27:155, 37:165], top=27, left=37))
    unknown = named(make_window(scene[:, 27:155, 37:165]))
    signed = [f"comb.luma.{axis}{k}of32.{part}" for axis in "hv" for k in (4, 8, 12) for part in ("re", "im")]
    for name in signed:
        assert known[name] == pytest.approx(whole_frame[name], abs=0.15)
    assert max(abs(unknown[name] - whole_frame[name]) for name in signed) > 0.5


def test_the_strength_of_combs_needs_no_known_phase(rng: np.random.Generator) -> None:
    scene = whole(moving_scene(rng, frames=8, size=192) + 6 * lattice(192, 8, 8))
    here = named(make_window(scene[:, 27:155, 37:165], top=27, left=37))
    nowhere = named(make_window(scene[:, 27:155, 37:165]))
    for name in here:
        if name.startswith(("comb.luma.strength", "hold.", "spectrum", "acf", "time", "cross")):
            assert nowhere[name] == pytest.approx(here[name], abs=1e-3), name


def test_brightness_changes_nothing(rng: np.random.Generator) -> None:
    scene = whole(moving_scene(rng))
    base, brighter = named(make_window(scene)), named(make_window(scene + 20))
    for name, value in base.items():
        assert brighter[name] == pytest.approx(value, abs=5e-3), name


def test_contrast_hardly_matters(rng: np.random.Generator) -> None:
    scene = whole(50 + 0.4 * moving_scene(rng, noise=6.0))
    base, stronger = named(make_window(scene)), named(make_window(2 * (scene - 50)))
    for name, value in base.items():
        if not name.startswith("comb") or "strength" in name:
            assert stronger[name] == pytest.approx(value, abs=0.08), name


def test_a_fixed_pattern_is_correlated_in_time_and_fresh_noise_is_not(rng: np.random.Generator) -> None:
    fresh = 128 + 8 * rng.normal(size=(8, 96, 96))
    fixed = np.repeat(fresh[:1], 8, axis=0)
    assert abs(named(make_window(whole(fresh)))["time.fine.lag1"]) < 0.03
    assert named(make_window(whole(fixed)))["time.fine.lag4"] > 0.97


def test_colour_noise_made_from_luma_is_seen_as_correlated_with_it(rng: np.random.Generator) -> None:
    small = rng.normal(size=(4, 64, 64))
    luma = 128 + 10 * np.kron(small, np.ones((2, 2)))
    tied = np.stack([128 + 8 * small, 128 - 8 * small])
    free = 128 + 8 * rng.normal(size=(2, 4, 64, 64))
    found = named(make_window(whole(luma), chroma=whole(tied)))
    null = named(make_window(whole(luma), chroma=whole(free)))
    assert found["cross.frame.y_cb"] > 0.9
    assert found["cross.frame.y_cr"] < -0.9
    assert abs(null["cross.frame.y_cb"]) < 0.1


def test_a_window_without_colour_has_neutral_colour_numbers(rng: np.random.Generator) -> None:
    scene = whole(moving_scene(rng))
    found = named(make_window(scene, chroma=np.zeros((2, 0, 0, 0))))
    grey = named(make_window(scene))
    assert list(found) == list(grey)
    for name, value in found.items():
        assert value == pytest.approx(grey[name], abs=1e-6), name
        if name.startswith(("cross", "time.chroma", "acf.chroma")):
            assert value == 0


def test_planes_keep_the_picture_types_they_were_given(rng: np.random.Generator) -> None:
    planes: Planes = load_planes(make_window(whole(moving_scene(rng, frames=4)), picture_types="IB"))
    assert planes.picture_types == "IB??"
