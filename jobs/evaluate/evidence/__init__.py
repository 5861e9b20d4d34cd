"""How often the evidence beside a verdict is right, and how often it alarms on camera footage: one module a kind.

Each module has ``measure(manifest, settings, *, options, console) -> MeasuredReport``; all figures of one kind come
from one call, with what they were measured on beside them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from rich.console import Console

from jobs.errors import BadUsageError
from jobs.measured import MeasuredReport
from jobs.settings import Settings

KINDS: Mapping[str, str] = {
    "assembly": "how a video was put together: interpolation, repeats, seams",
    "cues": "artefact cues: ranges on camera footage, cost",
    "layout": "strides and tiles: lattices, lines and rhythms that are fixed to the frame",
    "declared": "what files declare of their making",
    "reconstruction": "reconstruction by VAE checkpoints",
}


@dataclass(frozen=True, slots=True)
class EvidenceOptions:
    """What any of the kinds may need. limit: at most so many clips (0: all). seed: of everything drawn.

    cache: a folder where encoded copies and what was computed from them may be kept. checkpoints: VAE folders.
    out: where tables that ship with the package are written when asked for; None writes none.
    """

    cache: Path
    limit: int = 0
    seed: int = 0
    checkpoints: tuple[Path, ...] = ()
    out: Path | None = None


class _Module(Protocol):
    def measure(
        self, manifest: Path, settings: Settings, *, options: EvidenceOptions, console: Console
    ) -> MeasuredReport: ...


def measure_evidence(
    kind: str, manifest: Path, settings: Settings, *, options: EvidenceOptions, console: Console
) -> MeasuredReport:
    """The figures of one kind of evidence on labelled clips. Raises BadUsageError for a kind that there is not."""
    if kind not in KINDS:
        raise BadUsageError(f"there is no evidence called {kind!r}; choose one of {', '.join(KINDS)}")
    module = cast(_Module, importlib.import_module(f"jobs.evaluate.evidence.{kind}"))
    return module.measure(manifest, settings, options=options, console=console)
