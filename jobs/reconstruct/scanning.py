"""Reconstruction beside the verdicts of a scan, nothing stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobs.errors import BadUsageError
from jobs.home import Home
from jobs.reconstruct.run import NO_CHECKPOINT, Reconstructor, kin, shortlisted
from jobs.settings import Settings


def with_reconstruction(
    records: Iterator[dict[str, Any]], settings: Settings, *, everything: bool
) -> Iterator[dict[str, Any]]:
    """The records of a scan, those of shortlisted files (all with ``everything``) with ``evidence.reconstruction``.

    A file that cannot be read a second time gets the failure in its place. Raises BadUsageError, before the first
    record, where the home keeps no checkpoint.
    """
    if not Home.exists(settings):
        raise BadUsageError(NO_CHECKPOINT)
    home = Home(settings)
    try:
        reconstructor = Reconstructor(home)
    except BaseException:
        home.close()
        raise
    return _enriched(records, home, reconstructor, everything)


def _enriched(
    records: Iterator[dict[str, Any]], home: Home, reconstructor: Reconstructor, everything: bool
) -> Iterator[dict[str, Any]]:
    families = kin(reconstructor.checkpoints)
    try:
        with reconstructor:
            for record in records:
                if not record["error"] and (everything or shortlisted(record, families)):
                    said = reconstructor.evidence(record["uri"])
                    record = record | {"evidence": {**record["evidence"], "reconstruction": said}}
                yield record
    finally:
        home.close()
