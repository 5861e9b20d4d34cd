"""Migrations: from empty, against the models, several processes at once, and a schema from the future."""

from __future__ import annotations

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from fingerprint_db.errors import SchemaError
from fingerprint_db.migrations import migrate, schema_version
from fingerprint_db.models import VERSION_TABLE, Base


@pytest.fixture
def engine(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/db.sqlite")
    yield engine
    engine.dispose()


def test_an_empty_database_gets_every_table(engine):
    migrate(engine)
    assert set(inspect(engine).get_table_names()) == {*Base.metadata.tables, VERSION_TABLE}


def test_the_migrated_schema_is_the_schema_of_the_models(engine):
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_constraint_names_are_those_of_the_models(engine):
    migrate(engine)
    other = create_engine("sqlite://")
    Base.metadata.create_all(other)
    for table in Base.metadata.tables:
        migrated, declared = inspect(engine), inspect(other)
        for facts in ("get_pk_constraint", "get_foreign_keys", "get_unique_constraints", "get_indexes"):
            assert getattr(migrated, facts)(table) == getattr(declared, facts)(table)


def test_migrating_twice_changes_nothing_and_keeps_the_rows(engine):
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO decoder_family (slug, name) VALUES ('wan-vae', 'Wan')"))
    migrate(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT slug FROM decoder_family")).scalars().all() == ["wan-vae"]


def test_a_schema_from_a_newer_version_is_refused_and_left_alone(engine):
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(SchemaError, match=r"schema 9999.*upgrade"):
        migrate(engine)
    with engine.connect() as connection:
        assert schema_version(connection) == "9999"


def test_tables_of_other_packages_in_the_same_database_are_left_alone(engine):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE asset (id INTEGER PRIMARY KEY)"))
        connection.execute(text("CREATE TABLE jobs_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO jobs_version VALUES ('abc')"))
    migrate(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM jobs_version")).scalar_one() == "abc"
    assert "asset" in inspect(engine).get_table_names()


def test_programs_that_start_at_the_same_moment_all_find_the_schema(tmp_path):
    url = f"sqlite:///{tmp_path}/race.sqlite"
    start = threading.Barrier(4)
    failures: list[BaseException] = []

    def program() -> None:
        engine = create_engine(url, connect_args={"timeout": 30})
        try:
            start.wait()
            migrate(engine)
        except BaseException as error:
            failures.append(error)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=program) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_failing_migration_leaves_the_database_as_it_was(engine):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE signature (id INTEGER PRIMARY KEY)"))  # in the way of revision 0001
    with pytest.raises(Exception, match="signature"):
        migrate(engine)
    assert inspect(engine).get_table_names() == ["signature"]


def test_a_database_from_before_rollbacks_keeps_its_signatures_and_all_are_in_use(engine):
    migrate(engine)
    with engine.begin() as connection:  # as revision 0001 left it
        connection.execute(text("DROP TABLE snapshot_signature"))
        connection.execute(text("ALTER TABLE signature DROP COLUMN withdrawn_at"))
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0001'"))
        connection.execute(
            text("INSERT INTO generator (slug, name, kind, origin) VALUES ('wan', 'Wan', 'generator', 'catalogue')")
        )
        connection.execute(
            text(
                "INSERT INTO signature (sha256, generator, source, spec_id, enrolled_at, origin, quality, windows) "
                "VALUES ('00', 'wan', 'page', 'spec', '2026-01-01', 'user', '{}', x'00')"
            )
        )
    migrate(engine)
    with engine.connect() as connection:
        kept = connection.execute(text("SELECT sha256, withdrawn_at FROM signature")).all()
    assert [tuple(row) for row in kept] == [("00", None)]
