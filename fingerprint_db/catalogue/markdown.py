"""The catalogue as the Markdown page ``docs/catalogue.md``."""

from __future__ import annotations

from collections.abc import Iterable

from fingerprint_db.catalogue.facts import DecoderFamily, Generator, Kind
from fingerprint_db.catalogue.listing import generator_rows
from fingerprint_db.catalogue.loader import Catalogue

_INTRODUCTION = """\
# The catalogue

Written by `python -m fingerprint_db.catalogue > docs/catalogue.md` from `fingerprint_db/catalogue/families.toml` and
`generators.toml`; edit those. A dash means that the fact is unknown to us: nothing here is guessed.

- **The decoder is not the generator.** A verdict names a *decoder family* first and a *generator* only where the traces
  within the family can be told apart. Generators with undisclosed decoders, and those that work in pixel space, have no
  family.
- **Versions.** Where versions of one generator decode differently, each has a row of its own and names the row that
  verdicts use ("reported as"). So `open-sora` is the answer, while `open-sora-1.2` says which decoder to expect.
- **Processors** (upscalers, interpolators, denoisers, stylizers) leave traces too. Their output is *processed camera
  footage* and is never called generated.
- **Strides** are spatial x temporal: output pixels and frames behind one latent position; for processors, output
  pixels an input pixel.
- **Paradigm** is one of the five of long-video generation and our reading of each published design: sparse frames that
  a later stage fills in; stretches made one after another; the whole clip at once from a highly compressed latent (512
  pixels or more a position); the whole clip at once below that; tokens in order.
- **Positional encoding** is a fact about the model. No method is known that reads it from pixels, and none is claimed.
- **Declared marks** are what an untouched download says of itself. They are spoofable, and are shown beside a verdict
  without ever entering a vector.
- **Known as**: *confirmed* by the maker, *source-read* in published code or configuration, or an *estimate*.
"""


def to_markdown(catalogue: Catalogue) -> str:
    """The whole catalogue as one page, ending in a newline; the same catalogue always gives the same text."""
    ordered = [catalogue.generators[row.slug] for row in generator_rows(catalogue, {})]
    generators = [generator for generator in ordered if generator.kind is Kind.GENERATOR]
    processors = [generator for generator in ordered if generator.kind is Kind.PROCESSOR]
    families = sorted(catalogue.families.values(), key=lambda family: (family.kind is Kind.PROCESSOR, family.slug))
    parts = [
        _INTRODUCTION,
        "## Decoder families\n",
        _table(_FAMILY_HEAD, (_family_cells(catalogue, family) for family in families)),
        "## Generators: what they are\n",
        _table(_DESIGN_HEAD, (_design_cells(generator) for generator in generators)),
        "## Generators: what they put out\n",
        _table(_OUTPUT_HEAD, (_output_cells(generator) for generator in generators)),
        "## Processors\n",
        _table(_PROCESSOR_HEAD, (_processor_cells(catalogue, generator) for generator in processors)),
        "## Sources and remarks\n",
        *(_remark(family) for family in families),
        *(_remark(generator) for generator in ordered),
    ]
    return "\n".join(parts).rstrip("\n") + "\n"


_FAMILY_HEAD = ("family", "class", "stride", "channels", "upsampler", "causality", "decode pattern", "generators")
_DESIGN_HEAD = ("generator", "name", "maker", "released", "paradigm", "backbone", "text tower", "position", "family")
_OUTPUT_HEAD = ("generator", "reported as", "sizes", "fps", "frames", "declared marks", "also called", "known as")
_PROCESSOR_HEAD = ("processor", "name", "reported as", "net", "family", "scale", "upsampler", "licence")


def _family_cells(catalogue: Catalogue, family: DecoderFamily) -> list[str | None]:
    return [
        f"`{family.slug}`",
        family.vae_class,
        family.stride,
        None if family.latent_channels is None else str(family.latent_channels),
        family.upsampler,
        family.causality,
        family.decode_pattern,
        ", ".join(generator.slug for generator in catalogue.members(family.slug)),
    ]


def _design_cells(generator: Generator) -> list[str | None]:
    return [
        f"**`{generator.slug}`**" if generator.mission else f"`{generator.slug}`",
        generator.name,
        generator.maker,
        generator.released,
        generator.paradigm,
        generator.backbone,
        generator.text_tower,
        generator.positional_encoding,
        generator.family,
    ]


def _output_cells(generator: Generator) -> list[str | None]:
    frames = ", ".join(str(count) for count in generator.frame_counts)
    rule = f"({generator.frame_rule})" if generator.frame_rule else ""
    return [
        f"`{generator.slug}`",
        generator.version_of,
        ", ".join(f"{width}x{height}" for width, height in generator.native_sizes),
        ", ".join(f"{rate:g}" for rate in generator.fps),
        f"{frames} {rule}".strip(),
        "; ".join(generator.declared_marks),
        ", ".join(generator.aliases),
        generator.tag,
    ]


def _processor_cells(catalogue: Catalogue, generator: Generator) -> list[str | None]:
    family = catalogue.family_of(generator.slug)
    scale = None if family is None or family.spatial_stride is None else f"x{family.spatial_stride}"
    return [
        f"`{generator.slug}`",
        generator.name,
        generator.version_of,
        generator.backbone,
        generator.family,
        scale,
        None if family is None else family.upsampler,
        None if family is None else family.licence,
    ]


def _remark(entry: DecoderFamily | Generator) -> str:
    what = "family" if isinstance(entry, DecoderFamily) else entry.kind.value
    notes = f" {entry.notes}" if entry.notes else ""
    return f"- {what} `{entry.slug}`: {'; '.join(entry.sources)}.{notes}"


def _table(head: tuple[str, ...], rows: Iterable[list[str | None]]) -> str:
    lines = [head, ("---",) * len(head), *([_cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _cell(value: str | None) -> str:
    return (value or "–").replace("|", "\\|")
