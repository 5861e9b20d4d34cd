"""How faithful a round trip is: PSNR and the gradient energy that survives it, and whether that counts as sharp.

A network that learns from blurred reconstructions learns blur; the gate says which decoders are free of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.encode import Rgb

MIN_PSNR_DB = 30.0
GRADIENT_RANGE = (0.85, 1.1)
_PEAK = 255.0
# A round trip without any error has no finite PSNR; this stands for it in tables.
LOSSLESS_DB = 99.0


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """psnr_db: over all pixels, channels and frames. gradient_ratio: gradient energy after over before."""

    psnr_db: float
    gradient_ratio: float

    @property
    def sharp(self) -> bool:
        """At least 30 dB, and the fine detail neither smoothed away nor blown up."""
        low, high = GRADIENT_RANGE
        return self.psnr_db >= MIN_PSNR_DB and low <= self.gradient_ratio <= high


def round_trip(before: Sequence[Rgb], after: Sequence[Rgb]) -> RoundTrip:
    """Compares equally many (H, W, 3) uint8 frames. Raises ValueError where numbers or shapes differ."""
    if len(before) != len(after) or not before:
        raise ValueError(f"{len(before)} frames against {len(after)}: a round trip keeps their number")
    squared, count, kept, had = 0.0, 0, 0.0, 0.0
    for old, new in zip(before, after, strict=True):
        if old.shape != new.shape:
            raise ValueError(f"a frame of {old.shape} came back as {new.shape}")
        squared += float(np.square(old.astype(np.float32) - new).sum(dtype=np.float64))
        count += old.size
        had += gradient_energy(_luma(old))
        kept += gradient_energy(_luma(new))
    error = squared / count
    psnr = LOSSLESS_DB if error == 0 else min(LOSSLESS_DB, 10 * float(np.log10(_PEAK**2 / error)))
    return RoundTrip(psnr, kept / had if had > 0 else (1.0 if kept == 0 else float("inf")))


def gradient_energy(luma: NDArray[np.float32]) -> float:
    """Sum of squared differences of neighbours down and across, (H, W) in 0..255."""
    down = np.diff(luma, axis=0)
    across = np.diff(luma, axis=1)
    return float(np.square(down).sum(dtype=np.float64) + np.square(across).sum(dtype=np.float64))


def _luma(frame: Rgb) -> NDArray[np.float32]:
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)
    grey: NDArray[np.float32] = frame.astype(np.float32) @ weights
    return grey
