"""What a file says outright of its making: content credentials, labels, tags and node graphs that name a product.

Stronger than habits (``fingerprint_db.declared_fits``) and as easily forged: anybody can write a tag, and anybody can
sign a manifest. Names count where a tool writes its own name; in free text only after words such as "made with".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from fingerprint_db.catalogue import Catalogue, Kind, load_catalogue

Makes = Literal["generated", "partly generated", "camera", ""]

# IPTC digital source types (cv.iptc.org/newscodes/digitalsourcetype) as C2PA actions and XMP use them.
SOURCE_TYPES: Mapping[str, Makes] = {
    "trainedAlgorithmicMedia": "generated",
    "algorithmicMedia": "generated",
    "compositeWithTrainedAlgorithmicMedia": "partly generated",
    "compositeSynthetic": "partly generated",
    "digitalCapture": "camera",
    "computationalCapture": "camera",
    "minorHumanEdits": "camera",
    "negativeFilm": "camera",
    "positiveFilm": "camera",
    "print": "camera",
}
# GB 45438-2025, annex E: what the label's value says of the content.
_AIGC = {"1": "generated", "2": "possibly generated", "3": "suspected to be generated"}
_TOOL_KEYS = (
    ("c2pa_generator", "claim generator of the content credentials"),
    ("c2pa_agents", "software agent of the content credentials"),
    ("xmp_ai_system", "XMP, AI system used"),
    ("xmp_creator_tool", "XMP, creator tool"),
    ("xmp_credit", "XMP, credit"),
    ("aigc", "AIGC label"),
    ("software", "tag software"),
    ("encoder", "tag encoder"),
    ("com.apple.quicktime.software", "tag software"),
    ("workflow_models", "model files of an embedded node graph"),
    ("workflow_nodes", "nodes of an embedded node graph"),
)
_TEXT_KEYS = ("comment", "description", "title", "synopsis", "copyright", "artist", "com.apple.quicktime.description")
_MADE_WITH = re.compile(
    r"\b(?:made|generated|created|rendered|produced)\s+(?:with|by|in|using|via)\s+([^.;,\n]{2,60})", re.I
)
_TOKEN = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
# Trade names as manifests and labels write them, and how the catalogue's makers begin.
_MAKERS: Mapping[str, str] = {
    "openai": "OpenAI",
    "google": "Google",
    "runway": "Runway",
    "luma": "Luma AI",
    "pika": "Pika Labs",
    "genmo": "Genmo",
    "tencent": "Tencent",
    "bytedance": "ByteDance",
    "stability": "Stability AI",
    "nvidia": "NVIDIA",
    "lightricks": "Lightricks",
}
# Names that other software has too: they count in manifests and node graphs, not in every tag.
_AMBIGUOUS = frozenset("nova pia wan luma magi latte pika".split())
_LONGEST = 4  # tokens of a name
_SHORTEST = 3  # letters of a name that counts
_SAMPLER = re.compile(r"sampler", re.I)


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing that the file says outright.

    where: in words. says: the file's own words, cut. makes: what that says of the content, '' where nothing.
    generator: the catalogue's slug, None unless exactly one is named. maker: a maker whose name stands there, or None.
    checked: the words stand in a manifest whose signature and hashes are intact; who signed it is another question.
    """

    where: str
    says: str
    makes: Makes
    generator: str | None
    maker: str | None
    checked: bool


def statements(told: Mapping[str, str], catalogue: Catalogue | None = None) -> list[Statement]:
    """Everything that a file's declared facts say outright, strongest place first. told: ``VideoFacts.declared``."""
    known = catalogue or load_catalogue()
    return [*_kinds(told), *_names(told, known)]


def _kinds(told: Mapping[str, str]) -> Iterator[Statement]:
    """Statements on what kind of content it is."""
    intact = told.get("c2pa") == "valid"
    for key, where in (
        ("c2pa_source_type", "digital source type in the content credentials"),
        ("xmp_digital_source_type", "XMP, digital source type"),
    ):
        for kind in told.get(key, "").split("; "):
            makes = SOURCE_TYPES.get(kind.rstrip("/").rsplit("/", 1)[-1], "")
            if makes:
                yield Statement(where, _cut(kind), makes, None, None, intact and key.startswith("c2pa"))
    label = re.search(r'"?label"?\s*:\s*"?([123])\b', told.get("aigc", ""), re.I)
    if label:
        yield Statement("AIGC label", _AIGC[label[1]], "generated", None, None, False)
    nodes = told.get("workflow_nodes", "")
    if nodes:
        makes = "generated" if _SAMPLER.search(nodes) else ""
        yield Statement("embedded node graph", _cut(nodes), makes, None, None, False)


def _names(told: Mapping[str, str], catalogue: Catalogue) -> Iterator[Statement]:
    """Statements that name a generator or a maker."""
    intact = told.get("c2pa") == "valid"
    made = "trainedAlgorithmicMedia" in told.get("c2pa_source_type", "") or "aigc" in told
    for key, where in _TOOL_KEYS:
        text = told.get(key, "")
        if key == "workflow_models":  # whose decoder was used tells little of who made the frames
            text = ", ".join(name for name in text.split(", ") if "vae" not in name.lower())
        formal = key.startswith(("c2pa", "aigc"))
        slugs = named(text, catalogue, strict=not formal and not key.startswith("workflow"))
        makers = named_makers(text) if formal else []
        if slugs or makers:
            one = slugs[0] if len(slugs) == 1 else _only_product(makers, catalogue) if not slugs and made else None
            yield _statement(where, text, one, makers, intact and key.startswith("c2pa"), catalogue)
    for key in _TEXT_KEYS:
        for found in _MADE_WITH.finditer(told.get(key, "")):
            if slugs := named(found[1], catalogue):
                one = slugs[0] if len(slugs) == 1 else None
                yield _statement(f"tag {key}", found[0], one, [], False, catalogue)


def _statement(
    where: str, text: str, one: str | None, makers: list[str], checked: bool, catalogue: Catalogue
) -> Statement:
    maker = catalogue.generators[one].maker if one else makers[0] if len(makers) == 1 else None
    return Statement(where, _cut(text), "", one, maker, checked)


def _only_product(makers: list[str], catalogue: Catalogue) -> str | None:
    """The generator of a maker who has one: generated video in the name of OpenAI is Sora's."""
    if len(makers) != 1:
        return None
    made = {catalogue.target_of(row.slug) for row in catalogue.generators.values() if row.maker.startswith(makers[0])}
    return made.pop() if len(made) == 1 else None


def named(text: str, catalogue: Catalogue, *, strict: bool = False) -> list[str]:
    """Generators (their target slugs) whose name or alias stands in the text as whole words, longest match first.

    ``HunyuanVideoModelLoader`` and ``hunyuan_video_720`` both hold the words of HunyuanVideo. strict: names that other
    software has too do not count.
    """
    tokens = [token.lower() for token in _TOKEN.findall(text)]
    found: list[str] = []
    at = 0
    while at < len(tokens):
        for length in range(min(_LONGEST, len(tokens) - at), 0, -1):
            key = "".join(tokens[at : at + length])
            slug = catalogue.spellings.get(key) if len(key) >= _SHORTEST else None
            if slug is not None and not (strict and key in _AMBIGUOUS):
                at += length - 1
                if catalogue.generators[slug].kind is Kind.GENERATOR:
                    found.append(catalogue.target_of(slug))
                break
        at += 1
    return list(dict.fromkeys(found))


def named_makers(text: str) -> list[str]:
    """Makers of generators whose trade name stands in the text as a word."""
    words = {word.lower() for word in re.findall(r"[A-Za-z0-9]+", text)}
    return [maker for word, maker in _MAKERS.items() if word in words]


def _cut(text: str, limit: int = 160) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
