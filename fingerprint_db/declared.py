"""What a file declares, as signs that can be compared, and how often labelled clips of each generator show each value.

Size, rate, length, encoder: read without a look at the pictures, easily forged, and shown beside what was measured.
Which generator they fit is weighed in ``fingerprint_db.declared_fits``. Pure arithmetic over facts: no file, no vector.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

SIGNS = ("size", "rate", "frames", "encoder")
CAMERA = "camera"
_X264 = re.compile(r"x264 - core (\d+)")


@dataclass(frozen=True, slots=True)
class Declaration:
    """What is read of a file without a look at its pictures. Numbers are 0 where the file does not say.

    fps: average; ``told`` may hold the usual rate, which a cut leaves alone. told: see ``VideoFacts.declared``.
    """

    width: int
    height: int
    fps: float
    frames: int
    codec: str = ""
    bit_rate: float = 0.0
    told: Mapping[str, str] = field(default_factory=dict)

    def signs(self) -> dict[str, str]:
        """The values by which habits are compared; a sign that the file does not show is left out."""
        shown: dict[str, str] = {}
        if self.width and self.height:
            shown["size"] = f"{self.width}x{self.height}"
        rate = _number(self.told.get("usual_rate", "")) or self.fps
        if rate > 0:
            shown["rate"] = f"{rate:.1f}"
        if self.frames:
            shown["frames"] = str(self.frames)
        shown["encoder"] = encoder_sign(self.told.get("encoder_signature", ""))
        return shown


def encoder_sign(signature: str) -> str:
    """The encoder and its build, from the words it leaves in the stream; whether its settings were removed."""
    found = _X264.match(signature)
    if found:
        return f"x264 core {found[1]}" + ("" if "options:" in signature else ", settings removed")
    return signature[:12].strip() or "no signature"


@dataclass(frozen=True, slots=True)
class Habits:
    """What the labelled clips of one class show. clips, sources: how many stand behind it.

    seen: by sign, how many sources show that sign at all; shares: by sign and value, the sum over sources of the share
    of the source's clips with that value.
    """

    clips: int
    sources: int
    seen: Mapping[str, int]
    shares: Mapping[str, Mapping[str, float]]

    def share(self, sign: str, value: str) -> float | None:
        """The share of this class's clips with that value, sources weighing the same; None where nothing is known."""
        seen = self.seen.get(sign, 0)
        return self.shares.get(sign, {}).get(value, 0.0) / seen if seen else None


@dataclass(frozen=True, slots=True)
class Statistics:
    """Habits by class: generators' slugs, and ``camera``.

    speak_from, family_from: the posteriors from which a generator and a decoder family are named; above 1 for never.
    """

    habits: Mapping[str, Habits]
    speak_from: float
    family_from: float
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        classes = {
            name: {
                "clips": known.clips,
                "sources": known.sources,
                "seen": dict(known.seen),
                "shares": {
                    sign: {value: round(share, 6) for value, share in sorted(values.items())}
                    for sign, values in known.shares.items()
                },
            }
            for name, known in sorted(self.habits.items())
        }
        return {
            "format": 1,
            "speak_from": self.speak_from,
            "family_from": self.family_from,
            "provenance": dict(self.provenance),
            "classes": classes,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Statistics:
        if data.get("format") != 1:
            raise ValueError("statistics of declared signs in a format that this version does not read")
        habits = {name: Habits(**entry) for name, entry in data["classes"].items()}
        return Statistics(habits, float(data["speak_from"]), float(data["family_from"]), data["provenance"])


NEVER = 1.01


def learn(
    examples: Iterable[tuple[str, str, Mapping[str, str]]], speak_from: float = NEVER, family_from: float = NEVER
) -> Statistics:
    """Statistics of labelled clips. examples: (class, publishing source, signs) of each clip."""
    clips: dict[str, dict[str, list[Mapping[str, str]]]] = defaultdict(lambda: defaultdict(list))
    for name, source, signs in examples:
        clips[name][source].append(signs)
    habits = {}
    for name, by_source in clips.items():
        seen: dict[str, int] = {}
        shares: dict[str, dict[str, float]] = {}
        for shown in by_source.values():
            for sign in SIGNS:
                values = [signs[sign] for signs in shown if sign in signs]
                for value in values:
                    one = shares.setdefault(sign, {})
                    one[value] = one.get(value, 0.0) + 1 / len(values)
                seen[sign] = seen.get(sign, 0) + bool(values)
        habits[name] = Habits(sum(map(len, by_source.values())), len(by_source), seen, shares)
    return Statistics(habits, speak_from, family_from)


@cache
def shipped_statistics() -> Statistics:
    """The statistics that ship with the package; read once a process."""
    text = (resources.files("fingerprint_db") / "declared_statistics.json").read_text(encoding="utf-8")
    return Statistics.from_json(json.loads(text))


def _number(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        return 0.0
    return found if math.isfinite(found) and found > 0 else 0.0
