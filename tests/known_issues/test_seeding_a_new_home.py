"""The catalogue came into a new home by a transaction a generator: over a hundred writes made durable one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import event

from fingerprint_db.catalogue import load_catalogue
from fingerprint_db.errors import FingerprintDbError
from fingerprint_db.store import GeneratorEntry
from jobs.home import Home
from jobs.settings import Settings
from jobs.snapshots import CAMERA, seed_catalogue


def test_the_catalogue_comes_into_a_new_home_in_one_transaction(tmp_path: Path) -> None:
    home = Home(Settings(home=str(tmp_path / "home")))
    commits: list[object] = []
    event.listen(home.engine, "commit", commits.append)
    seed_catalogue(home.store)
    assert len(commits) == 1
    known = load_catalogue().generators
    assert {entry.slug for entry in home.store.generators()} == {CAMERA, *known}
    assert {e.slug: (e.name, e.kind, e.family) for e in home.store.generators() if e.slug != CAMERA} == {
        g.slug: (g.name, g.kind.value, g.family) for g in known.values()
    }
    home.close()


def test_seeding_again_brings_facts_up_to_date_and_leaves_what_was_enrolled(tmp_path: Path) -> None:
    home = Home(Settings(home=str(tmp_path / "home")))
    slug = next(iter(load_catalogue().generators))
    home.store.register_generator(slug, name="under another name", origin="enrolled")
    home.store.register_generator("own", name="our own", family="own-family", origin="enrolled")
    seed_catalogue(home.store)
    first = home.store.generators()
    seed_catalogue(home.store)
    assert home.store.generators() == first
    found = {entry.slug: entry for entry in first}
    assert (found[slug].name, found[slug].origin) == (load_catalogue().generators[slug].name, "catalogue")
    assert found["own"] == GeneratorEntry("own", "our own", "generator", "own-family", "enrolled")
    home.close()


def test_a_catalogue_that_the_database_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    home = Home(Settings(home=str(tmp_path / "home")))
    entries = [
        GeneratorEntry("sound", "sound", "generator", "family", "catalogue"),
        GeneratorEntry("stray", "stray", "generator", "no such family", "catalogue"),
    ]
    with pytest.raises(FingerprintDbError, match="refused"):
        home.store.register_catalogue({"family": "a family"}, entries)
    assert home.store.generators() == []
    home.close()
