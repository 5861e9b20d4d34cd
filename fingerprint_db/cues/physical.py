"""The physical family: light, the camera's path, and blur against motion."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint_db.cues.motion import CELL, Motion
from fingerprint_db.residual import halve

Floats = NDArray[np.float64]

SHADE_PX = 16  # side of the means that stand for shading, px of luma
# Least difference of the logarithm of light from one side of the window to the other for its direction to mean much.
_LEAST_SHADING = 0.1
_BLACK = 16.0  # added to luma before its logarithm, so that black is not minus infinity
MOVING_PX = 3.0
_STILL_PX = 0.05  # below this the global shift is the error of its measurement
_LEAST_PATH = 6  # frames that a path needs before a parabola leaves anything over


def light_cues(half: Tensor, motion: Motion) -> dict[str, Tensor | float]:
    """light_jump and light_turn of (T, H, W) luma at half size, T >= 2."""
    means = half.mean(dim=(1, 2))
    drift = means[1:] - means[:-1]
    found: dict[str, Tensor | float] = {"light_jump": (drift - drift.median()).abs().max()}
    if half.shape[0] >= 4:
        turns = shading_turns(half, motion.shifts)
        found["light_turn"] = float(turns.max() - np.median(turns))
    return found


def shading_turns(half: Tensor, shifts: Tensor) -> Floats:
    """Angle in degrees, 0..180, between the shading's directions of each frame and the next: (T - 1,).

    The direction is the gradient of the plane that fits the logarithm of light best, over what both frames show:
    the later frame is moved back by the global shift (px of luma). 0 where either gradient is weak.
    """
    small = halve(halve(halve(half)))
    # Some hundred numbers a frame from here on: NumPy costs a fifth of what torch does on arrays of that size.
    shade = np.log(small.cpu().numpy() + np.float32(_BLACK))
    pairs, h, w = len(shade) - 1, shade.shape[1], shade.shape[2]
    at = _positions(h, w)
    moved = at[None] + shifts.cpu().numpy()[:, None, :] / SHADE_PX
    last = np.array([h - 1, w - 1])
    inside = np.asarray(((moved >= -0.25) & (moved <= last + 0.25)).all(axis=2), dtype=np.float64)
    moved = np.clip(moved, 0, last)
    corner = np.minimum(moved.astype(np.intp), np.maximum(last - 1, 0))
    part = moved - corner
    n, y, x = np.arange(1, pairs + 1)[:, None], corner[..., 0], corner[..., 1]
    below, right = np.minimum(y + 1, h - 1), np.minimum(x + 1, w - 1)
    upper = shade[n, y, x] * (1 - part[..., 1]) + shade[n, y, right] * part[..., 1]
    lower = shade[n, below, x] * (1 - part[..., 1]) + shade[n, below, right] * part[..., 1]
    later = upper * (1 - part[..., 0]) + lower * part[..., 0]
    first = _slopes(shade[:-1].reshape(pairs, -1), inside, at)
    second = _slopes(later, inside, at)
    cross = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    angle = np.degrees(np.arctan2(np.abs(cross), (first * second).sum(axis=1)))
    strong = np.minimum(np.hypot(*first.T), np.hypot(*second.T)) * min(h, w) >= _LEAST_SHADING
    return np.where(strong & (inside.sum(axis=1) >= h * w / 4), angle, 0.0)


def _slopes(values: NDArray[Any], weights: NDArray[Any], at: Floats) -> Floats:
    """Gradient (down, right) of the plane that fits each row of values best: (N, places) -> (N, 2)."""
    count = np.maximum(weights.sum(axis=1, keepdims=True), 1.0)
    down, right = (at[None, :, k] - weights @ at[:, k : k + 1] / count for k in range(2))
    wd, wr = weights * down, weights * right
    dd, rr, dr = (wd * down).sum(axis=1) + 1e-3, (wr * right).sum(axis=1) + 1e-3, (wd * right).sum(axis=1)
    vd, vr = (wd * values).sum(axis=1), (wr * values).sum(axis=1)
    return np.asarray(np.stack([rr * vd - dr * vr, dd * vr - dr * vd], axis=1) / (dd * rr - dr * dr)[:, None])


def camera_cues(motion: Motion) -> dict[str, Tensor | float]:
    """camera_speed, camera_jerk and, where at least three pairs in four have a shift, shake, jitter and glide."""
    shifts = motion.shifts
    speed = torch.hypot(shifts[:, 0], shifts[:, 1]).median()
    found: dict[str, Tensor | float] = {
        "camera_speed": speed,
        "camera_jerk": torch.sqrt(((shifts[1:] - shifts[:-1]) ** 2).sum(dim=1).mean()),
    }
    if shifts.shape[0] + 1 < _LEAST_PATH or float(motion.found.to(torch.float32).mean()) < 0.75:
        return found
    path = torch.cat([torch.zeros_like(shifts[:1]), torch.cumsum(shifts, dim=0)]).to(torch.float64)
    shake = torch.sqrt(((_without_polynomial(path.shape[0], 2, path.device) @ path) ** 2).sum(dim=1).mean())
    found["camera_shake"] = shake
    found["camera_glide"] = 20 * torch.log10((speed + 0.1) / (shake + 0.1))
    wobble = _without_polynomial(shifts.shape[0], 1, path.device) @ shifts.to(torch.float64)
    if float((wobble**2).sum(dim=1).mean()) >= _STILL_PX**2:
        power = torch.view_as_real(torch.fft.rfft(wobble, dim=0)).pow(2).sum(dim=(1, 2))
        power[1 : (shifts.shape[0] + 1) // 2] *= 2  # each stands for its mirror image too
        fast = torch.fft.rfftfreq(shifts.shape[0], device=path.device) > 0.25
        found["camera_jitter"] = (power * fast).sum() / power.sum()
    return found


def blur_along_motion(half: Tensor, motion: Motion) -> Tensor | float:
    """See its definition; 0 with fewer than four moving patches. Every second pair of frames is looked at."""
    moves = motion.moves[::2] * 2.0
    speed = torch.hypot(moves[..., 0], moves[..., 1])
    moving = (speed >= MOVING_PX) & (motion.likeness[::2] >= 0.5) & motion.textured
    if int(moving.sum()) < 4:
        return 0.0
    rows, columns = motion.rows, motion.columns
    later = half[1::2, : rows * CELL, : columns * CELL]
    dy = later[:, 2:, 1:-1] - later[:, :-2, 1:-1]
    dx = later[:, 1:-1, 2:] - later[:, 1:-1, :-2]
    energy = []
    for product in (dy * dy, dx * dx, dy * dx):
        whole = torch.nn.functional.pad(product, (1, 1, 1, 1))
        energy.append(whole.reshape(-1, rows, CELL, columns, CELL).sum(dim=(2, 4)).flatten(1))
    yy, xx, yx = energy
    uy, ux = moves[..., 0] / speed.clamp_min(1.0), moves[..., 1] / speed.clamp_min(1.0)
    along = yy * uy * uy + 2 * yx * uy * ux + xx * ux * ux
    across = yy * ux * ux - 2 * yx * uy * ux + xx * uy * uy
    return 10 * torch.log10(((across * moving).sum() + 1.0) / ((along * moving).sum() + 1.0))


def blur_with_motion(logs: Sequence[float], detail: Sequence[float]) -> float:
    """Minus the correlation of log change with the detail of the frames between which it happens."""
    between = [(a + b) / 2 for a, b in pairwise(detail)]
    n = len(logs)
    if n < 4:
        return 0.0
    ma, mb = sum(logs) / n, sum(between) / n
    saa, sbb = sum((x - ma) ** 2 for x in logs), sum((y - mb) ** 2 for y in between)
    if saa < 1e-6 or sbb < 1e-6:
        return 0.0
    return float(-sum((x - ma) * (y - mb) for x, y in zip(logs, between, strict=True)) / (saa * sbb) ** 0.5)


@lru_cache(maxsize=8)
def _without_polynomial(count: int, degree: int, device: torch.device) -> Tensor:
    """(count, count) float64: takes off a series its least-squares polynomial in time."""
    t = torch.linspace(-1, 1, count, dtype=torch.float64, device=device)
    basis, _ = torch.linalg.qr(torch.stack([t**k for k in range(degree + 1)], dim=1))
    without: Tensor = torch.eye(count, dtype=torch.float64, device=device) - basis @ basis.T
    return without


@lru_cache(maxsize=8)
def _positions(h: int, w: int) -> Floats:
    """(h * w, 2): row and column of each place."""
    return np.stack(np.divmod(np.arange(h * w), w), axis=1).astype(np.float64)
