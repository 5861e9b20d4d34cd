"""The verb ``generators``: what the catalogue knows, beside what this home has enrolled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fingerprint_db.catalogue import GeneratorRow, SignatureCounts, describe, generator_rows, load_catalogue
from fingerprint_db.store import ClassCount
from jobs.home import Home
from jobs.scan import current_spec
from jobs.settings import Settings
from jobs.snapshots import CAMERA, seed_catalogue, starter_counts


@dataclass(frozen=True, slots=True)
class EnrolledOnly:
    """A generator that somebody enrolled and the catalogue does not know, or camera footage."""

    slug: str
    name: str
    kind: str
    family: str | None
    clips: int
    sources: int


def list_generators(settings: Settings) -> tuple[list[GeneratorRow], list[EnrolledOnly]]:
    """Catalogue rows with counts of signatures (the starter's while nothing is enrolled), and the home's additions."""
    catalogue, spec = load_catalogue(), current_spec(settings)
    if not Home.exists(settings):
        shipped = starter_counts(spec)
        return generator_rows(catalogue, _counts(shipped)), _camera(shipped.get(CAMERA))
    home = Home(settings)
    try:
        seed_catalogue(home.store)
        counts = home.store.counts(spec.id) or starter_counts(spec)
        rows = generator_rows(catalogue, _counts(counts))
        own = [
            EnrolledOnly(e.slug, e.name, e.kind, e.family, counts[e.slug].clips, counts[e.slug].sources)
            for e in home.store.generators()
            if e.slug in counts and (e.slug == CAMERA or e.slug not in catalogue.generators)
        ]
        return rows, own
    finally:
        home.close()


def _counts(counts: Mapping[str, ClassCount]) -> dict[str, SignatureCounts]:
    known = load_catalogue().generators
    return {slug: SignatureCounts(c.clips, c.sources) for slug, c in counts.items() if slug in known}


def _camera(count: ClassCount | None) -> list[EnrolledOnly]:
    return [EnrolledOnly(CAMERA, "camera footage", "camera", None, count.clips, count.sources)] if count else []


def describe_generator(name: str) -> list[tuple[str, str]]:
    """Label and value of every known fact of one generator. Raises CatalogueError for an unknown name."""
    return describe(load_catalogue().resolve(name))
