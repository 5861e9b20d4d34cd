"""Add signatures of a generator from clips it is known to have made, and publish the snapshot that knows them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import get_args
from urllib.parse import urlsplit

from rich.console import Console

from cluster.outcome import Failure
from fingerprint_db.catalogue import CatalogueError, load_catalogue
from fingerprint_db.signature import SignatureRecord
from fingerprint_db.snapshot import Snapshot
from fingerprint_db.store import GeneratorKind
from jobs.archive import Listed, canonical_uri, is_local, list_archive, local_path
from jobs.errors import BadUsageError
from jobs.evaluate.cache import EvaluationCache
from jobs.evaluate.chain import parse_chain
from jobs.evaluate.manifest import Label, ManifestError, load_manifest
from jobs.evaluate.prepare import prepare
from jobs.home import Home
from jobs.progress import Meter
from jobs.scan import FileFingerprint, current_spec, fingerprint_files
from jobs.snapshots import CAMERA, publish, seed_catalogue

KINDS: tuple[GeneratorKind, ...] = get_args(GeneratorKind)
FEW_CLIPS = 3
# Its 256 colours are a stronger trace than any decoder's.
POSTERISED = "a GIF is posterised, so no signature is made of it"


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip to enroll. source: the page, repository or camera it came from; clips of one source share an encoder."""

    uri: str
    generator: str
    source: str


@dataclass(slots=True)
class EnrollSummary:
    """enrolled: new signatures a generator. unusable: files that gave none, with the reason. snapshot: as published."""

    snapshot: Snapshot | None = None
    enrolled: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    unusable: dict[str, Failure | str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


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


def register(home: Home, name: str, *, family: str | None, kind: str) -> str:
    """Make sure that a generator stands in the store; returns its slug.

    A generator of the catalogue keeps the catalogue's facts. Raises BadUsageError when ``family`` contradicts them.
    """
    if kind not in KINDS:
        raise BadUsageError(f"the kind is {kind!r}; it must be one of {', '.join(KINDS)}")
    slug = slug_of(name, kind)
    if slug == CAMERA:
        return slug
    try:
        known = load_catalogue().resolve(name)
    except CatalogueError:
        home.store.register_generator(slug, name=name, kind=kind, family=family, origin="enrolled")
        return slug
    if family is not None and family != known.family:
        if versions := [version.slug for version in load_catalogue().versions(slug)]:
            raise BadUsageError(f"the decoder of {known.name} differs by version; enroll one of {', '.join(versions)}")
        says = known.family or "no family (undisclosed)"
        raise BadUsageError(f"the catalogue gives {known.name} {says}, not {family}; leave --family out")
    return slug


def clips_of_files(
    home: Home, name: str, files: Sequence[str], *, source: str | None, family: str | None, kind: str
) -> list[Clip]:
    """Clips of one generator from files, folders or URIs. source: None takes each file's folder name."""
    slug = register(home, name, family=family, kind=kind)
    uris = expand(files)
    if not uris:
        raise BadUsageError("there is no video file among what was given")
    return [Clip(uri, slug, source or default_source(uri)) for uri in uris]


def clips_of_manifest(
    home: Home, manifest: Path, *, chain: str, cache: Path
) -> tuple[list[Clip], dict[str, Failure | str]]:
    """Clips of a labelled CSV (see jobs.evaluate.manifest): generators, processors and camera footage alike.

    chain: ``none`` takes the files as they are; a codec chain such as ``x264-crf23`` takes copies that went through it,
    made below ``cache``, which must live until they are enrolled. Returns the clips, and what could not be prepared.
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
        for clip, ready in prepare(labelled, codec, EvaluationCache(cache), home.settings):
            if isinstance(ready, Failure):
                failed[clip.name] = ready
            else:
                paths[clip.name] = ready.path
    slugs: dict[str, str] = {}
    clips = []
    for clip in labelled:
        kind = {Label.CAMERA: "camera", Label.PROCESSED: "processor"}.get(clip.label, "generator")
        name = CAMERA if clip.label is Label.CAMERA else clip.generator
        if name is None:
            continue  # processed by nobody knows what: no class to learn
        if name not in slugs:
            family = None if name in load_catalogue().generators else clip.family
            slugs[name] = register(home, name, family=family, kind=kind)
        if clip.name not in failed:
            clips.append(Clip(str(paths[clip.name]), slugs[name], clip.source))
    return clips, failed


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


def enroll(home: Home, clips: Sequence[Clip], *, console: Console, notes: str = "") -> EnrollSummary:
    """Fingerprint clips, add their signatures, build and publish a snapshot.

    The generators must be registered. Nothing is published when no clip was usable.
    """
    spec = current_spec(home.settings)
    seed_catalogue(home.store)
    summary = EnrollSummary()
    wanted: dict[str, list[Clip]] = {}
    for clip in clips:
        wanted.setdefault(clip.uri, []).append(clip)
    records: dict[tuple[str, str, str], SignatureRecord] = {}
    with Meter(console, "enroll", len(wanted)) as meter:
        for uri, result in fingerprint_files(wanted, home.settings):
            meter.advance()
            if isinstance(result, Failure):
                summary.unusable[uri] = result
            elif result.facts.container == "gif":
                summary.unusable[uri] = POSTERISED
            elif not result.windows:
                summary.unusable[uri] = result.shortfall or "no window could be fingerprinted"
            else:
                for clip in wanted[uri]:
                    record = _record(result, clip, spec.id)
                    if record.key in records:
                        summary.repeated[clip.generator] += 1
                    records.setdefault(record.key, record)
    # Sorted, so that the order in which workers finish leaves no trace anywhere.
    for key in sorted(records):
        new = home.store.add_signature(records[key])
        (summary.enrolled if new else summary.repeated)[records[key].generator] += 1
    if not records:
        return summary
    summary.snapshot = publish(home, spec, notes=notes)
    _warn(home, summary, {record.generator for record in records.values()}, spec.id)
    for slug in sorted(summary.enrolled):
        home.ledger.audit("enroll", slug, clips=summary.enrolled[slug], snapshot=summary.snapshot.id)
    return summary


def _record(file: FileFingerprint, clip: Clip, spec_id: str) -> SignatureRecord:
    return SignatureRecord.from_windows(
        file.windows,
        sha256=file.sha256,
        generator=clip.generator,
        source=clip.source,
        spec_id=spec_id,
        quality=file.facts.quality(file.coverage),
    )


def _warn(home: Home, summary: EnrollSummary, generators: set[str], spec_id: str) -> None:
    counts = home.store.counts(spec_id)
    for slug in sorted(generators):
        count = counts[slug]
        if count.clips < FEW_CLIPS:
            summary.warnings.append(
                f"{slug} has {count.clips} clip{'s' if count.clips > 1 else ''}; below {FEW_CLIPS} it cannot be named"
            )
        elif count.sources < 2:
            summary.warnings.append(
                f"all clips of {slug} come from one source, so its encoder may be learned instead; add another source"
            )
    if CAMERA not in counts:
        summary.warnings.append("no camera footage is enrolled, so likelihood ratios cannot be calibrated against it")
