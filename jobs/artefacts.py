"""Which artefact cues of a file lie outside what camera footage of its resolution and bitrate shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fingerprint_db.cues.definitions import CUE_NAMES, CUES
from fingerprint_db.cues.ranges import CameraRange, RangeTable, file_values, outside, shipped_ranges
from fingerprint_db.verdict import Verdict

if TYPE_CHECKING:
    from jobs.scan import FileFingerprint

DEFICIT = "high_frequency_deficit"
MOST_WIDTHS = 99.0  # of a range without width, which some cues have where nothing moves


def artefacts(file: FileFingerprint, verdict: Verdict) -> Mapping[str, Any] | None:
    """The evidence ``artefacts`` (jobs.evidence); None without windows, or with windows from before these cues."""
    return artefacts_by(shipped_ranges(), file)


def artefacts_by(table: RangeTable, file: FileFingerprint) -> Mapping[str, Any] | None:
    """looked_at: cues compared; expected_by_chance: how many of them lie outside on the average camera file, as
    measured. outside: farthest first (in widths of the range), each with value, unit, range, what that was made of,
    share of the windows outside, the seconds of the window that lies farthest, and a sentence. high_frequency_deficit:
    the value beside the camera's median at the same resolution and bitrate.
    """
    values = file_values(file.windows)
    if not values:
        return None
    quality = file.facts.quality(file.coverage)
    limits = {name: camera for name in CUE_NAMES if (camera := table.range_of(name, quality)) is not None}
    found = [
        _described(name, values[name], limits[name], file)
        for name in limits
        if name in values and outside(values[name], limits[name], CUES[name])
    ]
    found.sort(key=lambda entry: -entry["widths"])
    said: dict[str, Any] = {
        "looked_at": len(limits),
        "expected_by_chance": round(sum(table.false_alarms.get(name, 0.02) for name in limits), 2),
        "outside": found,
    }
    if DEFICIT in limits and DEFICIT in values:
        beside = limits[DEFICIT]
        said[DEFICIT] = {
            "value": round(values[DEFICIT], 3),
            "camera_median": beside.median,
            "excess": round(values[DEFICIT] - beside.median, 3),
            "unit": CUES[DEFICIT].unit,
            "camera": beside.group,
            "sources": beside.sources,
        }
    return said


def sentences(said: Mapping[str, Any], most: int = 3) -> list[str]:
    """What a person is told: how many cues lie outside, against how many by chance, and the farthest of them."""
    outside_ = said.get("outside", [])
    if not outside_:
        return []
    head = (
        f"{len(outside_)} of {said['looked_at']} cues lie outside the range of camera footage "
        f"({said['expected_by_chance']:.1f} on the average camera file)"
    )
    return [head, *(entry["sentence"] for entry in outside_[:most])]


def _described(name: str, value: float, limits: CameraRange, file: FileFingerprint) -> dict[str, Any]:
    definition = CUES[name]
    windows = [window for window in file.windows if window.cues]
    each = np.array([window.cues[name] for window in windows])
    out = [outside(float(v), limits, definition) for v in each]
    farthest = windows[int(each.argmax() if value > limits.hi else each.argmin())]
    beyond = max(value - limits.hi, limits.lo - value)
    side = "above" if value > limits.hi else "below"
    return {
        "cue": name,
        "family": definition.family,
        "value": round(value, 4),
        "unit": definition.unit,
        "range": [limits.lo, limits.hi],
        "camera": limits.group,
        "files": limits.files,
        "sources": limits.sources,
        "windows_share": round(sum(out) / len(out), 3),
        "widths": round(min(beyond / max(limits.hi - limits.lo, 1e-9), MOST_WIDTHS), 3),
        "seconds": [round(farthest.start_s, 3), round(farthest.end_s, 3)],
        "sentence": (
            f"{name} {value:.3g} ({definition.unit}) is {side} the {limits.lo:.3g} to {limits.hi:.3g} "
            f"of {limits.files} camera files of {limits.sources} sources ({limits.group})"
        ),
    }
