"""What the extractors share: planes as tensors, filters by slicing, spectra, correlations, and named numbers.

Filters are sums of shifted slices: on one core a one-channel ``conv2d`` costs ten times as much. Everything is
float32 on the device that the window was loaded to; sums that decide a small difference are taken in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from fingerprint_db.window import FrameWindow, Plane

EPS = 1e-12
# Variance of rounding to whole 8-bit levels: the floor below which a residual says nothing.
ROUNDING_VARIANCE = 1.0 / 12.0


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """A window's planes in 8-bit units (10-bit code 400 becomes 100.0), and the residuals that all extractors share.

    luma: (T, H, W) float32. chroma: (2, T, H // 2, W // 2) float32, Cb then Cr, brought to 4:2:0 whatever the
    subsampling; None when the window has no chroma. half: luma at half size. The ``fine_*`` fields are their binomial
    residuals, four smaller on each axis. top, left: luma offset in the frame, which fixes the grid phase.
    frame_s: seconds from frame to frame, 0 when the window does not say.
    """

    luma: Tensor
    chroma: Tensor | None
    half: Tensor
    fine_luma: Tensor
    fine_chroma: Tensor | None
    fine_half: Tensor
    top: int
    left: int
    picture_types: str
    frame_s: float = 0.0


def load_planes(window: FrameWindow, device: torch.device | str = "cpu") -> Planes:
    """The window on ``device``. Raises ValueError for a window without pixels."""
    if window.luma.ndim != 3 or 0 in window.luma.shape:
        raise ValueError(f"a window needs (frames, height, width) luma, got shape {window.luma.shape}")
    scale = 2.0 ** (8 - window.bit_depth)
    luma = _to_float(window.luma, scale, device)
    chroma = None
    if window.chroma_b.size and window.chroma_r.size:
        size = (luma.shape[1] // 2, luma.shape[2] // 2)
        both = torch.stack([_to_float(p, scale, device) for p in (window.chroma_b, window.chroma_r)])
        chroma = both if both.shape[2:] == size else torch.nn.functional.interpolate(both, size=size, mode="area")
    half = halve(luma)
    return Planes(
        luma=luma,
        chroma=chroma,
        half=half,
        fine_luma=binomial_residual(luma),
        fine_chroma=None if chroma is None else binomial_residual(chroma),
        fine_half=binomial_residual(half),
        top=window.top,
        left=window.left,
        picture_types=window.picture_types.ljust(luma.shape[0], "?")[: luma.shape[0]],
        frame_s=_frame_s(window),
    )


def load_luma(window: FrameWindow, device: torch.device | str = "cpu") -> Planes:
    """The window's luma alone: as ``load_planes``, without colour and with an empty ``fine_half``."""
    luma = _to_float(window.luma, 2.0 ** (8 - window.bit_depth), device)
    return Planes(
        luma=luma,
        chroma=None,
        half=halve(luma),
        fine_luma=binomial_residual(luma),
        fine_chroma=None,
        fine_half=luma[:0],
        top=window.top,
        left=window.left,
        picture_types="",
    )


def _frame_s(window: FrameWindow) -> float:
    """Median time between frames; 0 where times are missing or do not rise."""
    steps = np.diff(window.times_s)
    middle = float(np.median(steps)) if steps.size else 0.0
    return middle if math.isfinite(middle) and middle > 0 else 0.0


def _to_float(plane: Plane, scale: float, device: torch.device | str) -> Tensor:
    if plane.dtype == "uint8":
        return torch.tensor(plane, device=device).to(torch.float32)
    return torch.tensor(plane.astype("int32"), device=device).to(torch.float32) * scale


def binomial_residual(x: Tensor) -> Tensor:
    """x minus its 5 x 5 binomial blur; last two axes shrink by 4 (two pixels each side)."""
    h = x
    for _ in range(4):
        h = h[..., :, 1:] + h[..., :, :-1]
    for _ in range(4):
        h = h[..., 1:, :] + h[..., :-1, :]
    return x[..., 2:-2, 2:-2] - h / 256.0


def halve(x: Tensor) -> Tensor:
    """Half the size by 2 x 2 means; an odd last row or column is left out."""
    h, w = x.shape[-2] // 2 * 2, x.shape[-1] // 2 * 2
    x = x[..., :h, :w]
    rows = x[..., 0::2, :] + x[..., 1::2, :]
    return (rows[..., 0::2] + rows[..., 1::2]) * 0.25


def box_mean(x: Tensor, radius: int) -> Tensor:
    """Mean over (2 radius + 1) squared pixels, edges repeated; x: (..., H, W), same size back."""
    k = 2 * radius + 1
    padded = torch.nn.functional.pad(x.reshape(-1, 1, *x.shape[-2:]), (radius,) * 4, mode="replicate")
    return (_run_sum(_run_sum(padded, k, -1), k, -2) / (k * k)).reshape(x.shape)


def _run_sum(x: Tensor, length: int, axis: int) -> Tensor:
    """Sum of ``length`` consecutive entries along an axis, added up from runs of 1, 2, 4, ..."""
    size = x.shape[axis] - length + 1
    total, run, run_length, start = None, x, 1, 0
    while run_length <= length:
        if length & run_length:
            part = run.narrow(axis, start, size)
            total = part if total is None else total + part
            start += run_length
        if 2 * run_length <= length:
            n = run.shape[axis] - run_length
            run = run.narrow(axis, 0, n) + run.narrow(axis, run_length, n)
        run_length *= 2
    return x if total is None else total


def equalise(residual: Tensor, radius: int = 6, clip: float = 3.0) -> Tensor:
    """Residual over its local strength (root mean square over time and neighbourhood), limited to +-clip.

    residual: (..., T, H, W). Takes content out: an edge weighs as much as a flat wall.
    """
    energy = box_mean((residual * residual).mean(dim=-3, keepdim=True), radius)
    return (residual * torch.rsqrt(energy + ROUNDING_VARIANCE)).clamp(-clip, clip)


def mean_product(a: Tensor, b: Tensor) -> Tensor:
    """Mean of a * b over everything, as a float64 scalar; rows are summed in float32, the rows' sums in float64."""
    return (a * b).sum(dim=-1).sum(dtype=torch.float64) / a.numel()


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Correlation of two residuals (zero mean by construction: none is removed), 0 where either is void."""
    return mean_product(a, b) / torch.sqrt(mean_product(a, a) * mean_product(b, b) + 1e-9)


def lagged_correlation(x: Tensor, lags: Sequence[int]) -> Tensor:
    """Correlation of (T, ...) with itself ``lag`` frames later, for each lag; 0 for lags of T and more."""
    flat = x.reshape(x.shape[0], -1)
    gram = (flat @ flat.T).to(torch.float64) / flat.shape[1]
    values = []
    for lag in lags:
        if lag >= x.shape[0]:
            values.append(torch.zeros((), dtype=torch.float64, device=x.device))
            continue
        power = gram.diagonal()
        norm = torch.sqrt(power[lag:].mean() * power[:-lag].mean() + 1e-9)
        values.append(gram.diagonal(lag).mean() / norm)
    return torch.stack(values)


def autocorrelation(x: Tensor, lags: Iterable[tuple[int, int]]) -> Tensor:
    """Normalised spatial autocorrelation of (..., H, W) at each (dy, dx) >= 0, mirrored lags averaged: (lags,).

    Lags larger than the picture give 0.
    """
    energy = mean_product(x, x) + 1e-9
    values = []
    for dy, dx in lags:
        if dy >= x.shape[-2] or dx >= x.shape[-1]:
            values.append(torch.zeros((), dtype=torch.float64, device=x.device))
            continue
        v = mean_product(*shifted(x, dy, dx))
        if dy and dx:
            v = (v + mean_product(*shifted(x, dy, -dx))) / 2
        values.append(v / energy)
    return torch.stack(values)


def shifted(x: Tensor, dy: int, dx: int) -> tuple[Tensor, Tensor]:
    """Two views of x, (dy, dx) pixels apart, of equal shape; dy >= 0."""
    h, w = x.shape[-2:]
    a = x[..., : h - dy, :]
    b = x[..., dy:, :]
    if dx >= 0:
        return a[..., : w - dx], b[..., dx:]
    return a[..., -dx:], b[..., : w + dx]


def power_spectrum(x: Tensor) -> Tensor:
    """Hann-windowed power spectrum of (N, H, W), mean over N: (H, W // 2 + 1), unnormalised, frequency 0 at [0, 0]."""
    h, w = x.shape[-2:]
    wy = torch.hann_window(h, periodic=True, device=x.device, dtype=x.dtype)
    wx = torch.hann_window(w, periodic=True, device=x.device, dtype=x.dtype)
    z = torch.fft.rfft2(x * wy[:, None] * wx[None, :])
    power: Tensor = z.real * z.real + z.imag * z.imag
    return power.mean(dim=0)


def axis_lines(power: Tensor) -> tuple[Tensor, Tensor]:
    """Power along the horizontal and the vertical frequency axis (three rows or columns averaged), 0 to 1/2."""
    h = power.shape[0]
    return power[[0, 1, h - 1]].mean(dim=0), power[: h // 2 + 1, :3].mean(dim=1)


def frequency_grid(h: int, w: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cycles per pixel of each rfft2 bin: |fy| as (h, 1), fx as (1, w // 2 + 1)."""
    fy = torch.fft.fftfreq(h, device=device, dtype=torch.float64).abs()[:, None]
    fx = torch.fft.rfftfreq(w, device=device, dtype=torch.float64)[None, :]
    return fy, fx


def band_means(power: Tensor, weights: Tensor) -> Tensor:
    """Mean power in each band: power (H, W // 2 + 1), weights (bins, bands) as the ``*_bands`` functions give them."""
    return power.reshape(-1).to(torch.float64) @ weights


def band_weights(index: Tensor, bands: int) -> Tensor:
    """(bins, bands) averaging weights; index: (H, W // 2 + 1), -1 = in no band."""
    # A matrix product instead of index_add_: atomics on CUDA would change the order of the sum from run to run.
    onehot = torch.nn.functional.one_hot(index + 1, bands + 1)[..., 1:].to(torch.float64)
    # An inner column of the half spectrum stands for two of the whole one (the last is the Nyquist column).
    onehot[:, 1:-1] *= 2.0
    return (onehot / onehot.sum(dim=(0, 1)).clamp_min(1.0)).reshape(-1, bands)


@lru_cache(maxsize=12)  # a few megabytes each
def radial_bands(h: int, w: int, bands: int, device: torch.device) -> Tensor:
    """Weights of ``bands`` rings of equal width from 0 to half the sampling rate; the corners beyond join the last."""
    fy, fx = frequency_grid(h, w, device)
    radius = torch.sqrt(fy * fy + fx * fx)
    return band_weights((radius * 2 * bands).long().clamp_max(bands - 1), bands)


@lru_cache(maxsize=6)
def axis_bands(h: int, w: int, bands: int, device: torch.device, vertical: bool) -> Tensor:
    """Weights of ``bands`` equal bands along one frequency axis, one 32nd of a cycle wide across it."""
    fy, fx = frequency_grid(h, w, device)
    along, across = (fy, fx) if vertical else (fx, fy)
    index = (along * 2 * bands).long().clamp_max(bands - 1) + torch.zeros_like(across).long()
    return band_weights(torch.where(across <= 1 / 32, index, -1), bands)


def log_shape(means: Tensor, floor: float = 1e-3) -> Tensor:
    """Log of band energies against their own geometric mean: shape without level; ``floor`` is added to each."""
    logs = torch.log(means + floor)
    return logs - logs.mean()


@dataclass(slots=True)
class Numbers:
    """Collects values with their names, in order; values stay on the device until all are there."""

    names: list[str]
    values: list[Tensor]

    @classmethod
    def empty(cls) -> Numbers:
        return cls([], [])

    def add(self, names: str | Sequence[str], values: Tensor) -> None:
        """One name for a scalar, or as many names as the flattened tensor has entries."""
        listed = [names] if isinstance(names, str) else list(names)
        flat = values.reshape(-1).to(torch.float64)
        if flat.numel() != len(listed):
            raise ValueError(f"{len(listed)} names for {flat.numel()} values, starting at {listed[:1]}")
        self.names += listed
        self.values.append(flat)

    def zeros(self, names: Sequence[str], device: torch.device) -> None:
        """Names whose evidence is absent (no chroma, one frame): neutral zeros."""
        self.add(names, torch.zeros(len(names), dtype=torch.float64, device=device))

    def vector(self) -> Tensor:
        """All values, float32, finite."""
        return torch.nan_to_num(torch.cat(self.values), nan=0.0, posinf=0.0, neginf=0.0).to(torch.float32)


def spread(total: int, wanted: int) -> list[int]:
    """At most ``wanted`` indices spread evenly over ``range(total)``, first and last among them."""
    if total <= wanted:
        return list(range(total))
    return [math.floor(i * (total - 1) / (wanted - 1) + 0.5) for i in range(wanted)]
