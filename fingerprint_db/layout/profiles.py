"""Profiles of a window along its columns and rows, from which traces that are fixed to the frame are read.

What a decoder leaves on its own grid, and what tiles leave where they meet, stays in place while content moves. Four
short series a window keep it, so that it can be pooled over a file, with the phase referred to the frame's corner, and
any period looked for without opening the file again (``lattice``, ``tiles``). A signed
mean keeps the phase of a trace and loses what is noise around zero, which a mean of energy keeps (Marra et al., "Do
GANs leave artificial fingerprints?", 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint_db.residual import ROUNDING_VARIANCE, Planes, box_mean, spread

MARGIN = 2  # pixels at either end of a side that a profile leaves out
_CLIP = 0.5  # of the local strength: a line of the scene that stands still must not weigh more than the picture
_FRAMES = 3  # of a window, on which steps are measured
_FLOOR = 1.0  # 8-bit level, added before a logarithm: rounding makes steps of that size anywhere


@dataclass(frozen=True, slots=True)
class ProfileDefinition:
    """What a profile measures at a column (``_x``) or a row (``_y``)."""

    definition: str
    unit: str


_SIGNED = "mean over time of the fine residual of luma, over its local strength, mean over the"
_STEP = (
    "logarithm of the step of luma from the pixel before to this one, beyond what the slopes on either side lead to, "
    "mean over three frames and the"
)
PROFILES: Mapping[str, ProfileDefinition] = MappingProxyType(
    {
        "signed_x": ProfileDefinition(f"{_SIGNED} rows", "local standard deviations, -0.5..0.5"),
        "signed_y": ProfileDefinition(f"{_SIGNED} columns", "local standard deviations, -0.5..0.5"),
        "step_x": ProfileDefinition(f"{_STEP} rows", "log of 8-bit levels"),
        "step_y": ProfileDefinition(f"{_STEP} columns", "log of 8-bit levels"),
    }
)
PROFILE_NAMES: tuple[str, ...] = tuple(PROFILES)


def measure_profiles(planes: Planes) -> dict[str, NDArray[np.float32]]:
    """All profiles of a window: (W - 4,) along x and (H - 4,) along y, float32.

    The first value belongs to the third pixel (``MARGIN``); luma is at least 64 x 64.
    """
    fine = planes.fine_luma
    few = spread(fine.shape[0], 2 * _FRAMES)
    energy = torch.zeros_like(fine[0])
    for number in few:  # one by one: gathering them first costs more than the sum
        energy.addcmul_(fine[number], fine[number], value=1 / len(few))
    local = box_mean(energy, 6) + ROUNDING_VARIANCE
    signed = (fine.mean(dim=0) * torch.rsqrt(local)).clamp(-_CLIP, _CLIP)
    some = planes.luma[spread(planes.luma.shape[0], _FRAMES)]
    profiles = {
        "signed_x": signed.mean(dim=0),
        "signed_y": signed.mean(dim=1),
        "step_x": _steps(some[:, MARGIN:-MARGIN], 2).mean(dim=(0, 1)),
        "step_y": _steps(some[:, :, MARGIN:-MARGIN], 1).mean(dim=(0, 2)),
    }
    return {name: _kept(profiles[name]) for name in PROFILE_NAMES}


def _steps(luma: Tensor, dim: int) -> Tensor:
    """The step into each pixel along ``dim`` less the mean of the two around it; that side shrinks by four."""
    size = luma.shape[dim] - 1
    change = luma.narrow(dim, 1, size) - luma.narrow(dim, 0, size)
    around = change.narrow(dim, 0, size - 3) + change.narrow(dim, 2, size - 3)
    # In place: what is passed over most often decides what this costs.
    step = change.narrow(dim, 1, size - 3).sub_(around, alpha=0.5)
    return step.abs_().add_(_FLOOR).log_()


def _kept(profile: Tensor) -> NDArray[np.float32]:
    """Rounded to 2^-12, a hundredth of the spread of chance: what lies below is noise that does not compress."""
    values: NDArray[np.float32] = (torch.round(profile * 4096) / 4096).to(torch.float32).cpu().numpy()
    return values
