"""The reconstruction family: what a decoder, an upscaler or a codec leaves of fine detail, lines and gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint_db.residual import Planes, axis_lines, band_means, power_spectrum, radial_bands

Floats = NDArray[np.float32]

LINE_STEP = 4  # one row (or column) in so many is searched for lines
LINE_CONTRAST = 12.0  # levels by which a line stands out from both sides at 3 px
_LEAST_LINES = 16  # points of lines below which no width is told


def picture_cues(planes: Planes, full_range: bool) -> dict[str, Tensor | float]:
    """The cues of single pictures, of a window's middle frame: a file has tens of windows, and their median counts."""
    # A burst begins with a keyframe where it can; the middle frame is a picture like most.
    middle = planes.luma.shape[0] // 2
    frames = slice(middle, middle + 1)
    fine = planes.fine_luma[frames]
    luma = planes.luma[middle].cpu().numpy()  # one picture: NumPy costs half of what torch does
    power = power_spectrum(fine)
    rings = band_means(power, radial_bands(*fine.shape[-2:], 8, fine.device)) + 1.0
    low, high = (0.5, 254.5) if full_range else (16.0, 235.0)
    some = luma[::2]
    within = np.count_nonzero((some > low) & (some < high))
    found: dict[str, Tensor | float] = {
        "high_frequency_deficit": 10 * torch.log10(rings[2:4].mean() / rings[6:].mean()),
        "upsampling_peak": upsampling_peak(power),
        "blockiness": blockiness(luma, planes.top, planes.left),
        "noise": noise(luma),
        "banding": banding(luma),
        "saturated": 1 - within / some.size,
        "line_width": line_width(luma),
    }
    if planes.fine_chroma is not None:
        colour, half = planes.fine_chroma[:, frames], planes.fine_half[frames]
        found["chroma_detail"] = 10 * torch.log10(((colour * colour).mean() + 0.01) / ((half * half).mean() + 0.01))
    return found


def noise(luma: Floats) -> float:
    """Standard deviation of the noise in the calmest tenth of 16 px patches of (H, W), in levels (Immerkaer 1996)."""
    laplace = luma[2:] - 2 * luma[1:-1] + luma[:-2]
    laplace = laplace[:, 2:] - 2 * laplace[:, 1:-1] + laplace[:, :-2]
    cells = np.sort(_cells(np.abs(laplace, out=laplace), 16, np.add).ravel()) / 256
    at = 0.1 * (len(cells) - 1)
    low, part = int(at), at - int(at)
    tenth = cells[low] * (1 - part) + cells[min(low + 1, len(cells) - 1)] * part
    return math.sqrt(math.pi / 2) / 6 * float(tenth)


def _cells(x: NDArray[Any], side: int, by: np.ufunc) -> NDArray[Any]:
    """Squares of (H, W) each reduced to one number, whole squares only; rows first, which runs along the memory."""
    rows, columns = x.shape[0] // side, x.shape[1] // side
    lines = by.reduce(x[: rows * side].reshape(rows, side, -1), axis=1)
    return np.asarray(by.reduce(lines[:, : columns * side].reshape(rows, columns, side), axis=2))


def upsampling_peak(power: Tensor) -> float:
    """Strongest of the lines at 1/8, 1/4 and 1/2 of the sampling rate on either axis of a spectrum, in dB."""
    best = 0.0
    for line in (axis.cpu().numpy() for axis in axis_lines(power)):
        top = line.shape[0] - 1
        reach = max(1, top // 32)
        for eighth in (1, 2, 4):
            at = eighth * top // 4
            near = line[max(0, at - reach) : at + reach + 1].max()
            around = np.concatenate([line[at - 6 * reach : at - 2 * reach], line[at + 2 * reach : at + 6 * reach]])
            best = max(best, float(near + 1.0) / float(around.mean() + 1.0))
    return 10 * math.log10(max(best, 1e-12))


def blockiness(luma: Floats, top: int, left: int) -> float:
    """Mean step across the frame's 8 px grid over the mean step elsewhere, minus 1, mean of both axes; (H, W)."""
    ratios = []
    for profile, offset in (
        (np.abs(luma[:, 1:] - luma[:, :-1]).mean(axis=0), left),
        (np.abs(luma[1:] - luma[:-1]).mean(axis=1), top),
    ):
        on = (np.arange(len(profile)) + 1 + offset) % 8 == 0
        ratios.append((float(profile[on].mean()) + 0.05) / (float(profile[~on].mean()) + 0.05) - 1)
    return sum(ratios) / 2


def banding(luma: Floats, side: int = 16) -> float:
    """Of the pixels in gentle gradients (patches that span 2 to 8 levels), the share equal to all four neighbours.

    (H, W); the picture's rim counts as equal to what lies beyond it.
    """
    extent = _cells(luma, side, np.maximum) - _cells(luma, side, np.minimum)
    gentle = (extent >= 2) & (extent <= 8)
    if not gentle.any():
        return 0.0
    right = np.abs(luma[:, 1:] - luma[:, :-1]) < 0.25
    down = np.abs(luma[1:] - luma[:-1]) < 0.25
    equal = np.ones(luma.shape, np.uint8)
    equal[:, :-1] &= right
    equal[:, 1:] &= right
    equal[:-1] &= down
    equal[1:] &= down
    share = _cells(equal, side, np.add) / (side * side)
    return float(share[gentle].sum() / np.count_nonzero(gentle))


def line_width(luma: Floats) -> float:
    """Width at half height, px, of the thin lines of (H, W), as if their profiles were Gaussian; 0 without lines.

    A point of a line stands out by LINE_CONTRAST levels from both pixels 3 px across it, on the same side, and is not
    surpassed by either neighbour. Its contrast against 1 px over that against 3 px tells the width: for a Gaussian of
    deviation s the ratio is (1 - exp(-1 / 2s^2)) / (1 - exp(-9 / 2s^2)). The contrasts of all points are summed first.
    """
    near, far, points = 0.0, 0.0, 0
    for lines in (luma[::LINE_STEP], np.ascontiguousarray(luma[:, ::LINE_STEP].T)):
        middle = lines[:, 3:-3]
        left, right = middle - lines[:, :-6], middle - lines[:, 6:]
        # Few points stand out from both sides: the rest is asked of those alone.
        row, column = np.nonzero(
            (np.minimum(left, right) >= LINE_CONTRAST) | (np.maximum(left, right) <= -LINE_CONTRAST)
        )
        left, right, column = left[row, column], right[row, column], column + 3
        sign, point = np.sign(left), lines[row, column]
        before, after = (point - lines[row, column - 1]) * sign, (point - lines[row, column + 1]) * sign
        on = (before >= 0) & (after >= 0)
        points += int(np.count_nonzero(on))
        near += float((before + after)[on].sum(dtype=np.float64))
        far += float(((left + right) * sign)[on].sum(dtype=np.float64))
    return width_of_ratio(near / far) if points >= _LEAST_LINES else 0.0


def width_of_ratio(ratio: float) -> float:
    """Full width at half height, px, of the Gaussian line with this ratio of contrasts; by bisection, at most 6 px."""
    low, high = 0.05, 6.0 / 2.3548
    for _ in range(30):
        s = (low + high) / 2
        narrow = math.expm1(-0.5 / s**2) / math.expm1(-4.5 / s**2)
        low, high = (s, high) if narrow > ratio else (low, s)
    return 2.3548 * high
