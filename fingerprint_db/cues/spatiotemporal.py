"""The spatio-temporal family: flicker and boiling of texture, things that come and go, regions that change shape."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fingerprint_db.cues.motion import CELL, REACH, Motion, correlations, patch_spectra
from fingerprint_db.residual import halve

SIDE = 16  # of a small patch, px of the halved picture: 32 px
# A patch is at rest where the means of its 8 px squares change by no more than so many levels, the camera by no more
# than half a pixel; it has texture where its fine detail is above so many squared levels.
_REST_LEVELS = 1.5
_REST_PX = 0.5
_LEAST_DETAIL = 1.0
_PATH_ERROR = 3  # px of the halved picture that the sum of a patch's moves may be wrong by
_LEAST_PATCHES = 3  # tracked patches below which nothing is said about regions


def still_cues(half: Tensor, fine: Tensor, picture_types: str, shifts: Tensor) -> dict[str, Tensor | float]:
    """still_flicker and texture_boiling; half, fine: (T, H, W) luma at half size and its residual, four px smaller."""
    rows, columns = fine.shape[-2] // SIDE, fine.shape[-1] // SIDE
    coarse = halve(halve(half[:, 2 : 2 + rows * SIDE, 2 : 2 + columns * SIDE]))
    calm = pooled((coarse[1:] - coarse[:-1]).abs(), SIDE // 4) <= _REST_LEVELS
    calm &= (torch.hypot(shifts[:, 0], shifts[:, 1]) <= _REST_PX)[:, None]
    found: dict[str, Tensor | float] = {}
    if int(calm.sum()) < 4:  # most windows of a moving camera end here, before the costly part
        return found
    power = pooled(fine * fine, SIDE)
    product = pooled(fine[1:] * fine[:-1], SIDE)
    still = calm & (torch.minimum(power[1:], power[:-1]) >= _LEAST_DETAIL)
    always = still.all(dim=0)
    if int(still.sum()) >= 4:
        likeness = product / torch.sqrt(power[1:] * power[:-1] + 1e-9)
        found["texture_boiling"] = 1 - likeness[still].median()
    if int(always.sum()) >= 1:
        level = without_types(10 * torch.log10(power[:, always] + 0.01), picture_types)
        jumps = (level[1:] - level[:-1]).abs().median(dim=0).values
        found["still_flicker"] = torch.quantile(jumps, 0.75)
    return found


def change_cues(step: Tensor, fine: Tensor) -> dict[str, Tensor | float]:
    """object_change and object_gain; step: (T - 1, H, W) absolute change of halved luma, fine: as in ``still_cues``."""
    cells = pooled(step, SIDE)
    usual = cells.median(dim=0).values + 0.5
    sudden = (cells + 0.5) / usual
    flat = sudden.reshape(-1)
    strongest = int(flat.argmax())
    pair, cell = divmod(strongest, cells.shape[1])
    row, column = divmod(cell, step.shape[-1] // SIDE)
    # The residual lacks two pixels a side; the patch's own place in it may be cut by those.
    top, left = max(0, row * SIDE - 2), max(0, column * SIDE - 2)
    patch = fine[pair : pair + 2, top : row * SIDE + SIDE - 2, left : column * SIDE + SIDE - 2]
    detail = (patch * patch).mean(dim=(1, 2)) + 1.0
    return {
        "object_change": 10 * torch.log10(flat[strongest]),
        "object_gain": 10 * torch.log10(detail[1] / detail[0]),
    }


def region_break(motion: Motion) -> Tensor | float:
    """See its definition; 0 with fewer than three textured patches that are followed most of the time."""
    usual = motion.likeness.median(dim=0).values
    followed = motion.textured & (usual >= 0.5)
    if int(followed.sum()) < _LEAST_PATCHES:
        return 0.0
    drop = (usual - motion.likeness)[:, followed]
    return (drop - drop.median(dim=1, keepdim=True).values).amax().clamp_min(0)


def identity_drift(half: Tensor, motion: Motion, frame_s: float) -> float:
    """See its definition; 0 where fewer than three patches can be followed from the first frame to the last.

    A patch's path adds up the moves found where it is at the time; in the last frame it is looked for around the path's
    end. frame_s: seconds between frames, 0 when unknown.
    """
    pairs = motion.moves.shape[0]
    if pairs < 3 or frame_s <= 0 or motion.moves.shape[1] < _LEAST_PATCHES:
        return 0.0
    moves, seen = motion.moves.cpu().numpy(), motion.likeness.cpu().numpy()
    grid = np.array([motion.rows, motion.columns])
    limit = np.array(half.shape[1:]) - CELL
    at = np.stack(np.divmod(np.arange(moves.shape[1]), motion.columns), axis=1) * CELL
    kept = motion.textured.cpu().numpy()
    likeness = np.empty_like(seen)
    for pair in range(pairs):
        row, column = np.minimum((at + CELL // 2) // CELL, grid - 1).T
        cell = row * motion.columns + column
        at = at + moves[pair, cell]
        likeness[pair] = seen[pair, cell]
        inside = (at >= 0) & (at <= limit)
        kept &= inside.all(axis=1)
        at = np.where(inside, at, 0)
    usual = np.median(likeness, axis=0)
    kept &= usual >= 0.5
    if np.count_nonzero(kept) < _LEAST_PATCHES:
        return 0.0
    patches = torch.stack([half[-1, y : y + CELL, x : x + CELL] for y, x in at[kept].tolist()])
    last, _ = patch_spectra(patches)
    near = correlations(motion.spectra[0, torch.as_tensor(kept, device=half.device)], last)
    # A wide search would find likeness by chance; the path's end is known to a pixel or two.
    around = slice(REACH - _PATH_ERROR, REACH + _PATH_ERROR + 1)
    found = near[:, around, around].amax(dim=(1, 2)).cpu().numpy()
    lost = float(np.median(usual[kept] - found))
    return max(0.0, lost / ((pairs - 1) * frame_s))


def pooled(x: Tensor, side: int) -> Tensor:
    """Means over side x side squares of (T, H, W): (T, squares), whole squares only."""
    rows, columns = x.shape[-2] // side, x.shape[-1] // side
    return x[:, : rows * side, : columns * side].reshape(-1, rows, side, columns, side).mean(dim=(2, 4)).flatten(1)


def without_types(values: Tensor, picture_types: str) -> Tensor:
    """(T, ...) with each picture type's own median taken off, so that the codec's rhythm of I, P and B drops out."""
    if len(set(picture_types)) == 1:
        return values - values.median(dim=0).values
    result = values.clone()
    for kind in set(picture_types):
        where = [i for i, t in enumerate(picture_types) if t == kind]
        result[where] -= torch.quantile(values[where], 0.5, dim=0)
    return result
