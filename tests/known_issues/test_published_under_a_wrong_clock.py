"""A snapshot published while the clock was ahead used to stay current whatever was published after it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import create_engine, update

from fingerprint_db.migrations import migrate
from fingerprint_db.models import SnapshotRow
from fingerprint_db.store import SignatureStore


def test_what_was_published_last_is_current_whatever_the_clock_said_before(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/db.sqlite")
    migrate(engine)
    store = SignatureStore(engine)
    store.publish_snapshot("from the future", spec_id="spec", counts={})
    with engine.begin() as connection:
        connection.execute(update(SnapshotRow).values(published_at=datetime.now(UTC) + timedelta(days=400)))
    store.publish_snapshot("newer", spec_id="spec", counts={})
    current = store.current_snapshot("spec")
    assert current is not None
    assert current.id == "newer"
    store.publish_snapshot("from the future", spec_id="spec", counts={})
    current = store.current_snapshot("spec")
    assert current is not None
    assert current.id == "from the future"
    engine.dispose()
