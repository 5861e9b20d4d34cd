"""When is an answer given: grades of the classes, and gates set on clips whose source the model had not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fingerprint_db.calibrate import conformal_p
from fingerprint_db.normalise import Floats
from fingerprint_db.snapshot import ClassEntry, Gates
from fingerprint_db.window import Quality

TARGET_RIGHT = 0.85  # share of named clips whose name must be right in the rehearsal; camera clips named: none
PROVEN_RIGHT = 0.70  # 90 % lower bound that the same share must reach: seven of seven do, five of five do not
MIN_CLIPS = 3  # of a maker, before a verdict may name it
MIN_SOURCES = 2  # from one source alone a maker cannot be told from that source's encoder
MIN_COHORT = 5  # camera clips, before anything is called made
MADE_P = 0.02
MADE_LLR = float(np.log(2.0))
NAMED_P = (0.02, 0.05, 0.1, 0.2)  # tried from strict to lenient
TYPICALITY = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Rehearsal:
    """Out-of-source scores of the enrolled clips themselves, N clips and C classes.

    detection: (N, 1), nan where a fold lacked made or camera clips. cosines: (N, C), -inf for a class that the fold had
    no clip of. truth: (N,) class numbers.
    """

    detection: Floats
    cosines: Floats
    truth: NDArray[np.int64]

    @property
    def own_cosine(self) -> Floats:
        """Cosines of clips with their own class, where the fold knew it."""
        own = self.cosines[np.arange(len(self.truth)), self.truth]
        return own[np.isfinite(own)]

    def closed_set(self) -> tuple[Floats, NDArray[np.int64]]:
        """Cosines (M, C) and class numbers (M,) of the clips whose class the fold knew, among others."""
        own = self.cosines[np.arange(len(self.truth)), self.truth]
        rows = np.isfinite(own) & (np.isfinite(self.cosines).sum(axis=1) > 1)
        return self.cosines[rows], self.truth[rows]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best group (decoder family or lone maker), and the best maker within it.

    margin: its log posterior above the next group's. maker_margin: the maker's above the next one's in the group;
    infinite where the group has no other known maker. All makers start with equal odds. Natural logs.
    """

    group: str
    margin: float
    maker: int
    maker_margin: float


def rank_groups(cosines: Floats, classes: Sequence[ClassEntry], temperature: float) -> Ranking:
    """Rank (C,) class cosines, made log likelihoods by ``temperature``; at -inf a class is not in the running."""
    scaled = temperature * cosines
    members: dict[str, list[int]] = {}
    for i, entry in enumerate(classes):
        if np.isfinite(scaled[i]):
            members.setdefault(entry.group, []).append(i)
    totals = {group: float(np.logaddexp.reduce(scaled[rows])) for group, rows in members.items()}
    order = sorted(totals, key=lambda group: (-totals[group], group))
    best = order[0]
    margin = totals[best] - totals[order[1]] if len(order) > 1 else 0.0
    inside = sorted(members[best], key=lambda i: (-scaled[i], i))
    maker_margin = float(scaled[inside[0]] - scaled[inside[1]]) if len(inside) > 1 else float("inf")
    return Ranking(best, margin, inside[0], maker_margin)


def best_made(cosines: Floats, classes: Sequence[ClassEntry], temperature: float) -> tuple[int, float] | None:
    """The best class that is no camera, and the log posterior of its group above the next one's, camera included.

    Negative where camera footage fits better; None where no such class is in the running, or no other one. This is
    the order of answers behind a verdict, whether or not a gate lets a name pass.
    """
    scaled = temperature * cosines
    totals: dict[str, float] = {}
    for i, entry in enumerate(classes):
        if np.isfinite(scaled[i]):
            totals[entry.group] = float(np.logaddexp(totals.get(entry.group, -np.inf), scaled[i]))
    made = [i for i, entry in enumerate(classes) if entry.kind != "camera" and np.isfinite(scaled[i])]
    if not made or len(totals) < 2:
        return None
    group = max({classes[i].group for i in made}, key=lambda name: (totals[name], name))
    best = max((i for i in made if classes[i].group == group), key=lambda i: (scaled[i], -i))
    return best, totals[group] - max(total for name, total in totals.items() if name != group)


def quality_bucket(quality: Quality) -> str:
    """The bucket of resolution and compression in which a clip is calibrated."""
    side = "small" if min(quality.width, quality.height) < 480 else "large"
    if quality.bits_per_pixel <= 0:
        return f"{side}-unknown"
    return f"{side}-{'low' if quality.bits_per_pixel < 0.08 else 'high'}"


def grade_classes(
    makers: Sequence[str], sources: Sequence[str], families: Mapping[str, str | None], kinds: Mapping[str, str]
) -> tuple[ClassEntry, ...]:
    """The class table, by slug: what a verdict may name, and what is missing where it may not."""
    pages: dict[str, list[str]] = {}
    for maker, source in zip(makers, sources, strict=True):
        pages.setdefault(maker, []).append(source)
    by_family: dict[str, list[str]] = {}
    for maker, found in pages.items():
        family = families.get(maker)
        if family is not None:
            by_family.setdefault(family, []).extend(found)
    entries = []
    for maker in sorted(pages):
        family, kind = families.get(maker), kinds.get(maker, "generator")
        why = _missing(pages[maker])
        grade = "named"
        if kind == "camera":
            grade = "witness"
        elif why:
            grade = "family" if family is not None and not _missing(by_family[family]) else "witness"
        found = pages[maker]
        entries.append(ClassEntry(maker, kind, family, len(found), len(set(found)), grade, why))
    return tuple(entries)


def _missing(pages: Sequence[str]) -> str:
    if len(set(pages)) < MIN_SOURCES:
        return "all clips come from one source, so the maker cannot be told from that source's encoder"
    if len(pages) < MIN_CLIPS:
        return f"only {len(pages)} clips; {MIN_CLIPS} are needed"
    return ""


def choose_gates(
    rehearsal: Rehearsal,
    classes: Sequence[ClassEntry],
    llr: Floats,
    temperature: float,
    remarks: list[str],
) -> tuple[Gates, dict[str, float]]:
    """The gates that name most clips in the rehearsal while TARGET_RIGHT of them are right and no camera clip is named.

    Returns the gates and what they did there; what cannot be supported is None and remarked upon.
    """
    camera = np.array([classes[truth].kind == "camera" for truth in rehearsal.truth])
    scored = ~np.isnan(llr)
    cohort = llr[camera & scored]
    if len(cohort) < MIN_COHORT:
        remarks.append(f"Only {len(cohort)} camera clips were scored; {MIN_COHORT} are needed to call anything made.")
        return Gates(None, MADE_LLR, None, TYPICALITY, None, None), {}
    floor = 1.0 / (1 + len(cohort))
    made_p = max(MADE_P, floor)
    p_values = _p_values(llr, camera & scored, cohort)
    typical = typicality(rehearsal.cosines, rehearsal.own_cosine)
    rankings = {i: rank_groups(rehearsal.cosines[i], classes, temperature) for i in np.flatnonzero(scored)}
    rows, margins, right = [], [], []
    for i, ranking in rankings.items():
        entry = classes[ranking.maker]
        if may_name_group(entry) and typical[i, ranking.maker] >= TYPICALITY:
            rows.append(i)
            margins.append(ranking.margin)
            right.append(classes[rehearsal.truth[i]].group == ranking.group)
    chosen = np.array(rows, dtype=int)
    measured: dict[str, float] = {}
    best: tuple[int, float, float] | None = None
    for named_p in (max(p, floor) for p in NAMED_P):
        passed = p_values[chosen] <= named_p
        threshold = _least_margin(np.array(margins)[passed], np.array(right)[passed], camera[chosen[passed]])
        if threshold is not None:
            named = int((np.array(margins)[passed] >= threshold).sum())
            if best is None or named > best[0]:
                best = (named, named_p, threshold)
    if best is None:
        remarks.append(f"No margin names {TARGET_RIGHT:.0%} of clips of unseen sources rightly: nothing is named.")
        return Gates(made_p, MADE_LLR, None, TYPICALITY, None, None), measured
    _, named_p, family_margin = best
    ok = (p_values[chosen] <= named_p) & (np.array(margins) >= family_margin)
    measured |= {"family_named": float(ok.sum()), "family_right": float(np.array(right)[ok].mean())}
    # Makers alone in their group were decided with the group; counting them here would hide errors within families.
    rivals = [i for i in chosen[ok] if np.isfinite(rankings[i].maker_margin)]
    final = [i for i in rivals if classes[rankings[i].maker].grade == "named"]
    maker_margins = np.array([rankings[i].maker_margin for i in final])
    maker_right = np.array([rankings[i].maker == rehearsal.truth[i] for i in final], dtype=bool)
    generator_margin = _least_margin(maker_margins, maker_right, camera[final])
    least = np.inf if generator_margin is None else generator_margin
    sure = [i for i in chosen[ok] if classes[rankings[i].maker].grade == "named" and rankings[i].maker_margin >= least]
    if sure:
        share = np.mean([rankings[i].maker == rehearsal.truth[i] for i in sure])
        measured |= {"generator_named": float(len(sure)), "generator_right": float(share)}
    if rivals and generator_margin is None:
        remarks.append("Families are named, generators within them are not: too few were right on unseen sources.")
    return Gates(made_p, MADE_LLR, named_p, TYPICALITY, family_margin, generator_margin), measured


def typicality(cosines: Floats, own: Floats) -> Floats:
    """Share of genuine clips (their ``own`` cosines) that lie no nearer to their class than this; never 0."""
    return conformal_p(-cosines, -own)


def may_name_group(entry: ClassEntry) -> bool:
    """Whether a verdict may name the group of this best-fitting maker."""
    return entry.grade in ("named", "family")


def _p_values(llr: Floats, cohort_rows: NDArray[np.bool_], cohort: Floats) -> Floats:
    """p-values against the cohort; a camera clip is not compared with itself."""
    values = conformal_p(np.nan_to_num(llr, nan=-np.inf), cohort)
    values[cohort_rows] = (values[cohort_rows] * (1 + len(cohort)) - 1) / len(cohort)
    return values


def lower_bound(hits: int, trials: int, confidence: float = 0.9) -> float:
    """One-sided Clopper-Pearson lower bound of a share; 0 without hits."""
    return float(special.betaincinv(hits, trials - hits + 1, 1 - confidence)) if hits else 0.0


def _least_margin(margins: Floats, right: NDArray[np.bool_], camera: NDArray[np.bool_]) -> float | None:
    """The lowest threshold above which the target share is right, provably so, and no camera clip lies."""
    best = None
    for threshold in np.unique(margins)[::-1]:
        above = margins >= threshold
        if camera[above].any():
            break
        hits, named = int(right[above].sum()), int(above.sum())
        if hits >= TARGET_RIGHT * named and lower_bound(hits, named) >= PROVEN_RIGHT:
            best = float(threshold)
    if best is not None and best <= margins.min():
        return min(best, float(np.log(TARGET_RIGHT / (1 - TARGET_RIGHT))))  # no wrong name seen: the posterior decides
    return best
