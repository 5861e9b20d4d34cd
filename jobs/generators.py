"""The verb ``generators``: what the catalogue knows, beside what is enrolled and how well it stood its rehearsal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fingerprint_db.catalogue import GeneratorRow, SignatureCounts, describe, generator_rows, load_catalogue
from fingerprint_db.grades import quality_of
from fingerprint_db.snapshot import Snapshot
from fingerprint_db.store import ClassCount
from jobs.home import Home
from jobs.scan import current_spec
from jobs.settings import Settings
from jobs.snapshots import CAMERA, seed_catalogue, starter_counts, starter_snapshot

MAY = {
    "named": "a verdict may name it",
    "family": "a verdict may name its decoder family only",
    "witness": "shown among the nearest, never named",
}


@dataclass(frozen=True, slots=True)
class EnrolledOnly:
    """A generator that somebody enrolled and the catalogue does not know, or camera footage."""

    slug: str
    name: str
    kind: str
    family: str | None
    clips: int
    sources: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How well a maker is known by the snapshot that judges now; see fingerprint_db.grades.

    grade, grade_why: good | fair | weak | untested (reference for camera footage), and the figures behind it.
    may, may_why: named | family | witness, and what is missing for more. tested, rank1: clips of sources that the model
    had not seen, and the share of them nearest to their own maker. auc: their likelihood ratio against camera clips'.
    """

    grade: str
    grade_why: str
    may: str
    may_why: str
    tested: int | None
    rank1: float | None
    auc: float | None


@dataclass(frozen=True, slots=True)
class Listing:
    """rows: the catalogue's. own: what the home has beside it. standing: by slug, of everything with signatures."""

    rows: tuple[GeneratorRow, ...]
    own: tuple[EnrolledOnly, ...]
    standing: Mapping[str, Standing]

    def as_dict(self) -> dict[str, Any]:
        """The JSON of ``generators --json``: each row with its standing, null where nothing is enrolled."""
        blank = dict.fromkeys(Standing.__slots__)

        def full(row: GeneratorRow | EnrolledOnly) -> dict[str, Any]:
            found = self.standing.get(row.slug)
            return asdict(row) | (asdict(found) if found is not None else blank)

        return {"catalogue": [full(row) for row in self.rows], "enrolled": [full(row) for row in self.own]}


def list_generators(settings: Settings) -> Listing:
    """Catalogue rows with counts of signatures (the starter's while nothing is enrolled), and the home's additions."""
    catalogue, spec = load_catalogue(), current_spec(settings)
    if not Home.exists(settings):
        shipped = starter_counts(spec)
        rows = tuple(generator_rows(catalogue, _counts(shipped)))
        return Listing(rows, _camera(shipped.get(CAMERA)), standings(starter_snapshot(spec)))
    home = Home(settings)
    try:
        seed_catalogue(home.store)
        counts = home.store.counts(spec.id) or starter_counts(spec)
        own = tuple(
            EnrolledOnly(e.slug, e.name, e.kind, e.family, counts[e.slug].clips, counts[e.slug].sources)
            for e in home.store.generators()
            if e.slug in counts and (e.slug == CAMERA or e.slug not in catalogue.generators)
        )
        entry = home.store.current_snapshot(spec.id)
        snapshot = home.load_snapshot(entry.id) if entry is not None else starter_snapshot(spec)
        return Listing(tuple(generator_rows(catalogue, _counts(counts))), own, standings(snapshot))
    finally:
        home.close()


def standings(snapshot: Snapshot) -> dict[str, Standing]:
    """How well each maker of a snapshot is known."""
    found = {}
    for entry in snapshot.classes:
        quality = quality_of(entry, len(snapshot.classes))
        rank1 = entry.nearest_right / entry.tested if entry.tested else None
        found[entry.generator] = Standing(
            quality.grade, quality.why, entry.grade, entry.why, entry.tested, rank1, entry.auc
        )
    return found


def describe_generator(name: str, settings: Settings) -> list[tuple[str, str]]:
    """Label and value of every known fact of one generator, and how well it is known here.

    Raises CatalogueError for a name that neither the catalogue nor the home knows.
    """
    listing = list_generators(settings)
    own = {row.slug: row for row in listing.own}.get(name)
    if own is not None:
        slug, family = own.slug, own.family or "unknown"
        facts = [("slug", slug), ("name", own.name), ("kind", own.kind), ("decoder family", family)]
    else:
        generator = load_catalogue().resolve(name)
        facts, slug = describe(generator), generator.slug
    standing = listing.standing.get(slug)
    if standing is None:
        return [*facts, ("signatures", "none enrolled")]
    clips = {row.slug: (row.clips, row.sources) for row in listing.rows}
    clips |= {row.slug: (row.clips, row.sources) for row in listing.own}
    counted = "{} clips of {} sources".format(*clips.get(slug, (0, 0)))
    may = MAY[standing.may] + (f": {standing.may_why}" if standing.may_why else "")
    return [*facts, ("signatures", counted), ("grade", f"{standing.grade}: {standing.grade_why}"), ("verdicts", may)]


def _counts(counts: Mapping[str, ClassCount]) -> dict[str, SignatureCounts]:
    known = load_catalogue().generators
    return {slug: SignatureCounts(c.clips, c.sources) for slug, c in counts.items() if slug in known}


def _camera(count: ClassCount | None) -> tuple[EnrolledOnly, ...]:
    if count is None:
        return ()
    return (EnrolledOnly(CAMERA, "camera footage", "camera", None, count.clips, count.sources),)
