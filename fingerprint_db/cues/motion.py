"""Motion between frames, as far as cues need it: one shift of the whole picture, and one of each 64 px patch.

Everything is done on luma at half size. Sparse optical flow (pyramidal Lucas-Kanade of OpenCV 5, 30 points) was
measured at three times the cost of all that is here, and its package at 153 MB installed: it earns no place for this.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

CELL = 32  # side of a patch, px of the halved picture
REACH = 8  # the largest displacement of a patch that is looked for, px of the halved picture
# Squared levels below which a patch holds too little detail to be recognised.
_LEAST_ENERGY = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """How a window moves; T frames, N patches on a rows x columns grid.

    shifts: (T - 1, 2) global shift (dy, dx) in px of luma from each frame to the next; 0 where ``found`` says that
    nothing stood out (cuts, flat pictures). found: (T - 1,) of truth values.
    moves: (T - 1, N, 2) displacement of each patch in whole px of the halved picture. likeness: (T - 1, N) correlation
    of the patch with itself a frame later at that displacement, -1..1. textured: (N,) patches with enough detail in
    every frame. spectra: (T, N, CELL, CELL // 2 + 1) of the patches, weighted as for the correlation, of unit energy.
    """

    shifts: Tensor
    found: Tensor
    moves: Tensor
    likeness: Tensor
    textured: Tensor
    spectra: Tensor
    rows: int
    columns: int


def measure_motion(half: Tensor) -> Motion:
    """The motion of (T, H, W) luma at half size, T >= 2, both sides at least CELL."""
    shifts, found = shifts_found(half)
    frames, rows, columns = half.shape[0], half.shape[1] // CELL, half.shape[2] // CELL
    cells = half[:, : rows * CELL, : columns * CELL].reshape(frames, rows, CELL, columns, CELL)
    cells = cells.transpose(2, 3).reshape(frames, rows * columns, CELL, CELL)
    spectra, energy = patch_spectra(cells)
    moves, likeness = best_match(spectra[:-1], spectra[1:])
    return Motion(
        shifts=shifts * 2,
        found=found,
        moves=moves,
        likeness=likeness,
        textured=energy.amin(dim=0) >= _LEAST_ENERGY,
        spectra=spectra,
        rows=rows,
        columns=columns,
    )


def global_shifts(x: Tensor) -> Tensor:
    """Shift (dy, dx) in pixels of x from each frame of (T, H, W) to the next, by phase correlation: (T - 1, 2).

    Sub-pixel by a parabola through the peak; 0 where the peak does not stand out (cuts, flat pictures).
    """
    return shifts_found(x)[0]


def shifts_found(x: Tensor) -> tuple[Tensor, Tensor]:
    """As ``global_shifts``, and for each pair whether the peak stood out: (T - 1, 2), (T - 1,)."""
    h, w = x.shape[-2:]
    z = torch.fft.rfft2((x - x.mean(dim=(1, 2), keepdim=True)) * _hann(h, w, x.device))
    cross = z[1:] * z[:-1].conj()
    # Complex abs and division are slow on the CPU: the same in real numbers takes a third of the time.
    parts = torch.view_as_real(cross)
    magnitude = torch.sqrt((parts * parts).sum(dim=-1))
    scale = torch.reciprocal(magnitude + 1e-3 * magnitude.amax(dim=(1, 2), keepdim=True) + 1e-6)
    surface = torch.fft.irfft2(torch.view_as_complex(parts * scale[..., None]), s=(h, w))
    flat = surface.reshape(surface.shape[0], -1)
    mid, peak = flat.max(dim=1)
    rows, columns = peak // w, peak % w
    n = torch.arange(surface.shape[0], device=x.device)
    sides = (
        (rows, h, surface[n, (rows - 1) % h, columns], surface[n, (rows + 1) % h, columns]),
        (columns, w, surface[n, rows, (columns - 1) % w], surface[n, rows, (columns + 1) % w]),
    )
    found = []
    for at, size, low, high in sides:
        bend = (low - 2 * mid + high).clamp_max(-1e-9)
        signed = torch.where(at > size // 2, at - size, at)
        found.append(signed + (0.5 * (low - high) / bend).clamp(-0.5, 0.5))
    stands_out = mid > 4 * torch.sqrt((flat * flat).mean(dim=1))
    return torch.where(stands_out[:, None], torch.stack(found, dim=1), 0.0), stands_out


def patch_spectra(cells: Tensor) -> tuple[Tensor, Tensor]:
    """Of (..., CELL, CELL) patches: weighted spectra of unit energy, and the energy a px in squared levels (...,).

    The weight grows with the frequency up to a quarter of the sampling rate and falls to 0 at half of it: a patch is
    recognised by its detail, not by its shading, nor by the noise of single pixels.
    """
    centred = (cells - cells.mean(dim=(-2, -1), keepdim=True)) * _hann(CELL, CELL, cells.device)
    z = torch.view_as_real(torch.fft.rfft2(centred)) * _weight(cells.device)
    energy = (z * z).sum(dim=-1)
    total = 2 * energy.sum(dim=(-2, -1)) - energy[..., 0].sum(dim=-1) - energy[..., -1].sum(dim=-1)
    unit = z * torch.rsqrt(total + 1e-3)[..., None, None, None]
    # Parseval: the sum of squares of a picture is that of its spectrum over the number of pixels; the squared Hann
    # window keeps (3/8) squared of a steady picture's energy.
    return torch.view_as_complex(unit), total / CELL**4 / (3 / 8) ** 2


def best_match(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Where ``second`` resembles ``first`` best: (..., 2) displacement in whole px up to REACH, (...) correlation.

    Both as ``patch_spectra`` gives them. The correlation makes up for what leaves the window as the patch moves.
    """
    surface = torch.fft.irfft2(second * first.conj(), s=(CELL, CELL)) * float(CELL * CELL)
    near = torch.roll(surface, (REACH, REACH), (-2, -1))[..., : 2 * REACH + 1, : 2 * REACH + 1]
    near = near / _overlap(first.device)
    side = 2 * REACH + 1
    best, at = near.reshape(*near.shape[:-2], side * side).max(dim=-1)
    return torch.stack([at // side - REACH, at % side - REACH], dim=-1), best.clamp(-1, 1)


@lru_cache(maxsize=12)
def _hann(h: int, w: int, device: torch.device) -> Tensor:
    return torch.hann_window(h, device=device)[:, None] * torch.hann_window(w, device=device)[None, :]


@lru_cache(maxsize=2)
def _weight(device: torch.device) -> Tensor:
    """(CELL, CELL // 2 + 1, 1): a raised cosine over the radius, 0 at 0 and at half the sampling rate."""
    fy = torch.fft.fftfreq(CELL, device=device)[:, None]
    fx = torch.fft.rfftfreq(CELL, device=device)[None, :]
    radius = torch.sqrt(fy * fy + fx * fx).clamp_max(0.5)
    return (0.5 - 0.5 * torch.cos(4 * torch.pi * radius))[..., None]


@lru_cache(maxsize=2)
def _overlap(device: torch.device) -> Tensor:
    """(2 REACH + 1, 2 REACH + 1): the share of a Hann window's energy product that is left at each displacement."""
    window = torch.hann_window(CELL, device=device, dtype=torch.float64)
    line = torch.stack([(window[d:] * window[: CELL - d]).sum() for d in range(REACH + 1)]) / (window**2).sum()
    line = torch.cat([line.flip(0), line[1:]])
    return (line[:, None] * line[None, :]).to(torch.float32)
