"""The decoder fingerprint (E1b): deterministic traces that the last layers of a video decoder leave in every window.

A latent decoder turns a grid of latents into pixels by the same upsampling everywhere, so its trace is fixed to the
grid while content moves. Groups of numbers, by the first word of their names:

comb        phase-coherent residual at the grid frequencies of strides 4, 8, 16, 32: strength against the neighbouring
            frequencies (needs no known phase), and signed parts relative to the frame's own grid
hold        how much of the comb stays the same from frame to frame
cyclic      periodic variance and periodic predictability (resampling leaves both; so do codecs at 8 and 16)
spectrum    shape of the residual's spectrum: rings, axes, peaks at 1/8, 1/4, 3/8 and 1/2 of the sampling rate
acf         spatial correlation of the residual, of its temporal mean and of its temporal difference
cross       correlation between the residuals of luma, Cb and Cr
time        correlation of the residual over 1 to 4 frames

Sources: phase-coherent averaging after Marra et al., "Do GANs leave artificial fingerprints?" (2019); periodic
predictability after Gallagher (2005) and Kirchner (2008); spectra after Durall et al. (2020) and Corvi et al. (2023).
Energy combs alone prove nothing: plain H.264 shows them too. They stand here so that a classifier can discount them.
Measured on labelled clips split by source and left out because they added only noise: combs of the chroma planes,
signed diagonal harmonics, comb levels compared between I, P and B frames.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from fingerprint_db.residual import (
    Numbers,
    Planes,
    autocorrelation,
    axis_bands,
    axis_lines,
    band_means,
    correlation,
    equalise,
    lagged_correlation,
    log_shape,
    power_spectrum,
    radial_bands,
    shifted,
    spread,
)

STRIDES = (4, 8, 16, 32)
BASE = 32  # the longest stride: every comb is read from one fold on a BASE x BASE grid
LAGS = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (2, 2), (0, 3), (3, 0), (0, 4), (4, 0), (0, 8), (8, 0))
NEAR_LAGS = LAGS[:8]


def decoder_numbers(planes: Planes) -> Numbers:
    """All decoder numbers of a window, named; luma at least 64 x 64."""
    out = Numbers.empty()
    luma = equalise(planes.fine_luma)
    if planes.fine_chroma is None:
        chroma = torch.zeros((2, *planes.fine_half.shape), device=luma.device)
    else:
        chroma = equalise(planes.fine_chroma)
    _combs(out, luma, planes)
    _hold(out, luma, planes)
    _cyclic(out, luma, planes)
    _spectra(out, luma, chroma)
    _autocorrelations(out, luma, chroma)
    half = equalise(planes.fine_half)
    _cross(out, half, chroma)
    _time(out, luma, half, chroma)
    return out


def _on_grid(residual: Tensor, base: int) -> Tensor:
    """The residual put back to its place (the filter took two pixels a side), zero-padded to a multiple of base."""
    h, w = residual.shape[-2] + 4, residual.shape[-1] + 4
    return torch.nn.functional.pad(residual, (2, 2 + -w % base, 2, 2 + -h % base))


def _phase(top: int, left: int, base: int, device: torch.device) -> Tensor:
    """Turns harmonics measured from the crop's corner into harmonics measured from the frame's corner."""
    k = torch.fft.fftfreq(base, d=1.0 / base, device=device, dtype=torch.float64)
    angle = -2 * torch.pi * (k[:, None] * (top % base) + k[None, :] * (left % base)) / base
    return torch.polar(torch.ones_like(angle), angle)


def _harmonics(mean: Tensor, base: int, top: int, left: int) -> tuple[Tensor, Tensor]:
    """Harmonics of the base x base grid (..., base, base) complex128, and the mean power of their neighbours."""
    z = torch.fft.fft2(mean.to(torch.float64))
    ny, nx = mean.shape[-2] // base, mean.shape[-1] // base
    power = z.real**2 + z.imag**2
    reach = 2 if min(ny, nx) > 4 else 1
    around = torch.zeros_like(power)
    count = 0
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dy or dx:
                around += torch.roll(power, (dy, dx), (-2, -1))
                count += 1
    comb = z[..., ::ny, ::nx] * _phase(top, left, base, mean.device)
    return comb, around[..., ::ny, ::nx] / count


@lru_cache(maxsize=4)
def _class_masks(device: torch.device) -> dict[tuple[int, str], Tensor]:
    """Which harmonics of the BASE x BASE grid tell of a stride: along x (``h``), along y (``v``), or both (``d``)."""
    strides = torch.ones(BASE, dtype=torch.long, device=device)
    for k in range(1, BASE):
        strides[k] = BASE // (k & -k)  # the shortest stride whose comb contains harmonic k
    sy, sx = strides[:, None], strides[None, :]
    masks = {}
    for stride in STRIDES:
        # Stride 4 owns 1/2 as well: no shorter stride is looked for.
        own_x = (sx == stride) | ((stride == STRIDES[0]) & (sx > 1) & (sx < stride))
        own_y = (sy == stride) | ((stride == STRIDES[0]) & (sy > 1) & (sy < stride))
        masks[stride, "h"] = own_x & (sy == 1)
        masks[stride, "v"] = own_y & (sx == 1)
        masks[stride, "d"] = (own_x & (sy > 1) & (sy <= stride)) | (own_y & (sx > 1) & (sx <= stride))
    return masks


def _mean_of(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum(dim=(-2, -1)) / mask.sum()


def _combs(out: Numbers, residual: Tensor, planes: Planes) -> None:
    comb, around = _harmonics(_on_grid(residual.mean(dim=0), BASE), BASE, planes.top, planes.left)
    floor = around + 1e-3 * residual.shape[-1] * residual.shape[-2]
    strength = (comb.real**2 + comb.imag**2) / floor
    for (stride, axis), mask in _class_masks(residual.device).items():
        out.add(f"comb.luma.strength.{stride}{axis}", torch.log(_mean_of(strength, mask) + 0.1))
    # Soft limit: a single strong harmonic must not drown the rest.
    signed = comb / torch.sqrt(floor + comb.real**2 + comb.imag**2)
    for k in (4, 8, 12, 2, 6, 10, 14):  # of stride 8, then of stride 16
        out.add([f"comb.luma.h{k}of32.re", f"comb.luma.h{k}of32.im"], torch.view_as_real(signed[0, k]))
        out.add([f"comb.luma.v{k}of32.re", f"comb.luma.v{k}of32.im"], torch.view_as_real(signed[k, 0]))
    nyquist = torch.stack([signed[0, 16].real, signed[16, 0].real, signed[16, 16].real])
    out.add([f"comb.luma.nyquist.{a}" for a in "hvd"], nyquist)


def _fold(residual: Tensor, base: int, top: int, left: int) -> Tensor:
    """Mean over all cells of the frame's base x base grid: (T, H, W) -> (T, base, base)."""
    grid = _on_grid(residual, base)
    t, h, w = grid.shape
    rows = grid.reshape(t, h // base, base, w).sum(dim=1)
    cell = rows.reshape(t, base, w // base, base).sum(dim=2) / ((h // base) * (w // base))
    return torch.roll(cell, (top % base, left % base), (1, 2))


def _hold(out: Numbers, residual: Tensor, planes: Planes) -> None:
    """Persistence |mean z|^2 / mean |z|^2 of each stride's harmonics."""
    z = torch.fft.fft2(_fold(residual, BASE, planes.top, planes.left).to(torch.float64))
    power = z.real**2 + z.imag**2
    mean_power = power.mean(dim=0)
    of_mean = z.mean(dim=0).abs() ** 2
    masks = _class_masks(residual.device)
    for (stride, axis), mask in masks.items():
        out.add(f"hold.{stride}{axis}", _mean_of(of_mean, mask) / (_mean_of(mean_power, mask) + 1e-9))


def _cyclic(out: Numbers, residual: Tensor, planes: Planes) -> None:
    """Periodicity, along each axis, of variance and of the product of neighbours."""
    some = residual[spread(residual.shape[0], 8)]
    maps = {
        "energy": ((some * some).mean(dim=0),) * 2,
        "product": (
            torch.nn.functional.pad((some[..., 1:] * some[..., :-1]).mean(dim=0), (0, 1)),
            torch.nn.functional.pad((some[..., 1:, :] * some[..., :-1, :]).mean(dim=0), (0, 0, 0, 1)),
        ),
    }
    for kind, (along_x, along_y) in maps.items():
        for axis, profile, offset in (("h", along_x.mean(dim=0), planes.left), ("v", along_y.mean(dim=1), planes.top)):
            full = profile[: profile.shape[0] // BASE * BASE] if profile.shape[0] >= BASE else profile
            cell = full.reshape(-1, BASE).to(torch.float64).mean(dim=0).roll((offset + 2) % BASE)
            z = torch.fft.rfft(cell - cell.mean()) / BASE
            power = z.real**2 + z.imag**2
            harmonics = {2: [16], 4: [8], 8: [4, 12], 16: [2, 6, 10, 14], 32: [1, 3, 5, 7, 9, 11, 13, 15]}
            for stride, ks in harmonics.items():
                out.add(f"cyclic.{kind}.{stride}{axis}", 0.5 * torch.log(power[ks].mean() + 1e-8))
            out.add(f"cyclic.{kind}.{axis}.nyquist", z[16].real)
            out.add([f"cyclic.{kind}.{axis}.quarter.{p}" for p in ("re", "im")], torch.view_as_real(z[8]))
            out.add([f"cyclic.{kind}.{axis}.eighth.{p}" for p in ("re", "im")], torch.view_as_real(z[4]))


def _spectra(out: Numbers, luma: Tensor, chroma: Tensor) -> None:
    frames = luma[spread(luma.shape[0], 6)]
    power = power_spectrum(frames)
    h, w = frames.shape[-2:]
    device = luma.device
    total = power.mean(dtype=torch.float64) + 1e-6
    power = power / total.to(power.dtype)
    out.add(
        [f"spectrum.ring{i}" for i in range(16)], log_shape(band_means(power, radial_bands(h, w, 16, device)), 1e-2)
    )
    lines = dict(zip("hv", axis_lines(power), strict=True))
    for axis, vertical in (("h", False), ("v", True)):
        means = band_means(power, axis_bands(h, w, 16, device, vertical))
        out.add([f"spectrum.axis_{axis}{i}" for i in range(16)], log_shape(means, 1e-2))
        out.add([f"spectrum.peak_{axis}{i}of8" for i in (1, 2, 3, 4)], _peaks(lines[axis]))
    mean = power_spectrum(luma.mean(dim=0, keepdim=True))
    mean = mean / (mean.mean() + 1e-6)
    out.add(
        [f"spectrum.mean_ring{i}" for i in range(10)], log_shape(band_means(mean, radial_bands(h, w, 10, device)), 1e-2)
    )
    names = [f"spectrum.change_ring{i}" for i in range(10)]
    if frames.shape[0] > 1:
        change = power_spectrum(luma[1:3] - luma[:2] if luma.shape[0] > 2 else luma[1:] - luma[:1])
        change = change / (change.mean() + 1e-6)
        out.add(names, log_shape(band_means(change, radial_bands(h, w, 10, device)), 1e-2))
    else:
        out.zeros(names, device)
    some = chroma[:, spread(chroma.shape[1], 4)].flatten(0, 1)
    power = power_spectrum(some)
    power = power / (power.mean() + 1e-6)
    weights = radial_bands(*some.shape[-2:], 10, device)
    out.add([f"spectrum.chroma_ring{i}" for i in range(10)], log_shape(band_means(power, weights), 1e-2))


def _peaks(line: Tensor) -> Tensor:
    """Log of power at 1/8, 2/8, 3/8, 4/8 of the sampling rate against its surroundings; line: frequencies 0 .. 1/2."""
    top = line.shape[0] - 1
    values = []
    for eighth in (1, 2, 3, 4):
        at = int(eighth * top / 4 + 0.5)
        near = line[max(0, at - 1) : at + 2].amax()
        around = torch.cat([line[max(0, at - 6) : max(0, at - 2)], line[at + 3 : at + 7]]).mean()
        values.append(torch.log((near + 1e-2) / (around + 1e-2)))
    return torch.stack(values)


def _autocorrelations(out: Numbers, luma: Tensor, chroma: Tensor) -> None:
    frames = luma[spread(luma.shape[0], 4)]
    out.add([f"acf.frame.{y}_{x}" for y, x in LAGS], autocorrelation(frames, LAGS))
    out.add([f"acf.mean.{y}_{x}" for y, x in LAGS], autocorrelation(luma.mean(dim=0), LAGS))
    names = [f"acf.change.{y}_{x}" for y, x in NEAR_LAGS]
    if luma.shape[0] > 1:
        later = spread(luma.shape[0] - 1, 4)
        out.add(names, autocorrelation(luma[[i + 1 for i in later]] - luma[later], NEAR_LAGS))
    else:
        out.zeros(names, luma.device)
    some = chroma[:, spread(chroma.shape[1], 4)]
    out.add([f"acf.chroma.{y}_{x}" for y, x in NEAR_LAGS], autocorrelation(some, NEAR_LAGS))


def _cross(out: Numbers, half: Tensor, chroma: Tensor) -> None:
    cb, cr = chroma[0], chroma[1]
    for kind, (y, b, r) in {
        "frame": (half, cb, cr),
        "mean": (half.mean(0), cb.mean(0), cr.mean(0)),
        "size": (_centred(half.abs()), _centred(cb.abs()), _centred(cr.abs())),
    }.items():
        values = torch.stack([correlation(y, b), correlation(y, r), correlation(b, r)])
        out.add([f"cross.{kind}.{pair}" for pair in ("y_cb", "y_cr", "cb_cr")], values)
    for axis, (dy, dx) in {"h": (0, 1), "v": (1, 0)}.items():
        out.add(f"cross.next.cb_cr.{axis}", correlation(shifted(cb, dy, dx)[0], shifted(cr, dy, dx)[1]))


def _centred(x: Tensor) -> Tensor:
    return x - x.mean()


def _time(out: Numbers, luma: Tensor, half: Tensor, chroma: Tensor) -> None:
    lags = (1, 2, 3, 4)
    for name, plane in (("fine", luma), ("middle", half), ("chroma", torch.cat([chroma[0], chroma[1]], dim=-1))):
        out.add([f"time.{name}.lag{lag}" for lag in lags], lagged_correlation(plane, lags))
