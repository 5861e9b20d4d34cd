"""The figures of declared evidence out of the answers about each clip (``jobs.evaluate.evidence.declared``)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.declared import CAMERA, Statistics
from fingerprint_db.declared_fits import Scorer
from fingerprint_db.statements import statements
from jobs.evaluate.metrics import bootstrap_by_source, clopper_pearson, risk_coverage
from jobs.measured import Figure, MeasuredReport

GOAL = "named rightly >= 90 % of the times it speaks; speaks on >= 30 %"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of one clip. name: the best generator, None where camera or nobody fits better. family: likewise."""

    name: str | None
    posterior: float
    family: str | None
    family_posterior: float


@dataclass(frozen=True, slots=True)
class Judged:
    """One clip with its truth and every answer about it.

    label: the generator's slug, or ``camera``. named, family_named: whether the answer is given. right, family_right:
    whether it is the label's; a family that is undisclosed is never right. outright: the one generator that the file's
    own words name. credentials: the state of its content credentials. null: the metadata forest's name and confidence.
    """

    source: str
    label: str
    answer: Answer
    named: bool
    family_named: bool
    right: bool
    family_right: bool
    outright: str | None
    credentials: str
    null: tuple[str, float]


def named_outright(told: Mapping[str, str]) -> str | None:
    """The one generator that a file's statements name; None where they name none or several."""
    names = {one.generator for one in statements(told) if one.generator}
    return names.pop() if len(names) == 1 else None


def report(
    judged: Sequence[Judged],
    statistics: Statistics,
    examples: Sequence[tuple[str, str, Mapping[str, str]]],
    *,
    seed: int = 0,
) -> MeasuredReport:
    """All figures, and the tables behind them. statistics, examples: of all clips, for the signs' likelihood ratios."""
    homes: dict[str, set[str]] = defaultdict(set)
    for one in judged:
        homes[one.label].add(one.source)
    made = [one for one in judged if one.label != CAMERA]
    camera = [one for one in judged if one.label == CAMERA]
    nameable = [one for one in made if len(homes[one.label]) > 1]
    cameras = f"camera clips of {len(homes[CAMERA])} sources"
    called = Counter(one.source for one in camera if one.named)
    names = sum(one.named for one in made)
    strongest = sorted((one for one in made if one.null[1] > 0), key=lambda one: -one.null[1])[:names]

    def part(name: str, of: Sequence[Judged], hit: Callable[[Judged], bool], what: str, how: str = "") -> Figure:
        return share(name, of, hit, what, how, seed=seed)

    figures = (
        part("generator named rightly, when it speaks", [one for one in made if one.named], _right, "names", _HOW),
        part("share of generated clips it speaks on", made, _named, "generated clips", _SPEAKS),
        part(
            "the same, of clips whose generator is in another source too",
            nameable,
            _named,
            f"clips of {len({one.label for one in nameable})} generators",
            "the others can be named by the catalogue alone, or not at all",
        ),
        part("named rightly among those", [one for one in nameable if one.named], _right, "names"),
        part(
            "decoder family named rightly, when it speaks",
            [one for one in made if one.family_named],
            lambda one: one.family_right,
            "names",
            "the posteriors of a family's generators together, with a threshold of its own; a family said of a "
            "generator whose decoder is undisclosed counts as wrong",
        ),
        part("share of generated clips it names a family for", made, lambda one: one.family_named, "generated clips"),
        part(
            "camera clips named as a generator",
            camera,
            _named,
            cameras,
            f"they come from {len(called)} sources: {', '.join(sorted(called)) or 'none'}",
        ),
        part("camera clips given a family", camera, lambda one: one.family_named, cameras),
        part(
            "generator named outright, rightly",
            [one for one in made if one.outright],
            lambda one: one.outright == one.label,
            "names",
            "tags, node graphs and content credentials that name one generator (fingerprint_db.statements)",
        ),
        part(
            "generated clips with content credentials",
            made,
            lambda one: one.credentials != "absent",
            "generated clips",
            "published copies have mostly lost them",
        ),
        part(
            "null: metadata forest named rightly, as many names as above",
            strongest,
            lambda one: one.null[0] == one.label,
            "names",
            "extremely randomised trees on all packaging, the same folds, its most confident answers",
        ),
    )
    order, risks = risk_coverage([one.answer.posterior for one in made], [one.right for one in made])
    detail: dict[str, Any] = {
        "sources": len({one.source for one in judged}),
        "speak_from": statistics.speak_from,
        "family_from": statistics.family_from,
        "risk_coverage": [[round(float(c), 4), round(float(r), 4)] for c, r in zip(order, risks, strict=True)],
        "wrong": Counter(f"{one.label} called {one.answer.name}" for one in made if one.named and not one.right),
        "named": Counter(one.label for one in made if one.named and one.right),
        "camera_called": Counter(str(one.answer.name) for one in camera if one.named),
        "likelihood_ratios": likelihood_ratios(statistics, examples),
    }
    notes = (
        f"{len(judged)} untouched clips of {detail['sources']} sources; every source judged by statistics without it, "
        "its threshold chosen on the answers about the others.",
        f"The statistics of all clips name a generator from a posterior of {statistics.speak_from:.3f}, a family from "
        f"{statistics.family_from:.3f}.",
    )
    return MeasuredReport("declared", "What files declare of their making", figures, notes, detail)


_HOW = "leave one source out on untouched published clips; a name is right when it is the label's generator"
_SPEAKS = "posterior over the threshold that the other sources' answers choose"


def _named(one: Judged) -> bool:
    return one.named


def _right(one: Judged) -> bool:
    return one.right


class FromSource(Protocol):
    """Whatever is counted has been published somewhere."""

    @property
    def source(self) -> str: ...


T = TypeVar("T", bound=FromSource)


def share(name: str, of: Sequence[T], hit: Callable[[T], bool], what: str, how: str, *, seed: int) -> Figure:
    """The share of what hits. Bounds: by bootstrap over sources, never narrower than the exact binomial ones."""
    hits = np.array([hit(one) for one in of], dtype=np.float64)
    low, high = clopper_pearson(int(hits.sum()), hits.size)

    def mean(drawn: NDArray[np.intp]) -> dict[str, float]:
        return {name: float(hits[drawn].mean())}

    found = bootstrap_by_source([one.source for one in of], ["" for _ in of], mean, seed=seed)[name] if of else None
    if found is not None:
        low, high = min(low, found[0]), max(high, found[1])
    goal = GOAL if how in (_HOW, _SPEAKS) else ""
    value = float(hits.mean()) if of else None
    return Figure(name, value, low, high, f"{int(hits.sum())} of {len(of)} {what}", goal, how)


def likelihood_ratios(
    statistics: Statistics, examples: Sequence[tuple[str, str, Mapping[str, str]]]
) -> dict[str, dict[str, float]]:
    """By sign: natural log of P(value | own generator) / P(value | camera), the median over each generator's clips."""
    scorer = Scorer(statistics)
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for label, _source, signs in examples:
        if label != CAMERA:
            for sign in scorer.signs_of(label, signs):
                found[sign.sign][label].append(sign.llr)
    return {
        sign: {label: round(float(np.median(values)), 3) for label, values in sorted(by_label.items())}
        for sign, by_label in sorted(found.items())
    }
