"""The SQL tables: times, and what they refuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.orm import Session

from fingerprint_db.models import Base, GeneratorRow, SnapshotRow


@pytest.fixture
def session(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/tables.db")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        yield session


def snapshot(when: datetime) -> SnapshotRow:
    return SnapshotRow(
        id="s1", spec_id="x", created_at=when, published=False, published_at=None, notes="", counts={"wan": 3}
    )


def test_times_come_back_in_utc_whatever_zone_they_were_given_in(session):
    given = datetime(2026, 3, 1, 12, 30, tzinfo=timezone(timedelta(hours=5)))
    session.add(snapshot(given))
    session.commit()
    session.expunge_all()
    back = session.scalars(select(SnapshotRow)).one().created_at
    assert back == given
    assert back.tzinfo is UTC
    assert back.hour == 7


def test_a_time_without_a_zone_is_refused(session):
    session.add(snapshot(datetime(2026, 3, 1)))
    with pytest.raises(StatementError, match="UTC"):
        session.commit()


def test_json_columns_keep_their_values(session):
    session.add(snapshot(datetime.now(UTC)))
    session.commit()
    session.expunge_all()
    assert session.scalars(select(SnapshotRow)).one().counts == {"wan": 3}


def test_two_generators_cannot_share_a_slug(session):
    for _ in range(2):
        session.add(GeneratorRow(slug="wan", name="Wan", kind="generator", family=None, origin="catalogue"))
    with pytest.raises(IntegrityError):
        session.commit()


def test_every_constraint_has_a_name_because_sqlite_alters_only_what_is_named():
    unnamed = [
        (table.name, type(constraint).__name__)
        for table in Base.metadata.tables.values()
        for constraint in table.constraints
        if constraint.name is None
    ]
    assert unnamed == []
