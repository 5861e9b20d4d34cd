"""Motion between frames, as far as cues need it: one shift of the whole picture, and one of each 64 px patch.

Everything is done on luma at half size. Sparse optical flow (pyramidal Lucas-Kanade of OpenCV 5, 30 points) was
measured at three times the cost of all that is here, and its package at 153 MB installed: it earns no place for this.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from fingerprint_db.residual import halve

CELL = 32  # side of a patch, px of the halved picture
REACH = 8  # the largest displacement of a patch that is looked for, px of the halved picture
# Squared levels below which a patch holds too little detail to be recognised.
_LEAST_ENERGY = 4.0
# Mean correlation of the textured patches above which their common displacement is the camera's.
_LEAST_TOGETHER = 0.3


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
    """The motion of (T, H, W) luma at half size, T >= 2, both sides at least CELL.

    The global shift is the peak of the textured patches' correlations together, which tells a tenth of a pixel and
    costs nothing more; where they find none within their reach, phase correlation at quarter size looks for it.
    """
    frames, rows, columns = half.shape[0], half.shape[1] // CELL, half.shape[2] // CELL
    cells = half[:, : rows * CELL, : columns * CELL].reshape(frames, rows, CELL, columns, CELL)
    cells = cells.transpose(2, 3).reshape(frames, rows * columns, CELL, CELL)
    spectra, energy = patch_spectra(cells)
    near = correlations(spectra[:-1], spectra[1:])
    moves, likeness = best_match(near)
    textured = energy.amin(dim=0) >= _LEAST_ENERGY
    # Without the flat patches: in a scene that is mostly sky the few others tell the shift as well.
    together = (near * textured[:, None, None]).sum(dim=1) / textured.sum().clamp_min(1)
    level, row, column = _peak(together)
    shifts = torch.stack(_refined(together, row, column), dim=1) - REACH
    found = (level >= _LEAST_TOGETHER) & (shifts.abs().amax(dim=1) < REACH - 1)
    shifts = torch.where(found[:, None], shifts * 2, 0.0)
    if not bool(found.all()):
        coarse, stands_out = shifts_found(halve(half))
        shifts = torch.where(found[:, None], shifts, coarse * 4)
        found = found | stands_out
    return Motion(
        shifts=shifts,
        found=found,
        moves=moves,
        likeness=likeness,
        textured=textured,
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
    magnitude = torch.sqrt(_squared(cross))
    scale = torch.reciprocal(magnitude + 1e-3 * magnitude.amax(dim=(1, 2), keepdim=True) + 1e-6)
    surface = torch.fft.irfft2(cross * scale, s=(h, w))
    mid, rows, columns = _peak(surface)
    y, x = _refined(surface, rows, columns)
    found = [torch.where(y > h // 2, y - h, y), torch.where(x > w // 2, x - w, x)]
    stands_out = mid > 4 * torch.sqrt((surface * surface).mean(dim=(1, 2)))
    return torch.where(stands_out[:, None], torch.stack(found, dim=1), 0.0), stands_out


def patch_spectra(cells: Tensor) -> tuple[Tensor, Tensor]:
    """Of (..., CELL, CELL) patches: weighted spectra of unit energy, and the energy a px in squared levels (...,).

    The weight grows with the frequency up to a quarter of the sampling rate and falls to 0 at half of it: a patch is
    recognised by its detail, not by its shading, nor by the noise of single pixels.
    """
    centred = (cells - cells.mean(dim=(-2, -1), keepdim=True)) * _hann(CELL, CELL, cells.device)
    z = torch.fft.rfft2(centred) * _weight(cells.device)
    # The inner columns of the half spectrum stand for two of the whole one.
    total = (_squared(z) * _twice(cells.device)).sum(dim=(-2, -1))
    # Parseval: the sum of squares of a picture is that of its spectrum over the number of pixels; the squared Hann
    # window keeps (3/8) squared of a steady picture's energy.
    return z * torch.rsqrt(total + 1e-3)[..., None, None], total / CELL**4 / (3 / 8) ** 2


def correlations(first: Tensor, second: Tensor) -> Tensor:
    """Correlation of ``second`` with ``first``, both as ``patch_spectra`` gives them, at displacements up to REACH:
    (..., 2 REACH + 1, 2 REACH + 1), the middle one for no displacement. It makes up for what leaves the window.
    """
    surface = torch.fft.irfft2(second * first.conj(), s=(CELL, CELL)) * float(CELL * CELL)
    rows = torch.cat([surface[..., -REACH:, :], surface[..., : REACH + 1, :]], dim=-2)
    return torch.cat([rows[..., -REACH:], rows[..., : REACH + 1]], dim=-1) * _overlap(first.device)


def best_match(near: Tensor) -> tuple[Tensor, Tensor]:
    """Of ``correlations``: (..., 2) displacement in whole px where they are highest, and (...) the value there.

    The value is that of the parabolas through the peak and its neighbours: between two pixels a patch is as like
    itself as on them.
    """
    flat = near.reshape(-1, *near.shape[-2:])
    best, row, column = _peak(flat)
    n, last = torch.arange(flat.shape[0], device=near.device), 2 * REACH
    y, x = row.clamp(1, last - 1), column.clamp(1, last - 1)
    middle = flat[n, y, x]
    for a, b in ((flat[n, y - 1, x], flat[n, y + 1, x]), (flat[n, y, x - 1], flat[n, y, x + 1])):
        gain = 0.125 * (a - b) ** 2 / (2 * middle - a - b).clamp_min(1e-3)
        best = best + torch.where((y == row) & (x == column), gain, 0.0)
    moves = torch.stack([row - REACH, column - REACH], dim=-1)
    return moves.reshape(*near.shape[:-2], 2), best.reshape(near.shape[:-2]).clamp(-1, 1)


def _refined(surface: Tensor, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """The peak's place to a fraction of a pixel, by parabolas through its neighbours; the surface is periodic."""
    h, w = surface.shape[-2:]
    n = torch.arange(surface.shape[0], device=surface.device)
    mid = surface[n, row, column]
    sides = (
        (row, surface[n, (row - 1) % h, column], surface[n, (row + 1) % h, column]),
        (column, surface[n, row, (column - 1) % w], surface[n, row, (column + 1) % w]),
    )
    y, x = (at + (0.5 * (a - b) / (a - 2 * mid + b).clamp_max(-1e-9)).clamp(-0.5, 0.5) for at, a, b in sides)
    return y, x


def _squared(z: Tensor) -> Tensor:
    real: Tensor = z.real * z.real + z.imag * z.imag
    return real


def _peak(surface: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Highest value of each (N, H, W) and its row and column; rows first, since argmax over a plane is slow."""
    best, row = surface.amax(dim=2).max(dim=1)
    n = torch.arange(surface.shape[0], device=surface.device)
    return best, row, surface[n, row].argmax(dim=1)


@lru_cache(maxsize=12)
def _hann(h: int, w: int, device: torch.device) -> Tensor:
    return torch.hann_window(h, device=device)[:, None] * torch.hann_window(w, device=device)[None, :]


@lru_cache(maxsize=2)
def _weight(device: torch.device) -> Tensor:
    """(CELL, CELL // 2 + 1): a raised cosine over the radius, 0 at 0 and at half the sampling rate."""
    fy = torch.fft.fftfreq(CELL, device=device)[:, None]
    fx = torch.fft.rfftfreq(CELL, device=device)[None, :]
    radius = torch.sqrt(fy * fy + fx * fx).clamp_max(0.5)
    return 0.5 - 0.5 * torch.cos(4 * torch.pi * radius)


@lru_cache(maxsize=2)
def _twice(device: torch.device) -> Tensor:
    weight = torch.full((CELL // 2 + 1,), 2.0, device=device)
    weight[0] = weight[-1] = 1.0
    return weight


@lru_cache(maxsize=2)
def _overlap(device: torch.device) -> Tensor:
    """(2 REACH + 1, 2 REACH + 1): what makes up for the energy that a Hann window loses at each displacement."""
    window = torch.hann_window(CELL, device=device, dtype=torch.float64)
    line = torch.stack([(window[d:] * window[: CELL - d]).sum() for d in range(REACH + 1)]) / (window**2).sum()
    line = torch.cat([line.flip(0), line[1:]])
    return (1 / (line[:, None] * line[None, :])).to(torch.float32)
