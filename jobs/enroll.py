"""Which clips are to be enrolled, and of whom: files and folders of one maker, or a labelled list of many."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import get_args
from urllib.parse import urlsplit

from cluster.outcome import Failure
from fingerprint_db.catalogue import CatalogueError, load_catalogue
from fingerprint_db.store import GeneratorKind
from jobs.archive import Listed, canonical_uri, is_local, list_archive, local_path
from jobs.errors import BadUsageError
from jobs.evaluate.cache import EvaluationCache
from jobs.evaluate.chain import parse_chain
from jobs.evaluate.manifest import Label, ManifestError, load_manifest
from jobs.evaluate.prepare import prepare
from jobs.settings import Settings
from jobs.snapshots import CAMERA

KINDS: tuple[GeneratorKind, ...] = get_args(GeneratorKind)
# Its 256 colours are a stronger trace than any decoder's.
POSTERISED = "a GIF is posterised, so no signature is made of it"


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip to enroll. source: the page, repository or camera it came from; clips of one source share an encoder."""

    uri: str
    generator: str
    source: str


@dataclass(frozen=True, slots=True)
class Maker:
    """Who made clips. kind: generator | processor | camera. listed: the catalogue knows it, and its facts hold."""

    slug: str
    name: str
    family: str | None
    kind: GeneratorKind
    listed: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be enrolled; nothing of it is stored yet.

    makers: by slug. failed: files that could not be prepared, with the reason. one_chain: all clips went through one
    codec chain, so that their encoder tells nothing apart.
    """

    clips: tuple[Clip, ...]
    makers: Mapping[str, Maker]
    failed: Mapping[str, Failure | str] = field(default_factory=dict)
    one_chain: bool = False


def default_source(uri: str) -> str:
    """The name of the folder a file lies in: clips that were published together usually lie together."""
    return PurePosixPath(urlsplit(uri).path if "://" in uri else uri).parent.name or "unknown"


def slug_of(name: str, kind: str = "generator") -> str:
    """The catalogue's slug for a name or alias, or a slug made of the name when the catalogue does not know it.

    Raises BadUsageError when nothing of the name is left.
    """
    if kind == "camera" or name.strip().lower() == CAMERA:
        return CAMERA
    try:
        return load_catalogue().resolve(name).slug
    except CatalogueError:
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        if not slug:
            raise BadUsageError(f"{name!r} cannot be the name of a generator: it has no letter or digit") from None
        return slug


def maker_of(name: str, *, family: str | None, kind: str) -> Maker:
    """The maker of this name; one of the catalogue keeps the catalogue's facts.

    Raises BadUsageError for an unknown kind, and when ``family`` contradicts the catalogue.
    """
    if kind not in KINDS:
        raise BadUsageError(f"the kind is {kind!r}; it must be one of {', '.join(KINDS)}")
    slug = slug_of(name, kind)
    if slug == CAMERA:
        return Maker(CAMERA, "camera footage", None, "camera", listed=True)
    try:
        known = load_catalogue().resolve(name)
    except CatalogueError:
        return Maker(slug, name, family, kind, listed=False)
    if family is not None and family != known.family:
        if versions := [version.slug for version in load_catalogue().versions(slug)]:
            raise BadUsageError(f"the decoder of {known.name} differs by version; enroll one of {', '.join(versions)}")
        says = known.family or "no family (undisclosed)"
        raise BadUsageError(f"the catalogue gives {known.name} {says}, not {family}; leave --family out")
    return Maker(slug, known.name, known.family, known.kind.value, listed=True)


def clips_of_files(name: str, files: Sequence[str], *, source: str | None, family: str | None, kind: str) -> Wanted:
    """Clips of one maker from files, folders or URIs. source: None takes each file's folder name."""
    maker = maker_of(name, family=family, kind=kind)
    uris = expand(files)
    if not uris:
        raise BadUsageError("there is no video file among what was given")
    clips = tuple(Clip(uri, maker.slug, source or default_source(uri)) for uri in uris)
    return Wanted(clips, {maker.slug: maker})


def clips_of_manifest(settings: Settings, manifest: Path, *, chain: str, cache: Path) -> Wanted:
    """Clips of a labelled CSV (see jobs.evaluate.manifest): generators, processors and camera footage alike.

    chain: ``none`` takes the files as they are; a codec chain such as ``x264-crf23`` takes copies that went through it,
    made below ``cache``, which must live until they are enrolled.
    """
    try:
        labelled, codec = load_manifest(manifest).clips, parse_chain(chain)
    except (ManifestError, ValueError) as error:
        raise BadUsageError(str(error)) from error
    paths = {clip.name: clip.path for clip in labelled}
    failed: dict[str, Failure | str] = {}
    if codec is not None:
        failed = {clip.name: POSTERISED for clip in labelled if clip.path.suffix.lower() == ".gif"}
        labelled = tuple(clip for clip in labelled if clip.name not in failed)
        for clip, ready in prepare(labelled, codec, EvaluationCache(cache), settings):
            if isinstance(ready, Failure):
                failed[clip.name] = ready
            else:
                paths[clip.name] = ready.path
    makers: dict[str, Maker] = {}
    clips = []
    for clip in labelled:
        kind = {Label.CAMERA: "camera", Label.PROCESSED: "processor"}.get(clip.label, "generator")
        name = CAMERA if clip.label is Label.CAMERA else clip.generator
        if name is None:
            continue  # processed by nobody knows what: no class to learn
        if name not in makers:
            family = None if name in load_catalogue().generators else clip.family
            makers[name] = maker_of(name, family=family, kind=kind)
        if clip.name not in failed:
            clips.append(Clip(str(paths[clip.name]), makers[name].slug, clip.source))
    return Wanted(tuple(clips), {maker.slug: maker for maker in makers.values()}, failed, one_chain=codec is not None)


def expand(files: Iterable[str]) -> list[str]:
    """Files and URIs as given, folders as the video files in them, each once.

    What does not exist stays in the list, so that the job names it. Raises FailureError for a folder that is closed.
    """
    found: dict[str, None] = {}
    for name in files:
        if is_local(name) and local_path(name).is_dir():
            found |= {entry.uri: None for entry in list_archive(name) if isinstance(entry, Listed)}
        else:
            found[canonical_uri(name)] = None
    return list(found)
