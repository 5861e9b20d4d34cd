"""What was set aside and why, everything known of one entry, and how to let it try again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from cluster.outcome import ClusterFault
from jobs.archive import canonical_uri, safe_uri
from jobs.database import for_reading
from jobs.errors import FailureKind
from jobs.models import Asset, ItemState, Location, LocationState, WorkItem, utc_now

_AGAIN = "`makersmark quarantine retry` gives it fresh attempts in the next sweep"
# What a person can do about each class; the class alone decides, so that the advice is there for old entries too.
_NEXT: dict[str, str] = {
    FailureKind.NOT_FOUND: "It vanished between listing and opening; the next sweep lists the archive again.",
    FailureKind.ACCESS_DENIED: f"Grant the sweep's user the right to read it; then {_AGAIN}.",
    FailureKind.STORAGE_UNAVAILABLE: f"Look at the store and the way to it; when it answers again, {_AGAIN}.",
    FailureKind.EMPTY_FILE: "The file has no bytes: an upload that never began. Replace it; a changed file is opened.",
    FailureKind.NOT_A_VIDEO: "Nothing to do; remove or rename it if it should not be in the archive.",
    FailureKind.NO_VIDEO_STREAM: "Nothing to do: it has sound or a cover picture only.",
    FailureKind.UNSUPPORTED_CODEC: f"Convert it, or update the decoder's library; then {_AGAIN}.",
    FailureKind.DAMAGED: "Restore it from the original if there is one; a changed file is opened by the next sweep.",
    FailureKind.TOO_LARGE: "Its frames are larger than any video's; if it is genuine, judge a smaller copy.",
    ClusterFault.DEADLINE: f"Try it alone with a larger `file_s`; if it is genuine, raise that setting and {_AGAIN}.",
    ClusterFault.STALLED: f"The decoder hung. Try `--decoder decord` on it with `scan`; after an update, {_AGAIN}.",
    ClusterFault.OUT_OF_MEMORY: f"If it is genuine, raise `decode_mb` and {_AGAIN}; its decoder needed more than that.",
    ClusterFault.CRASHED: "It kills the decoder, which may be an attack: keep it away from other software, report it"
    f" to the decoder's makers; after their fix, {_AGAIN}.",
    ClusterFault.WORKER_LOST: f"Machines were lost while it was decoded; look at their memory. Then {_AGAIN}.",
    ClusterFault.INTERNAL: f"A fault of Makersmark: please report it with this message. After an update, {_AGAIN}.",
}


@dataclass(frozen=True, slots=True)
class SetAside:
    """One content or location without a verdict. sha256 is None when the bytes themselves could not be had.

    uri: its first name that is still listed. locations: every name under which the content was ever listed, with the
    state of each. message: ends with the decoder's last words where it left some. next_step: what a person can do.
    """

    uri: str
    sha256: str | None
    state: str
    kind: str
    message: str
    attempts: int
    since: str
    policy: str = ""
    size: int | None = None
    spec: str | None = None
    locations: tuple[tuple[str, str], ...] = ()
    next_step: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For ``quarantine list --json``: the short form."""
        whole = asdict(self)
        return {name: whole[name] for name in ("uri", "sha256", "state", "kind", "message", "attempts", "since")}

    def as_full_dict(self) -> dict[str, Any]:
        """For ``quarantine show --json``: everything."""
        listed = [{"uri": safe_uri(uri), "state": state} for uri, state in self.locations]
        return {**asdict(self), "uri": safe_uri(self.uri), "locations": listed}


def set_aside(engine: Engine, *, skipped: bool = False) -> list[SetAside]:
    """Quarantined contents and unreadable locations, by URI. skipped: also what is no video at all."""
    states = [ItemState.QUARANTINED.value, *([ItemState.SKIPPED.value] if skipped else [])]
    with Session(for_reading(engine)) as session:
        items = session.execute(
            select(WorkItem, Asset.size)
            .join(Asset, Asset.sha256 == WorkItem.sha256)
            .where(WorkItem.state.in_(states))
            .order_by(WorkItem.sha256, WorkItem.spec_id)
        ).all()
        places = _places(session, states)
        unreadable = session.scalars(select(Location).where(Location.state == LocationState.UNREADABLE.value)).all()
        found = [_of_item(item, size, places.get(item.sha256, ())) for item, size in items]
        found += [_of_location(place) for place in unreadable]
    return sorted(found, key=lambda entry: (entry.uri, entry.sha256 or ""))


def find(engine: Engine, target: str) -> list[SetAside]:
    """The entries that a SHA-256 (or its first 8 or more digits), a URI or a path names; one a spec, usually one."""
    return [entry for entry in set_aside(engine, skipped=True) if _named(entry, {target, canonical_uri(target)})]


def let_retry(engine: Engine, targets: Sequence[str] | None) -> list[SetAside]:
    """Give set-aside entries fresh attempts in the next sweep; returns those that were released.

    targets: SHA-256 sums (or their first 8 or more digits), URIs or paths; None releases everything.
    """
    wanted = set(targets or ()) | {canonical_uri(target) for target in targets or ()}
    released: list[SetAside] = []
    for entry in set_aside(engine, skipped=True):
        if _named(entry, wanted) or (targets is None and entry.state != ItemState.SKIPPED.value):
            released.append(entry)
    now = utc_now()
    with Session(engine) as session, session.begin():
        for entry in released:
            if entry.sha256 is None:
                place = session.get_one(Location, entry.uri)
                place.state, place.attempts = LocationState.LISTED.value, 0
                continue
            for item in session.scalars(select(WorkItem).where(WorkItem.sha256 == entry.sha256)):
                if item.state in (ItemState.QUARANTINED.value, ItemState.SKIPPED.value):
                    item.state, item.attempts, item.updated_at = ItemState.FAILED.value, 0, now
    return released


def _named(entry: SetAside, wanted: set[str]) -> bool:
    if any(uri in wanted for uri, _state in entry.locations):
        return True
    digits = (target.lower() for target in wanted if len(target) >= 8)
    return entry.sha256 is not None and any(entry.sha256.startswith(target) for target in digits)


def _places(session: Session, states: Sequence[str]) -> dict[str, tuple[tuple[str, str], ...]]:
    """Where the contents of set-aside items lie: listed names first, each with its state."""
    rows = session.execute(
        select(Location.sha256, Location.uri, Location.state)
        .where(Location.sha256.in_(select(WorkItem.sha256).where(WorkItem.state.in_(states))))
        .order_by(Location.uri)
    )
    found: dict[str, list[tuple[str, str]]] = {}
    for sha256, uri, state in rows:
        found.setdefault(str(sha256), []).append((uri, state))
    gone = LocationState.GONE.value
    return {sha256: tuple(sorted(places, key=lambda place: place[1] == gone)) for sha256, places in found.items()}


def _of_item(item: WorkItem, size: int, places: tuple[tuple[str, str], ...]) -> SetAside:
    return SetAside(
        uri=places[0][0] if places else "",
        sha256=item.sha256,
        state=item.state,
        kind=item.failure_kind or "",
        message=item.failure_message or "",
        attempts=item.attempts,
        since=item.updated_at.isoformat(timespec="seconds"),
        policy=item.failure_policy or "",
        size=size,
        spec=item.spec_id,
        locations=places,
        next_step=_NEXT.get(item.failure_kind or "", ""),
    )


def _of_location(place: Location) -> SetAside:
    return SetAside(
        uri=place.uri,
        sha256=None,
        state=place.state,
        kind=place.failure_kind or "",
        message=place.failure_message or "",
        attempts=place.attempts,
        since=place.last_listed.isoformat(timespec="seconds"),
        policy=place.failure_policy or "",
        size=place.size,
        locations=((place.uri, place.state),),
        next_step=_NEXT.get(place.failure_kind or "", ""),
    )
