"""The table of cues as docs/cues.md shows it; a test holds the page against it."""

from __future__ import annotations

from typing import get_args

from fingerprint_db.cues.definitions import CUES, Family

_ALARM = {"high": "high", "low": "low", "both": "either"}


def cue_tables() -> str:
    """A heading and a table for each family, in the order of the definitions."""
    parts = []
    for family in get_args(Family):
        parts += [f"### {family.capitalize()}", "", "| cue | what it measures | unit | alarm | file value | source |"]
        parts.append("|---|---|---|---|---|---|")
        parts += [
            f"| `{name}` | {cue.definition} | {cue.unit} | {_ALARM[cue.alarm]} | {cue.pooling} | {cue.source} |"
            for name, cue in CUES.items()
            if cue.family == family
        ]
        parts.append("")
    return "\n".join(parts)
