"""What else is known of a file, beside its verdict: what an analyst can point at, each kind under its own name.

None of it enters a vector or changes a verdict. Every kind is a pure function of the stored fingerprint and facts, so
that ``rematch`` gives it again without opening a file; a kind that has nothing to say is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fingerprint_db.verdict import Verdict
from jobs.artefacts import artefacts
from jobs.declared import declared_evidence

if TYPE_CHECKING:
    from jobs.scan import FileFingerprint

Kind = Callable[["FileFingerprint", Verdict], Mapping[str, Any] | None]


def _assembly(file: FileFingerprint, _verdict: Verdict) -> Mapping[str, Any] | None:
    from fingerprint_db.assembly import assembly

    return assembly(file.windows, file.facts.fps)


def _layout(file: FileFingerprint, _verdict: Verdict) -> Mapping[str, Any] | None:
    from fingerprint_db.layout.findings import layout

    return layout(file.windows, file.facts.fps, (file.facts.width, file.facts.height))


# What is found is plain JSON: strings, numbers that are finite, booleans, lists and objects.
KINDS: Mapping[str, Kind] = {
    "assembly": _assembly,
    "layout": _layout,
    "artefacts": artefacts,
    "declared": declared_evidence,
}


def evidence_of(file: FileFingerprint, verdict: Verdict) -> dict[str, Any]:
    """The evidence of a file by kind, as plain JSON values."""
    found = {name: find(file, verdict) for name, find in KINDS.items()}
    return {name: dict(said) for name, said in found.items() if said}
