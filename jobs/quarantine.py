"""What was set aside and why, and how to let it try again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from jobs.archive import canonical_uri
from jobs.database import for_reading
from jobs.models import ItemState, Location, LocationState, WorkItem, utc_now


@dataclass(frozen=True, slots=True)
class SetAside:
    """One content or location without a verdict. sha256 is None when the bytes themselves could not be had."""

    uri: str
    sha256: str | None
    state: str
    kind: str
    message: str
    attempts: int
    since: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def set_aside(engine: Engine, *, skipped: bool = False) -> list[SetAside]:
    """Quarantined contents and unreadable locations, by URI. skipped: also what is no video at all."""
    states = [ItemState.QUARANTINED.value, *([ItemState.SKIPPED.value] if skipped else [])]
    items = (
        select(WorkItem, func.min(Location.uri))
        .join(Location, Location.sha256 == WorkItem.sha256, isouter=True)
        .where(WorkItem.state.in_(states))
        .group_by(WorkItem.sha256, WorkItem.spec_id)
    )
    unreadable = select(Location).where(Location.state == LocationState.UNREADABLE.value)
    found: list[SetAside] = []
    with Session(for_reading(engine)) as session:
        for item, uri in session.execute(items):
            found.append(
                SetAside(
                    uri=uri or "",
                    sha256=item.sha256,
                    state=item.state,
                    kind=item.failure_kind or "",
                    message=item.failure_message or "",
                    attempts=item.attempts,
                    since=item.updated_at.isoformat(timespec="seconds"),
                )
            )
        for place in session.scalars(unreadable):
            found.append(
                SetAside(
                    uri=place.uri,
                    sha256=None,
                    state=place.state,
                    kind=place.failure_kind or "",
                    message=place.failure_message or "",
                    attempts=place.attempts,
                    since=place.last_listed.isoformat(timespec="seconds"),
                )
            )
    return sorted(found, key=lambda entry: (entry.uri, entry.sha256 or ""))


def let_retry(engine: Engine, targets: Sequence[str] | None) -> list[SetAside]:
    """Give set-aside entries fresh attempts in the next sweep; returns those that were released.

    targets: SHA-256 sums (or their first 8 or more digits), URIs or paths; None releases everything.
    """
    wanted = set(targets or ()) | {canonical_uri(target) for target in targets or ()}
    released: list[SetAside] = []
    for entry in set_aside(engine, skipped=True):
        named = entry.uri in wanted or any(
            len(target) >= 8 and entry.sha256 is not None and entry.sha256.startswith(target) for target in wanted
        )
        if named or (targets is None and entry.state != ItemState.SKIPPED.value):
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
