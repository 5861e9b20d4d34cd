"""Signature packs: many signatures in one file that can travel. Numbers and their provenance; no pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata, resources
from typing import Any

import numpy as np

from fingerprint_db.errors import PackError
from fingerprint_db.signature import SignatureRecord, arrays_from_bytes, arrays_to_bytes
from fingerprint_db.snapshot import Snapshot
from fingerprint_db.window import Quality

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Pack:
    """A read pack. tool: the version that wrote it. records: ordered by (generator, sha256).

    makers: name, kind and family of each maker by slug; empty in packs from before these travelled along.
    """

    name: str
    spec_id: str
    tool: str
    records: tuple[SignatureRecord, ...]
    makers: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)


def write_pack(
    records: Sequence[SignatureRecord],
    *,
    name: str,
    spec_id: str,
    makers: Mapping[str, Mapping[str, str | None]] | None = None,
) -> bytes:
    """The pack as bytes (compressed npz); the same records give the same bytes in any order.

    name: becomes the records' origin when the pack is read. makers: what is known of their makers, as in Pack. Raises
    PackError when a record is of another spec, two records share a key, or the vectors differ in length.
    """
    ordered = sorted(records, key=lambda record: record.key)
    if len({record.key for record in ordered}) != len(ordered):
        raise PackError("A pack holds each clip of a generator once; remove the repeated signatures.")
    if any(record.spec_id != spec_id for record in ordered):
        raise PackError(f"All signatures of this pack must be of fingerprint specification {spec_id}.")
    if len({(record.decoder.shape[1], record.texture.shape[1]) for record in ordered}) > 1:
        raise PackError("The signatures of a pack must all have vectors of the same length.")
    clips = [
        {
            "sha256": record.sha256,
            "generator": record.generator,
            "source": record.source,
            "quality": record.quality.as_dict(),
            "windows": len(record.decoder),
        }
        for record in ordered
    ]
    header: dict[str, Any] = {"format": FORMAT, "name": name, "spec": spec_id, "tool": _tool_version(), "clips": clips}
    if makers:
        header["makers"] = {slug: dict(facts) for slug, facts in makers.items()}
    text = json.dumps(header, sort_keys=True, separators=(",", ":"))
    arrays: dict[str, Any] = {"provenance": np.frombuffer(text.encode(), dtype=np.uint8)}
    if ordered:
        arrays |= {
            "decoder": np.concatenate([record.decoder for record in ordered]),
            "texture": np.concatenate([record.texture for record in ordered]),
            "burst": np.concatenate([record.burst for record in ordered]),
            "crop": np.concatenate([record.crop for record in ordered]),
        }
    return arrays_to_bytes(arrays, compress=True)


def read_pack(data: bytes) -> Pack:
    """The inverse of write_pack. Raises PackError when the bytes are damaged or of a newer format."""
    try:
        arrays = arrays_from_bytes(data)
        header = json.loads(arrays["provenance"].tobytes().decode())
        version = int(header["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise PackError("This signature pack is damaged; fetch or write it again.") from error
    if version > FORMAT:
        raise PackError(f"This signature pack has format {version}, newer than this version knows; upgrade Makersmark.")
    try:
        makers = {str(slug): dict(facts) for slug, facts in header.get("makers", {}).items()}
        return Pack(header["name"], header["spec"], header["tool"], tuple(_records(header, arrays)), makers)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PackError("This signature pack is damaged; fetch or write it again.") from error


def load_starter_snapshot(spec_id: str) -> Snapshot | None:
    """The snapshot that was built from the starter's signatures when it was made; None when none fits this spec.

    Shipped beside the signatures so that a first scan does not have to build it.
    """
    folder = resources.files("fingerprint_db") / "starter" / "snapshot"
    if not folder.is_dir():
        return None
    snapshot = Snapshot.from_files({entry.name: entry.read_bytes() for entry in folder.iterdir()})
    return snapshot if snapshot.spec_id == spec_id else None


def load_starter(spec_id: str) -> list[SignatureRecord]:
    """The signatures that ship with the package, if they were made under this spec; otherwise an empty list."""
    folder = resources.files("fingerprint_db") / "starter"
    if not folder.is_dir():
        return []
    found: list[SignatureRecord] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".npz"):
            pack = read_pack(entry.read_bytes())
            if pack.spec_id == spec_id:
                found.extend(pack.records)
    return found


def _records(header: dict[str, Any], arrays: dict[str, Any]) -> list[SignatureRecord]:
    records = []
    start = 0
    for clip in header["clips"]:
        stop = start + int(clip["windows"])
        if stop > len(arrays["decoder"]):
            raise ValueError("fewer windows than the provenance says")
        rows = slice(start, stop)
        records.append(
            SignatureRecord(
                sha256=clip["sha256"],
                generator=clip["generator"],
                source=clip["source"],
                spec_id=header["spec"],
                quality=Quality(**clip["quality"]),
                decoder=arrays["decoder"][rows],
                texture=arrays["texture"][rows],
                burst=arrays["burst"][rows],
                crop=arrays["crop"][rows],
                origin=header["name"],
            )
        )
        start = stop
    return records


def _tool_version() -> str:
    try:
        return metadata.version("makersmark")
    except metadata.PackageNotFoundError:
        return "0"
