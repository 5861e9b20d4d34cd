"""Small cuts of one split's footage: what decoders are trained, calibrated and checked on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jobs.bench.footage import SIDE_STEP, Footage, Split

Cut = NDArray[np.uint8]  # (T, H, W, 3)

CUT_SIDE, CUT_FRAMES = 128, 9
_REACH = 64  # cuts come from the first frames, which every container gives without decoding a whole film


def gather_cuts(clips: Sequence[Footage], split: Split, seed: int, per_clip: int) -> list[Cut]:
    """``per_clip`` cuts at random places of every clip of the split, CUT_FRAMES frames of at most CUT_SIDE pixels.

    The places depend on the seed and the clip's content alone. Sides are multiples of SIDE_STEP.
    """
    cuts = []
    for clip in clips:
        side = min(CUT_SIDE, clip.height // SIDE_STEP * SIDE_STEP, clip.width // SIDE_STEP * SIDE_STEP)
        if clip.split is not split or clip.frames < CUT_FRAMES:
            continue
        rng = np.random.default_rng([seed, int(clip.sha256[:8], 16)])
        start = int(rng.integers(0, max(1, min(clip.frames, _REACH) - CUT_FRAMES + 1)))
        film = clip.read(start, CUT_FRAMES, (0, 0, clip.height, clip.width))
        if len(film) < CUT_FRAMES:
            continue
        for _ in range(per_clip):
            top = int(rng.integers(0, clip.height - side + 1))
            left = int(rng.integers(0, clip.width - side + 1))
            cuts.append(np.stack([frame[top : top + side, left : left + side] for frame in film]))
    return cuts
