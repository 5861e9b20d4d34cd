"""Facts about the generators, processors and decoder families that Makersmark knows, each with its source.

The facts are data (``families.toml``, ``generators.toml``); this package loads, checks and prints them. It holds no
signatures: what was enrolled lives in the signature store.
"""

from fingerprint_db.catalogue.facts import (
    Causality,
    DecoderFamily,
    Generator,
    Kind,
    Paradigm,
    Tag,
    frame_rule_allows,
)
from fingerprint_db.catalogue.listing import GeneratorRow, SignatureCounts, describe, generator_rows
from fingerprint_db.catalogue.loader import Catalogue, CatalogueDataError, CatalogueError, load_catalogue

__all__ = [
    "Catalogue",
    "CatalogueDataError",
    "CatalogueError",
    "Causality",
    "DecoderFamily",
    "Generator",
    "GeneratorRow",
    "Kind",
    "Paradigm",
    "SignatureCounts",
    "Tag",
    "describe",
    "frame_rule_allows",
    "generator_rows",
    "load_catalogue",
]
