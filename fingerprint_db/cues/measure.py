"""All cues of a window, by the modules of their families; each is finite, and neutral where its evidence is absent."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from fingerprint_db.cues.definitions import CUE_NAMES, CUES
from fingerprint_db.cues.motion import measure_motion
from fingerprint_db.cues.physical import blur_along_motion, blur_with_motion, camera_cues, light_cues
from fingerprint_db.cues.reconstruction import picture_cues
from fingerprint_db.cues.rhythm import rhythm_cues
from fingerprint_db.cues.spatiotemporal import change_cues, identity_drift, region_break, still_cues, without_types
from fingerprint_db.residual import Planes
from fingerprint_db.window import FrameWindow


def has_cues(window: FrameWindow) -> bool:
    """Whether a window's cues are measured: every second one, so that they cost half and still see every place.

    The crops of a burst alternate, and so does a place from burst to burst; a file's first window always has cues.
    """
    return (window.burst + window.crop) % 2 == 0


def measure_cues(planes: Planes, *, full_range: bool) -> dict[str, float]:
    """All cues of a window, in the order of CUE_NAMES; luma at least 64 x 64, one frame or more."""
    found: dict[str, Tensor | float] = {}
    found |= _of_time(planes)
    found |= picture_cues(planes, full_range)
    values = {name: float(found.get(name, CUES[name].neutral)) for name in CUE_NAMES}
    return {name: v if math.isfinite(v) else CUES[name].neutral for name, v in values.items()}


def _of_time(planes: Planes) -> dict[str, Tensor | float]:
    small, fine = planes.half, planes.fine_half
    frames = small.shape[0]
    if frames < 2:
        return {}
    found: dict[str, Tensor | float] = {}
    difference = small[1:] - small[:-1]
    step = difference.abs()
    change = step.mean(dim=(1, 2)).cpu().tolist()
    detail = 10 * torch.log10((fine * fine).mean(dim=(1, 2)) + 0.01)
    steady: list[float] = without_types(detail, planes.picture_types).cpu().tolist()
    logs = [math.log(c + 0.05) for c in change]
    motion = measure_motion(small)
    found |= rhythm_cues(change, steady)
    found["difference"] = _median(change)
    found["texture_flicker"] = _median([abs(b - a) for a, b in pairwise(steady)])
    found["blur_with_motion"] = blur_with_motion(logs, steady)
    found |= light_cues(small, motion)
    if frames >= 3:
        rows = difference[:, ::2]
        second = (rows[1:] - rows[:-1]).abs().mean()
        first = (rows[1:] + rows[:-1]).abs().mean()
        found["motion_roughness"] = second / first if float(first) > 0.05 else 0.0
    if frames >= 4:
        found |= change_cues(step, fine)
        found |= camera_cues(motion)
        found |= still_cues(small, fine, planes.picture_types, motion.shifts)
        found["blur_along_motion"] = blur_along_motion(small, motion)
        found["region_break"] = region_break(motion)
        found["identity_drift"] = identity_drift(small, motion, planes.frame_s)
    return found


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    n = len(ordered)
    return 0.0 if not n else (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
