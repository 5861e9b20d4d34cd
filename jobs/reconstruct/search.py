"""Where a decoder's lattice lies in a file that was cropped or rescaled: every phase on a patch, the best on more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobs.reconstruct.measure import NATIVE, Grid, Part, cut, detail_of, inner_box, loss_at, to_native
from jobs.reconstruct.network import Network

# Pixels of the file that phases are tried on, and how many of them go on to the next round.
ROUNDS = ((96, 8), (176, 3), (256, 1))
# Rescaling usually leaves the frame whole: at other scales the corner is held against this many other phases.
OTHERS = 11
SCALES = (1.0, 4 / 3, 1.5, 2.0, 0.75)
# A scale other than 1 has to stand out from its other phases by so many of their spreads.
NEEDED = 3.0


@dataclass(frozen=True, slots=True)
class Sought:
    """A search's answer: the grid to measure at, and how many grids were tried for it."""

    grid: Grid
    tried: int


def phases(stride: int, scale: float) -> list[Grid]:
    """Every offset of a lattice in whole pixels of the file; the corner first, then rows first."""
    step = round(stride * scale)
    return [Grid(down, across, scale) for down in range(step) for across in range(step)]


def search_phase(network: Network, parts: Sequence[Part]) -> Sought:
    """The phase at which a refined reconstruction loses least, by rounds of fewer phases on more pixels.

    The native grid stays in to the last round, where all are compared on the same pixels.
    Raises ValueError where no part is large enough.
    """
    stride = network.stride[0]
    left = phases(stride, 1.0)
    tried = len(left)
    for side, kept in ROUNDS:
        patches = [_busiest(part, side + stride) for part in parts]
        losses = [float(np.mean([_loss(network, patch, grid, stride) for patch in patches])) for grid in left]
        order = sorted(range(len(left)), key=lambda n: (losses[n], n))
        best = [left[n] for n in order[:kept]]
        left = best if kept == 1 or NATIVE in best else [NATIVE, *best[:-1]]
    return Sought(left[0], tried)


def search_scale(network: Network, parts: Sequence[Part], scales: Sequence[float] | None = None) -> Sought:
    """The scale at which the lattice at the frame's corner stands out most from other phases of the same scale.

    Losses at different scales do not compare, since a smaller picture is another picture; the distance of the corner's
    loss below the others', in their spreads, does. scales: None tries SCALES.
    The answer is 1 unless another one stands out by NEEDED and by more.
    """
    stride = network.stride[0]
    found: dict[float, float] = {}
    tried = 0
    for scale in SCALES if scales is None else scales:
        every = phases(stride, scale)
        grids = [every[0], *(every[1 + n * (len(every) - 1) // OTHERS] for n in range(min(OTHERS, len(every) - 1)))]
        patches = [_busiest(part, 96 * max(1.0, scale) + stride * scale) for part in parts]
        try:
            losses = np.array([np.mean([_loss(network, one, grid, stride) for one in patches]) for grid in grids])
        except ValueError:
            continue  # too small for a lattice of this scale
        tried += len(grids)
        found[scale] = (float(losses[1:].mean()) - float(losses[0])) / (float(losses[1:].std()) or 1e-9)
    best = max(found, key=lambda scale: found[scale], default=1.0)
    if best != 1.0 and (found[best] < NEEDED or found[best] <= found.get(1.0, 0.0)):
        best = 1.0
    return Sought(NATIVE if best == 1.0 else Grid(0, 0, best), tried)


def _busiest(part: Part, side: float) -> Part:
    """The patch of a part with the most fine detail, on multiples of 16 pixels."""
    wanted = -(-round(side) // 16) * 16
    top, left, height, width = part.box
    high, wide = min(wanted, height), min(wanted, width)
    detail = detail_of(part.rgb())
    places = [(d, a) for d in range(0, height - high + 1, 16) for a in range(0, width - wide + 1, 16)]
    down, across = max(places, key=lambda at: float(detail[at[0] : at[0] + high, at[1] : at[1] + wide].mean()))
    return Part(part.picture, (top + down, left + across, high, wide))


def _loss(network: Network, patch: Part, grid: Grid, stride: int) -> float:
    """The loss of a patch's refined reconstruction at a grid, on equally many pixels at every phase."""
    inner = inner_box(patch, grid, stride, room=True)
    return loss_at(network, to_native(cut(patch.rgb(), inner), grid, stride))
