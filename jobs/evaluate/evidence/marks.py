"""Visible marks: how many that are there are found, and how often one is told that is not.

The truth is a column ``mark`` of the manifest, filled in by somebody who looked: the corner of a burnt-in mark (such as
``bottom right``), ``none``, ``other`` for what is burnt in elsewhere (subtitles, clocks), empty where nobody looked.
Without the column only the camera clips for which an overlay is told can be counted, true ones among them.
"""

from __future__ import annotations

import csv
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cluster.outcome import Failure
from fingerprint_db.declared import CAMERA
from fingerprint_db.overlays import FACT, Looked, likeness, read
from fingerprint_db.window import WindowFingerprint
from jobs.evaluate.manifest import Clip, Label
from jobs.evaluate.part_worker import measure_files
from jobs.measured import Figure
from jobs.scan import FileFingerprint
from jobs.settings import Settings

NONE, OTHER = "none", "other"
Share = Callable[[str, Sequence["Marked"], Callable[["Marked"], bool], str, str], Figure]


@dataclass(frozen=True, slots=True)
class Marked:
    """One clip: what is known of its mark, and what was found. truth: see the module. looked: None if not decoded."""

    source: str
    label: str
    truth: str
    looked: Looked | None

    @property
    def told(self) -> bool:
        return self.looked is not None and bool(self.looked.overlays)

    @property
    def measurable(self) -> bool:
        return self.looked is not None and self.looked.measurable

    @property
    def found(self) -> bool:
        """The mark that is there is told, at its corner."""
        return self.looked is not None and any(one.place == self.truth for one in self.looked.overlays)


def look(manifest: Path, clips: Sequence[Clip], settings: Settings) -> list[Marked]:
    """Decode every clip as a sweep does, and read what was seen of overlays."""
    truth = _truth(manifest)
    paths = {clip.name: str(clip.path.absolute()) for clip in clips}
    looked = {path: _looked(file) for path, file in measure_files(paths.values(), settings, WindowFingerprint.of)}
    seen = []
    for clip in clips:
        label = (clip.generator or CAMERA) if clip.label is Label.GENERATED else CAMERA
        seen.append(Marked(clip.source, label, truth.get(clip.name, ""), looked.get(paths[clip.name])))
    return seen


def figures(seen: Sequence[Marked], share: Share) -> tuple[Figure, ...]:
    """share: a figure with its bounds out of (name, clips, which count, of what, definition)."""
    marked = [one for one in seen if one.label != CAMERA and one.truth not in ("", NONE, OTHER)]
    moving = [one for one in marked if one.measurable]
    bare = [one for one in seen if one.truth == NONE]
    camera = [one for one in seen if one.label == CAMERA]
    bare_camera = [one for one in bare if one.label == CAMERA]
    return (
        share(
            "visible marks found",
            marked,
            lambda one: one.found,
            "generated clips with a mark in a corner",
            "an overlay is told at the corner where somebody saw the mark",
        ),
        share("the same, where the film moves", moving, lambda one: one.found, "of those", ""),
        share(
            "overlay told of a generated clip without one",
            [one for one in bare if one.label != CAMERA],
            lambda one: one.told,
            "generated clips without a mark",
            "",
        ),
        share(
            "overlay told of a camera clip without one", bare_camera, lambda one: one.told, "camera clips without", ""
        ),
        share(
            "overlay told of a camera clip",
            camera,
            lambda one: one.told,
            "camera clips",
            "true ones among them: a logo says that somebody put a logo there, not that a clip was generated",
        ),
        share("clips that move too little to tell", seen, lambda one: not one.measurable, "clips", ""),
    )


def detail(seen: Sequence[Marked]) -> dict[str, Any]:
    """By generator: clips, corners told, width; and how alike the patterns of overlays are."""
    by_label: dict[str, list[Marked]] = defaultdict(list)
    for one in seen:
        by_label[one.label].append(one)
    corners = {
        label: {
            "clips": len(ones),
            "marked": sum(one.truth not in ("", NONE, OTHER) for one in ones),
            "told": dict(Counter(one.looked.overlays[0].place for one in ones if one.looked and one.looked.overlays)),
            "width": _median([one.looked.overlays[0].width for one in ones if one.looked and one.looked.overlays]),
        }
        for label, ones in sorted(by_label.items())
        if any(one.told or one.truth not in ("", NONE) for one in ones)
    }
    return {"marks": corners, "mark_patterns": _agreement(seen)}


def _agreement(seen: Sequence[Marked]) -> dict[str, dict[str, float | int | None]]:
    """Likeness of the strongest overlays' patterns: of one generator in one source, in several, of different ones."""
    told = [(one.label, one.source, one.looked.overlays[0].pattern) for one in seen if one.looked and one.told]
    pairs: dict[str, list[float]] = {"one source": [], "other source": [], "different": []}
    for (label, source, pattern), (other, where, second) in itertools.combinations(told, 2):
        kind = "different" if label != other else "one source" if source == where else "other source"
        if label != CAMERA or other != CAMERA:
            pairs[kind].append(likeness(pattern, second))
    return {
        kind: {"pairs": len(found), "median": _median(found), "highest": round(max(found), 3) if found else None}
        for kind, found in pairs.items()
    }


def _median(values: Sequence[float]) -> float | None:
    return round(float(np.median(values)), 3) if values else None


def _looked(file: FileFingerprint | Failure) -> Looked | None:
    if isinstance(file, Failure) or FACT not in file.facts.declared:
        return None  # who cannot be decoded has been named by the reading of the declarations
    return read(file.facts.declared[FACT])


def _truth(manifest: Path) -> Mapping[str, str]:
    with manifest.open(encoding="utf-8-sig", newline="") as stream:
        return {row["path"].strip(): (row.get("mark") or "").strip().lower() for row in csv.DictReader(stream)}
