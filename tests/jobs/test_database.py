"""Opening the database: from empty, against the models, refusals in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from fingerprint_db.models import Base as SignatureBase
from jobs.database import open_database
from jobs.errors import DatabaseError
from jobs.migrations import migrate
from jobs.models import VERSION_TABLE, Base


def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'home' / 'db.sqlite'}"


def test_an_empty_database_gets_the_tables_of_both_packages(tmp_path: Path) -> None:
    names = set(inspect(open_database(url(tmp_path))).get_table_names())
    assert names >= set(Base.metadata.tables) | set(SignatureBase.metadata.tables)


def test_the_migrated_schema_is_the_schema_of_the_models(tmp_path: Path) -> None:
    engine = open_database(url(tmp_path))

    def ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or name in Base.metadata.tables

    with engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True, "include_name": ours}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []


def test_indexes_and_keys_are_those_of_the_models(tmp_path: Path) -> None:
    migrated = create_engine(url(tmp_path / "a"))
    (tmp_path / "a" / "home").mkdir(parents=True)
    migrate(migrated)
    declared = create_engine("sqlite://")
    Base.metadata.create_all(declared)
    for table in Base.metadata.tables:
        for facts in ("get_pk_constraint", "get_foreign_keys", "get_unique_constraints", "get_indexes"):
            found, wanted = (getattr(inspect(engine), facts)(table) for engine in (migrated, declared))
            if isinstance(found, list):  # in whatever order they were declared
                found, wanted = (sorted(each, key=lambda entry: str(entry["name"])) for each in (found, wanted))
            assert found == wanted, (table, facts)


def test_opening_twice_keeps_what_is_there(tmp_path: Path) -> None:
    engine = open_database(url(tmp_path))
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO asset (sha256, size, first_seen) VALUES ('a', 1, '2026-01-01')"))
    with open_database(url(tmp_path)).connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM asset")).scalar() == 1


def test_a_schema_that_is_newer_than_the_code_is_refused(tmp_path: Path) -> None:
    engine = open_database(url(tmp_path))
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="newer Makersmark"):
        open_database(url(tmp_path))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("nonsense", "cannot be parsed"),
        ("sqlite:////proc/nowhere/db.sqlite", "cannot be made"),
        ("postgresql://nobody:secret@127.0.0.1:9/none", "cannot be opened|no driver"),
        ("frob://x/y", "no driver"),
    ],
)
def test_what_cannot_be_opened_is_said_without_the_password(wrong: str, sentence: str) -> None:
    with pytest.raises(DatabaseError, match=sentence) as refused:
        open_database(wrong)
    assert "secret" not in str(refused.value)
