"""A window's fingerprint as a whole: fixed shape, finite whatever comes, the same every time."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from fingerprint_db.cues.definitions import CUE_NAMES
from fingerprint_db.fingerprint import (
    DECODER_DIM,
    TEXTURE_DIM,
    decoder_names,
    fingerprint_window,
    fingerprint_windows,
    texture_names,
)
from fingerprint_db.window import FrameWindow, WindowFingerprint
from tests.fingerprint_db.reference import make_window, moving_scene, whole


def is_sound(fingerprint: WindowFingerprint) -> bool:
    """Right shapes and types, every number finite."""
    return (
        fingerprint.decoder.shape == (DECODER_DIM,)
        and fingerprint.texture.shape == (TEXTURE_DIM,)
        and fingerprint.decoder.dtype == fingerprint.texture.dtype == np.float32
        and bool(np.isfinite(fingerprint.decoder).all() and np.isfinite(fingerprint.texture).all())
        and tuple(fingerprint.cues) == CUE_NAMES
        and bool(np.isfinite(list(fingerprint.cues.values())).all())
    )


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_every_number_has_a_name_of_its_own() -> None:
    assert len(decoder_names()) == len(set(decoder_names())) == DECODER_DIM
    assert len(texture_names()) == len(set(texture_names())) == TEXTURE_DIM


def test_the_vectors_stay_within_their_budget() -> None:
    assert DECODER_DIM <= 256
    assert TEXTURE_DIM <= 320


@pytest.mark.parametrize("level", [0, 16, 128, 235, 255])
@pytest.mark.parametrize("frames", [1, 16])
def test_flat_black_and_saturated_windows_give_finite_numbers(level: int, frames: int) -> None:
    assert is_sound(fingerprint_window(make_window(np.full((frames, 128, 128), level))))


def test_a_fully_clipped_checkerboard_gives_finite_numbers() -> None:
    board = 255.0 * (np.indices((128, 128)).sum(axis=0) % 2)
    assert is_sound(fingerprint_window(make_window(np.stack([board, 255 - board] * 4))))


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 16])
@pytest.mark.parametrize("size", [(64, 64), (64, 256), (144, 176), (70, 99)])
def test_small_and_short_windows_have_fingerprints_of_the_same_shape(frames: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(frames)
    assert is_sound(fingerprint_window(make_window(rng.integers(0, 256, (frames, *size)))))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    frames=st.integers(1, 6),
    height=st.integers(64, 100),
    width=st.integers(64, 100),
    top=st.integers(0, 5000),
    left=st.integers(0, 5000),
    spread=st.integers(0, 255),
    subsampling=st.sampled_from([(1, 1), (1, 2), (2, 2), (1, 4), None]),
    depth=st.sampled_from([8, 10, 12, 16]),
    types=st.text("IPB?", max_size=8),
    seed=st.integers(0, 999),
)
def test_any_window_gives_a_sound_fingerprint(
    frames: int,
    height: int,
    width: int,
    top: int,
    left: int,
    spread: int,
    subsampling: tuple[int, int] | None,
    depth: int,
    types: str,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    luma = rng.integers(0, spread + 1, (frames, height, width)) << (depth - 8)
    if subsampling is None:
        chroma = np.zeros((2, 0, 0, 0))
    else:
        shape = (-(-height // subsampling[0]), -(-width // subsampling[1]))
        chroma = rng.integers(0, spread + 1, (2, frames, *shape)) << (depth - 8)
    window = make_window(luma, chroma=chroma, top=top, left=left, bit_depth=depth, picture_types=types)
    assert is_sound(fingerprint_window(window))


def test_too_small_a_window_is_refused_with_its_size() -> None:
    with pytest.raises(ValueError, match=r"64 x 64.*\(4, 48, 128\)"):
        fingerprint_window(make_window(np.zeros((4, 48, 128))))
    with pytest.raises(ValueError, match="64 x 64"):
        fingerprint_window(make_window(np.zeros((0, 128, 128))))


def test_the_fingerprint_says_where_and_when_it_was_taken(rng: np.random.Generator) -> None:
    found = fingerprint_window(make_window(whole(moving_scene(rng)), top=96, left=32))
    assert (found.top, found.left, found.height, found.width) == (96, 32, 128, 128)
    assert (found.start_s, found.end_s) == (0.0, 7 / 25)


def test_the_same_window_gives_the_same_bits(rng: np.random.Generator) -> None:
    window = make_window(whole(moving_scene(rng)))
    first, second = fingerprint_window(window), fingerprint_window(window)
    assert first.decoder.tobytes() == second.decoder.tobytes()
    assert first.texture.tobytes() == second.texture.tobytes()
    assert first.cues == second.cues


def test_the_number_of_threads_changes_no_more_than_the_last_bits(rng: np.random.Generator) -> None:
    window = make_window(whole(moving_scene(rng, frames=16, size=256)))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = fingerprint_window(window)
        torch.set_num_threads(2)
        two = fingerprint_window(window)
    finally:
        torch.set_num_threads(before)
    assert one.decoder == pytest.approx(two.decoder, abs=1e-4)
    assert one.texture == pytest.approx(two.texture, abs=1e-4)


def test_a_batch_is_its_windows_one_by_one(rng: np.random.Generator) -> None:
    windows = [make_window(whole(moving_scene(rng, frames=f, size=s))) for f, s in ((8, 128), (3, 64), (1, 96))]
    for alone, together in zip(map(fingerprint_window, windows), fingerprint_windows(windows), strict=True):
        assert alone.decoder.tobytes() == together.decoder.tobytes()
        assert alone.texture.tobytes() == together.texture.tobytes()


def test_ten_bit_footage_counts_in_eight_bit_units(rng: np.random.Generator) -> None:
    scene = whole(moving_scene(rng))
    eight, ten = make_window(scene), make_window(scene * 4, bit_depth=10)
    a, b = fingerprint_window(eight), fingerprint_window(ten)
    assert a.decoder.tobytes() == b.decoder.tobytes()
    assert a.texture.tobytes() == b.texture.tobytes()
    assert a.cues == b.cues


@pytest.mark.parametrize("factors", [(1, 2), (1, 1)], ids=["4:2:2", "4:4:4"])
def test_finer_chroma_is_brought_to_half_resolution(rng: np.random.Generator, factors: tuple[int, int]) -> None:
    luma = whole(moving_scene(rng))
    small = rng.integers(60, 200, (2, 8, 64, 64))
    finer = np.repeat(np.repeat(small, 2 // factors[0], axis=2), 2 // factors[1], axis=3)
    a = fingerprint_window(make_window(luma, chroma=small))
    b = fingerprint_window(make_window(luma, chroma=finer))
    assert a.decoder == pytest.approx(b.decoder, abs=1e-5)
    assert a.texture == pytest.approx(b.texture, abs=1e-5)


def test_camera_like_noise_and_an_upsampled_texture_are_farther_apart_than_their_siblings() -> None:
    def window(seed: int, upsampled: bool) -> FrameWindow:
        rng = np.random.default_rng(seed)
        scene = moving_scene(rng, frames=8, size=128)
        if upsampled:
            scene = np.kron(scene[:, ::2, ::2], np.ones((2, 2)))
        return make_window(whole(scene))

    noisy, doubled = ([fingerprint_window(window(s, kind)) for s in (1, 2)] for kind in (False, True))
    for kind in ("decoder", "texture"):
        a, b = (getattr(f, kind) for f in noisy)
        c, d = (getattr(f, kind) for f in doubled)
        within = (np.linalg.norm(a - b) + np.linalg.norm(c - d)) / 2
        assert np.linalg.norm(a - c) > 1.3 * within
