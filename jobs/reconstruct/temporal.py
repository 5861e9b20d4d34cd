"""Networks of volumes: at which frame of a file their stretches begin, by the loss of aligned and shifted windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fingerprint_db.spec import WindowPlan
from jobs.decode.plan import SIDE_STEP as PLAN_STEP
from jobs.reconstruct.frames import FrameReader
from jobs.reconstruct.measure import loss_at
from jobs.reconstruct.network import Network

SIDE = 128
_STEPS = 2  # latents in time a window has


def window_frames(network: Network) -> int:
    """Frames of one window: whole steps of the class's rule (4k + 1, 8k + 1, 6k + 1, 4k ...), two of them."""
    step, rest = network.frames
    return _STEPS * step + rest


def time_lattice(reader: FrameReader, path: Path, network: Network) -> dict[str, Any] | None:
    """The losses of windows that begin 0, 1 ... stride - 1 frames into a stretch, and the shift that loses least.

    ``depth``: how far the least lies below the median of the others, in their spreads; uncalibrated, so it is shown and
    enters no likelihood ratio. None where the file has fewer frames than a window and its shifts.
    """
    count, shifts = window_frames(network), max(1, network.stride[1])
    wanted = count + shifts - 1
    plan = WindowPlan(
        bursts=1, every_s=1e9, max_bursts=1, frames=wanted, crops=1, crop_px=SIDE, min_frames=1, min_px=PLAN_STEP
    )
    pictures, _ = reader.stretches(path, plan)
    unit = max(network.stride[0], 1)
    for picture in pictures:
        height, width = (side // unit * unit for side in picture.rgb.shape[-2:])
        if len(picture.rgb) < wanted or min(height, width) < unit:
            continue
        rgb = picture.rgb[..., :height, :width]
        losses = []
        for shift in range(shifts):
            losses.append(loss_at(network, rgb[shift : shift + count]))
        values = np.array(losses)
        best = int(np.argmin(values))
        others = np.delete(values, best)
        spread = float(others.std()) if len(others) > 1 else 0.0
        return {
            "window_frames": count,
            "losses": [round(float(one), 5) for one in values],
            "shift": best,
            "depth": round(float(np.median(others) - values[best]) / spread, 3) if spread > 0 else None,
            "start_s": round(picture.time_s, 4),
        }
    return None
