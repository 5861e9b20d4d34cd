"""Which generator's habits a file's own declarations fit. Easily forged, and never a verdict.

Each sign gets a likelihood under every known generator, from two witnesses: the shares of its labelled clips that show
the value (each publishing source counts one, however many clips it has), and the catalogue's facts. Both are shrunk
towards what all clips show. Signs are taken as independent (naive Bayes), which overstates certainty; from which
posterior on a name is given is therefore chosen on sources that the statistics had not seen
(``jobs/evaluate/evidence/declared.py``).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fingerprint_db.catalogue import Catalogue, Generator, Kind, frame_rule_allows, load_catalogue
from fingerprint_db.declared import CAMERA, SIGNS, Statistics

UNKNOWN = "unknown"  # a maker that is not among the known: shows what all show together
CATALOGUE_WEIGHT = 2.0  # a fact of the catalogue counts as much as two sources of clips
BACKGROUND_WEIGHT = 1.0  # what all clips show counts as much as one
CAMERA_ODDS, UNKNOWN_ODDS = 50.0, 5.0  # before any sign, against each single generator
RULE_SPAN = 40  # lengths over which a frame rule such as 4k+1 is spread
LISTED_COUNTS = 0.7  # of a generator's lengths are the published ones, the rest follow its rule
_UNSEEN = 0.5  # a value that nobody showed counts as half a class that did
_RATE_TOLERANCE = 0.06  # frames a second


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
    """One sign as it speaks for one class.

    share, camera_share: of known clips that show this value, sources weighing the same; None where no clip is known.
    catalogue: ``fits``, ``does not fit``, or ``says nothing``. llr: its part.
    """

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

    def families(self, fits: Sequence[Fit]) -> list[tuple[str, float]]:
        """Decoder families by the posteriors of their generators together, best first."""
        total: dict[str, float] = defaultdict(float)
        for fit in fits:
            if fit.family is not None:
                total[fit.family] += fit.posterior
        return sorted(total.items(), key=lambda entry: (-entry[1], entry[0]))

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
