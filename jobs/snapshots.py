"""Which snapshot a job judges by: the home's current one or the starter that ships; building and publishing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fingerprint_db.build import build_snapshot
from fingerprint_db.catalogue import load_catalogue
from fingerprint_db.errors import SnapshotError
from fingerprint_db.pack import load_starter, load_starter_snapshot
from fingerprint_db.signature import SignatureRecord
from fingerprint_db.snapshot import Snapshot
from fingerprint_db.spec import FingerprintSpec
from fingerprint_db.store import ClassCount, GeneratorEntry, SignatureStore
from jobs.home import Home

CAMERA = "camera"
EMPTY = "no signature is enrolled"
STARTER = "starter pack"


@dataclass(frozen=True, slots=True)
class Known:
    """Families and kinds of every generator that signatures may name."""

    families: dict[str, str | None]
    kinds: dict[str, str]


def catalogue_known() -> Known:
    """What the catalogue alone says, with camera footage as the class everything is held against."""
    generators = load_catalogue().generators
    families: dict[str, str | None] = {g.slug: g.family for g in generators.values()} | {CAMERA: None}
    kinds: dict[str, str] = {g.slug: g.kind for g in generators.values()} | {CAMERA: "camera"}
    return Known(families, kinds)


def starter_snapshot(spec: FingerprintSpec) -> Snapshot:
    """The snapshot that ships with the package; an empty one when it was made under another spec."""
    return load_starter_snapshot(spec.id) or build([], spec, catalogue_known(), notes=EMPTY)


def build(records: list[SignatureRecord], spec: FingerprintSpec, known: Known, *, notes: str) -> Snapshot:
    """Fit a snapshot to signatures; a pure function of them."""
    return build_snapshot(records, spec_id=spec.id, families=known.families, kinds=known.kinds, notes=notes)


def current_snapshot(home: Home, spec: FingerprintSpec) -> Snapshot:
    """The home's published snapshot; a home that has enrolled nothing judges by the starter pack's.

    Raises fingerprint_db.errors.SnapshotError when its files are damaged.
    """
    entry = home.store.current_snapshot(spec.id)
    if entry is not None:
        return home.load_snapshot(entry.id)
    seed_catalogue(home.store)
    shipped = load_starter_snapshot(spec.id)
    if shipped is not None and not home.store.counts(spec.id):
        put(home, shipped, spec, notes=STARTER, first_only=True)
    else:
        publish(home, spec, notes="first snapshot of this home", first_only=True)
    # Read back: another job may have published its own, and enrolled more, while this one was building.
    published = home.store.current_snapshot(spec.id)
    if published is None:
        raise SnapshotError("The snapshot that was just published is gone; start again.")
    return home.load_snapshot(published.id)


def starter_counts(spec: FingerprintSpec) -> dict[str, ClassCount]:
    """Clips and sources of every generator in the starter, as the store counts them."""
    sources: dict[str, list[str]] = {}
    for record in load_starter(spec.id):
        sources.setdefault(record.generator, []).append(record.source)
    return {slug: ClassCount(len(found), len(set(found))) for slug, found in sorted(sources.items())}


def seed_catalogue(store: SignatureStore) -> None:
    """Bring the catalogue's generators into a home's store, in one transaction; repeating changes nothing.

    The starter's signatures stay in the package: what a home has enrolled is its own knowledge, and loading the pack
    into it (``makersmark pack --load``) is a choice.
    """
    known = load_catalogue()
    store.register_catalogue(
        {family.slug: family.name for family in known.families.values()},
        [
            GeneratorEntry(CAMERA, "camera footage", "camera", None, "catalogue"),
            *(
                GeneratorEntry(generator.slug, generator.name, generator.kind.value, generator.family, "catalogue")
                for generator in known.generators.values()
            ),
        ],
    )


def home_known(home: Home) -> Known:
    """What a home's store says of its generators, enrolled ones included."""
    entries = home.store.generators()
    return Known({e.slug: e.family for e in entries}, {e.slug: e.kind for e in entries})


def publish(home: Home, spec: FingerprintSpec, *, notes: str, first_only: bool = False) -> Snapshot:
    """Build from every signature in use in the home, write the files, then publish in one transaction.

    first_only: do not publish when another job has done so since the caller looked.
    """
    records = home.store.signatures(spec.id)
    snapshot = build(records, spec, home_known(home), notes=notes)
    return put(home, snapshot, spec, notes=notes, built_from=records, first_only=first_only)


def put(
    home: Home,
    snapshot: Snapshot,
    spec: FingerprintSpec,
    *,
    notes: str,
    built_from: Sequence[SignatureRecord] = (),
    first_only: bool = False,
) -> Snapshot:
    """Write a snapshot's files, then make it the home's current one; built_from: the home's signatures in it."""
    home.save_snapshot(snapshot)
    counts = class_counts(built_from)
    if not home.store.publish_snapshot(
        snapshot.id,
        spec_id=spec.id,
        counts=counts,
        notes=notes,
        built_from=built_from,
        first_only=first_only,
    ):
        return snapshot
    home.ledger.audit("publish", snapshot.id, spec=spec.id, notes=notes, counts=counts)
    return snapshot


def class_counts(records: Sequence[SignatureRecord]) -> dict[str, dict[str, int]]:
    """Clips and sources of each maker, as SQL keeps them beside a snapshot."""
    sources: dict[str, list[str]] = {}
    for record in records:
        sources.setdefault(record.generator, []).append(record.source)
    return {slug: {"clips": len(found), "sources": len(set(found))} for slug, found in sorted(sources.items())}
