"""The catalogue as table rows and as labelled values, ready for a terminal, a page or a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fingerprint_db.catalogue.facts import DecoderFamily, Generator, Kind, Paradigm
from fingerprint_db.catalogue.loader import Catalogue, load_catalogue


@dataclass(frozen=True, slots=True)
class SignatureCounts:
    """How much footage stands behind a generator's signatures: clips, and the distinct places they were published."""

    clips: int
    sources: int


@dataclass(frozen=True, slots=True)
class GeneratorRow:
    """One line of ``makersmark generators``. Empty facts are None; stride is spatial x temporal, such as ``8x4``.

    clips and sources count what was enrolled under exactly this slug.
    """

    slug: str
    name: str
    maker: str
    kind: Kind
    mission: bool
    family: str | None
    paradigm: Paradigm | None
    vae_class: str | None
    stride: str | None
    clips: int
    sources: int


def generator_rows(catalogue: Catalogue, counts: Mapping[str, SignatureCounts]) -> list[GeneratorRow]:
    """A row for every generator, then for every processor: the mission's seven first, each group by slug."""
    ordered = sorted(catalogue.generators.values(), key=_rank)
    return [_row(catalogue, generator, counts.get(generator.slug, SignatureCounts(0, 0))) for generator in ordered]


def describe(generator: Generator, catalogue: Catalogue | None = None) -> list[tuple[str, str]]:
    """Everything known of one generator as (label, value) pairs; unknown facts are left out, sources come last.

    catalogue: where its family, versions and relatives are looked up; the shipped one unless given.
    """
    known = catalogue or load_catalogue()
    family = known.family_of(generator.slug)
    pairs: list[tuple[str, str | None]] = [
        ("slug", generator.slug),
        ("name", generator.name),
        ("kind", _KINDS[generator.kind]),
        ("maker", generator.maker),
        ("released", generator.released),
        ("reported as", generator.version_of),
        ("versions", _joined([version.slug for version in known.versions(generator.slug)])),
        ("paradigm", generator.paradigm),
        ("backbone", generator.backbone),
        ("text tower", generator.text_tower),
        ("positional encoding", generator.positional_encoding),
        ("native sizes", _joined([f"{width}x{height}" for width, height in generator.native_sizes])),
        ("fps", _joined([f"{rate:g}" for rate in generator.fps])),
        ("frames", _joined([str(count) for count in generator.frame_counts])),
        ("frame rule", generator.frame_rule),
        *_family_pairs(known, generator, family),
        ("declared marks", _joined(generator.declared_marks, "; ")),
        ("also called", _joined(generator.aliases)),
        ("notes", generator.notes or None),
        ("known as", generator.tag),
        ("sources", _joined(generator.sources, "; ")),
        ("decoder sources", None if family is None else _joined(family.sources, "; ")),
    ]
    return [(label, str(value)) for label, value in pairs if value is not None]


_KINDS = {Kind.GENERATOR: "generator", Kind.PROCESSOR: "processor (its output is processed camera footage)"}


def _family_pairs(
    catalogue: Catalogue, generator: Generator, family: DecoderFamily | None
) -> list[tuple[str, str | None]]:
    if family is None:
        return []
    shared = [other.slug for other in catalogue.members(family.slug) if other.slug != generator.slug]
    return [
        ("decoder family", family.slug),
        ("decoder class", family.vae_class),
        ("stride (s x t)", family.stride),
        ("latent channels", None if family.latent_channels is None else str(family.latent_channels)),
        ("upsampler", family.upsampler),
        ("causality", family.causality),
        ("decode pattern", family.decode_pattern),
        ("tiles, where switched on", _tiles(family.tiles)),
        ("licence", family.licence),
        ("shares its decoder with", _joined(shared)),
        ("decoder notes", family.notes or None),
    ]


def _tiles(tiles: tuple[int, ...]) -> str | None:
    return "{} x {} px every {} x {} px (down x across)".format(*tiles) if tiles else None


def _row(catalogue: Catalogue, generator: Generator, counts: SignatureCounts) -> GeneratorRow:
    family = catalogue.family_of(generator.slug)
    return GeneratorRow(
        slug=generator.slug,
        name=generator.name,
        maker=generator.maker,
        kind=generator.kind,
        mission=generator.mission,
        family=generator.family,
        paradigm=generator.paradigm,
        vae_class=None if family is None else family.vae_class,
        stride=None if family is None else family.stride,
        clips=counts.clips,
        sources=counts.sources,
    )


def _rank(generator: Generator) -> tuple[bool, bool, str]:
    return (generator.kind is Kind.PROCESSOR, not generator.mission, generator.slug)


def _joined(parts: Sequence[str], separator: str = ", ") -> str | None:
    return separator.join(parts) or None
