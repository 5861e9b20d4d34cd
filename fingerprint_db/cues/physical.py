"""The physical family: light, the camera's path, and blur against motion."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from fingerprint_db.cues.motion import CELL, Motion
from fingerprint_db.residual import halve

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
        found["light_turn"] = turns.max() - turns.median()
    return found


def shading_turns(half: Tensor, shifts: Tensor) -> Tensor:
    """Angle in degrees, 0..180, between the shading's directions of each frame and the next: (T - 1,).

    The direction is the gradient of the plane that fits the logarithm of light best, over what both frames show:
    the later frame is moved back by the global shift (px of luma). 0 where either gradient is weak.
    """
    shade = half
    for _ in range(3):
        shade = halve(shade)
    shade = torch.log(shade + _BLACK)
    pairs, (h, w) = shifts.shape[0], shade.shape[-2:]
    yx = _positions(h, w, half.device)
    moved = yx[None] + shifts[:, None, None, :] / SHADE_PX
    size = torch.tensor([h, w], dtype=torch.float32, device=half.device)
    inside = ((moved >= -0.25) & (moved <= size - 0.75)).all(dim=-1).to(torch.float32)
    grid = ((moved + 0.5) * 2 / size - 1).flip(-1)
    later = torch.nn.functional.grid_sample(shade[1:, None], grid, padding_mode="border", align_corners=False)[:, 0]
    both = torch.stack([shade[:-1], later]).reshape(2, pairs, h * w)
    weight = inside.reshape(pairs, h * w)
    at = yx.reshape(h * w, 2)
    count = weight.sum(dim=1).clamp_min(1.0)
    middle = weight @ at / count[:, None]
    centred = at[None] - middle[:, None]
    weighted = centred * weight[..., None]
    spread = weighted.transpose(1, 2) @ centred + 1e-3 * torch.eye(2, device=half.device)
    slope = torch.linalg.solve(spread, weighted.transpose(1, 2) @ both.permute(1, 2, 0))  # (pairs, 2, frames)
    first, second = slope[..., 0], slope[..., 1]
    cross = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    angle = torch.rad2deg(torch.atan2(cross.abs(), (first * second).sum(dim=1)))
    strong = torch.minimum(first.norm(dim=1), second.norm(dim=1)) * min(h, w) >= _LEAST_SHADING
    return torch.where(strong & (count >= h * w / 4), angle, 0.0)


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
def _positions(h: int, w: int, device: torch.device) -> Tensor:
    """(h, w, 2): row and column of each place."""
    y = torch.arange(h, dtype=torch.float32, device=device)
    x = torch.arange(w, dtype=torch.float32, device=device)
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1)
