"""Temporal traces and artefact cues: named numbers with units, what an analyst looks at. Hints, not attribution.

Every cue is finite for every window; a cue whose evidence is absent (too few frames, a flat picture) has its neutral
value, given in its definition. Interpolation and repetition show how a video was assembled, not that it was generated:
a 24 fps film shown at 30 fps repeats frames too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

import torch
from torch import Tensor

from fingerprint_db.residual import (
    Planes,
    axis_lines,
    band_means,
    power_spectrum,
    radial_bands,
    shifted,
    spread,
)

PERIODS = (2, 3, 4)


@dataclass(frozen=True, slots=True)
class CueDefinition:
    """What a cue measures. neutral: the value that says nothing was found."""

    definition: str
    unit: str
    neutral: float = 0.0


_PERIOD = "share of the variation that repeats every {} frames, less what chance gives"
CUES: Mapping[str, CueDefinition] = MappingProxyType(
    {
        "repeated_frames": CueDefinition("frames that show the frame before them again", "share of frame pairs, 0..1"),
        "difference": CueDefinition("median over frame pairs of the mean absolute change of luma", "8-bit levels"),
        **{
            f"difference_period_{p}": CueDefinition("of the frame-to-frame change: " + _PERIOD.format(p), "0..1")
            for p in PERIODS
        },
        **{
            f"sharpness_period_{p}": CueDefinition(
                "of the fine detail's strength, differences between I, P and B frames removed: " + _PERIOD.format(p),
                "0..1",
            )
            for p in PERIODS
        },
        "texture_flicker": CueDefinition("typical jump of the fine detail's strength from frame to frame", "dB"),
        "light_jump": CueDefinition("largest change of mean luma beyond a steady drift", "8-bit levels"),
        "object_change": CueDefinition("sudden local change: a 32 px patch's largest change over its usual one", "dB"),
        "motion_roughness": CueDefinition(
            "second difference in time over first difference across two frames: smooth motion is low, noise 1.7",
            "ratio",
        ),
        "camera_speed": CueDefinition("median global shift from frame to frame, by phase correlation", "px per frame"),
        "camera_jerk": CueDefinition("root mean square change of the global shift", "px per frame squared"),
        "blur_with_motion": CueDefinition(
            "how far detail falls as change rises, minus the correlation of their logarithms", "-1..1"
        ),
        "high_frequency_deficit": CueDefinition("power at 1/8..1/4 cycles per px above that at 3/8..1/2", "dB"),
        "upsampling_peak": CueDefinition(
            "strongest of the spectral lines at 1/8, 1/4 and 1/2 of the sampling rate over the surroundings", "dB"
        ),
        "blockiness": CueDefinition("step across the 8 px grid over the step elsewhere", "ratio minus 1"),
        "noise": CueDefinition("noise of the calmest tenth of 16 px patches (Immerkaer 1996)", "8-bit levels"),
        "banding": CueDefinition(
            "of the pixels in gentle gradients, those equal to all four neighbours", "share, 0..1"
        ),
        "saturated": CueDefinition("luma at or beyond nominal black or white", "share of pixels, 0..1"),
        "chroma_detail": CueDefinition("fine detail of colour against that of luma at equal resolution", "dB"),
    }
)
CUE_NAMES: tuple[str, ...] = tuple(CUES)


def measure_cues(planes: Planes, *, full_range: bool) -> dict[str, float]:
    """All cues of a window, in the order of CUE_NAMES; luma at least 64 x 64, one frame or more."""
    found: dict[str, Tensor | float] = {}
    found |= _of_time(planes)
    found |= _of_picture(planes, spread(planes.luma.shape[0], 3), full_range)
    values = {name: float(found.get(name, CUES[name].neutral)) for name in CUE_NAMES}
    return {name: v if math.isfinite(v) else CUES[name].neutral for name, v in values.items()}


def _of_time(planes: Planes) -> dict[str, Tensor | float]:
    small, fine, picture_types = planes.half, planes.fine_half, planes.picture_types
    frames = small.shape[0]
    if frames < 2:
        return {}
    found: dict[str, Tensor | float] = {}
    step = (small[1:] - small[:-1]).abs()
    change = step.mean(dim=(1, 2)).cpu().tolist()
    detail = 10 * torch.log10((fine * fine).mean(dim=(1, 2)) + 0.01)
    means = small.mean(dim=(1, 2))
    steady = _without_types(detail.cpu().tolist(), picture_types)
    found["repeated_frames"] = repeated_share(change)
    found["difference"] = _median(change)
    logs = [math.log(c + 0.05) for c in change]
    for p in PERIODS:
        found[f"difference_period_{p}"] = period_strength(logs, p)
        found[f"sharpness_period_{p}"] = period_strength(steady, p)
    found["texture_flicker"] = _median([abs(b - a) for a, b in pairwise(steady)])
    drift = means[1:] - means[:-1]
    found["light_jump"] = (drift - drift.median()).abs().max()
    found["blur_with_motion"] = -_pearson(logs, [(a + b) / 2 for a, b in pairwise(steady)])
    if frames >= 3:
        second = (small[2:] - 2 * small[1:-1] + small[:-2]).abs().mean()
        first = (small[2:] - small[:-2]).abs().mean()
        found["motion_roughness"] = second / first if float(first) > 0.05 else 0.0
    if frames >= 4:
        found["object_change"] = _object_change(step)
        shift = global_shifts(small) * 2
        found["camera_speed"] = torch.hypot(shift[:, 0], shift[:, 1]).median()
        found["camera_jerk"] = torch.sqrt(((shift[1:] - shift[:-1]) ** 2).sum(dim=1).mean())
    return found


def repeated_share(change: Sequence[float]) -> float:
    """Share of frame pairs that repeat a frame: no change at all, or far less than the moving pairs show.

    In a still scene (upper quartile of the change below 0.3 levels) only exact repeats count.
    """
    moving = sorted(change)[(3 * len(change)) // 4]
    limit = 0.2 * moving if moving >= 0.3 else 0.0
    return sum(c <= limit for c in change) / len(change)


def period_strength(values: Sequence[float], period: int) -> float:
    """Adjusted share of variance explained by the position modulo ``period`` (0..1); 0 with under two periods.

    The adjustment (as of an adjusted R squared) takes off what a random sequence of this length would show.
    """
    n = len(values)
    if n < 2 * period + 1:
        return 0.0
    mean = sum(values) / n
    total = sum((v - mean) ** 2 for v in values)
    if total < 1e-6 * n:
        return 0.0
    between = 0.0
    for phase in range(period):
        part = values[phase::period]
        between += len(part) * (sum(part) / len(part) - mean) ** 2
    unexplained = (1 - between / total) * (n - 1) / (n - period)
    return min(1.0, max(0.0, 1 - unexplained))


def global_shifts(x: Tensor) -> Tensor:
    """Shift (dy, dx) in pixels of x from each frame of (T, H, W) to the next, by phase correlation: (T - 1, 2).

    Sub-pixel by a parabola through the peak; 0 where the peak does not stand out (cuts, flat pictures).
    """
    h, w = x.shape[-2:]
    window = torch.hann_window(h, device=x.device)[:, None] * torch.hann_window(w, device=x.device)[None, :]
    z = torch.fft.rfft2((x - x.mean(dim=(1, 2), keepdim=True)) * window)
    cross = z[1:] * z[:-1].conj()
    magnitude = cross.abs()
    cross = cross / (magnitude + 1e-3 * magnitude.amax(dim=(1, 2), keepdim=True) + 1e-6)
    surface = torch.fft.irfft2(cross, s=(h, w))
    peak = surface.reshape(surface.shape[0], -1).argmax(dim=1)
    rows, columns = peak // w, peak % w
    n = torch.arange(surface.shape[0], device=x.device)
    mid = surface[n, rows, columns]
    sides = (
        (rows, h, surface[n, (rows - 1) % h, columns], surface[n, (rows + 1) % h, columns]),
        (columns, w, surface[n, rows, (columns - 1) % w], surface[n, rows, (columns + 1) % w]),
    )
    parts = []
    for at, size, low, high in sides:
        bend = (low - 2 * mid + high).clamp_max(-1e-9)
        signed = torch.where(at > size // 2, at - size, at)
        parts.append(signed + (0.5 * (low - high) / bend).clamp(-0.5, 0.5))
    stands_out = mid > 4 * surface.std(dim=(1, 2))
    return torch.where(stands_out[:, None], torch.stack(parts, dim=1), 0.0)


def _of_picture(planes: Planes, frames: list[int], full_range: bool) -> dict[str, Tensor | float]:
    found: dict[str, Tensor | float] = {}
    luma, fine = planes.luma[frames], planes.fine_luma[frames]
    power = power_spectrum(fine)
    rings = band_means(power, radial_bands(*fine.shape[-2:], 8, luma.device)) + 1.0
    found["high_frequency_deficit"] = 10 * torch.log10(rings[2:4].mean() / rings[6:].mean())
    found["upsampling_peak"] = _upsampling_peak(power)
    found["blockiness"] = _blockiness(luma, planes.top, planes.left)
    laplace = luma[..., 2:, :] - 2 * luma[..., 1:-1, :] + luma[..., :-2, :]
    laplace = laplace[..., 2:] - 2 * laplace[..., 1:-1] + laplace[..., :-2]
    cells = torch.nn.functional.avg_pool2d(laplace.abs()[:, None], 16).reshape(-1)
    found["noise"] = math.sqrt(math.pi / 2) / 6 * torch.quantile(cells, 0.1)
    found["banding"] = _banding(luma)
    low, high = (0.5, 254.5) if full_range else (16.0, 235.0)
    found["saturated"] = ((luma <= low) | (luma >= high)).to(torch.float32).mean()
    if planes.fine_chroma is not None:
        colour, half = planes.fine_chroma[:, frames], planes.fine_half[frames]
        found["chroma_detail"] = 10 * torch.log10(((colour * colour).mean() + 0.01) / ((half * half).mean() + 0.01))
    return found


def _upsampling_peak(power: Tensor) -> Tensor:
    best = []
    for line in axis_lines(power):
        top = line.shape[0] - 1
        reach = max(1, top // 32)
        for eighth in (1, 2, 4):
            at = eighth * top // 4
            near = line[max(0, at - reach) : at + reach + 1].amax()
            around = torch.cat([line[at - 6 * reach : at - 2 * reach], line[at + 2 * reach : at + 6 * reach]])
            best.append(10 * torch.log10((near + 1.0) / (around.mean() + 1.0)))
    return torch.stack(best).amax()


def _blockiness(luma: Tensor, top: int, left: int) -> Tensor:
    ratios = []
    for axis, offset in ((-1, left), (-2, top)):
        step = (luma.narrow(axis, 1, luma.shape[axis] - 1) - luma.narrow(axis, 0, luma.shape[axis] - 1)).abs()
        profile = step.mean(dim=(0, -2 if axis == -1 else -1))
        position = (torch.arange(profile.shape[0], device=luma.device) + 1 + offset) % 8
        on = profile[position == 0].mean()
        off = profile[position != 0].mean()
        ratios.append((on + 0.05) / (off + 0.05) - 1)
    return torch.stack(ratios).mean()


def _banding(luma: Tensor, side: int = 16) -> Tensor:
    pooled = luma[:, None]
    extent = torch.nn.functional.max_pool2d(pooled, side) + torch.nn.functional.max_pool2d(-pooled, side)
    gentle = (extent >= 2) & (extent <= 8)
    right = torch.nn.functional.pad((shifted(luma, 0, 1)[1] - shifted(luma, 0, 1)[0]).abs() < 0.25, (0, 1), value=True)
    down = torch.nn.functional.pad(
        (shifted(luma, 1, 0)[1] - shifted(luma, 1, 0)[0]).abs() < 0.25, (0, 0, 0, 1), value=True
    )
    equal = right & down
    equal[..., 1:] &= right[..., :-1]
    equal[..., 1:, :] &= down[..., :-1, :]
    share = torch.nn.functional.avg_pool2d(equal.to(torch.float32)[:, None], side)
    return (share * gentle).sum() / gentle.sum().clamp_min(1)


def _object_change(step: Tensor) -> Tensor:
    """Largest over its median, of each patch's change in time; a patch at rest counts with half a level."""
    side = 16  # of the halved picture: 32 px
    cells = torch.nn.functional.avg_pool2d(step[:, None], side).flatten(1)
    usual = cells.median(dim=0).values + 0.5
    return 10 * torch.log10(((cells.amax(dim=0) + 0.5) / usual).amax())


def _without_types(values: list[float], picture_types: str) -> list[float]:
    """Each picture type's own median taken off, so that the codec's rhythm of I, P and B frames drops out."""
    usual = {t: _median([v for v, u in zip(values, picture_types, strict=True) if u == t]) for t in set(picture_types)}
    return [v - usual[t] for v, t in zip(values, picture_types, strict=True)]


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    n = len(ordered)
    return 0.0 if not n else (ordered[(n - 1) // 2] + ordered[n // 2]) / 2


def _pearson(a: Sequence[float], b: Sequence[float]) -> float:
    n = len(a)
    if n < 4:
        return 0.0
    ma, mb = sum(a) / n, sum(b) / n
    saa, sbb = sum((x - ma) ** 2 for x in a), sum((y - mb) ** 2 for y in b)
    if saa < 1e-6 or sbb < 1e-6:
        return 0.0
    return sum((x - ma) * (y - mb) for x, y in zip(a, b, strict=True)) / math.sqrt(saa * sbb)
