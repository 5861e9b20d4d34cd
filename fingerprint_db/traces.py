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

from fingerprint_db.residual import Planes, halve
from fingerprint_db.window import FrameWindow

Series = NDArray[np.float32]
CALM = (0.1, 0.25, 0.5)  # quantiles over blocks: what the calmest tenth, quarter and half of the picture do
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


def measure_traces(planes: Planes, window: FrameWindow, before: Planes | None = None) -> dict[str, Series]:
    """All series of a window, each (T,) float32, in the order of TRACE_NAMES; luma at least 64 x 64.

    before: one frame of the same crop, the one that comes just before the window; the first frame then has its change,
    too. Chunks of as many frames as a burst would otherwise begin unseen between bursts.
    """
    frames = planes.luma.shape[0]
    out = {name: np.full(frames, np.nan, np.float32) for name in TRACE_NAMES}

    def put(name: str, values: Tensor | NDArray[np.float64], first: int = 0) -> None:
        series = values.cpu().numpy() if isinstance(values, Tensor) else values
        out[name][first : first + len(series)] = series

    half = planes.half
    eighth = halve(halve(half))
    if len(window.times_s) == frames:
        put("time", window.times_s - window.times_s[0])
    put("level", half.mean(dim=(1, 2)))
    if planes.chroma is not None:
        put("level_b", planes.chroma[0].mean(dim=(1, 2)))
        put("level_r", planes.chroma[1].mean(dim=(1, 2)))
    put("detail", _power(planes.fine_luma))
    for name, values in _changes(planes).items():
        put(name, values, 1)
    if before is not None:
        for name, values in _changes(_joined(before, planes)).items():
            put(name, values[:1])
    if frames < 3:
        return out
    put("middle", _power(eighth[1:-1] - (eighth[2:] + eighth[:-2]) * 0.5), 1)
    put("acceleration", explained_change(*block_motion(half, 16)), 1)
    put("acceleration_coarse", explained_change(*block_motion(eighth, max(4, min(eighth.shape[1:]) // 4))), 1)
    return out


def _changes(planes: Planes) -> dict[str, Tensor]:
    """What changes from each frame to the next: (T - 1,) each."""
    half = planes.half
    eighth = halve(halve(half))
    if half.shape[0] < 2:
        return {}
    return {
        "change": (half[1:] - half[:-1]).abs().mean(dim=(1, 2)),
        "fine_change": _calm_change(planes.fine_luma),
        "coarse_change": 10 * torch.log10(_blocks(eighth[1:] - eighth[:-1], 4).median(dim=1).values + 0.05),
        "alike": _likeness(eighth),
    }


def _joined(before: Planes, planes: Planes) -> Planes:
    """The last frame of one and the first of the other, as far as ``_changes`` looks at them."""
    half = torch.cat([before.half[-1:], planes.half[:1]])
    fine = torch.cat([before.fine_luma[-1:], planes.fine_luma[:1]])
    return replace(planes, half=half, fine_luma=fine)


def _calm_change(fine: Tensor) -> Tensor:
    power = _blocks(fine[1:] - fine[:-1], 31)
    calm = torch.quantile(power, torch.tensor(CALM, device=fine.device), dim=1)
    return (10 * torch.log10(calm + 0.1)).mean(dim=0)


def _blocks(x: Tensor, side: int) -> Tensor:
    """Mean square over blocks of ``side`` pixels, (T, H, W) to (T, B); a smaller picture is one block."""
    return torch.nn.functional.avg_pool2d((x * x)[:, None], min(side, *x.shape[1:])).flatten(1)


def _likeness(x: Tensor) -> Tensor:
    """Correlation of each frame of (T, H, W) with the next, against a floor of one squared level: (T - 1,)."""
    flat = x.flatten(1)
    flat = flat - flat.mean(dim=1, keepdim=True)
    power = (flat * flat).mean(dim=1) + 1.0
    return ((flat[1:] * flat[:-1]).mean(dim=1) + 1.0) / torch.sqrt(power[1:] * power[:-1])


def _power(x: Tensor) -> Tensor:
    return 10 * torch.log10((x * x).mean(dim=(1, 2)) + _FLOOR)


def block_motion(picture: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Motion of each block of ``side`` pixels by one least-squares step: (T, h, w) to (T - 1, B, 2) as (x, y).

    In pixels of this picture; good to about one of them, and too small beyond. Also the blocks' mean gradient products
    (T - 1, B, 3) as xx, yy, xy, in squared levels per squared pixel. A picture smaller than a block is one block.
    """
    gx = (picture[:, 1:-1, 2:] - picture[:, 1:-1, :-2]) * 0.5
    gy = (picture[:, 2:, 1:-1] - picture[:, :-2, 1:-1]) * 0.5
    inner = picture[:, 1:-1, 1:-1]
    gx, gy, gt = (gx[1:] + gx[:-1]) * 0.5, (gy[1:] + gy[:-1]) * 0.5, inner[1:] - inner[:-1]
    side = min(side, *inner.shape[1:])

    def pooled(x: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(x[:, None], side).flatten(1)

    # The half keeps a flat block from moving by chance.
    xx, yy, xy = pooled(gx * gx) + 0.5, pooled(gy * gy) + 0.5, pooled(gx * gy)
    xt, yt = pooled(gx * gt), pooled(gy * gt)
    determinant = xx * yy - xy * xy
    motion = torch.stack([xy * yt - yy * xt, xy * xt - xx * yt], dim=-1) / determinant[..., None]
    return motion, torch.stack([xx, yy, xy], dim=-1)


def explained_change(motion: Tensor, weights: Tensor) -> Tensor:
    """Mean power (dB) of the luma change that a change of motion makes at each inner frame: (T - 2,)."""
    a = motion[1:] - motion[:-1]
    w = weights[1:]
    power = w[..., 0] * a[..., 0] ** 2 + w[..., 1] * a[..., 1] ** 2 + 2 * w[..., 2] * a[..., 0] * a[..., 1]
    return 10 * torch.log10(power.mean(dim=1).clamp_min(0) + _FLOOR)
