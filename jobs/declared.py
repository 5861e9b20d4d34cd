"""The declared evidence of one file, beside its verdict: what it says outright, which habits it fits, what contradicts.

A pure function of the stored facts and windows. Nothing here is measured in the pictures, everything is easily forged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

from fingerprint_db import overlays
from fingerprint_db.contradictions import against_measured, history, within
from fingerprint_db.declared import CAMERA, Declaration, shipped_statistics
from fingerprint_db.declared_fits import UNKNOWN, Scorer
from fingerprint_db.statements import statements
from fingerprint_db.verdict import Verdict

if TYPE_CHECKING:
    from jobs.scan import FileFingerprint

LABEL = "declared, easily forged"
SHOWN_FITS = 3


def declared_evidence(file: FileFingerprint, verdict: Verdict) -> Mapping[str, Any]:
    """The kind ``declared`` of ``jobs.evidence``.

    says_itself: statements (``fingerprint_db.statements``). c2pa: state and claims of content credentials, null for
    containers that cannot carry any. speaks: whether the habits name a generator; names, family: which, else null.
    fits: the classes that fit best, ``camera`` and ``unknown`` among them, with posterior and llr (natural log, against
    camera footage). signs: how each sign speaks for the best-fitting generator. history: the container's past.
    marks: still overlays in the corners (``fingerprint_db.overlays``), null where nobody looked. contradiction:
    sentences joined, or null.
    """
    facts = file.facts
    declaration = Declaration(
        facts.width, facts.height, facts.fps, facts.frame_count, facts.codec, facts.bit_rate, facts.declared
    )
    scorer, signs = _scorer(), declaration.signs()
    fits = scorer.fits(signs)
    statistics = scorer.statistics
    best = next(fit for fit in fits if fit.generator not in (CAMERA, UNKNOWN))
    speaks = best is fits[0] and best.posterior >= statistics.speak_from
    families = scorer.families(fits)
    family = families[0][0] if families and families[0][1] >= statistics.family_from else None
    said = statements(facts.declared)
    named = (best.generator, best.family) if speaks else None
    # Windows lie apart in the file, so that their picture types tell which types there are, and no order.
    types = "".join(sorted({letter for window in file.windows for letter in window.picture_types}))
    against = [*against_measured(said, named, verdict), *within(declaration, types)]
    return {
        "label": LABEL,
        "says_itself": [asdict(one) for one in said],
        "c2pa": c2pa_of(facts.declared),
        "speaks": speaks,
        "names": best.generator if speaks else None,
        "family": best.family if speaks else family,
        "fits": [
            {
                "generator": fit.generator,
                "family": fit.family,
                "posterior": round(fit.posterior, 4),
                "llr": round(fit.llr, 3),
            }
            for fit in fits[:SHOWN_FITS]
        ],
        "signs": [asdict(sign) | {"of": best.generator} for sign in scorer.signs_of(best.generator, signs)],
        "history": history(facts.declared),
        "marks": marks_of(facts.declared),
        "contradiction": " ".join(against) or None,
    }


def c2pa_of(told: Mapping[str, str]) -> dict[str, str] | None:
    """``state`` and the claims of content credentials, out of the flat facts."""
    if "c2pa" not in told:
        return None
    claims = {name.removeprefix("c2pa_"): value for name, value in told.items() if name.startswith("c2pa_")}
    return {"state": told["c2pa"], **claims}


def marks_of(told: Mapping[str, str]) -> dict[str, Any] | None:
    """Still overlays out of the flat facts; ``measurable``: whether the film moves enough to tell them apart."""
    if not overlays.is_sound(told.get(overlays.FACT, "")):  # a tag of that name, kept before the name was taken
        return None
    looked = overlays.read(told[overlays.FACT])
    return {
        "measurable": looked.measurable,
        "frames": looked.frames,
        "moving": looked.moving,
        "overlays": [asdict(one) | {"place": one.place, "says": one.sentence()} for one in looked.overlays],
    }


@cache
def _scorer() -> Scorer:
    return Scorer(shipped_statistics())
