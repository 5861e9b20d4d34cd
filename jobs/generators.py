"""The verb ``generators``: what the catalogue knows, beside what this home has enrolled."""

from __future__ import annotations

from dataclasses import dataclass

from fingerprint_db.catalogue import GeneratorRow, SignatureCounts, describe, generator_rows, load_catalogue
from jobs.home import Home
from jobs.scan import current_spec
from jobs.settings import Settings
from jobs.snapshots import CAMERA, seed_starter


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
    """Catalogue rows with the counts of the home's signatures, and the home's own additions."""
    catalogue = load_catalogue()
    if not Home.exists(settings):
        return generator_rows(catalogue, {}), []
    home = Home(settings)
    try:
        spec = current_spec(settings)
        seed_starter(home.store, spec)
        counts = home.store.counts(spec.id)
        rows = generator_rows(
            catalogue,
            {slug: SignatureCounts(c.clips, c.sources) for slug, c in counts.items() if slug in catalogue.generators},
        )
        own = [
            EnrolledOnly(e.slug, e.name, e.kind, e.family, counts[e.slug].clips, counts[e.slug].sources)
            for e in home.store.generators()
            if e.slug in counts and (e.slug == CAMERA or e.slug not in catalogue.generators)
        ]
        return rows, own
    finally:
        home.close()


def describe_generator(name: str) -> list[tuple[str, str]]:
    """Label and value of every known fact of one generator. Raises CatalogueError for an unknown name."""
    return describe(load_catalogue().resolve(name))
