"""The demo's neural decoders: aligned with what went in, deterministic, and named as the catalogue names them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fingerprint_db.catalogue import load_catalogue
from jobs.demo.decoders import DECODERS, HELD_OUT, NeuralDecoder, available_decoders, halve, load
from jobs.demo.packages import DemoPackageMissing

EVERY = (*DECODERS, HELD_OUT)
UPSCALERS = tuple(d for d in EVERY if d.slug != "styletransfer")


def picture() -> NDArray[np.uint8]:
    """A smooth scene with edges, off-centre, so that a shift or a mirror image would show."""
    y, x = np.mgrid[0:96, 0:128].astype(float)
    light = 110 + 50 * np.sin(x / 9) + 40 * np.cos(y / 13) + 40 * ((x - 40) ** 2 + (y - 30) ** 2 < 400)
    return np.clip(np.stack([light, light * 0.8 + 20, light * 0.6 + 40], axis=2), 0, 255).astype(np.uint8)


def process(decoder: NeuralDecoder, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if not decoder.available:
        pytest.skip(f"needs {' and '.join(decoder.packages)}: pip install --no-deps -r jobs/demo/requirements.txt")
    return load(decoder.slug)(frame)


@pytest.mark.parametrize("decoder", EVERY, ids=lambda d: d.slug)
def test_a_decoder_keeps_the_size_and_changes_the_picture(decoder: NeuralDecoder) -> None:
    frame = picture()
    out = process(decoder, frame)
    assert out.shape == frame.shape
    assert out.dtype == np.uint8
    assert not np.array_equal(out, frame)


@pytest.mark.parametrize("decoder", UPSCALERS, ids=lambda d: d.slug)
def test_an_upscaler_leaves_everything_in_its_place(decoder: NeuralDecoder) -> None:
    frame = picture()
    out = process(decoder, frame)

    def alike(shifted: NDArray[np.uint8]) -> float:
        inner = np.s_[12:-12, 12:-12]
        return float(np.corrcoef(out[inner].mean(axis=2).ravel(), shifted[inner].mean(axis=2).ravel())[0, 1])

    moved = [alike(np.roll(frame, n, axis=axis)) for axis in (0, 1) for n in (-1, 1)]
    assert alike(frame) > max(moved)


@pytest.mark.parametrize("decoder", EVERY, ids=lambda d: d.slug)
def test_a_decoder_gives_the_same_pixels_twice(decoder: NeuralDecoder) -> None:
    assert np.array_equal(process(decoder, picture()), process(decoder, picture()))


@pytest.mark.parametrize("decoder", UPSCALERS, ids=lambda d: d.slug)
def test_an_upscaler_brings_a_halved_frame_back(decoder: NeuralDecoder) -> None:
    frame = picture()
    error = process(decoder, frame).astype(float) - frame
    assert 10 * np.log10(255**2 / np.mean(error[8:-8, 8:-8] ** 2)) > 27


def test_halving_takes_the_mean_of_four() -> None:
    frame = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    wanted = [
        [np.rint(frame[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean(axis=(0, 1))) for j in range(3)] for i in range(2)
    ]
    assert np.array_equal(halve(frame), np.array(wanted))


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda d: d.slug)
def test_every_decoder_to_enroll_is_in_the_catalogue_as_a_processor(decoder: NeuralDecoder) -> None:
    known = load_catalogue().resolve(decoder.slug)
    assert (known.slug, known.kind, known.family) == (decoder.slug, "processor", decoder.family)


def test_without_any_network_the_demo_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # An empty search path: no distribution is found, as on a machine without the demo's packages.
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    with pytest.raises(DemoPackageMissing, match="make demo"):
        available_decoders()
