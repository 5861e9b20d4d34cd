"""The learned fingerprint: what the network sees, what it gives, and how its weights travel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fingerprint_db.embedding import (
    CHANNELS,
    EMBEDDING_DIM,
    EmbeddingNet,
    embedding_from_bytes,
    embedding_input,
    embedding_to_bytes,
    shipped_embedding,
)
from fingerprint_db.residual import load_planes
from fingerprint_db.window import FrameWindow


def window(gain: float = 1.0, *, colour: bool = True, frames: int = 6, side: int = 96) -> FrameWindow:
    """A still picture with noise; ``gain`` scales its contrast."""
    rng = np.random.default_rng(0)
    still = 40 * np.sin(np.arange(side) / 7)[:, None] * np.cos(np.arange(side) / 5) + 8 * rng.normal(size=(side, side))
    luma = np.stack([still + 2 * rng.normal(size=still.shape) for _ in range(frames)])
    small = luma[:, ::2, ::2] / 3
    empty = np.zeros((frames, 0, 0), np.uint16)
    pack = lambda x: np.clip((gain * x + 128) * 64, 0, 16383).astype(np.uint16)  # noqa: E731 (14 bits: rounding is nothing)
    return FrameWindow(
        burst=0,
        crop=0,
        top=0,
        left=0,
        luma=pack(luma),
        chroma_b=pack(small) if colour else empty,
        chroma_r=pack(-small) if colour else empty,
        bit_depth=14,
        full_range=False,
        times_s=np.arange(frames) / 25,
        picture_types="I" + "P" * (frames - 1),
    )


def test_the_network_sees_residuals_in_units_of_their_own_strength() -> None:
    one, other = (embedding_input(load_planes(window(gain))) for gain in (0.5, 1.5))
    assert one.shape == (CHANNELS, 92, 92)
    assert torch.isfinite(one).all()
    assert one.abs().max() <= 3.0
    # Three times the contrast is the same picture; what is left is the rounding floor in the division.
    assert float((one - other).abs().mean()) < 0.05 < float(one.abs().mean())


def test_footage_without_colour_leaves_its_channels_empty() -> None:
    seen = embedding_input(load_planes(window(colour=False)))
    assert bool((seen[3:] == 0).all())
    assert bool((seen[:3] != 0).any())


@pytest.mark.parametrize("frames", [1, 2, 16])
def test_any_number_of_frames_gives_a_unit_vector(frames: int) -> None:
    torch.manual_seed(0)
    made = embedding_from_bytes(embedding_to_bytes(EmbeddingNet(), {"sources": []}))
    vector = made.embed(load_planes(window(frames=frames)))
    assert vector.shape == (EMBEDDING_DIM,)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
    assert np.array_equal(vector, made.embed(load_planes(window(frames=frames))))


def test_weights_come_back_as_they_went_and_are_named_by_their_content() -> None:
    torch.manual_seed(1)
    net = EmbeddingNet()
    data = embedding_to_bytes(net, {"seed": 1})
    assert data == embedding_to_bytes(net, {"seed": 1})
    back = embedding_from_bytes(data)
    assert back.provenance["seed"] == 1
    assert embedding_to_bytes(back.net, {"seed": 1}) == data, "half precision is kept exactly"
    assert embedding_from_bytes(embedding_to_bytes(net, {"seed": 2})).id == back.id, "the name is of the weights alone"
    assert embedding_from_bytes(embedding_to_bytes(EmbeddingNet(), {})).id != back.id


def test_the_weights_that_ship_say_what_they_saw_and_tell_one_picture_from_another() -> None:
    learned = shipped_embedding()
    said = learned.provenance
    assert said["what"] == "learned decoder fingerprint"
    assert said["learned_from"]["contents"] >= 30
    assert not any("taef2" in name for name in said["learned_from"]["classes"]), "kind B is the held-out truth"
    assert len(said["sources"]) == len(set(said["sources"])) >= 10
    one, other = (learned.embed(load_planes(window(frames=frames))) for frames in (2, 16))
    assert np.linalg.norm(one) == pytest.approx(1.0, abs=1e-5)
    assert np.array_equal(one, shipped_embedding().embed(load_planes(window(frames=2))))
    assert float(np.abs(one - other).max()) > 1e-3


@pytest.mark.parametrize("data", [b"", b"not weights", embedding_to_bytes(EmbeddingNet(), {})[:-400]])
def test_what_is_no_file_of_weights_is_refused_in_one_sentence(data: bytes) -> None:
    with pytest.raises(ValueError, match="holds no weights of a learned fingerprint"):
        embedding_from_bytes(data)
