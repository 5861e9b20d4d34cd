"""Files of which layout evidence is measured: what was read of them, and tables of camera footage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fingerprint_db.catalogue import load_catalogue
from fingerprint_db.layout.findings import Readings, judged, read_layout
from fingerprint_db.layout.lattice import codec_lines, spectrum
from fingerprint_db.layout.ranges import MEASURES, LayoutRanges, fitted_weights
from jobs.evaluate.manifest import Clip, Label
from jobs.scan import FileFingerprint


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One file. form: its codec chain, ``as it is`` without one. energy: the null's score, see ``energy_comb``.

    stride: of its decoder, pixels, None where that is not known.
    """

    name: str
    label: Label
    decoder: str
    source: str
    form: str
    size: tuple[int, int]
    read: Readings
    energy: float
    stride: int | None = None


class Held:
    """Tables of camera footage, each made without one source, on which it is then used."""

    def __init__(self, seen: Sequence[Seen]) -> None:
        self._camera = [one for one in seen if one.label is Label.CAMERA]
        self._tables: dict[str, LayoutRanges] = {}
        self._found: dict[int, tuple[Seen, dict[str, Any]]] = {}

    def without(self, source: str) -> LayoutRanges:
        """What camera files of all other sources show; all of them for a source that is not among them."""
        known = source if any(one.source == source for one in self._camera) else ""
        if known not in self._tables:
            self._tables[known] = table_of([one for one in self._camera if one.source != known])
        return self._tables[known]

    def energy_limit(self, source: str) -> float:
        """The null's: what one camera file in a hundred of other sources passes."""
        return float(np.quantile([one.energy for one in self._camera if one.source != source], 0.99))

    def findings(self, one: Seen) -> dict[str, Any]:
        """The findings on a file by what other sources show."""
        if id(one) not in self._found:
            # The file is kept beside its findings, so that no other can come to have its id.
            self._found[id(one)] = one, judged(one.read, one.size, self.without(one.source))
        return self._found[id(one)][1]


def table_of(camera: Sequence[Seen]) -> LayoutRanges:
    """The table of these files. Raises ValueError for too few to fit anything."""
    lines = [one.read.lines for one in camera]
    if len(lines) < 10:
        raise ValueError("fewer than ten camera files of other sources could be read; that makes no range")
    weights, spread = fitted_weights(lines)
    bare = LayoutRanges(weights, spread, {}, {}, {})
    each = [one.read.scores(bare) for one in camera]
    scores = {name: sorted(found[name] for found in each if name in found) for name in MEASURES}
    return LayoutRanges(weights, spread, scores, {}, {})


def seen_of(files: Iterable[tuple[Clip, FileFingerprint]], form: str) -> list[Seen]:
    families = load_catalogue().families
    out = []
    for clip, file in files:
        read = read_layout(file.windows, file.facts.fps)
        if read is None:
            continue
        family = next((families[name] for name in _names(clip) if name in families), None)
        size = (file.facts.width, file.facts.height)
        stride = family.spatial_stride if family is not None and clip.label is not Label.CAMERA else None
        decoder = "camera" if clip.label is Label.CAMERA else clip.generator or "unnamed"
        out.append(Seen(clip.name, clip.label, decoder, clip.source, form, size, read, energy_comb(file), stride))
    return out


def _names(clip: Clip) -> tuple[str, ...]:
    """Under what its decoder may stand among the catalogue's families."""
    return tuple(name for name in (clip.family, f"{clip.generator}-vae", clip.generator) if name)


def energy_comb(file: FileFingerprint) -> float:
    """The null: the strongest comb of plain step size at a stride, whatever a codec has there, phases kept."""
    swapped = [
        replace(w, profiles={"signed_x": w.profiles["step_x"], "signed_y": w.profiles["step_y"]})
        for w in file.windows
        if w.profiles
    ]
    lines = spectrum(swapped)
    return max(codec_lines(lines).values()) if lines is not None else 0.0
