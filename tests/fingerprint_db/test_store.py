"""The signature store: idempotent writes, honest counts, snapshots that can be gone back to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, delete, func, select

from fingerprint_db.errors import FingerprintDbError, UnknownGeneratorError
from fingerprint_db.migrations import migrate
from fingerprint_db.models import VERSION_TABLE, Base, SignatureRow, SnapshotSignatureRow
from fingerprint_db.store import ClassCount, GeneratorEntry, SignatureStore
from tests.fingerprint_db.signatures import SPEC, World

OURS = {*Base.metadata.tables, VERSION_TABLE}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def engine(request, tmp_path):
    """A new SQLite file, or a new database on a real PostgreSQL server."""
    url = f"sqlite:///{tmp_path}/db.sqlite"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    engine = create_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine):
    migrate(engine)
    store = SignatureStore(engine)
    store.register_generator("wan", name="Wan 2.1", family="wan-vae", origin="catalogue")
    store.register_generator("phone", name="My phone", kind="camera", origin="enrolled")
    return store


def test_a_signature_comes_back_exactly_as_it_was_enrolled(store):
    record = World().record("wan", "wan.example/page")
    store.add_signature(record)
    [back] = store.signatures(SPEC)
    assert (back.key, back.source, back.quality, back.origin) == (record.key, record.source, record.quality, "user")
    for name in ("decoder", "texture", "burst", "crop"):
        assert np.array_equal(getattr(back, name), getattr(record, name))
        assert getattr(back, name).dtype == getattr(record, name).dtype


def test_enrolling_the_same_clip_twice_counts_once(store):
    record = World().record("wan", "page")
    assert store.add_signature(record) is True
    assert store.add_signature(record) is False
    assert store.counts(SPEC) == {"wan": ClassCount(clips=1, sources=1)}


def test_the_time_of_enrolment_is_utc_and_survives_a_second_enrolment(engine, store):
    record = World().record("wan", "page")
    store.add_signature(record)
    query = select(SignatureRow.enrolled_at)
    with engine.connect() as connection:
        first = connection.execute(query).scalar_one()
    store.add_signature(record)
    with engine.connect() as connection:
        assert connection.execute(query).scalar_one() == first
    assert first.tzinfo is UTC
    assert abs(first - datetime.now(UTC)) < timedelta(minutes=5)


def test_the_same_clip_may_stand_under_two_generators_and_two_specs(store):
    record = World().record("wan", "page")
    twin = replace(record, generator="phone")
    newer = replace(record, spec_id="another")
    assert store.add_signatures([record, twin, newer]) == 3
    assert [found.generator for found in store.signatures(SPEC)] == ["phone", "wan"]
    assert len(store.signatures("another")) == 1


def test_counts_tell_clips_and_independent_sources(store):
    world = World()
    store.add_signatures(world.records("wan", sources=3, clips=2) + world.records("phone", sources=1, clips=4))
    assert store.counts(SPEC) == {"wan": ClassCount(6, 3), "phone": ClassCount(4, 1)}
    assert store.counts("another") == {}


def test_an_unregistered_generator_is_refused_and_nothing_of_the_batch_is_kept(store):
    world = World()
    with pytest.raises(UnknownGeneratorError, match="'nobody' is not registered"):
        store.add_signatures([world.record("wan", "a"), world.record("nobody", "b")])
    assert store.signatures(SPEC) == []


def test_registering_again_updates_the_facts_but_a_catalogue_entry_stays_one(store):
    store.register_generator("wan", name="Wan", family="wan-vae", origin="enrolled")
    [entry] = [entry for entry in store.generators() if entry.slug == "wan"]
    assert (entry.name, entry.family, entry.origin, entry.kind) == ("Wan", "wan-vae", "catalogue", "generator")


def test_a_catalogue_comes_in_as_a_whole_and_again_with_its_newer_facts(store):
    entries = [
        GeneratorEntry("wan", "Wan", "generator", "wan-vae", "catalogue"),
        GeneratorEntry("phone", "a phone", "camera", None, "catalogue"),
        GeneratorEntry("new", "New", "processor", "new-vae", "catalogue"),
    ]
    families = {"wan-vae": "the Wan decoder", "new-vae": "a decoder"}
    for _ in range(2):
        store.register_catalogue(families, entries)
        assert store.generators() == sorted(entries, key=lambda entry: entry.slug)
    store.register_catalogue(families, [replace(entries[2], name="Newer")])
    assert [entry.name for entry in store.generators()] == ["Newer", "a phone", "Wan"]
    store.register_catalogue({}, [])
    assert len(store.generators()) == 3


def test_the_migrated_schema_is_the_schema_of_the_models_on_this_database_too(engine, store):
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": VERSION_TABLE,
                "include_name": lambda name, kind, _: kind != "table" or name in OURS,
            },
        )
        assert compare_metadata(context, Base.metadata) == []


def test_an_unknown_kind_is_refused(store):
    with pytest.raises(ValueError, match="camera, not 'animal'"):
        store.register_generator("x", name="X", kind="animal", origin="enrolled")


def test_signatures_come_in_an_order_that_does_not_depend_on_when_they_were_enrolled(store):
    records = World().records("wan", sources=2, clips=3)
    store.add_signatures(reversed(records))
    assert [record.key for record in store.signatures(SPEC)] == sorted(record.key for record in records)


def test_removing_takes_one_clip_or_all_of_a_generator(store):
    records = World().records("wan", sources=1, clips=3)
    store.add_signatures(records)
    assert store.remove(generator="wan", sha256=records[0].sha256) == 1
    assert store.remove(generator="wan", spec_id="another") == 0
    assert store.remove(generator="wan") == 2
    assert store.counts(SPEC) == {}


def test_the_snapshot_published_last_is_current_and_an_older_one_can_be_made_current_again(store):
    assert store.current_snapshot(SPEC) is None
    store.publish_snapshot("aaa", spec_id=SPEC, counts={"wan": 3}, notes="first")
    store.publish_snapshot("bbb", spec_id=SPEC, counts={"wan": 9})
    assert store.current_snapshot(SPEC).id == "bbb"
    store.publish_snapshot("aaa", spec_id=SPEC, counts={"wan": 3}, notes="first")
    current = store.current_snapshot(SPEC)
    assert (current.id, current.counts, current.notes) == ("aaa", {"wan": 3}, "first")
    assert [entry.id for entry in store.snapshots()] == ["aaa", "bbb"]
    assert current.published_at.tzinfo is UTC
    assert current.created_at < current.published_at


def test_each_spec_has_its_own_current_snapshot(store):
    store.publish_snapshot("aaa", spec_id=SPEC, counts={})
    assert store.current_snapshot("another") is None


def publish(store, name, records):
    counts = {"wan": {"clips": len(records), "sources": 1}} if records else {}
    store.publish_snapshot(name, spec_id=SPEC, counts=counts, built_from=records)


def keys(records):
    return sorted(record.key for record in records)


def enrolled_one_after_the_other(store):
    """Snapshots "one" of the first clip, "two" of two clips; the records."""
    records = World().records("wan", sources=3, clips=1)
    store.add_signatures(records[:1])
    publish(store, "one", records[:1])
    store.add_signatures(records[1:2])
    publish(store, "two", records[:2])
    return records


def test_going_back_withdraws_what_came_later_and_deletes_nothing(engine, store):
    records = enrolled_one_after_the_other(store)
    done = store.restore_snapshot("one")
    assert (done.withdrawn, done.reinstated, done.forgotten) == (1, 0, 0)
    assert store.current_snapshot(SPEC).id == "one"
    assert keys(store.signatures(SPEC)) == keys(records[:1])
    assert store.counts(SPEC) == {"wan": ClassCount(1, 1)}
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(SignatureRow)).scalar_one() == 2
    assert keys(store.signatures_of("two")) == keys(records[:2])


def test_snapshots_of_two_branches_each_come_back_with_exactly_their_own_signatures(store):
    records = enrolled_one_after_the_other(store)
    store.restore_snapshot("one")
    store.add_signatures(records[2:])
    publish(store, "branch", [records[0], records[2]])
    done = store.restore_snapshot("two")
    assert (done.withdrawn, done.reinstated) == (1, 1)
    assert keys(store.signatures(SPEC)) == keys(records[:2])
    store.restore_snapshot("branch")
    assert keys(store.signatures(SPEC)) == keys([records[0], records[2]])
    assert [entry.id for entry in store.snapshots()] == ["branch", "two", "one"]


def test_a_withdrawn_clip_that_is_enrolled_again_is_in_use_again_and_counts_as_new(store):
    records = enrolled_one_after_the_other(store)
    store.restore_snapshot("one")
    assert store.add_signature(records[1]) is True
    assert store.add_signature(records[1]) is False
    assert keys(store.signatures(SPEC)) == keys(records[:2])


def test_going_back_twice_changes_nothing_more(store):
    enrolled_one_after_the_other(store)
    store.restore_snapshot("one")
    again = store.restore_snapshot("one")
    assert (again.withdrawn, again.reinstated, again.forgotten) == (0, 0, 0)


def test_signatures_of_another_spec_are_left_alone_by_going_back(store):
    enrolled_one_after_the_other(store)
    store.add_signature(replace(World(seed=9).record("wan", "x"), spec_id="another"))
    store.restore_snapshot("one")
    assert len(store.signatures("another")) == 1


def test_what_was_removed_since_is_said_to_be_forgotten(store):
    records = enrolled_one_after_the_other(store)
    assert store.remove(generator="wan", sha256=records[1].sha256) == 1
    done = store.restore_snapshot("two")
    assert done.forgotten == 1
    assert keys(store.signatures(SPEC)) == keys(records[:1])


def test_a_snapshot_from_before_memberships_were_recorded_goes_back_by_time(engine, store):
    records = enrolled_one_after_the_other(store)
    with engine.begin() as connection:
        connection.execute(delete(SnapshotSignatureRow))
    assert store.restore_snapshot("one").withdrawn == 1
    assert keys(store.signatures(SPEC)) == keys(records[:1])


def test_going_back_to_a_snapshot_of_no_signature_withdraws_them_all(store):
    publish(store, "empty", [])
    enrolled_one_after_the_other(store)
    assert store.restore_snapshot("empty").withdrawn == 2
    assert store.signatures(SPEC) == []


def test_a_snapshot_that_was_never_published_cannot_be_gone_back_to(store):
    with pytest.raises(FingerprintDbError, match="ever published"):
        store.restore_snapshot("nowhere")
