"""How a new signature stands apart from its neighbours, and the grades that follow, on classes whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fingerprint_db.build import build
from fingerprint_db.grades import quality_of
from fingerprint_db.separation import separation
from fingerprint_db.snapshot import ClassEntry
from tests.fingerprint_db.signatures import SPEC, World


def built_with(near: float):
    """Three makers and camera footage; "twin" lies at a distance of ``near`` scatters from "wan"."""
    world = World(seed=3, separation=9.0, nuisance=1.0)
    step = world.mean("twin-own")
    world._means["twin"] = world.mean("wan") + near * step / np.linalg.norm(step)
    world._means["camera"] = np.zeros(40)
    records = [record for name in ("wan", "twin", "mochi") for record in world.records(name, sources=4, clips=3)]
    records += world.records("camera", sources=6, clips=3)
    return world, records


def made(records, **families):
    return build(records, spec_id=SPEC, families=families, kinds={"camera": "camera"})


@pytest.fixture(scope="module")
def apart():
    return made(built_with(9.0)[1], wan="wan-vae")


@pytest.fixture(scope="module")
def alike():
    return made(built_with(0.0)[1])


def test_a_maker_that_stands_apart_is_nearest_to_itself_on_sources_unseen(apart):
    found = separation(apart, "twin")
    assert (found.clips, found.sources, found.held_out, found.tested) == (12, 4, "source", 12)
    assert found.rank1 > 0.9
    assert found.camera_auc > 0.95
    assert found.rivals[0].generator == "wan"  # the nearest neighbour comes first
    assert found.rivals[0].family == "wan-vae"
    assert found.own_cosine > found.rivals[0].cosine
    assert all(rival.auc > 0.95 for rival in found.rivals)


def test_a_maker_that_is_another_under_a_new_name_is_told_from_it_by_chance_only(alike):
    found = separation(alike, "twin")
    assert found.rivals[0].generator == "wan"
    assert 0.2 < found.rivals[0].auc < 0.75
    assert found.rank1 < 0.85
    assert found.rivals[1].auc > 0.9  # mochi is still another one


def test_camera_footage_is_no_rival_and_is_not_held_against_itself(apart):
    assert "camera" not in {rival.generator for rival in separation(apart, "twin").rivals}
    assert separation(apart, "camera").camera_auc is None


def test_clips_of_one_source_are_held_out_one_by_one_and_that_is_said():
    world, records = built_with(9.0)
    solo = made(records + world.records("solo", sources=1, clips=5))
    found = separation(solo, "solo")
    assert (found.sources, found.held_out, found.tested) == (1, "clip", 5)
    assert found.rank1 == 1.0
    assert found.camera_auc is not None
    by_source = separation(solo, "solo", singly=False)
    assert (by_source.tested, by_source.rank1, by_source.rivals) == (0, None, ())


def test_a_maker_without_a_signature_has_no_separation(apart):
    with pytest.raises(ValueError, match="no signature of nobody"):
        separation(apart, "nobody")


def test_the_first_maker_of_a_home_has_nothing_to_stand_apart_from():
    world = World(seed=4)
    found = separation(made(world.records("wan", sources=3, clips=2)), "wan")
    assert (found.tested, found.rank1, found.camera_auc, found.rivals) == (0, None, None, ())


def test_the_class_table_keeps_what_the_rehearsal_found(apart):
    table = {entry.generator: entry for entry in apart.snapshot.classes}
    assert (table["twin"].tested, table["twin"].nearest_right) == (12, round(12 * separation(apart, "twin").rank1))
    assert table["twin"].auc > 0.95
    assert table["camera"].auc is None
    assert quality_of(table["twin"], len(table)).grade == "good"


ENTRY = ClassEntry("wan", "generator", None, 20, 4, "named", tested=20, nearest_right=18, auc=0.91)


@pytest.mark.parametrize(
    ("change", "grade", "why"),
    [
        (
            {},
            "good",
            "18 of 20 clips of sources unseen were nearest to it (chance 2%); against camera",
        ),
        ({"nearest_right": 9}, "fair", "9 of 20"),
        ({"nearest_right": 5}, "weak", "5 of 20"),
        ({"tested": 3, "nearest_right": 3}, "fair", "3 of 3"),  # three of three prove less than a half
        ({"tested": 2, "nearest_right": 2}, "untested", "only 2 clips"),
        ({"tested": 0, "nearest_right": 0, "sources": 1}, "untested", "one source"),
        ({"tested": None}, "unmeasured", "publishing anew"),
        ({"kind": "camera", "auc": None}, "reference", "20 clips of 4 sources"),
    ],
)
def test_grades_say_what_was_measured(change, grade, why):
    found = quality_of(replace(ENTRY, **change), 51)
    assert found.grade == grade
    assert why in found.why


def test_among_few_makers_a_share_near_chance_is_weak_whatever_it_is():
    assert quality_of(replace(ENTRY, nearest_right=9), 4).grade == "weak"
