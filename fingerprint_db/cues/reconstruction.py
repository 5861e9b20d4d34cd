"""The reconstruction family: what a decoder, an upscaler or a codec leaves of fine detail, lines and gradients."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from fingerprint_db.residual import Planes, axis_lines, band_means, power_spectrum, radial_bands

LINE_STEP = 4  # one row (or column) in so many is searched for lines
LINE_CONTRAST = 12.0  # levels by which a line stands out from both sides at 3 px
_LEAST_LINES = 16  # points of lines below which no width is told


def picture_cues(planes: Planes, full_range: bool) -> dict[str, Tensor | float]:
    """The cues of single pictures, of a window's middle frame: a file has tens of windows, and their median counts."""
    # A burst begins with a keyframe where it can; the middle frame is a picture like most.
    middle = planes.luma.shape[0] // 2
    frames = slice(middle, middle + 1)
    luma, fine = planes.luma[frames], planes.fine_luma[frames]
    power = power_spectrum(fine)
    rings = band_means(power, radial_bands(*fine.shape[-2:], 8, luma.device)) + 1.0
    low, high = (0.5, 254.5) if full_range else (16.0, 235.0)
    some = luma[:, ::2]
    within = ((some > low) & (some < high)).sum()
    found: dict[str, Tensor | float] = {
        "high_frequency_deficit": 10 * torch.log10(rings[2:4].mean() / rings[6:].mean()),
        "upsampling_peak": upsampling_peak(power),
        "blockiness": blockiness(luma, planes.top, planes.left),
        "noise": noise(luma),
        "banding": banding(luma),
        "saturated": 1 - within.to(torch.float64) / some.numel(),
        "line_width": line_width(luma),
    }
    if planes.fine_chroma is not None:
        colour, half = planes.fine_chroma[:, frames], planes.fine_half[frames]
        found["chroma_detail"] = 10 * torch.log10(((colour * colour).mean() + 0.01) / ((half * half).mean() + 0.01))
    return found


def noise(luma: Tensor) -> Tensor:
    """Standard deviation of the noise in the calmest tenth of 16 px patches, in levels (Immerkaer 1996)."""
    laplace = luma[..., 2:, :] - 2 * luma[..., 1:-1, :] + luma[..., :-2, :]
    laplace = laplace[..., 2:] - 2 * laplace[..., 1:-1] + laplace[..., :-2]
    rows, columns = laplace.shape[-2] // 16, laplace.shape[-1] // 16
    cells = laplace[..., : rows * 16, : columns * 16].abs().reshape(-1, rows, 16, columns, 16).mean(dim=(2, 4))
    return math.sqrt(math.pi / 2) / 6 * torch.quantile(cells.reshape(-1), 0.1)


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


def blockiness(luma: Tensor, top: int, left: int) -> Tensor:
    """Mean step across the frame's 8 px grid over the mean step elsewhere, minus 1, mean of both axes."""
    ratios = []
    for axis, offset in ((-1, left), (-2, top)):
        step = (luma.narrow(axis, 1, luma.shape[axis] - 1) - luma.narrow(axis, 0, luma.shape[axis] - 1)).abs()
        profile = step.mean(dim=(0, -2 if axis == -1 else -1))
        position = (torch.arange(profile.shape[0], device=luma.device) + 1 + offset) % 8
        on = profile[position == 0].mean()
        off = profile[position != 0].mean()
        ratios.append((on + 0.05) / (off + 0.05) - 1)
    return torch.stack(ratios).mean()


def banding(luma: Tensor, side: int = 16) -> Tensor:
    """Of the pixels in gentle gradients (patches that span 2 to 8 levels), the share equal to all four neighbours.

    (N, H, W); the picture's rim counts as equal to what lies beyond it.
    """
    h, w = luma.shape[-2] // side * side, luma.shape[-1] // side * side
    cells = luma[:, :h, :w].reshape(-1, h // side, side, w // side, side)
    extent = cells.amax(dim=2).amax(dim=3) - cells.amin(dim=2).amin(dim=3)
    gentle = (extent >= 2) & (extent <= 8)
    right = (luma[:, :, 1:] - luma[:, :, :-1]).abs() < 0.25
    down = (luma[:, 1:] - luma[:, :-1]).abs() < 0.25
    equal = torch.ones_like(luma, dtype=torch.bool)
    equal[:, :, :-1] &= right
    equal[:, :, 1:] &= right
    equal[:, :-1] &= down
    equal[:, 1:] &= down
    share = equal[:, :h, :w].reshape(-1, h // side, side, w // side, side).sum(dim=(2, 4)) / float(side * side)
    return (share * gentle).sum() / gentle.sum().clamp_min(1)


def line_width(luma: Tensor) -> float:
    """Width at half height, px, of the thin lines of (N, H, W), as if their profiles were Gaussian; 0 without lines.

    A point of a line stands out by LINE_CONTRAST levels from both pixels 3 px across it, on the same side, and is not
    surpassed by either neighbour. Its contrast against 1 px over that against 3 px tells the width: for a Gaussian of
    deviation s the ratio is (1 - exp(-1 / 2s^2)) / (1 - exp(-9 / 2s^2)). The contrasts of all points are summed first.
    """
    near, far, points = 0.0, 0.0, 0
    for lines in (luma[:, ::LINE_STEP], luma[:, :, ::LINE_STEP].transpose(1, 2)):
        middle = lines[..., 3:-3]
        left, right = middle - lines[..., :-6], middle - lines[..., 6:]
        sign = torch.where(left > 0, 1.0, -1.0)
        before, after = (middle - lines[..., 2:-4]) * sign, (middle - lines[..., 4:-2]) * sign
        least = torch.minimum(left * sign, right * sign)
        on = (least >= LINE_CONTRAST) & (before >= 0) & (after >= 0)
        points += int(on.sum())
        near += float(((before + after) * on).sum(dtype=torch.float64))
        far += float((((left + right) * sign) * on).sum(dtype=torch.float64))
    return width_of_ratio(near / far) if points >= _LEAST_LINES else 0.0


def width_of_ratio(ratio: float) -> float:
    """Full width at half height, px, of the Gaussian line with this ratio of contrasts; by bisection, at most 6 px."""
    low, high = 0.05, 6.0 / 2.3548
    for _ in range(30):
        s = (low + high) / 2
        narrow = math.expm1(-0.5 / s**2) / math.expm1(-4.5 / s**2)
        low, high = (s, high) if narrow > ratio else (low, s)
    return 2.3548 * high
