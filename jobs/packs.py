"""Signature packs: a home's signatures and the snapshot built from them, as files that can travel or ship."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from fingerprint_db.errors import PackError
from fingerprint_db.pack import read_pack, write_pack
from fingerprint_db.snapshot import Snapshot
from fingerprint_db.store import GeneratorKind
from jobs.errors import BadUsageError
from jobs.home import Home
from jobs.scan import current_spec
from jobs.snapshots import publish, seed_catalogue


@dataclass(frozen=True, slots=True)
class PackSummary:
    """What was written or read. clips: a generator's signatures."""

    folder: Path
    clips: Counter[str]
    bytes: int
    snapshot: Snapshot


def export_pack(home: Home, folder: Path, *, name: str) -> PackSummary:
    """Write every signature of the home with its snapshot: ``NAME.npz``, ``NAME.json`` (provenance), ``snapshot/``.

    Vectors and numbers only, no pixels. Raises BadUsageError when the home has no signatures.
    """
    spec = current_spec(home.settings)
    records = home.store.signatures(spec.id)
    if not records:
        raise BadUsageError("this home has no signatures to pack; enroll clips first")
    snapshot = publish(home, spec, notes=f"pack {name}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "snapshot").mkdir(exist_ok=True)
    clips = Counter(record.generator for record in records)
    makers = {
        entry.slug: {"name": entry.name, "kind": entry.kind, "family": entry.family}
        for entry in home.store.generators()
        if entry.slug in clips
    }
    packed = write_pack(records, name=name, spec_id=spec.id, makers=makers)
    provenance = {
        "name": name,
        "spec": spec.id,
        "spec_body": json.loads(spec.to_json()),
        "snapshot": snapshot.id,
        "clips": len(records),
        "windows": sum(len(record.decoder) for record in records),
        "generators": {
            slug: {"clips": count, "sources": sorted({r.source for r in records if r.generator == slug})}
            for slug, count in sorted(clips.items())
        },
    }
    files = {f"{name}.npz": packed, f"{name}.json": (json.dumps(provenance, indent=1) + "\n").encode()}
    files |= {f"snapshot/{part}": data for part, data in snapshot.to_files().items()}
    for part, data in files.items():
        (folder / part).write_bytes(data)
    home.ledger.audit("export-pack", name, clips=len(records), snapshot=snapshot.id)
    return PackSummary(folder, clips, sum(len(data) for data in files.values()), snapshot)


def import_pack(home: Home, file: Path) -> PackSummary:
    """Add a pack's signatures to the home and publish. Raises PackError for a damaged pack or one of another spec."""
    spec = current_spec(home.settings)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BadUsageError(f"the pack {file} cannot be read: {error.strerror}") from error
    pack = read_pack(data)
    if pack.spec_id != spec.id:
        raise PackError(f"the pack {file} holds vectors of spec {pack.spec_id}; this Makersmark makes {spec.id}")
    seed_catalogue(home.store)
    known = {entry.slug for entry in home.store.generators()}
    for slug in sorted({record.generator for record in pack.records} - known):
        # Without its kind a processor of camera footage would be taken for a generator.
        facts = pack.makers.get(slug, {})
        kind, family = facts.get("kind") or "generator", facts.get("family")
        if kind not in get_args(GeneratorKind):
            raise PackError(f"the pack {file} says that {slug} is a {kind}; fetch it again")
        home.store.register_generator(
            slug, name=facts.get("name") or slug, kind=cast(GeneratorKind, kind), family=family, origin="enrolled"
        )
    home.store.add_signatures(pack.records)
    snapshot = publish(home, spec, notes=f"pack {pack.name}")
    clips = Counter(record.generator for record in pack.records)
    home.ledger.audit("import-pack", pack.name, clips=len(pack.records), snapshot=snapshot.id)
    return PackSummary(file, clips, len(data), snapshot)
