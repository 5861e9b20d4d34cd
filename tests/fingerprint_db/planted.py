"""Frames in which something is fixed to the frame while the picture moves: lattices, lines, a codec's blocks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft, ndimage

from fingerprint_db.layout.profiles import measure_profiles
from fingerprint_db.residual import load_planes
from fingerprint_db.window import FrameWindow, WindowFingerprint

Film = NDArray[np.float64]  # (T, H, W) luma
CROP = 256


def film(height: int, width: int, frames: int = 6, seed: int = 0) -> Film:
    """A soft picture that moves by whole pixels, with sensor noise; the caller's own."""
    return _film(height, width, frames, seed).copy()


@lru_cache(maxsize=4)
def _film(height: int, width: int, frames: int, seed: int) -> Film:
    rng = np.random.default_rng([seed, 8])
    big = ndimage.gaussian_filter(rng.normal(size=(height + 64, width + 64)), 1.2) * 60 + 120
    steps = [(3 * t % 60, 7 * t % 60) for t in range(frames)]
    moved = np.stack([big[dy : dy + height, dx : dx + width] for dy, dx in steps])
    return moved + rng.normal(size=moved.shape)


def with_lattice(frames: Film, period: float, levels: float) -> Film:
    """The pattern of an uneven up-sampler: harmonics along both axes from the frame's corner."""
    rows, columns = (np.arange(n) for n in frames.shape[1:])

    def along(at: NDArray[np.int64]) -> NDArray[np.float64]:
        harmonics = range(1, int(period / 2) + 1)
        return np.sum([np.cos(2 * np.pi * k * at / period + 0.7 * k) for k in harmonics], axis=0)

    return frames + levels * (along(rows)[:, None] + along(columns)[None, :])


def with_tiles(frames: Film, step: int, levels: float, *, fade: int = 0, seed: int = 0) -> Film:
    """Tiles that were made apart: each has texture of its own, smooth within, new in every frame."""
    rng = np.random.default_rng([seed, 9])

    def texture(shape: tuple[int, ...]) -> NDArray[np.float64]:
        soft = ndimage.gaussian_filter(rng.normal(size=shape), (0, 6, 6))
        return soft * levels / soft.std()

    out = frames.copy()
    for top in range(0, frames.shape[1], step):
        for left in range(0, frames.shape[2], step):
            area = out[:, top : top + step + fade, left : left + step + fade]
            area += texture(area.shape) * _weight(area.shape[1], fade)[:, None] * _weight(area.shape[2], fade)[None, :]
    return out


def _weight(size: int, fade: int) -> NDArray[np.float64]:
    at = np.arange(size)
    return np.minimum(1, np.minimum(at, size - 1 - at) / fade) if fade else np.ones(size)


def through_blocks(frames: Film, step: float, block: int = 8) -> Film:
    """Transform blocks from the frame's corner, quantised as a codec does: coarser for higher frequencies."""
    t, h, w = frames.shape
    cells = frames.reshape(t, h // block, block, w // block, block).transpose(0, 1, 3, 2, 4)
    slope = 1 + np.add.outer(np.arange(block), np.arange(block)) / 4
    coefficients = fft.dctn(cells, axes=(3, 4), norm="ortho")
    cells = fft.idctn(np.trunc(coefficients / (step * slope) + np.sign(coefficients) * 0.33) * step * slope,
                      axes=(3, 4), norm="ortho")  # fmt: skip
    return cells.transpose(0, 1, 3, 2, 4).reshape(t, h, w)


def windows(frames: Film, crops: Sequence[tuple[int, int]] = ((0, 0),)) -> list[WindowFingerprint]:
    """Crops of CROP pixels at (top, left), with their profiles as a scan keeps them."""
    out = []
    luma = np.clip(np.round(frames), 0, 255).astype(np.uint8)
    none = np.zeros((len(luma), 0, 0), np.uint8)
    for number, (top, left) in enumerate(crops):
        cut = luma[:, top : top + CROP, left : left + CROP]
        window = FrameWindow(0, number, top, left, cut, none, none, 8, False, np.arange(len(cut)) / 25, "P" * len(cut))
        with torch.inference_mode():
            out.append(WindowFingerprint.of(window, profiles=measure_profiles(load_planes(window))))
    return out
