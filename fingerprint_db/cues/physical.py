"""The physical family: light, the camera's path, and blur against motion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint_db.cues.motion import CELL, Motion
from fingerprint_db.cues.spatiotemporal import lower_median
from fingerprint_db.intermediates import Intermediates, squares
from fingerprint_db.residual import halve

Floats = NDArray[np.float64]

SHADE_PX = 16  # side of the means that stand for shading, px of luma
# Least difference of the logarithm of light from one side of the window to the other for its direction to mean much.
_LEAST_SHADING = 0.1
_BLACK = 16.0  # added to luma before its logarithm, so that black is not minus infinity
MOVING_PX = 3.0
_STILL_PX = 0.05  # below this the global shift is the error of its measurement
_LEAST_PATH = 6  # frames that a path needs before a parabola leaves anything over


def light_cues(shared: Intermediates, motion: Motion) -> dict[str, Tensor | float]:
    """light_jump and light_turn of two frames and more."""
    means = shared.level.cpu().numpy()
    drift = means[1:] - means[:-1]
    found: dict[str, Tensor | float] = {"light_jump": float(np.abs(drift - lower_median(drift)).max())}
    if len(means) >= 4:
        turns = shading_turns(shared.eighth, motion.shifts)
        found["light_turn"] = float(turns.max() - np.median(turns))
    return found


def shading_turns(eighth: Tensor, shifts: NDArray[Any]) -> Floats:
    """Angle in degrees, 0..180, between the shading's directions of each frame and the next: (T - 1,).

    The direction is the gradient of the plane that fits the logarithm of light best, over what both frames show:
    the later frame is moved back by the global shift (px of luma). 0 where either gradient is weak.
    """
    small = halve(eighth)
    # Some hundred numbers a frame from here on: NumPy costs a fifth of what torch does on arrays of that size.
    shade = np.log(small.cpu().numpy() + np.float32(_BLACK))
    pairs, h, w = len(shade) - 1, shade.shape[1], shade.shape[2]
    sides = [_moved(size, shifts[:, axis] / SHADE_PX) for axis, size in enumerate((h, w))]
    (y, below, down, in_rows), (x, beside, right, in_columns) = sides
    inside = (in_rows[:, :, None] & in_columns[:, None, :]).reshape(pairs, -1).astype(np.float64)
    n = np.arange(pairs)[:, None]
    later = shade[1:]
    rows = later[n, y] * (1 - down)[..., None] + later[n, below] * down[..., None]
    columns = rows.transpose(0, 2, 1)
    moved = columns[n, x] * (1 - right)[..., None] + columns[n, beside] * right[..., None]
    moments = inside @ _moments(h, w)
    first = _slopes(shade[:-1].reshape(pairs, -1) * inside, moments, h, w)
    second = _slopes(moved.transpose(0, 2, 1).reshape(pairs, -1) * inside, moments, h, w)
    cross = first[0] * second[1] - first[1] * second[0]
    angle = np.degrees(np.arctan2(np.abs(cross), (first * second).sum(axis=0)))
    strong = np.minimum(np.hypot(*first), np.hypot(*second)) * min(h, w) >= _LEAST_SHADING
    return np.where(strong & (moments[:, 0] >= h * w / 4), angle, 0.0)


def _moved(size: int, shifts: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats, NDArray[np.bool_]]:
    """Along one axis, where each place lies in each later frame: the places around it, the part of the way from one to
    the other, and whether it lies within; (pairs, size) each.
    """
    at = np.arange(size) + shifts[:, None].astype(np.float64)
    inside = (at >= -0.25) & (at <= size - 0.75)
    at = at.clip(0, size - 1)
    low = np.minimum(at.astype(np.intp), max(size - 2, 0))
    return low, np.minimum(low + 1, size - 1), np.asarray(at - low), inside


def _slopes(weighted: NDArray[Any], moments: Floats, h: int, w: int) -> Floats:
    """Gradient (down, right) of the plane that fits values best: weights * values (N, places), weights @ _moments."""
    count = np.maximum(moments[:, 0], 1.0)
    total, vd, vr = (weighted @ _moments(h, w)[:, :3]).T
    _, d, r, dd, rr, dr = moments.T
    dd, rr, dr = dd - d * d / count + 1e-3, rr - r * r / count + 1e-3, dr - d * r / count
    vd, vr = vd - total * d / count, vr - total * r / count
    return np.asarray(np.stack([rr * vd - dr * vr, dd * vr - dr * vd]) / (dd * rr - dr * dr))


def camera_cues(motion: Motion) -> dict[str, Tensor | float]:
    """camera_speed, camera_jerk and, where at least three pairs in four have a shift, shake, jitter and glide."""
    shifts = motion.shifts.astype(np.float64)
    count = len(shifts)
    speed = float(lower_median(np.hypot(shifts[:, 0], shifts[:, 1])))
    found: dict[str, Tensor | float] = {
        "camera_speed": speed,
        "camera_jerk": math.sqrt(((shifts[1:] - shifts[:-1]) ** 2).sum(axis=1).mean()),
    }
    if count + 1 < _LEAST_PATH or motion.found.mean() < 0.75:
        return found
    path = np.concatenate([np.zeros((1, 2)), np.cumsum(shifts, axis=0)])
    shake = math.sqrt(((_without_polynomial(count + 1, 2) @ path) ** 2).sum(axis=1).mean())
    found["camera_shake"] = shake
    found["camera_glide"] = 20 * math.log10((speed + 0.1) / (shake + 0.1))
    wobble = _without_polynomial(count, 1) @ shifts
    if (wobble**2).sum(axis=1).mean() >= _STILL_PX**2:
        power = (np.abs(np.fft.rfft(wobble, axis=0)) ** 2).sum(axis=1)
        power[1 : (count + 1) // 2] *= 2  # each stands for its mirror image too
        found["camera_jitter"] = power[np.fft.rfftfreq(count) > 0.25].sum() / power.sum()
    return found


def blur_along_motion(half: Tensor, motion: Motion) -> float:
    """See its definition; 0 with fewer than four moving patches. Every second pair of frames is looked at."""
    moves = motion.moves[::2] * 2.0
    speed = np.hypot(moves[..., 0], moves[..., 1])
    moving = (speed >= MOVING_PX) & (motion.likeness[::2] >= 0.5) & motion.textured
    if np.count_nonzero(moving) < 4:
        return 0.0
    rows, columns = motion.rows, motion.columns
    later = half[1::2, : rows * CELL, : columns * CELL]
    dy = later[:, 2:, 1:-1] - later[:, :-2, 1:-1]
    dx = later[:, 1:-1, 2:] - later[:, 1:-1, :-2]
    energy = []
    whole = torch.zeros_like(later)
    for a, b in ((dy, dy), (dx, dx), (dy, dx)):
        torch.mul(a, b, out=whole[:, 1:-1, 1:-1])
        energy.append((squares(whole, CELL) * CELL**2).flatten(1).cpu().numpy())
    yy, xx, yx = energy
    uy, ux = moves[..., 0] / np.maximum(speed, 1.0), moves[..., 1] / np.maximum(speed, 1.0)
    along = yy * uy * uy + 2 * yx * uy * ux + xx * ux * ux
    across = yy * ux * ux - 2 * yx * uy * ux + xx * uy * uy
    return 10 * math.log10((across[moving].sum() + 1.0) / (along[moving].sum() + 1.0))


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
def _without_polynomial(count: int, degree: int) -> Floats:
    """(count, count): takes off a series its least-squares polynomial in time."""
    basis, _ = np.linalg.qr(np.vander(np.linspace(-1, 1, count), degree + 1))
    return np.asarray(np.eye(count) - basis @ basis.T)


@lru_cache(maxsize=8)
def _moments(h: int, w: int) -> Floats:
    """(h * w, 6): 1, row, column of each place counted from the middle, their squares and their product."""
    row, column = np.divmod(np.arange(h * w), w) - np.array([[(h - 1) / 2], [(w - 1) / 2]])
    return np.stack([np.ones(h * w), row, column, row * row, column * column, row * column], axis=1)
