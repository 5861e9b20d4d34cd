"""Which generator's habits a file's own declarations fit: size, rate, length, encoder. Easily forged, and never a verdict.

Each sign gets a likelihood under every known generator, from two witnesses: the shares of its labelled clips that show the
value (each publishing source counts one, however many clips it has), and the catalogue's facts. Both are shrunk towards
what all clips show. Signs are taken as independent (naive Bayes), which overstates certainty; from which posterior on a
name is given is therefore chosen on sources that the statistics had not seen (``jobs/evaluate/evidence/declared.py``).

Pure arithmetic over facts: no file, no pixel, no vector.
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

from fingerprint_db.catalogue import Catalogue, Generator, Kind, frame_rule_allows, load_catalogue

SIGNS = ("size", "rate", "frames", "encoder")
CAMERA = "camera"
UNKNOWN = "unknown"  # a maker that is not among the known: shows what all show together
CATALOGUE_WEIGHT = 2.0  # a fact of the catalogue counts as much as two sources of clips
BACKGROUND_WEIGHT = 1.0  # what all clips show counts as much as one
CAMERA_ODDS, UNKNOWN_ODDS = 50.0, 5.0  # before any sign, against each single generator
RULE_SPAN = 40  # lengths over which a frame rule such as 4k+1 is spread
LISTED_COUNTS = 0.7  # of a generator's lengths are the published ones, the rest follow its rule
_UNSEEN = 0.5  # a value that nobody showed counts as half a class that did
_RATE_TOLERANCE = 0.06  # frames a second
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
    """Habits by class: generators' slugs, and ``camera``. speak_from: the posterior from which a name is given."""

    habits: Mapping[str, Habits]
    speak_from: float
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
        return {"format": 1, "speak_from": self.speak_from, "provenance": dict(self.provenance), "classes": classes}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Statistics:
        if data.get("format") != 1:
            raise ValueError("statistics of declared signs in a format that this version does not read")
        habits = {name: Habits(**entry) for name, entry in data["classes"].items()}
        return Statistics(habits, float(data["speak_from"]), data["provenance"])


def learn(examples: Iterable[tuple[str, str, Mapping[str, str]]], speak_from: float = 1.0) -> Statistics:
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
    return Statistics(habits, speak_from)


@cache
def shipped_statistics() -> Statistics:
    """The statistics that ship with the package; read once a process."""
    text = (resources.files("fingerprint_db") / "declared_statistics.json").read_text(encoding="utf-8")
    return Statistics.from_json(json.loads(text))


@dataclass(frozen=True, slots=True)
class Fit:
    """How well one class fits. generator: its slug, or ``camera`` or ``unknown``. posterior: 0..1, over all of them.

    llr: natural log of how much likelier the signs are under it than under camera footage.
    """

    generator: str
    family: str | None
    posterior: float
    llr: float


@dataclass(frozen=True, slots=True)
class Sign:
    """One sign of the best-fitting generator. share, camera_share: of known clips that show this value, sources weighing
    the same; None where no clip is known. catalogue: ``fits``, ``does not fit``, or ``says nothing``. llr: its part."""

    sign: str
    value: str
    share: float | None
    camera_share: float | None
    catalogue: str
    llr: float


class Scorer:
    """Judges declarations by one set of statistics and the catalogue."""

    def __init__(self, statistics: Statistics, catalogue: Catalogue | None = None) -> None:
        self.statistics = statistics
        self.catalogue = catalogue or load_catalogue()
        self._versions: dict[str, list[Generator]] = defaultdict(list)
        for row in self.catalogue.generators.values():
            if row.kind is Kind.GENERATOR:
                self._versions[row.version_of or row.slug].append(row)
        self.names = sorted(set(self._versions) | (set(statistics.habits) - {CAMERA}))
        self._pooled = {sign: _pooled(statistics, sign) for sign in SIGNS}
        self._known = {sign: sum(known.seen.get(sign, 0) > 0 for known in statistics.habits.values()) for sign in SIGNS}

    def fits(self, signs: Mapping[str, str]) -> list[Fit]:
        """Every class by its posterior, best first; their posteriors add up to 1."""
        logs = {name: self._log(name, signs) for name in (*self.names, CAMERA, UNKNOWN)}
        camera = logs[CAMERA]
        odds = {CAMERA: CAMERA_ODDS, UNKNOWN: UNKNOWN_ODDS}
        top = max(logs.values())
        weights = {name: odds.get(name, 1.0) * math.exp(log - top) for name, log in logs.items()}
        total = sum(weights.values())
        found = [Fit(name, self.family(name), weights[name] / total, logs[name] - camera) for name in logs]
        return sorted(found, key=lambda fit: (-fit.posterior, fit.generator))

    def signs_of(self, name: str, signs: Mapping[str, str]) -> list[Sign]:
        """Each sign as it speaks for one class, strongest first."""
        found = []
        for sign, value in signs.items():
            habits, camera = self.statistics.habits.get(name), self.statistics.habits.get(CAMERA)
            stated = self._by_catalogue(name, sign, value)
            found.append(
                Sign(
                    sign,
                    value,
                    habits.share(sign, value) if habits else None,
                    camera.share(sign, value) if camera else None,
                    "says nothing" if stated is None else "fits" if stated else "does not fit",
                    math.log(self._likelihood(name, sign, value) / self._likelihood(CAMERA, sign, value)),
                )
            )
        return sorted(found, key=lambda one: -one.llr)

    def family(self, name: str) -> str | None:
        """The decoder family all of whose versions agree; None where it is undisclosed or differs."""
        families = {row.family for row in self._versions.get(name, ())}
        return families.pop() if len(families) == 1 else None

    def _log(self, name: str, signs: Mapping[str, str]) -> float:
        return sum(math.log(self._likelihood(name, sign, value)) for sign, value in signs.items())

    def _likelihood(self, name: str, sign: str, value: str) -> float:
        """P(value | class), never 0."""
        pooled = self._pooled[sign]
        values = max(len(pooled), 10) + 1
        background = (pooled.get(value, 0.0) + _UNSEEN) / (self._known[sign] + _UNSEEN * values)
        habits = self.statistics.habits.get(name)
        shown = habits.shares.get(sign, {}).get(value, 0.0) if habits else 0.0
        weight = (habits.seen.get(sign, 0) if habits else 0) + BACKGROUND_WEIGHT
        stated = self._by_catalogue(name, sign, value)
        if stated is not None:
            shown += CATALOGUE_WEIGHT * stated
            weight += CATALOGUE_WEIGHT
        return (shown + BACKGROUND_WEIGHT * background) / weight

    def _by_catalogue(self, name: str, sign: str, value: str) -> float | None:
        """P(value) by the catalogue's facts, the mean over a generator's versions; None where they say nothing."""
        stated = [found for row in self._versions.get(name, ()) if (found := _stated(row, sign, value)) is not None]
        return sum(stated) / len(stated) if stated else None


def _stated(row: Generator, sign: str, value: str) -> float | None:
    if sign == "size" and row.native_sizes:
        width, height = (int(side) for side in value.split("x"))
        hits = sum(size in ((width, height), (height, width)) for size in row.native_sizes)
        return hits / len(row.native_sizes)
    if sign == "rate" and row.fps:
        return sum(abs(float(value) - rate) < _RATE_TOLERANCE for rate in row.fps) / len(row.fps)
    if sign == "frames" and (row.frame_counts or row.frame_rule):
        listed = sum(int(value) == count for count in row.frame_counts) / max(len(row.frame_counts), 1)
        if row.frame_rule is None:
            return listed
        ruled = frame_rule_allows(row.frame_rule, int(value)) / RULE_SPAN
        return LISTED_COUNTS * listed + (1 - LISTED_COUNTS) * ruled if row.frame_counts else ruled
    return None


def _pooled(statistics: Statistics, sign: str) -> dict[str, float]:
    """What all classes show together, each weighing the same: the sum over classes of their shares."""
    pooled: dict[str, float] = defaultdict(float)
    for known in statistics.habits.values():
        if known.seen.get(sign):
            for value, share in known.shares.get(sign, {}).items():
                pooled[value] += share / known.seen[sign]
    return dict(pooled)


def _number(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        return 0.0
    return found if math.isfinite(found) and found > 0 else 0.0
