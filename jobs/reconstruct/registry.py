"""Checkpoints that a home keeps: weights, what they are, and how their reconstructions are to be read."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fingerprint_db.reconstruction import ReconstructionModel
from jobs.archive import file_sha256
from jobs.errors import HomeError
from jobs.home import Home

if TYPE_CHECKING:  # torch takes seconds to import, and a look-up wants names and numbers alone
    from jobs.reconstruct.network import Network, Source

FOLDER = "checkpoints"
FACTS = "provenance.json"  # written last
# Raised whenever a calibration would not fit what is measured now.
_VERSION = 2


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """One checkpoint of a home. generator, family: slugs. id: hash of its files. cls: of the network.

    files: name to SHA-256. stride: (space, time). precision: that the calibration was measured at.
    """

    generator: str
    family: str | None
    id: str
    cls: str
    files: Mapping[str, str]
    stride: tuple[int, int]
    precision: str
    enrolled_at: str
    model: ReconstructionModel

    @property
    def folder(self) -> str:
        return f"{FOLDER}/{self.generator}/{self.id[:16]}"


def checkpoint_id(files: Mapping[str, str]) -> str:
    """64 hex digits that change when any file of the checkpoint does."""
    return hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()


def keep(
    home: Home, source: Source, network: Network, generator: str, family: str | None, model: ReconstructionModel
) -> Checkpoint:
    """Copy a checkpoint into the home with its calibration; the same again replaces the calibration.

    The facts are written last: a checkpoint whose copying was cut off does not count. Raises StoreError.
    """
    files = source.sha256()
    kept = Checkpoint(
        generator,
        family,
        checkpoint_id(files),
        source.cls,
        files,
        network.stride,
        network.precision,
        datetime.now(UTC).isoformat(timespec="seconds"),
        model,
    )
    for name in files:
        with home.folder.writing(f"{kept.folder}/{name}") as target:
            shutil.copyfile(source.folder / name, target)
    facts = {
        "version": _VERSION,
        "generator": generator,
        "family": family,
        "id": kept.id,
        "class": kept.cls,
        "files": files,
        "stride": list(kept.stride),
        "precision": kept.precision,
        "enrolled_at": kept.enrolled_at,
        "model": model.to_json(),
    }
    home.folder.write(f"{kept.folder}/{FACTS}", (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode())
    home.ledger.audit("enroll-checkpoint", generator, checkpoint=kept.id, cls=kept.cls)
    return kept


def kept_checkpoints(home: Home) -> list[Checkpoint]:
    """All of a home, by generator and id. Raises HomeError for facts that cannot be read."""
    found = []
    for name in home.folder.names(FOLDER):
        if name.endswith(f"/{FACTS}"):
            try:
                raw = json.loads(home.folder.read(name))
                if raw["version"] != _VERSION:
                    raise HomeError(
                        f"{name} was calibrated by another release, which measured differently; enroll the checkpoint "
                        "again with makersmark enroll GENERATOR --vae DIR"
                    )
                found.append(_read(raw))
            except (ValueError, KeyError, TypeError) as error:
                raise HomeError(f"{name} cannot be read as a checkpoint's facts; enroll it again ({error})") from error
    return sorted(found, key=lambda one: (one.generator, one.id))


@contextmanager
def opened(home: Home, checkpoint: Checkpoint, *, device: str = "cpu") -> Iterator[Network]:
    """The checkpoint's network, its files compared with their hashes. Raises HomeError where they differ."""
    from jobs.reconstruct.network import Source, open_network

    with tempfile.TemporaryDirectory(prefix="makersmark-checkpoint-") as folder:
        for name, wanted in checkpoint.files.items():
            with home.folder.reading(f"{checkpoint.folder}/{name}") as path:
                if file_sha256(path) != wanted:
                    raise HomeError(f"{checkpoint.folder}/{name} is not what was enrolled; enroll the checkpoint again")
                _place(path, Path(folder) / name)
        yield open_network(Source(Path(folder), checkpoint.cls, tuple(checkpoint.files)), device=device)


def _place(path: Path, target: Path) -> None:
    try:
        target.symlink_to(path.resolve())
    except OSError:
        shutil.copyfile(path, target)


def _read(raw: Mapping[str, Any]) -> Checkpoint:
    return Checkpoint(
        str(raw["generator"]),
        raw["family"],
        str(raw["id"]),
        str(raw["class"]),
        {str(name): str(digest) for name, digest in raw["files"].items()},
        (int(raw["stride"][0]), int(raw["stride"][1])),
        str(raw["precision"]),
        str(raw["enrolled_at"]),
        ReconstructionModel.from_json(raw["model"]),
    )
