"""A file against one checkpoint: what it gives back, at the lattice where it gives back most, and what that says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs.reconstruct.frames import FrameReader, Picture
from jobs.reconstruct.measure import NATIVE, PARTS, Finding, Grid, Part, measure, parts_of, pooled
from jobs.reconstruct.network import Network
from jobs.reconstruct.registry import Checkpoint
from jobs.reconstruct.search import search_phase, search_scale
from jobs.reconstruct.temporal import time_lattice

KEYFRAMES = 4
# Below this the corner of the frame says nothing for the checkpoint, and other grids are worth their time.
ENOUGH = 1.0


@dataclass(frozen=True, slots=True)
class JudgePlan:
    """How much of a file is looked at. search: whether other grids are tried where the frame's corner gives nothing."""

    keyframes: int = KEYFRAMES
    parts: int = PARTS
    search: bool = True


def judge_path(
    reader: FrameReader, path: Path, checkpoint: Checkpoint, network: Network, plan: JudgePlan
) -> dict[str, Any]:
    """What one checkpoint says of one file, as plain JSON. Raises FailureError where no keyframe can be had."""
    pictures, facts = reader.keyframes(path, plan.keyframes)
    parts = parts_of(pictures, count=plan.parts)
    if not parts:
        return {**_header(checkpoint), "error": f"frames of {facts.width}x{facts.height} pixels are too small"}
    try:
        found = _at(network, parts, facts.codec, NATIVE)
        llr, tried = _llr(checkpoint, found, searched=False), 1
        if plan.search and llr < ENOUGH:
            for sought in (search_scale(network, parts[:1]), search_phase(network, parts[:1])):
                tried += sought.tried
                if sought.grid == NATIVE:
                    continue
                other = _at(network, parts, facts.codec, sought.grid)
                better = _llr(checkpoint, other, searched=True)
                if better > llr:
                    found, llr = other, better
    except ValueError as error:
        return {**_header(checkpoint), "error": str(error)}
    searched = found.grid != NATIVE
    said: dict[str, Any] = {
        **_header(checkpoint),
        "llr": round(llr, 4),
        "p_value": round(float(checkpoint.model.p_value(np.array([_excess(checkpoint, found, searched)]))[0]), 5),
        "excess": round(found.excess, 5),
        "drop": round(found.drop, 5),
        "gain": round(found.gain, 5),
        "bands": {name: round(value, 4) for name, value in found.bands.items()},
        "grid": _grid(found.grid),
        "grids_tried": tried,
        "quality": round(found.quality, 2),
        "compression": _how(parts, facts.codec),
        "keyframes": len(pictures),
        "parts": found.parts,
        "time": time_lattice(reader, path, network) if network.volumetric else None,
        "error": None,
    }
    return said


def _at(network: Network, parts: Sequence[Part], codec: str, grid: Grid) -> Finding:
    return pooled([measure(network, part, codec, grid) for part in parts], grid)


def _excess(checkpoint: Checkpoint, found: Finding, searched: bool) -> float:
    """An excess at a chosen phase is lower for the choosing, by as much as on camera footage; that is given back."""
    return found.excess + (float(checkpoint.model.cohort.get("search_lowers_by", 0.0)) if searched else 0.0)


def _llr(checkpoint: Checkpoint, found: Finding, *, searched: bool) -> float:
    excess = np.array([_excess(checkpoint, found, searched)])
    return float(checkpoint.model.llr(excess, np.array([found.quality]))[0])


def _header(checkpoint: Checkpoint) -> dict[str, Any]:
    cohort = {name: value for name, value in checkpoint.model.cohort.items() if name != "footage"}
    return {
        "checkpoint": checkpoint.id[:16],
        "generator": checkpoint.generator,
        "family": checkpoint.family,
        "class": checkpoint.cls,
        "cohort": cohort,
    }


def _grid(grid: Grid) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in asdict(grid).items()}


def _how(parts: Sequence[Part], codec: str) -> str:
    known = all(_told(part.picture) for part in parts)
    return f"{codec}, " + ("by its quantiser" if known else "by the size of its keyframes")


def _told(picture: Picture) -> bool:
    return picture.quantiser.size > 0
