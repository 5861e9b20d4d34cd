"""What camera footage shows of lattices, tile lines and rhythms: the table that ``layout`` judges by.

It is made by ``makersmark evaluate MANIFEST --evidence layout --out fingerprint_db``; its provenance is inside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from fingerprint_db.layout.lattice import STRIDES, excess

TABLE = Path(__file__).parents[1] / "layout_camera.json"  # beside the other tables that ship
TABLE_VERSION = 1
# Strides differ in their tails, and the tails decide: a deviation is what makes this quantile a normal one.
_TAIL, _TAIL_DEVIATIONS = 0.98, 2.054
MEASURES = ("scaled_lattice", "unscaled_lattice", "tiles", "free_tiles", "rhythm", "first_frame")


@dataclass(frozen=True, slots=True, eq=False)
class LayoutRanges:
    """weights, spread: by stride, how its lines follow from the others' on camera footage (lattice.excess) and the
    deviation of what is left. scores: by measure, those of camera files, ascending. false_alarms: by measure, the share
    of camera files of unseen sources of which it was said. provenance: what it was made of.
    """

    weights: Mapping[int, Sequence[float]]
    spread: Mapping[int, float]
    scores: Mapping[str, Sequence[float]]
    false_alarms: Mapping[str, float]
    provenance: Mapping[str, Any]

    def p_value(self, measure: str, score: float) -> float:
        """Share of camera files whose score is as high, the file itself counted among them."""
        known = self.scores.get(measure, ())
        higher = len(known) - int(np.searchsorted(np.asarray(known, np.float64), score, side="left"))
        return (higher + 1) / (len(known) + 1)

    def beyond_codec(self, lines: Mapping[int, float]) -> tuple[int, float]:
        """The unscaled stride whose lines exceed what a codec leaves most, and by how many deviations."""
        scores = {stride: excess(lines, stride, self.weights[stride]) / self.spread[stride] for stride in STRIDES}
        best = max(scores, key=lambda stride: scores[stride])
        return best, scores[best]


def fitted_weights(seen: Sequence[Mapping[int, float]]) -> tuple[dict[int, list[float]], dict[int, float]]:
    """Least squares of each stride's lines on the others', over files of camera footage: weights and spread."""
    weights: dict[int, list[float]] = {}
    spread: dict[int, float] = {}
    for stride in STRIDES:
        design = np.array([[1.0, *(lines[other] for other in STRIDES if other != stride)] for lines in seen])
        own = np.array([lines[stride] for lines in seen])
        fit = np.linalg.lstsq(design, own, rcond=None)[0]
        weights[stride] = [float(weight) for weight in fit]
        spread[stride] = float(np.quantile(own - design @ fit, _TAIL)) / _TAIL_DEVIATIONS + 1e-6
    return weights, spread


@lru_cache(maxsize=1)
def shipped_ranges() -> LayoutRanges:
    """The table of this package, read once a process."""
    return load_ranges(TABLE)


def load_ranges(path: Path) -> LayoutRanges:
    """Raises ValueError for a table of another version."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    if raw.get("version") != TABLE_VERSION:
        raise ValueError(f"{path.name} has version {raw.get('version')}, this Makersmark knows {TABLE_VERSION}")
    return LayoutRanges(
        {int(stride): values for stride, values in raw["weights"].items()},
        {int(stride): float(value) for stride, value in raw["spread"].items()},
        raw["scores"],
        raw["false_alarms"],
        raw["provenance"],
    )


def save_ranges(ranges: LayoutRanges, path: Path) -> None:
    """Write the table, numbers rounded to what they are worth."""
    table = {
        "version": TABLE_VERSION,
        "provenance": dict(ranges.provenance),
        "false_alarms": {name: round(rate, 5) for name, rate in ranges.false_alarms.items()},
        "weights": {str(s): [round(w, 5) for w in weights] for s, weights in ranges.weights.items()},
        "spread": {str(s): round(value, 5) for s, value in ranges.spread.items()},
        "scores": {name: sorted(round(score, 3) for score in each) for name, each in ranges.scores.items()},
    }
    path.write_text(json.dumps(table, sort_keys=True) + "\n", encoding="utf-8")
