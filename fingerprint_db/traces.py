"""Series a frame, from which is read how a video was put together: interpolation, repeats, seams, conversion.

A window alone is too short to tell a rhythm from chance, therefore its series are kept and pooled over the file by
``fingerprint_db.assembly``. Everything is measured against the two frames around a frame, by what a codec disturbs
least: where blocks of the picture *are* (motion by least squares on smoothed, four and eight times smaller pictures,
Lucas and Kanade 1981) rather than how sharp they are. An interpolated frame lies half-way between its neighbours, so
its motion has no acceleration; camera footage has one at every frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint_db.intermediates import Intermediates
from fingerprint_db.residual import Planes
from fingerprint_db.window import FrameWindow

Series = NDArray[np.float32]
CALM = (0.1, 0.25, 0.5)  # quantiles over blocks: what the calmest tenth, quarter and half of the picture do
_CALM_SIDE = 31  # px
_TOGETHER = 5  # frames at once, so that what is between stays in the processor's cache
_FLOOR = 1e-2  # squared 8-bit levels, added before a logarithm


@dataclass(frozen=True, slots=True)
class TraceDefinition:
    """What a series measures; NaN where a frame lacks the neighbours it takes."""

    definition: str
    unit: str


TRACES: Mapping[str, TraceDefinition] = MappingProxyType(
    {
        "time": TraceDefinition("presentation time since the window's first frame", "s"),
        "level": TraceDefinition("mean luma", "8-bit levels"),
        "level_b": TraceDefinition("mean Cb", "8-bit levels"),
        "level_r": TraceDefinition("mean Cr", "8-bit levels"),
        "change": TraceDefinition("mean absolute change of luma at half size since the frame before", "8-bit levels"),
        "detail": TraceDefinition("power of the fine detail of luma", "dB of squared levels"),
        "middle": TraceDefinition(
            "power of the frame less the mean of its two neighbours, at an eighth of the size", "dB"
        ),
        "acceleration": TraceDefinition(
            "power of the luma change that is explained by the change of motion of 32 px blocks at this frame, "
            "from the frame before to the frame after",
            "dB",
        ),
        "acceleration_coarse": TraceDefinition(
            "the same for quarters of the window's sides, at an eighth of the size", "dB"
        ),
        "fine_change": TraceDefinition(
            "power of the change of fine detail since the frame before, in the calmest tenth, quarter and half of "
            "blocks of 31 px, mean of the three",
            "dB",
        ),
        "coarse_change": TraceDefinition(
            "the same for luma at an eighth of the size, median over blocks of 32 px", "dB"
        ),
        "alike": TraceDefinition("correlation with the frame before, at an eighth of the size", "-1..1"),
    }
)
TRACE_NAMES: tuple[str, ...] = tuple(TRACES)


def measure_traces(
    planes: Planes, window: FrameWindow, before: Planes | None = None, shared: Intermediates | None = None
) -> dict[str, Series]:
    """All series of a window, each (T,) float32, in the order of TRACE_NAMES; luma at least 64 x 64.

    before: one frame of the same crop, the one that comes just before the window; the first frame then has its change,
    too. Chunks of as many frames as a burst would otherwise begin unseen between bursts. shared: of these planes, where
    the cues have been at them already.
    """
    frames = planes.luma.shape[0]
    out = {name: np.full(frames, np.nan, np.float32) for name in TRACE_NAMES}
    shared = shared or Intermediates(planes)
    # Some thousand numbers a frame: NumPy costs a fifth of what torch does on arrays of that size.
    eighth = shared.eighth.cpu().numpy()
    if len(window.times_s) == frames:
        out["time"][:] = window.times_s - window.times_s[0]
    out["level"][:] = shared.level.cpu()
    if planes.chroma is not None:
        out["level_b"][:], out["level_r"][:] = planes.chroma.mean(dim=(2, 3)).cpu().numpy()
    power, fine_change = _fine(planes.fine_luma)
    out["detail"][:] = _decibels(power)
    if frames > 1:
        out["change"][1:] = shared.change.cpu()
        out["fine_change"][1:] = fine_change
        out["coarse_change"][1:], out["alike"][1:] = _coarse_change(eighth), _likeness(eighth)
    if before is not None:
        pair = Intermediates(replace(planes, half=torch.cat([before.half[-1:], planes.half[:1]])))
        small = pair.eighth.cpu().numpy()
        out["change"][0] = pair.change.cpu()[0]
        out["fine_change"][0] = _fine(torch.cat([before.fine_luma[-1:], planes.fine_luma[:1]]))[1][0]
        out["coarse_change"][0], out["alike"][0] = _coarse_change(small)[0], _likeness(small)[0]
    if frames > 2:
        middle = eighth[1:-1] - (eighth[2:] + eighth[:-2]) * np.float32(0.5)
        coarse = max(4, min(eighth.shape[1:]) // 4)
        out["middle"][1:-1] = _decibels((middle * middle).mean(axis=(1, 2)))
        out["acceleration"][1:-1] = explained_change(*block_motion(planes.half, 16))
        out["acceleration_coarse"][1:-1] = explained_change(*block_motion(shared.eighth, coarse))
    return out


def _fine(fine: Tensor) -> tuple[Series, Series]:
    """Of the fine detail of (T, H, W): its mean square (T,), and ``fine_change`` of all frames but the first."""
    frames, height, width = fine.shape
    side = min(_CALM_SIDE, height, width)
    rows, columns = height // side, width // side
    powers = torch.empty(frames, device=fine.device)
    lines = torch.empty(max(frames - 1, 0), rows, width, device=fine.device)
    room = torch.empty(_TOGETHER, height, width, device=fine.device)
    for at in range(0, frames, _TOGETHER):
        now, then = fine[at : at + _TOGETHER], fine[at + 1 : at + 1 + _TOGETHER]
        change = torch.sub(then, now[: len(then)], out=room[: len(then)])
        blocks = change.mul_(change)[:, : rows * side].view(len(then), rows, side, width)
        torch.sum(blocks, dim=2, out=lines[at : at + len(then)])
        for n, frame in enumerate(now.flatten(1)):
            powers[at + n] = torch.dot(frame, frame)
    sums = lines[..., : columns * side].reshape(len(lines), rows * columns, side).sum(dim=2).cpu().numpy()
    calm = _quantiles(np.sort(sums / np.float32(side * side), axis=1))
    fine_change: Series = (10 * np.log10(calm + np.float32(0.1))).mean(axis=0)
    return np.asarray(powers.cpu().numpy() / (height * width), np.float32), fine_change


def _quantiles(rows: Series) -> Series:
    """The quantiles CALM of sorted rows, (N, M) to (3, N): ``np.quantile`` takes longer than everything around it."""
    at = np.asarray(CALM, np.float32) * np.float32(rows.shape[1] - 1)
    low = at.astype(int)
    part = (at - low)[:, None]
    high = np.minimum(low + 1, rows.shape[1] - 1)
    return np.asarray(rows[:, low].T * (1 - part) + rows[:, high].T * part, np.float32)


def _coarse_change(eighth: Series) -> Series:
    """Median over blocks of 32 px of luma of the mean square change, dB: (T - 1,)."""
    change = eighth[1:] - eighth[:-1]
    side = min(4, *change.shape[1:])
    rows, columns = change.shape[1] // side, change.shape[2] // side
    blocks = (change * change)[:, : rows * side, : columns * side].reshape(-1, rows, side, columns, side)
    cells = np.sort(blocks.mean(axis=(2, 4)).reshape(len(change), -1), axis=1)
    # The lower of the two in the middle of an even number, as torch has it.
    return np.asarray(10 * np.log10(cells[:, (cells.shape[1] - 1) // 2] + np.float32(0.05)))


def _likeness(x: Series) -> Series:
    """Correlation of each frame of (T, H, W) with the next, against a floor of one squared level: (T - 1,)."""
    flat = x.reshape(len(x), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    strength = (flat * flat).mean(axis=1) + 1
    return np.asarray(((flat[1:] * flat[:-1]).mean(axis=1) + 1) / np.sqrt(strength[1:] * strength[:-1]))


def _decibels(squared: Series) -> Series:
    return np.asarray(10 * np.log10(squared + np.float32(_FLOOR)))


def block_motion(picture: Tensor, side: int) -> tuple[Series, Series]:
    """Motion of each block of ``side`` pixels by one least-squares step: (T, h, w) to (T - 1, B, 2) as (x, y).

    In pixels of this picture; good to about one of them, and too small beyond. Also the blocks' mean gradient products
    (T - 1, B, 3) as xx, yy, xy, in squared levels per squared pixel. A picture smaller than a block is one block.
    """
    side = min(side, picture.shape[1] - 2, picture.shape[2] - 2)
    rows, columns = ((size - 2) // side for size in picture.shape[1:])
    used = picture[:, : rows * side + 2, : columns * side + 2]  # whole blocks, and a pixel around for the slopes
    both = used[1:] + used[:-1]
    # Slopes are half a difference, of the mean of two frames: these are four times as large.
    gx, gy = both[:, 1:-1, 2:] - both[:, 1:-1, :-2], both[:, 2:, 1:-1] - both[:, :-2, 1:-1]
    gt = used[1:, 1:-1, 1:-1] - used[:-1, 1:-1, 1:-1]
    g = [x.cpu().numpy().reshape(len(gt), rows, side, columns * side) for x in (gx, gy, gt)]
    # Products and their sums over a block's rows in one go: no product is ever written down.
    lines = np.stack([np.einsum("trkc,trkc->trc", g[i], g[k]) for i, k in ((0, 0), (1, 1), (0, 1), (0, 2), (1, 2))])
    xx, yy, xy, xt, yt = lines.reshape(5, len(gt), -1, side) @ np.full(side, 1 / (side * side), np.float32)
    # The half keeps a flat block from moving by chance.
    xx, yy, xy, xt, yt = xx / 16 + np.float32(0.5), yy / 16 + np.float32(0.5), xy / 16, xt / 4, yt / 4
    determinant = xx * yy - xy * xy
    motion = np.stack([xy * yt - yy * xt, xy * xt - xx * yt], axis=-1) / determinant[..., None]
    return motion, np.stack([xx, yy, xy], axis=-1)


def explained_change(motion: Series, weights: Series) -> Series:
    """Mean power (dB) of the luma change that a change of motion makes at each inner frame: (T - 2,)."""
    a = motion[1:] - motion[:-1]
    w = weights[1:]
    power = w[..., 0] * a[..., 0] ** 2 + w[..., 1] * a[..., 1] ** 2 + 2 * w[..., 2] * a[..., 0] * a[..., 1]
    return _decibels(np.maximum(power.mean(axis=1), 0))
