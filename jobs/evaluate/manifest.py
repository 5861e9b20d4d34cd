"""Labelled clips: a CSV with one row a file, read strictly, since a wrong label is a wrong figure."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from fingerprint_db.catalogue import CatalogueError, load_catalogue
from jobs.archive import file_sha256

REQUIRED_COLUMNS = ("path", "label", "generator", "source")
OPTIONAL_COLUMNS = ("decoder_family", "same_page")


class ManifestError(ValueError):
    """The manifest cannot be used as it stands; the message is one sentence that says what to mend."""


class Label(StrEnum):
    """What is known of a clip's making."""

    CAMERA = "camera"
    GENERATED = "generated"
    PROCESSED = "processed"  # camera footage through an upscaler, stylizer or neural codec: judged, reported apart


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalogue knows behind a name: the generator's slug and its decoder family's, None when undisclosed."""

    generator: str
    family: str | None


Resolve = Callable[[str], Known | None]


def resolve_by_catalogue(name: str) -> Known | None:
    """The catalogue's answer: versions of one generator are one answer, but keep the decoder family of the version."""
    catalogue = load_catalogue()
    try:
        found = catalogue.resolve(name)
    except CatalogueError:
        return None
    return Known(catalogue.target_of(found.slug), found.family)


@dataclass(frozen=True, slots=True)
class Clip:
    """One labelled file.

    name: the path as the manifest writes it. generator, family: slugs; for camera footage both are None, for processed
    footage ``generator`` is the processor when the manifest names it. source: where it was published; clips of one
    source share encoder and habits, so they are never split. same_page: clips shown side by side, empty when alone.
    """

    name: str
    path: Path
    label: Label
    generator: str | None
    family: str | None
    source: str
    same_page: str
    sha256: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that is in no figure, the class of the reason (``not_found``, ``duplicate`` ...) and a sentence."""

    name: str
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The clips that can be judged, each content once, in the order of the file, and the rows that cannot."""

    path: Path
    clips: tuple[Clip, ...]
    left_out: tuple[LeftOut, ...]


def load_manifest(path: Path, resolve: Resolve = resolve_by_catalogue) -> Manifest:
    """Read a manifest CSV (UTF-8, header row); paths are relative to the CSV, columns not named here are ignored.

    resolve: turns a generator's name into catalogue slugs, None for a name it does not know; that name is kept as a
    slug of its own. The catalogue's family wins over the column ``decoder_family``.
    Left out, with the reason: files that are missing or empty, contents already seen on an earlier row, and every copy
    of a content that two rows label differently. Raises ManifestError for an unreadable file, missing columns, empty or
    unknown labels, generated clips without a generator, rows without a source, and when no clip is left.
    """
    rows = _rows(path)
    _check(rows, path)
    left_out: list[LeftOut] = []
    clips: list[Clip] = []
    for _line, row in rows:
        file = path.parent / row["path"]
        if not file.is_file():
            left_out.append(LeftOut(row["path"], "not_found", f"{row['path']} is not there beside {path.name}"))
        elif file.stat().st_size == 0:
            left_out.append(LeftOut(row["path"], "empty_file", f"{row['path']} has no bytes"))
        else:
            clips.append(_clip(row, file, resolve))
    clips, repeated = _once_each(clips)
    left_out += repeated
    if not clips:
        why = left_out[0].message if left_out else "it has no rows"
        raise ManifestError(f"no clip of {path} can be judged: {why}")
    return Manifest(path, tuple(clips), tuple(left_out))


def slug(name: str) -> str:
    """Lower case, words joined by hyphens: ``Show-1 (XL)`` becomes ``show-1-xl``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """(line number, row) for every row that is not blank, values stripped."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = [name.strip() for name in reader.fieldnames or []]
            missing = [name for name in REQUIRED_COLUMNS if name not in columns]
            if missing:
                wanted = ", ".join(REQUIRED_COLUMNS)
                raise ManifestError(f"{path} has no column {', '.join(missing)}; its first line must name {wanted}")
            reader.fieldnames = columns
            rows = [(reader.line_num, _stripped(row)) for row in reader]
    except OSError as error:
        raise ManifestError(f"the manifest {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path} is not a CSV file in UTF-8: {error}") from error
    return [(line, row) for line, row in rows if any(row.values())]


def _stripped(row: Mapping[str, str | None]) -> dict[str, str]:
    return {name: (row.get(name) or "").strip() for name in (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS)}


def _check(rows: list[tuple[int, dict[str, str]]], path: Path) -> None:
    labels = [label.value for label in Label]
    faults: dict[str, Callable[[dict[str, str]], bool]] = {
        "no path": lambda row: not row["path"],
        "no label": lambda row: not row["label"],
        f"a label other than {', '.join(labels)}": lambda row: bool(row["label"]) and row["label"] not in labels,
        "no source (where the clip was published)": lambda row: not row["source"],
        "a generated clip without its generator": lambda row: row["label"] == "generated" and not row["generator"],
    }
    for fault, applies in faults.items():
        lines = [line for line, row in rows if applies(row)]
        if lines:
            where = ", ".join(map(str, lines[:5])) + (f" and {len(lines) - 5} more" if len(lines) > 5 else "")
            raise ManifestError(f"{path} has {fault} on line {where}")


def _clip(row: Mapping[str, str], file: Path, resolve: Resolve) -> Clip:
    label = Label(row["label"])
    generator: str | None = None
    family: str | None = None
    if label is not Label.CAMERA and row["generator"]:
        known = resolve(row["generator"])
        generator = known.generator if known else slug(row["generator"])
        family = (known.family if known else None) or slug(row["decoder_family"]) or None
    return Clip(
        name=row["path"],
        path=file,
        label=label,
        generator=generator,
        family=family,
        source=row["source"],
        same_page=row["same_page"],
        sha256=file_sha256(file),
    )


def _once_each(clips: list[Clip]) -> tuple[list[Clip], list[LeftOut]]:
    """Each content once. A content under two labels has no truth, so that all its rows go."""
    by_content: dict[str, list[Clip]] = {}
    for clip in clips:
        by_content.setdefault(clip.sha256, []).append(clip)
    left_out: list[LeftOut] = []
    kept: list[Clip] = []
    for clip in clips:
        same = by_content[clip.sha256]
        if len({(c.label, c.generator) for c in same}) > 1:
            others = ", ".join(c.name for c in same if c is not clip)
            left_out.append(LeftOut(clip.name, "contradictory", f"the same content is labelled otherwise as {others}"))
        elif clip is same[0]:
            kept.append(clip)
        else:
            left_out.append(LeftOut(clip.name, "duplicate", f"the same content as {same[0].name}"))
    return kept, left_out
