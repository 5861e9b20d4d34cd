"""All cues of a window, by the modules of their families; each is finite, and neutral where its evidence is absent."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from torch import Tensor

from fingerprint_db.cues.definitions import CUE_NAMES, CUES
from fingerprint_db.cues.motion import measure_motion
from fingerprint_db.cues.physical import blur_along_motion, blur_with_motion, camera_cues, light_cues
from fingerprint_db.cues.reconstruction import picture_cues
from fingerprint_db.cues.rhythm import rhythm_cues
from fingerprint_db.cues.spatiotemporal import change_cues, identity_drift, region_break, still_cues, without_types
from fingerprint_db.intermediates import Intermediates, power
from fingerprint_db.residual import Planes
from fingerprint_db.window import MIDDLING_PX, SMALL_PX, FrameWindow

SMALL_EVERY = 4  # bursts


def has_cues(window: FrameWindow) -> bool:
    """Whether a window's cues are measured; a file's first window always has them.

    Of a large frame (or one of unknown size) every second window: the crops of a burst alternate, and so does a place
    from burst to burst. Of a middling frame one crop a burst, of a small one (quick to decode) one crop of every fourth
    burst; all places have their turn.
    """
    if not window.crops or not 0 < window.frame_px < MIDDLING_PX:
        return (window.burst + window.crop) % 2 == 0
    if window.frame_px >= SMALL_PX:
        return window.crop == window.burst % window.crops
    return window.burst % SMALL_EVERY == 0 and window.crop == window.burst // SMALL_EVERY % window.crops


def measure_cues(planes: Planes, *, full_range: bool, shared: Intermediates | None = None) -> dict[str, float]:
    """All cues of a window, in the order of CUE_NAMES; luma at least 64 x 64, one frame or more.

    shared: of these planes, for whoever measures more of them.
    """
    found: dict[str, Tensor | float] = {}
    found |= _of_time(shared or Intermediates(planes))
    found |= picture_cues(planes, full_range)
    values = {name: float(found.get(name, CUES[name].neutral)) for name in CUE_NAMES}
    return {name: v if math.isfinite(v) else CUES[name].neutral for name, v in values.items()}


def _of_time(shared: Intermediates) -> dict[str, Tensor | float]:
    planes = shared.planes
    small, fine = planes.half, planes.fine_half
    frames = small.shape[0]
    if frames < 2:
        return {}
    found: dict[str, Tensor | float] = {}
    change = shared.change.cpu().tolist()
    detail = 10 * np.log10(power(fine).cpu().numpy() + np.float32(0.01))
    steady: list[float] = without_types(detail, planes.picture_types).tolist()
    logs = [math.log(c + 0.05) for c in change]
    motion = measure_motion(small)
    found |= rhythm_cues(change, steady)
    found["difference"] = _median(change)
    found["texture_flicker"] = _median([abs(b - a) for a, b in pairwise(steady)])
    found["blur_with_motion"] = blur_with_motion(logs, steady)
    found |= light_cues(shared, motion)
    if frames >= 3:
        rows = shared.difference[:, ::2]
        second = float((rows[1:] - rows[:-1]).abs_().mean())
        first = float((rows[1:] + rows[:-1]).abs_().mean())
        found["motion_roughness"] = second / first if first > 0.05 else 0.0
    if frames >= 4:
        found |= change_cues(shared.step, fine)
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
