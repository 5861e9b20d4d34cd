"""The texture fingerprint against slow references, its invariances, and textures whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fingerprint_db import texture
from fingerprint_db.residual import load_planes
from fingerprint_db.texture import texture_numbers
from fingerprint_db.window import FrameWindow
from tests.fingerprint_db import reference
from tests.fingerprint_db.reference import Array, make_window, moving_scene, whole


def named(window: FrameWindow) -> dict[str, float]:
    numbers = texture_numbers(load_planes(window))
    return dict(zip(numbers.names, numbers.vector().tolist(), strict=True))


def tensor(x: Array) -> torch.Tensor:
    return torch.tensor(x, dtype=torch.float32)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_prediction_weights_equal_a_textbook_ridge_regression(rng: np.random.Generator) -> None:
    x = moving_scene(rng, frames=3, size=64)
    weights, _ = texture.predict(tensor(x))
    wanted = reference.prediction_weights(x, texture.NEIGHBOURS, texture.RIDGE)
    assert weights.numpy() == pytest.approx(wanted, abs=2e-3)
    assert weights.sum().item() == pytest.approx(1.0)


def test_a_picture_that_is_linear_is_predicted_without_remainder() -> None:
    y, x = np.mgrid[:64, :64]
    ramp = np.stack([20.0 + x + 2 * y] * 2)
    noise = 100 + 10 * np.random.default_rng(0).normal(size=(2, 64, 64))
    assert texture.predict(tensor(ramp))[1] < texture.predict(tensor(noise))[1] - 2


def test_triples_are_counted_as_by_hand(rng: np.random.Generator) -> None:
    along_x, along_y = (rng.integers(-9, 10, (2, 20, 24)).astype(float) for _ in range(2))
    names, shares = texture.cooccurrence(tensor(along_x), tensor(along_y))
    wanted = reference.cooccurrence(along_x, along_y)
    assert len(names) == reference.all_classes()
    assert shares.sum().item() == pytest.approx(1.0)
    assert dict(zip(names, shares.tolist(), strict=True)) == pytest.approx({n: wanted.get(n, 0.0) for n in names})


def test_the_block_transform_equals_scipys(rng: np.random.Generator) -> None:
    x = rng.uniform(0, 255, (64, 72))
    blocks = tensor(x).reshape(8, 8, 9, 8).transpose(1, 2).reshape(-1, 64)
    got = (blocks @ texture._cosines(torch.device("cpu"))).reshape(-1, 8, 8).numpy()
    assert got == pytest.approx(reference.block_dct(x), abs=1e-2)


def test_dct_sizes_are_mean_magnitudes_on_the_frames_grid(rng: np.random.Generator) -> None:
    x = whole(moving_scene(rng, frames=1, size=96))
    found = named(make_window(x, top=3, left=6))
    size = np.abs(reference.block_dct(x[0][5:, 2:])).mean(axis=0)
    level = {f"{u}{v}": np.log((size[u, v] + size[v, u]) / 2 + 0.05) for u in range(8) for v in range(u, 8) if v}
    mean = np.mean(list(level.values()))
    for name, value in level.items():
        assert found[f"dct.size.{name}"] == pytest.approx(value - mean, abs=2e-3)


def test_brightness_changes_nothing(rng: np.random.Generator) -> None:
    scene = whole(moving_scene(rng))
    base, brighter = named(make_window(scene)), named(make_window(scene + 20))
    for name, value in base.items():
        assert brighter[name] == pytest.approx(value, abs=5e-3), name


def test_contrast_hardly_matters(rng: np.random.Generator) -> None:
    scene = whole(50 + 0.4 * moving_scene(rng, noise=9.0))
    base, stronger = named(make_window(scene)), named(make_window(2 * (scene - 50)))
    for name, value in base.items():
        if not name.startswith(("chroma", "contrast.rich_poor.energy", "pattern")):
            assert stronger[name] == pytest.approx(value, abs=0.12), name


def test_a_mirrored_picture_has_the_same_texture(rng: np.random.Generator) -> None:
    scene = whole(moving_scene(rng))
    base, mirrored = named(make_window(scene)), named(make_window(scene[:, :, ::-1]))
    for name, value in base.items():
        # Halving and 16 px patches start at the left edge, so a mirror image meets other cells.
        # The Hann window is periodic, not symmetric: directions move by a few thousandths.
        if not name.startswith(("contrast", "predict.s2", "predict.s4")):
            assert mirrored[name] == pytest.approx(value, abs=0.02), name


def test_a_quarter_turn_swaps_the_axes_of_the_prediction(rng: np.random.Generator) -> None:
    scene = whole(moving_scene(rng) + 30 * np.sin(np.arange(128) / 2))
    base, turned = named(make_window(scene)), named(make_window(scene.transpose(0, 2, 1)))
    assert abs(base["predict.s1.0_1"] - base["predict.s1.1_0"]) > 0.1
    assert turned["angle.ring0.0"] == pytest.approx(base["angle.ring0.90"], abs=0.02)
    # The base of the regression is symmetric in both axes, its free level is carried by the horizontal neighbours.
    assert turned["predict.s1.0_2"] == pytest.approx(base["predict.s1.2_0"], abs=5e-3)


def test_stripes_show_in_their_own_direction() -> None:
    stripes = np.stack([whole(128 + 40 * np.sin(np.arange(128) * 0.9)[None, :] + np.zeros((128, 1)))] * 2)
    upright, lying = named(make_window(stripes)), named(make_window(stripes.transpose(0, 2, 1)))
    assert upright["angle.ring1.0"] > upright["angle.ring1.90"] + 3
    assert lying["angle.ring1.90"] > lying["angle.ring1.0"] + 3


def test_sparse_detail_is_more_peaked_than_gaussian_detail(rng: np.random.Generator) -> None:
    gaussian = 128 + 10 * rng.normal(size=(2, 128, 128))
    sparse = 128 + np.where(rng.uniform(size=(2, 128, 128)) < 0.01, 100.0, 0.0)
    found, null = named(make_window(whole(sparse))), named(make_window(whole(gaussian)))
    assert found["contrast.poor.peaked"] > null["contrast.poor.peaked"] + 1
    assert found["dct.peaked_on.7"] > null["dct.peaked_on.7"] + 0.3
    # The square of the mean magnitude of a Gaussian is 2 / pi of its variance.
    assert null["dct.peaked_on.7"] == pytest.approx(np.log(np.pi / 2), abs=0.05)


def test_rich_and_poor_patches_of_uniform_noise_do_not_differ_and_those_of_half_a_picture_do(
    rng: np.random.Generator,
) -> None:
    uniform = 128 + 5 * rng.normal(size=(3, 128, 128))
    halved = uniform.copy()
    halved[:, :, :64] = 128 + 0.2 * (halved[:, :, :64] - 128)
    assert abs(named(make_window(whole(uniform)))["contrast.rich_poor.energy"]) < 0.3
    assert named(make_window(whole(halved)))["contrast.rich_poor.energy"] > 1.5


def test_a_window_without_colour_has_zero_colour_numbers(rng: np.random.Generator) -> None:
    found = named(make_window(whole(moving_scene(rng)), chroma=np.zeros((2, 0, 0, 0))))
    assert all(v == 0 for n, v in found.items() if n.startswith(("chroma", "predict.chroma")))


def test_colour_moments_equal_their_definition(rng: np.random.Generator) -> None:
    luma = whole(128 + 10 * rng.normal(size=(1, 128, 128)))
    chroma = whole(128 + 6 * rng.normal(size=(2, 1, 64, 64)))
    found = named(make_window(luma, chroma=chroma))
    half = luma[0].reshape(64, 2, 64, 2).mean(axis=(1, 3))
    strength = np.sqrt((reference.binomial_residual(half) ** 2).mean() + 1 / 12)
    cb = reference.binomial_residual(chroma[0, 0])
    assert found["chroma.cb.strength"] == pytest.approx(np.log(np.sqrt((cb**2).mean() + 0.01) / strength), abs=1e-3)
    kurtosis = ((cb**4).mean() + 0.01) / ((cb**2).mean() + 0.01) ** 2
    assert found["chroma.cb.peaked"] == pytest.approx(np.log(kurtosis + 0.1), abs=1e-3)
