"""The verbs ``snapshots``: which snapshots a home has published, and going back to one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fingerprint_db.snapshot import Snapshot
from fingerprint_db.store import Restored, SnapshotEntry
from jobs.errors import BadUsageError
from jobs.home import Home
from jobs.scan import current_spec

SHORTEST_ID = 4


@dataclass(frozen=True, slots=True)
class Published:
    """One snapshot of a home. current: the one that sweeps and scans judge by now; usable: made under today's spec."""

    entry: SnapshotEntry
    current: bool
    usable: bool

    def as_dict(self) -> dict[str, Any]:
        clips = [count for count in self.entry.counts.values() if isinstance(count, Mapping)]
        return {
            "id": self.entry.id,
            "current": self.current,
            "usable": self.usable,
            "spec": self.entry.spec_id,
            "created_at": self.entry.created_at.isoformat(),
            "published_at": self.entry.published_at.isoformat() if self.entry.published_at else None,
            "notes": self.entry.notes,
            "makers": len(clips),
            "signatures": sum(int(count.get("clips", 0)) for count in clips),
            "counts": dict(self.entry.counts),
        }


@dataclass(frozen=True, slots=True)
class RollbackSummary:
    """From which snapshot to which; see fingerprint_db.store.Restored for the counts."""

    before: str | None
    now: str
    restored: Restored

    def as_dict(self) -> dict[str, Any]:
        return {"before": self.before, "snapshot": self.now, **asdict(self.restored)}


def list_snapshots(home: Home) -> list[Published]:
    """Every published snapshot, the one published last first."""
    spec = current_spec(home.settings)
    current = home.store.current_snapshot(spec.id)
    return [
        Published(entry, current is not None and entry.id == current.id, entry.spec_id == spec.id)
        for entry in home.store.snapshots()
    ]


def show_snapshot(home: Home, identity: str | None) -> dict[str, Any]:
    """What a snapshot learned and how it was calibrated; None shows the current one.

    Raises BadUsageError for an id that fits none or several, SnapshotError when its files are damaged.
    """
    if identity is None:
        spec = current_spec(home.settings)
        entry = home.store.current_snapshot(spec.id)
        if entry is None:
            raise BadUsageError("this home has no snapshot of its own yet; a sweep or an enrollment publishes one")
    else:
        entry = find_snapshot(home, identity)
    snapshot = home.load_snapshot(entry.id)
    (published,) = [one for one in list_snapshots(home) if one.entry.id == entry.id]
    return published.as_dict() | describe_snapshot(snapshot)


def describe_snapshot(snapshot: Snapshot) -> dict[str, Any]:
    """Notes, gates, calibration and what the build's own rehearsal measured, as plain values."""
    return {
        "remarks": list(snapshot.notes),
        "gates": asdict(snapshot.gates),
        "calibration": {name: dict(facts) for name, facts in snapshot.calibration.report.items()},
        "measured": dict(snapshot.measured),
        "camera_cohort": len(snapshot.cohort),
    }


def find_snapshot(home: Home, identity: str) -> SnapshotEntry:
    """The snapshot whose id begins so. Raises BadUsageError when none or several do."""
    if len(identity) < SHORTEST_ID:
        raise BadUsageError(f"give at least {SHORTEST_ID} characters of the snapshot's id")
    found = [entry for entry in home.store.snapshots() if entry.id.startswith(identity)]
    if not found:
        raise BadUsageError(f"no snapshot of this home has an id that begins with {identity}; see `snapshots list`")
    if len(found) > 1:
        raise BadUsageError(f"{len(found)} snapshots have ids that begin with {identity}; give more of it")
    return found[0]


def rollback(home: Home, identity: str) -> RollbackSummary:
    """Make an earlier (or later) snapshot the one that sweeps and scans judge by, with the signatures of then.

    Nothing is deleted: signatures that it was not built from are withdrawn, and going to a snapshot that has them
    brings them back. Its files are verified first. Raises BadUsageError, or SnapshotError when they are damaged.
    """
    entry = find_snapshot(home, identity)
    spec = current_spec(home.settings)
    if entry.spec_id != spec.id:
        raise BadUsageError(
            f"snapshot {entry.id[:16]} was made under specification {entry.spec_id}; this Makersmark fingerprints "
            f"under {spec.id}, so no sweep would judge by it"
        )
    current = home.store.current_snapshot(spec.id)
    home.load_snapshot(entry.id)
    restored = home.store.restore_snapshot(entry.id)
    before = current.id if current is not None else None
    home.ledger.audit("rollback", entry.id, before=before, **asdict(restored))
    return RollbackSummary(before, entry.id, restored)
