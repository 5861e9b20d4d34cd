"""Slow, plain versions of the fingerprint arithmetic, and synthetic windows to try it on."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from fingerprint_db.window import FrameWindow

Array = NDArray[np.float64]


def make_window(
    luma: NDArray[np.generic],
    *,
    chroma: NDArray[np.generic] | None = None,
    top: int = 0,
    left: int = 0,
    bit_depth: int = 8,
    picture_types: str | None = None,
) -> FrameWindow:
    """A window around (T, H, W) luma and (2, T, h, w) chroma; grey 4:2:0 chroma by default."""
    t, h, w = luma.shape
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    if chroma is None:
        chroma = np.full((2, t, h // 2, w // 2), 1 << (bit_depth - 1))
    return FrameWindow(
        burst=0,
        crop=0,
        top=top,
        left=left,
        luma=luma.astype(dtype),
        chroma_b=chroma[0].astype(dtype),
        chroma_r=chroma[1].astype(dtype),
        bit_depth=bit_depth,
        full_range=False,
        times_s=np.arange(t) / 25,
        picture_types="?" * t if picture_types is None else picture_types,
    )


def moving_scene(rng: np.random.Generator, frames: int = 8, size: int = 128, noise: float = 2.0) -> Array:
    """Smooth blobs drifting diagonally under fresh sensor noise, (T, size, size), about 60..190, not rounded."""
    big = ndimage.gaussian_filter(rng.normal(size=(size + 2 * frames, size + 2 * frames)), 4, mode="wrap")
    big = 128 + 25 * big / big.std()
    scene = np.stack([big[2 * t : 2 * t + size, t : t + size] for t in range(frames)])
    return np.clip(scene + noise * rng.normal(size=scene.shape), 24, 230)


def whole(scene: Array) -> Array:
    return np.round(scene)


def binomial_residual(x: Array) -> Array:
    """One picture minus its 5 x 5 binomial blur, without the two pixels along the border."""
    k = np.array([1, 4, 6, 4, 1]) / 16
    return (x - ndimage.convolve(x, np.outer(k, k)))[2:-2, 2:-2]


def box_mean(x: Array, radius: int) -> Array:
    return ndimage.uniform_filter(x, 2 * radius + 1, mode="nearest")


def equalise(residual: Array, radius: int = 6, clip: float = 3.0) -> Array:
    energy = box_mean((residual**2).mean(axis=0), radius)
    return np.clip(residual / np.sqrt(energy + 1 / 12), -clip, clip)


def harmonic(mean_residual: Array, ky: int, kx: int, base: int, top: int, left: int) -> complex:
    """Sum of a (H, W) map against one wave of the frame's grid, positions counted from the frame's corner."""
    total = 0j
    for y, x in np.ndindex(*mean_residual.shape):
        total += mean_residual[y, x] * np.exp(-2j * np.pi * (ky * (y + top) + kx * (x + left)) / base)
    return total


def fold(residual: Array, base: int, top: int, left: int) -> Array:
    """Sum of a (H, W) map over all cells of the frame's base x base grid."""
    cell = np.zeros((base, base))
    for y, x in np.ndindex(*residual.shape):
        cell[(y + top) % base, (x + left) % base] += residual[y, x]
    return cell


def autocorrelation(x: Array, dy: int, dx: int) -> float:
    """Normalised product of (T, H, W) with itself (dy, dx) away, mirrored lag averaged in."""
    _, h, w = x.shape
    right = (x[:, : h - dy, : w - dx] * x[:, dy:, dx:]).mean()
    left = (x[:, : h - dy, dx:] * x[:, dy:, : w - dx]).mean()
    return float((right + left) / 2 / (x**2).mean())


def cooccurrence(along_x: NDArray[np.float64], along_y: NDArray[np.float64], truncation: int = 2) -> dict[str, float]:
    """Triples counted one by one; a triple, its reverse, its negative and its reversed negative are one class."""
    step = 0.5 * (np.abs(along_x).mean() + np.abs(along_y).mean()) + 0.25
    shares: Counter[str] = Counter()
    for residual, axis in ((along_x, -1), (along_y, -2)):
        q = np.clip(np.round(residual / step), -truncation, truncation).astype(int)
        lines = np.moveaxis(q, axis, -1).reshape(-1, q.shape[axis])
        triples = [tuple(line[i : i + 3]) for line in lines.tolist() for i in range(len(line) - 2)]
        for triple in triples:
            images = [triple, triple[::-1]]
            images += [tuple(-s for s in word) for word in images]
            shares["".join(f"{s:+d}" for s in min(images))] += 1 / (2 * len(triples))
    return dict(shares)


def all_classes(truncation: int = 2) -> int:
    """How many classes of triples there are, by listing them."""
    seen = set()
    for word in itertools.product(range(-truncation, truncation + 1), repeat=3):
        negative = tuple(-s for s in word)
        seen.add(min(word, word[::-1], negative, negative[::-1]))
    return len(seen)


def prediction_weights(x: Array, classes: tuple[tuple[int, int], ...], ridge: float) -> Array:
    """Weighted ridge regression of a pixel on the means of its mirror-image neighbours, as a textbook has it."""
    _, h, w = x.shape

    def at(dy: int, dx: int) -> Array:
        return x[:, 2 + dy : h - 2 + dy, 2 + dx : w - 2 + dx]

    means = []
    for dy, dx in classes:
        images = {(a * dy, b * dx) for a in (-1, 1) for b in (-1, 1)}
        means.append(np.mean([at(*i) for i in images], axis=0))
    base = (means[0] + means[1]) / 2
    target = at(0, 0) - base
    weight = 1 / np.sqrt(box_mean((target**2).mean(axis=0), 3) + 1 / 12)
    rows = np.stack([((m - base) * weight).ravel() for m in means[1:]], axis=1)
    # Ridge as extra equations that ask every weight to be zero.
    count = len(rows)
    rows = np.vstack([rows, np.sqrt(ridge * count) * np.eye(rows.shape[1])])
    wanted = np.concatenate([(target * weight).ravel(), np.zeros(rows.shape[1])])
    solved = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    return np.concatenate([[1 - solved.sum()], solved])


def block_dct(luma: Array) -> Array:
    """(blocks, 8, 8) coefficients of the 8 x 8 blocks of a (H, W) picture, from its corner."""
    h, w = luma.shape
    blocks = [luma[y : y + 8, x : x + 8] for y in range(0, h - 7, 8) for x in range(0, w - 7, 8)]
    return np.stack([fft.dctn(b, norm="ortho") for b in blocks])


def period_strength(values: Array, period: int) -> float:
    """Adjusted R squared of the regression on the position modulo the period, at least 0."""
    n = len(values)
    design = np.eye(period)[np.arange(n) % period]
    fitted = design @ np.linalg.lstsq(design, values, rcond=None)[0]
    r2 = 1 - ((values - fitted) ** 2).sum() / ((values - values.mean()) ** 2).sum()
    return float(max(0.0, 1 - (1 - r2) * (n - 1) / (n - period)))
