"""Motion between frames, as far as cues need it: one shift of the whole picture, and one of each 64 px patch.

Everything is done on luma at half size. Sparse optical flow (pyramidal Lucas-Kanade of OpenCV 5, 30 points) was
measured at three times the cost of all that is here, and its package at 153 MB installed: it earns no place for this.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint_db.residual import halve

# Some thousand numbers are left of a picture here: NumPy costs a fifth of what torch does on arrays of that size.
Floats = NDArray[np.float32]

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

    shifts: Floats
    found: NDArray[np.bool_]
    moves: NDArray[np.intp]
    likeness: Floats
    textured: NDArray[np.bool_]
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
    textured = np.asarray(energy.cpu().numpy().min(axis=0) >= _LEAST_ENERGY)
    # Without the flat patches: in a scene that is mostly sky the few others tell the shift as well.
    weights = np.asarray(textured / max(1, int(np.count_nonzero(textured))), np.float32)
    together: Floats = (weights @ near.reshape(frames - 1, rows * columns, -1)).reshape(-1, *near.shape[-2:])
    level, row, column = _peak(together)
    shifts = np.stack(_refined(together, row, column), axis=1) - np.float32(REACH)
    found = np.asarray((level >= _LEAST_TOGETHER) & (np.abs(shifts).max(axis=1) < REACH - 1))
    shifts = np.where(found[:, None], shifts * 2, np.float32(0))
    if not found.all():
        coarse, stands_out = shifts_found(halve(half))
        shifts = np.where(found[:, None], shifts, coarse * 4)
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


def global_shifts(x: Tensor) -> Floats:
    """Shift (dy, dx) in pixels of x from each frame of (T, H, W) to the next, by phase correlation: (T - 1, 2).

    Sub-pixel by a parabola through the peak; 0 where the peak does not stand out (cuts, flat pictures).
    """
    return shifts_found(x)[0]


def shifts_found(x: Tensor) -> tuple[Floats, NDArray[np.bool_]]:
    """As ``global_shifts``, and for each pair whether the peak stood out: (T - 1, 2), (T - 1,)."""
    h, w = x.shape[-2:]
    z = torch.fft.rfft2((x - x.mean(dim=(1, 2), keepdim=True)) * _hann(h, w, x.device))
    cross = z[1:] * z[:-1].conj()
    # Complex abs and division are slow on the CPU: the same in real numbers takes a third of the time.
    magnitude = torch.sqrt(_squared(cross))
    scale = torch.reciprocal(magnitude + 1e-3 * magnitude.amax(dim=(1, 2), keepdim=True) + 1e-6)
    surface = torch.fft.irfft2(cross * scale, s=(h, w)).cpu().numpy()
    mid, rows, columns = _peak(surface)
    down, right = _refined(surface, rows, columns)
    found = np.stack([np.where(down > h // 2, down - h, down), np.where(right > w // 2, right - w, right)], axis=1)
    stands_out = np.asarray(mid > 4 * np.sqrt((surface * surface).mean(axis=(1, 2))))
    return np.where(stands_out[:, None], found, np.float32(0)), stands_out


def patch_spectra(cells: Tensor) -> tuple[Tensor, Tensor]:
    """Of (..., CELL, CELL) patches: weighted spectra of unit energy, and the energy a px in squared levels (...,).

    The weight grows with the frequency up to a quarter of the sampling rate and falls to 0 at half of it: a patch is
    recognised by its detail, not by its shading, nor by the noise of single pixels.
    """
    centred = (cells - cells.mean(dim=(-2, -1), keepdim=True)) * _hann(CELL, CELL, cells.device)
    z = torch.fft.rfft2(centred) * _weight(cells.device)
    # The inner columns of the half spectrum stand for two of the whole one.
    parts = torch.view_as_real(z).flatten(-3)
    total = (parts * parts) @ _twice(cells.device)
    # Parseval: the sum of squares of a picture is that of its spectrum over the number of pixels; the squared Hann
    # window keeps (3/8) squared of a steady picture's energy.
    return z * torch.rsqrt(total + 1e-3)[..., None, None], total / CELL**4 / (3 / 8) ** 2


def correlations(first: Tensor, second: Tensor) -> Floats:
    """Correlation of ``second`` with ``first``, both as ``patch_spectra`` gives them, at displacements up to REACH:
    (..., 2 REACH + 1, 2 REACH + 1), the middle one for no displacement. It makes up for what leaves the window.
    """
    surface = torch.fft.irfft2(second * first.conj(), s=(CELL, CELL)).cpu().numpy()
    rows = np.concatenate([surface[..., -REACH:, :], surface[..., : REACH + 1, :]], axis=-2)
    near = np.concatenate([rows[..., -REACH:], rows[..., : REACH + 1]], axis=-1)
    return np.asarray(near * _overlap())


def best_match(near: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Of ``correlations``: (..., 2) displacement in whole px where they are highest, and (...) the value there.

    The value is that of the parabolas through the peak and its neighbours: between two pixels a patch is as like
    itself as on them.
    """
    flat = near.reshape(-1, *near.shape[-2:])
    best, row, column = _peak(flat)
    n, last = np.arange(len(flat)), 2 * REACH
    y, x = row.clip(1, last - 1), column.clip(1, last - 1)
    middle = flat[n, y, x]
    inside = (y == row) & (x == column)
    for a, b in ((flat[n, y - 1, x], flat[n, y + 1, x]), (flat[n, y, x - 1], flat[n, y, x + 1])):
        gain = np.float32(0.125) * (a - b) ** 2 / np.maximum(2 * middle - a - b, np.float32(1e-3))
        best = best + np.where(inside, gain, np.float32(0))
    moves = np.stack([row - REACH, column - REACH], axis=-1)
    return moves.reshape(*near.shape[:-2], 2), best.reshape(near.shape[:-2]).clip(-1, 1)


def _refined(surface: Floats, row: NDArray[np.intp], column: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """The peak's place to a fraction of a pixel, by parabolas through its neighbours; the surface is periodic."""
    h, w = surface.shape[-2:]
    n = np.arange(len(surface))
    mid = surface[n, row, column]
    sides = (
        (row, surface[n, (row - 1) % h, column], surface[n, (row + 1) % h, column]),
        (column, surface[n, row, (column - 1) % w], surface[n, row, (column + 1) % w]),
    )
    y, x = (
        (at + (np.float32(0.5) * (a - b) / np.minimum(a - 2 * mid + b, np.float32(-1e-9))).clip(-0.5, 0.5)).astype(
            np.float32
        )
        for at, a, b in sides
    )
    return y, x


def _squared(z: Tensor) -> Tensor:
    real: Tensor = z.real * z.real + z.imag * z.imag
    return real


def _peak(surface: Floats) -> tuple[Floats, NDArray[np.intp], NDArray[np.intp]]:
    """Highest value of each (N, H, W) and its row and column."""
    flat = surface.reshape(len(surface), -1)
    at = flat.argmax(axis=1)
    row, column = np.divmod(at, surface.shape[2])
    return flat[np.arange(len(flat)), at], row, column


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
    """(CELL * (CELL // 2 + 1) * 2,): how often each part of a half spectrum stands in the whole one."""
    weight = torch.full((CELL, CELL // 2 + 1, 2), 2.0, device=device)
    weight[:, [0, -1]] = 1.0
    return weight.flatten()


@lru_cache(maxsize=1)
def _overlap() -> NDArray[Any]:
    """(2 REACH + 1, 2 REACH + 1): what makes up for the energy that a Hann window loses at each displacement, and for
    the number of pixels by which the inverse transform divides."""
    window = torch.hann_window(CELL, dtype=torch.float64).numpy()
    line = np.array([(window[d:] * window[: CELL - d]).sum() for d in range(REACH + 1)]) / (window**2).sum()
    line = np.concatenate([line[::-1], line[1:]])
    return np.asarray(CELL * CELL / (line[:, None] * line[None, :]), np.float32)
