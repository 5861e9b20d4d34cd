"""What camera footage shows: the range of every cue by resolution and bitrate, from the table that ships.

The table is made by ``makersmark evaluate MANIFEST --evidence cues --out fingerprint_db``; its provenance is inside.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from fingerprint_db.cues.definitions import CUE_NAMES, CUES, CueDefinition
from fingerprint_db.window import Quality, WindowFingerprint

TABLE = Path(__file__).parent.parent / "cue_ranges.json"
TABLE_VERSION = 1
QUANTILES = (0.01, 0.05, 0.5, 0.95, 0.99)
SHORT_SIDES = (320, 576)  # px: up to the first, up to the second, above
BITS = (0.04, 0.12)  # coded bits per pixel and frame, likewise
_PEAK = 0.9


@dataclass(frozen=True, slots=True)
class CameraRange:
    """Quantiles of a cue's value over camera files of one group; lo, hi: the alarm's limits (1 % and 99 %)."""

    group: str
    lo: float
    median: float
    hi: float
    files: int
    sources: int


@dataclass(frozen=True, slots=True, eq=False)
class RangeTable:
    """groups: by name (see ``groups_of``), each with ``files``, ``sources`` and ``cues``: name to QUANTILES.

    false_alarms: share of camera files of unseen sources that a cue calls out of range, as measured when the table was
    made. provenance: what it was made of.
    """

    groups: Mapping[str, Mapping[str, Any]]
    false_alarms: Mapping[str, float]
    provenance: Mapping[str, Any]

    def range_of(self, cue: str, quality: Quality) -> CameraRange | None:
        """The range of the narrowest group that has one, None without any."""
        for name in groups_of(quality.width, quality.height, quality.bits_per_pixel):
            group = self.groups.get(name)
            if group is not None and cue in group["cues"]:
                lo, _, median, _, hi = (float(q) for q in group["cues"][cue])
                return CameraRange(name, lo, median, hi, int(group["files"]), int(group["sources"]))
        return None


def groups_of(width: int, height: int, bits_per_pixel: float) -> tuple[str, ...]:
    """The groups that a file belongs to, narrowest first: side and bitrate, side alone, everything."""
    side = ("to 320 px", "to 576 px", "above 576 px")[sum(min(width, height) > edge for edge in SHORT_SIDES)]
    if not bits_per_pixel > 0:
        return side, "any"
    bits = ("below 0.04", "0.04-0.12", "above 0.12")[sum(bits_per_pixel > edge for edge in BITS)]
    return f"{side}, {bits} bits per px", side, "any"


def pooled(values: Sequence[float], definition: CueDefinition) -> float:
    """A file's value from its windows': the median, or for what happens once the upper decile.

    Where a cue points both ways the decile is taken on the side that lies farther from the neutral value.
    """
    found = np.asarray(values, dtype=np.float64)
    if definition.pooling == "median":
        return float(np.median(found))
    high = float(np.quantile(found, _PEAK))
    if definition.alarm == "high":
        return high
    low = float(np.quantile(found, 1 - _PEAK))
    lower = definition.alarm == "low" or definition.neutral - low > high - definition.neutral
    return low if lower else high


def file_values(windows: Sequence[WindowFingerprint]) -> dict[str, float]:
    """Every cue's value of a file, from those of its windows that have cues (fingerprint_db.cues.measure.has_cues).

    Empty where one was measured before all of today's cues were: their arithmetic changed together.
    """
    measured = [window.cues for window in windows if window.cues]
    if not measured or any(name not in cues for cues in measured for name in CUE_NAMES):
        return {}
    values = {name: pooled([cues[name] for cues in measured], CUES[name]) for name in CUE_NAMES}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def outside(value: float, limits: CameraRange, definition: CueDefinition) -> bool:
    """Whether a value lies on the side that means something, beyond what camera footage shows."""
    over, under = value > limits.hi, value < limits.lo
    return {"high": over, "low": under, "both": over or under}[definition.alarm]


@lru_cache(maxsize=1)
def shipped_ranges() -> RangeTable:
    """The table that ships with the package."""
    return load_ranges(TABLE)


def load_ranges(path: Path) -> RangeTable:
    """Raises ValueError for a table of another version."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    if raw.get("version") != TABLE_VERSION:
        raise ValueError(f"{path.name} has version {raw.get('version')}, this code reads {TABLE_VERSION}")
    return RangeTable(raw["groups"], raw["false_alarms"], raw["provenance"])
