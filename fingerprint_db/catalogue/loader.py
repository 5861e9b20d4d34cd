"""Reads the catalogue's TOML files, refuses inconsistent facts, and finds generators by any of their spellings."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from fingerprint_db.catalogue.facts import (
    HIGH_COMPRESSION_PIXELS,
    Causality,
    DecoderFamily,
    Generator,
    Kind,
    Paradigm,
    Tag,
    frame_rule_allows,
    is_source,
)

_SLUG = re.compile(r"[a-z0-9]+(?:[-.][a-z0-9]+)*")
_TOML_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "str": lambda value: type(value) is str,
    "str | None": lambda value: type(value) is str,
    "int | None": lambda value: type(value) is int,
    "bool": lambda value: type(value) is bool,
    "tuple[str, ...]": lambda value: _list_of(value, {str}),
    "tuple[int, ...]": lambda value: _list_of(value, {int}),
    "tuple[float, ...]": lambda value: _list_of(value, {int, float}),
}
_RELEASED = re.compile(r"20\d\d(?:-(?:0[1-9]|1[0-2]))?")


class CatalogueError(LookupError):
    """A name that the catalogue does not know; the message suggests close ones."""


class CatalogueDataError(ValueError):
    """Facts that contradict each other or lack a source; the message names the row."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All families and generators, in file order, keyed by slug where that helps."""

    families: Mapping[str, DecoderFamily]
    generators: Mapping[str, Generator]
    spellings: Mapping[str, str]

    def resolve(self, name: str) -> Generator:
        """The generator with this slug, name or alias; case, spaces and punctuation do not matter.

        Raises CatalogueError, with up to three close spellings, if there is none.
        """
        slug = self.spellings.get(_key(name))
        if slug is not None:
            return self.generators[slug]
        near = difflib.get_close_matches(_key(name), self.spellings, n=6, cutoff=0.6)
        slugs = list(dict.fromkeys(self.spellings[key] for key in near))[:3]
        hint = f"; did you mean {' or '.join(slugs)}?" if slugs else ""
        raise CatalogueError(f"no generator called {name!r}{hint}")

    def family_of(self, slug: str) -> DecoderFamily | None:
        """The decoder family of a generator's slug; None where the decoder is undisclosed or differs by version."""
        family = self._generator(slug).family
        return None if family is None else self.families[family]

    def members(self, family: str) -> tuple[Generator, ...]:
        """The generators known to share a decoder family, in file order; empty if none is known.

        Raises CatalogueError for an unknown family.
        """
        if family not in self.families:
            raise CatalogueError(f"no decoder family called {family!r}{_suggest(family, self.families)}")
        return tuple(g for g in self.generators.values() if g.family == family)

    def versions(self, slug: str) -> tuple[Generator, ...]:
        """The rows which record versions of a generator's slug, in file order."""
        self._generator(slug)
        return tuple(g for g in self.generators.values() if g.version_of == slug)

    def target_of(self, slug: str) -> str:
        """The slug under which versions are one answer: ``open-sora-1.2`` gives ``open-sora``, most give themselves."""
        return self._generator(slug).version_of or slug

    def _generator(self, slug: str) -> Generator:
        if slug not in self.generators:
            raise CatalogueError(f"no generator has the slug {slug!r}{_suggest(slug, self.generators)}")
        return self.generators[slug]


@cache
def load_catalogue() -> Catalogue:
    """The catalogue that ships with the package; read and checked once a process."""
    folder = resources.files("fingerprint_db.catalogue")
    return parse_catalogue(
        (folder / "families.toml").read_text(encoding="utf-8"),
        (folder / "generators.toml").read_text(encoding="utf-8"),
    )


def parse_catalogue(families_toml: str, generators_toml: str) -> Catalogue:
    """Builds a checked catalogue from TOML text with ``[[family]]`` and ``[[generator]]`` tables.

    Raises CatalogueDataError if a row is malformed, lacks a source, clashes with another or refers to nothing.
    """
    families = [_family(row) for row in _rows(families_toml, "family")]
    generators = [_generator(row) for row in _rows(generators_toml, "generator")]
    by_family = {family.slug: family for family in families}
    by_slug = {generator.slug: generator for generator in generators}
    for rows in (families, generators):
        twice = sorted(slug for slug, count in Counter(row.slug for row in rows).items() if count > 1)
        _require(not twice, f"slugs used twice: {', '.join(twice)}")
    for family in families:
        _check_family(family)
    for generator in generators:
        _check_generator(generator, by_family, by_slug)
    return Catalogue(MappingProxyType(by_family), MappingProxyType(by_slug), MappingProxyType(_spellings(generators)))


def _rows(text: str, table: str) -> list[dict[str, Any]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogueDataError(f"the {table} file is not TOML: {error}") from error
    strangers = set(document) - {table}
    if strangers:
        raise CatalogueDataError(f"the {table} file holds unknown tables: {', '.join(sorted(strangers))}")
    rows: list[dict[str, Any]] = document.get(table, [])
    return rows


def _family(row: dict[str, Any]) -> DecoderFamily:
    _check_fields(row, DecoderFamily)
    try:
        causality = Causality(row["causality"]) if "causality" in row else None
        typed = {"kind": Kind(row["kind"]), "tag": Tag(row["tag"]), "causality": causality}
    except ValueError as error:
        raise CatalogueDataError(f"family {row['slug']}: {error}") from error
    lists = {name: tuple(row.get(name, ())) for name in ("sources", "tiles")}
    return DecoderFamily(**{**row, **typed, **lists})


def _generator(row: dict[str, Any]) -> Generator:
    _check_fields(row, Generator)
    try:
        paradigm = Paradigm(row["paradigm"]) if "paradigm" in row else None
        typed = {"kind": Kind(row["kind"]), "tag": Tag(row["tag"]), "paradigm": paradigm}
        sizes = tuple((int(width), int(height)) for width, height in row.get("native_sizes", ()))
    except (TypeError, ValueError) as error:
        raise CatalogueDataError(f"generator {row['slug']}: {error}") from error
    lists = {name: tuple(row.get(name, ())) for name in ("sources", "fps", "frame_counts", "declared_marks", "aliases")}
    return Generator(**{**row, **typed, **lists, "native_sizes": sizes})


def _check_fields(row: dict[str, Any], record: type[DecoderFamily] | type[Generator]) -> None:
    known = {field.name for field in fields(record)}
    required = {field.name for field in fields(record) if field.default is MISSING}
    where = f"{record.__name__} {row.get('slug', 'without a slug')}"
    if strange := sorted(set(row) - known):
        raise CatalogueDataError(f"{where}: unknown fields {', '.join(strange)}")
    if missing := sorted(required - set(row)):
        raise CatalogueDataError(f"{where}: missing {', '.join(missing)}")
    for field in fields(record):
        expected = _TOML_TYPES.get(str(field.type))
        if field.name in row and expected is not None and not expected(row[field.name]):
            raise CatalogueDataError(f"{where}: {field.name} must be {field.type}, not {row[field.name]!r}")


def _check_family(family: DecoderFamily) -> None:
    where = f"family {family.slug}"
    _check_row(where, family.slug, family.sources)
    numbers = (family.spatial_stride, family.temporal_stride, family.latent_channels)
    _require(all(n is None or n > 0 for n in numbers), f"{where}: strides and channels must be positive")
    if family.tiles:
        fits = len(family.tiles) == 4 and all(0 < step <= side for side, step in _sides_and_steps(family.tiles))
        _require(fits, f"{where}: tiles are height, width and the two steps, which are no larger")


def _sides_and_steps(tiles: tuple[int, ...]) -> Iterable[tuple[int, int]]:
    return zip(tiles[:2], tiles[2:], strict=True)


def _check_generator(
    generator: Generator, families: Mapping[str, DecoderFamily], generators: Mapping[str, Generator]
) -> None:
    where = f"generator {generator.slug}"
    _check_row(where, generator.slug, generator.sources)
    if generator.released is not None:
        _require(_RELEASED.fullmatch(generator.released) is not None, f"{where}: released must be YYYY or YYYY-MM")
    if generator.family is not None:
        _require(generator.family in families, f"{where}: no family called {generator.family}")
        _check_against_family(where, generator, families[generator.family])
    if generator.version_of is not None:
        target = generators.get(generator.version_of)
        valid = target is not None and target.version_of is None and target.kind is generator.kind
        _require(valid, f"{where}: version_of names no {generator.kind} that is a target itself")
    numbers = [*generator.fps, *generator.frame_counts, *(side for size in generator.native_sizes for side in size)]
    _require(all(number > 0 for number in numbers), f"{where}: sizes, fps and frame counts must be positive")
    if generator.frame_rule is not None:
        try:
            frame_rule_allows(generator.frame_rule, 1)  # a row without counts must not smuggle in an unreadable rule
            odd = [n for n in generator.frame_counts if not frame_rule_allows(generator.frame_rule, n)]
        except ValueError as error:
            raise CatalogueDataError(f"{where}: {error}") from error
        _require(not odd, f"{where}: frame counts {odd} break its rule {generator.frame_rule}")


def _check_against_family(where: str, generator: Generator, family: DecoderFamily) -> None:
    _require(family.kind is generator.kind, f"{where}: a {generator.kind} cannot have the {family.kind} {family.slug}")
    if family.pixels_per_latent is None or generator.paradigm not in (Paradigm.COMPRESSION, Paradigm.END_TO_END):
        return
    high = family.pixels_per_latent >= HIGH_COMPRESSION_PIXELS
    fits = high is (generator.paradigm is Paradigm.COMPRESSION)
    _require(fits, f"{where}: {generator.paradigm} does not fit {family.pixels_per_latent} pixels a latent position")


def _check_row(where: str, slug: str, sources: tuple[str, ...]) -> None:
    _require(_SLUG.fullmatch(slug) is not None, f"{where}: a slug is lower case letters and digits joined by - or .")
    _require(len(sources) > 0, f"{where}: at least one source is needed")
    bad = [source for source in sources if not is_source(source)]
    _require(not bad, f"{where}: sources of no known form: {'; '.join(bad)}")


def _spellings(generators: Iterable[Generator]) -> dict[str, str]:
    """Every normalised spelling and the one slug it means."""
    found: dict[str, str] = {}
    for generator in generators:
        for spelling in (generator.slug, generator.name, *generator.aliases):
            owner = found.setdefault(_key(spelling), generator.slug)
            _require(owner == generator.slug, f"{spelling!r} would mean both {owner} and {generator.slug}")
    return found


def _key(name: str) -> str:
    """A spelling without case, spaces and punctuation; a plus is kept since it tells versions apart."""
    return "".join(letter for letter in name.casefold() if letter.isalnum() or letter == "+")


def _suggest(slug: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(slug, list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _list_of(value: Any, kinds: set[type]) -> bool:
    return type(value) is list and all(type(item) in kinds for item in value)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise CatalogueDataError(message)
