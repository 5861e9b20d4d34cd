"""Ranges of cues on camera footage: the table that ships, and how often it calls unseen camera footage out of range."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.cues.definitions import CUE_NAMES, CUES
from fingerprint_db.cues.ranges import QUANTILES, TABLE_VERSION, RangeTable, groups_of, outside
from fingerprint_db.window import Quality
from jobs.evaluate.manifest import Clip
from jobs.evaluate.metrics import bootstrap_by_source

LEAST_SOURCES = 8  # a group of fewer has no range of its own
REPLICATES = 500  # of a bootstrap over sources

Bounded = tuple[float, tuple[float, float] | None]


@dataclass(frozen=True, slots=True)
class Seen:
    """One file's cues: a clip in one form."""

    clip: Clip
    form: str
    quality: Quality
    values: Mapping[str, float]


def range_table(seen: Sequence[Seen], false_alarms: Mapping[str, float], provenance: Mapping[str, Any]) -> RangeTable:
    """Quantiles a group and cue, every source weighing the same in its group."""
    members: dict[str, list[Seen]] = {}
    for entry in seen:
        for group in groups_of(entry.quality.width, entry.quality.height, entry.quality.bits_per_pixel):
            members.setdefault(group, []).append(entry)
    groups = {}
    for name, entries in sorted(members.items()):
        sources = [entry.clip.source for entry in entries]
        if len(set(sources)) >= LEAST_SOURCES or name == "any":
            weights = _by_source(sources)
            cues = {
                cue: [
                    float(f"{q:.5g}")
                    for q in weighted_quantiles([e.values[cue] for e in entries if cue in e.values], weights, QUANTILES)
                ]
                for cue in CUE_NAMES
                if all(cue in e.values for e in entries)
            }
            groups[name] = {"files": len(entries), "sources": len(set(sources)), "cues": cues}
    return RangeTable(groups, dict(false_alarms), dict(provenance))


def _by_source(sources: Sequence[str]) -> list[float]:
    return [1.0 / sources.count(source) for source in sources]


def weighted_quantiles(values: Sequence[float], weights: Sequence[float], at: Sequence[float]) -> list[float]:
    """Quantiles of a weighted sample: linear between the middles of the weights, the extremes beyond them."""
    order = np.argsort(values, kind="stable")
    weight = np.asarray(weights, dtype=np.float64)[order]
    middle = (np.cumsum(weight) - weight / 2) / weight.sum()
    return [float(v) for v in np.interp(at, middle, np.asarray(values, dtype=np.float64)[order])]


def false_alarms(seen: Sequence[Seen]) -> dict[str, Bounded]:
    """Share of files out of range a cue, each source held against a table of the others, and bounds by source."""
    alarms = alarms_of(seen, seen)
    sources = [entry.clip.source for entry in seen]
    totals = {cue: alarms[:, k] for k, cue in enumerate(CUE_NAMES)} | {"cues out of range": alarms.sum(axis=1)}
    totals["any cue out of range"] = (alarms.sum(axis=1) > 0).astype(float)

    def shares(at: NDArray[np.intp]) -> Mapping[str, float]:
        return {name: float(values[at].mean()) for name, values in totals.items()}

    bounds = bootstrap_by_source(sources, ["camera"] * len(sources), shares, replicates=REPLICATES)
    return {name: (float(values.mean()), bounds[name]) for name, values in totals.items()}


def alarms_of(judged: Sequence[Seen], reference: Sequence[Seen]) -> NDArray[np.float64]:
    """(judged, cues): 1 where a cue is out of the reference's range, made without the judged file's own source."""
    alarms = np.zeros((len(judged), len(CUE_NAMES)))
    known = {entry.clip.source for entry in reference}
    everything = range_table(reference, {}, {})
    for source in sorted({entry.clip.source for entry in judged}):
        table = everything
        if source in known:
            table = range_table([entry for entry in reference if entry.clip.source != source], {}, {})
        for i, entry in enumerate(judged):
            if entry.clip.source == source:
                alarms[i] = [_alarms(table, entry, cue) for cue in CUE_NAMES]
    return alarms


def _alarms(table: RangeTable, entry: Seen, cue: str) -> bool:
    limits = table.range_of(cue, entry.quality)
    return limits is not None and cue in entry.values and outside(entry.values[cue], limits, CUES[cue])


def write_ranges(table: RangeTable, path: Path) -> None:
    """The table as it ships; a group a line, so that a change shows which groups moved."""
    groups = ",\n".join(f"  {json.dumps(name)}: {json.dumps(group)}" for name, group in table.groups.items())
    alarms = {name: round(share, 4) for name, share in table.false_alarms.items() if name in CUES}
    text = (
        f'{{"version": {TABLE_VERSION},\n"provenance": {json.dumps(table.provenance)},\n'
        f'"quantiles": {json.dumps(QUANTILES)},\n"false_alarms": {json.dumps(alarms)},\n"groups": {{\n{groups}\n}}}}\n'
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
