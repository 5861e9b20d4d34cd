"""The spatio-temporal family: flicker and boiling of texture, things that come and go, regions that change shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint_db.cues.motion import CELL, REACH, Floats, Motion, correlations, patch_spectra
from fingerprint_db.intermediates import squares
from fingerprint_db.residual import halve

SIDE = 16  # of a small patch, px of the halved picture: 32 px
# A patch is at rest where the means of its 8 px squares change by no more than so many levels, the camera by no more
# than half a pixel; it has texture where its fine detail is above so many squared levels.
_REST_LEVELS = 1.5
_REST_PX = 0.5
_LEAST_DETAIL = 1.0
_LEAST_STILL = 4  # patches at rest, counted in every pair of frames, below which nothing is said about them
_PATH_ERROR = 3  # px of the halved picture that the sum of a patch's moves may be wrong by
_LEAST_PATCHES = 3  # tracked patches below which nothing is said about regions


def still_cues(half: Tensor, fine: Tensor, picture_types: str, shifts: Floats) -> dict[str, Tensor | float]:
    """still_flicker and texture_boiling; half, fine: (T, H, W) luma at half size and its residual, four px smaller."""
    found: dict[str, Tensor | float] = {}
    at_rest = np.hypot(shifts[:, 0], shifts[:, 1]) <= _REST_PX
    rows, columns = fine.shape[-2] // SIDE, fine.shape[-1] // SIDE
    if np.count_nonzero(at_rest) * rows * columns < _LEAST_STILL:
        return found
    coarse = halve(halve(half[:, 2 : 2 + rows * SIDE, 2 : 2 + columns * SIDE]))
    calm = pooled((coarse[1:] - coarse[:-1]).abs(), SIDE // 4).cpu().numpy() <= _REST_LEVELS
    calm &= at_rest[:, None]
    if np.count_nonzero(calm) < _LEAST_STILL:  # most windows of a moving camera end here, before the costly part
        return found
    power = pooled(fine * fine, SIDE).cpu().numpy()
    product = pooled(fine[1:] * fine[:-1], SIDE).cpu().numpy()
    still = calm & (np.minimum(power[1:], power[:-1]) >= _LEAST_DETAIL)
    always = still.all(axis=0)
    if np.count_nonzero(still) >= _LEAST_STILL:
        likeness = (product / np.sqrt(power[1:] * power[:-1] + np.float32(1e-9)))[still]
        found["texture_boiling"] = 1 - float(lower_median(likeness))
    if always.any():
        level = without_types(10 * np.log10(power[:, always] + np.float32(0.01)), picture_types)
        jumps = lower_median(np.abs(level[1:] - level[:-1]))
        found["still_flicker"] = float(np.quantile(jumps, 0.75))
    return found


def change_cues(step: Tensor, fine: Tensor) -> dict[str, Tensor | float]:
    """object_change and object_gain; step: (T - 1, H, W) absolute change of halved luma, fine: as in ``still_cues``."""
    cells = pooled(step, SIDE).cpu().numpy()
    sudden = (cells + np.float32(0.5)) / (lower_median(cells) + np.float32(0.5))
    strongest = int(sudden.argmax())
    pair, cell = divmod(strongest, cells.shape[1])
    row, column = divmod(cell, step.shape[-1] // SIDE)
    # The residual lacks two pixels a side; the patch's own place in it may be cut by those.
    top, left = max(0, row * SIDE - 2), max(0, column * SIDE - 2)
    patch = fine[pair : pair + 2, top : row * SIDE + SIDE - 2, left : column * SIDE + SIDE - 2]
    detail = (patch * patch).mean(dim=(1, 2)) + 1.0
    return {
        "object_change": 10 * math.log10(float(sudden.flat[strongest])),
        "object_gain": 10 * torch.log10(detail[1] / detail[0]),
    }


def region_break(motion: Motion) -> float:
    """See its definition; 0 with fewer than three textured patches that are followed most of the time."""
    usual = lower_median(motion.likeness)
    followed = motion.textured & (usual >= 0.5)
    if np.count_nonzero(followed) < _LEAST_PATCHES:
        return 0.0
    drop = (usual - motion.likeness)[:, followed]
    return max(0.0, float((drop - lower_median(drop.T)[:, None]).max()))


def identity_drift(half: Tensor, motion: Motion, frame_s: float) -> float:
    """See its definition; 0 where fewer than three patches can be followed from the first frame to the last.

    A patch's path adds up the moves found where it is at the time; in the last frame it is looked for around the path's
    end. frame_s: seconds between frames, 0 when unknown.
    """
    pairs = motion.moves.shape[0]
    if pairs < 3 or frame_s <= 0 or motion.moves.shape[1] < _LEAST_PATCHES:
        return 0.0
    kept, columns = motion.textured.copy(), motion.columns
    end_y, end_x = half.shape[1] - CELL, half.shape[2] - CELL
    y, x = (start * CELL for start in np.divmod(np.arange(kept.size), columns))
    likeness = np.empty_like(motion.likeness)
    for pair, (moves, seen) in enumerate(zip(motion.moves, motion.likeness, strict=True)):
        if np.count_nonzero(kept) < _LEAST_PATCHES:
            return 0.0
        row, column = (y + CELL // 2) // CELL, (x + CELL // 2) // CELL
        cell = np.minimum(row, motion.rows - 1) * columns + np.minimum(column, columns - 1)
        likeness[pair] = seen[cell]
        y, x = y + moves[cell, 0], x + moves[cell, 1]
        kept &= (y >= 0) & (y <= end_y) & (x >= 0) & (x <= end_x)
        y, x = y * kept, x * kept
    usual = np.sort(likeness, axis=0)
    middle = (usual[(pairs - 1) // 2] + usual[pairs // 2]) / 2
    kept &= middle >= 0.5
    if np.count_nonzero(kept) < _LEAST_PATCHES:
        return 0.0
    end = half[-1].unfold(0, CELL, 1).unfold(1, CELL, 1)
    places = [torch.as_tensor(at[kept], device=half.device) for at in (y, x)]
    patches, _ = patch_spectra(end[places[0], places[1]])
    near = correlations(motion.spectra[0, torch.as_tensor(kept, device=half.device)], patches)
    # A wide search would find likeness by chance; the path's end is known to a pixel or two.
    around = slice(REACH - _PATH_ERROR, REACH + _PATH_ERROR + 1)
    lost = float(np.median(middle[kept] - near[:, around, around].max(axis=(1, 2))))
    return float(max(0.0, lost / ((pairs - 1) * frame_s)))


def pooled(x: Tensor, side: int) -> Tensor:
    """Means over side x side squares of (T, H, W): (T, squares), whole squares only."""
    return squares(x, side).flatten(1)


def lower_median(values: NDArray[Any]) -> NDArray[Any]:
    """Along the first axis; of an even number the lower of the two in the middle."""
    return np.asarray(np.sort(values, axis=0)[(len(values) - 1) // 2])


def without_types(values: NDArray[Any], picture_types: str) -> NDArray[Any]:
    """(T, ...) with each picture type's own median taken off, so that the codec's rhythm of I, P and B drops out."""
    if len(set(picture_types)) == 1:
        return np.asarray(values - lower_median(values))
    result = values.copy()
    for kind in set(picture_types):
        where = [i for i, t in enumerate(picture_types) if t == kind]
        ordered = np.sort(values[where], axis=0)
        result[where] -= (ordered[(len(where) - 1) // 2] + ordered[len(where) // 2]) / 2
    return result
