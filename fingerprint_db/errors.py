"""What can go wrong with known fingerprints, as a closed set; every message is one sentence a person can act on."""

from __future__ import annotations


class FingerprintDbError(Exception):
    """The parent of all errors of this package."""


class SchemaError(FingerprintDbError):
    """The database's schema cannot be used by this version, most often because a newer version wrote it."""


class UnknownGeneratorError(FingerprintDbError):
    """A signature names a generator that was never registered."""


class SpecMismatchError(FingerprintDbError):
    """Vectors of one fingerprint specification were to be compared with vectors of another."""


class SnapshotError(FingerprintDbError):
    """A snapshot is damaged, incomplete, or in a format that a newer version wrote."""


class PackError(FingerprintDbError):
    """A signature pack is damaged, or in a format that a newer version wrote."""
