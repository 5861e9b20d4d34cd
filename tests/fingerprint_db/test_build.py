"""Building a snapshot: what is learned from good data, and what is admitted about thin data."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fingerprint_db.build import build_snapshot, fold_masks, rehearse
from fingerprint_db.errors import SpecMismatchError
from fingerprint_db.matcher import Matcher
from fingerprint_db.pack import read_pack, write_pack
from fingerprint_db.scoring import VIEWS
from fingerprint_db.verdict import VerdictKind
from tests.fingerprint_db.signatures import QUALITY, SPEC, World

CAMERA = {"camera": "camera"}


def build(records, families=None, kinds=CAMERA, **more):
    return build_snapshot(records, spec_id=SPEC, families=families or {}, kinds=kinds, **more)


def good_world(**changes):
    world = World(seed=1, separation=8.0, **changes)
    makers = ["wan", "sky", "mochi", "ltx"]
    records = [record for name in makers for record in world.records(name, sources=3, clips=4)]
    return world, records + world.records("camera", sources=8, clips=3)


@pytest.fixture(scope="module")
def good():
    """The snapshot of good_world's records."""
    return build(good_world()[1])


def grade(snapshot, name):
    return next(entry for entry in snapshot.classes if entry.generator == name)


def test_well_separated_makers_are_told_from_camera_footage_on_unseen_sources(good):
    assert good.measured["auc"] > 0.95
    assert good.measured["cllr"] < 0.5
    assert len(good.cohort) == 24


def test_makers_that_are_no_different_from_camera_footage_are_never_named_and_cost_no_less_than_a_bit():
    world = World(seed=2, separation=0.0)
    records = [record for name in ("wan", "sky") for record in world.records(name, sources=4, clips=4)]
    snapshot = build(records + world.records("camera", sources=8, clips=4))
    assert snapshot.gates.family_margin is None
    assert 0.9 < snapshot.measured["cllr"] < 1.3
    assert any("nothing is named" in note for note in snapshot.notes)


def test_every_rehearsal_score_comes_from_a_model_that_did_not_see_the_source(good, monkeypatch):
    seen = []

    def spy(vectors, classes, sources, made, **more):
        seen.append(set(sources))
        return real(vectors, classes, sources, made, **more)

    import fingerprint_db.build as module

    real = module.fit_model
    monkeypatch.setattr(module, "fit_model", spy)
    records = sorted(good_world()[1], key=lambda record: record.key)
    clips = module._pool(records, CAMERA)
    masks = fold_masks(clips, 4)
    rehearse(clips, good.classes, masks)
    assert len(masks) == 4
    assert np.sum(masks, axis=0).tolist() == [1] * len(records)
    for mask, trained in zip(masks, seen, strict=True):
        assert trained.isdisjoint({clips.sources[i] for i in np.flatnonzero(mask)})


def test_the_windows_that_the_detection_direction_learns_from_go_with_their_clips():
    import fingerprint_db.build as module

    records = sorted(good_world()[1], key=lambda record: record.key)
    clips = module._pool(records, CAMERA)
    chosen = np.arange(len(records)) % 3 == 1
    some = clips.take(chosen)
    kept = [record for record, one in zip(records, chosen, strict=True) if one]
    assert len(some) == len(kept)
    for number, record in enumerate(kept):
        for name in VIEWS:
            mine = some.pieces[name][some.owners == number]
            windows = np.asarray(getattr(record, name), dtype=np.float64)
            assert len(mine) == min(len(windows), module.PIECES) + 1
            assert {row.tobytes() for row in mine[:-1]} <= {row.tobytes() for row in windows}
            assert mine[0].tobytes() == windows[0].tobytes()
            assert mine[-1] == pytest.approx(some.vectors[name][number])
    assert module._spread(1).tolist() == [0]
    assert len(module._spread(500)) == module.PIECES
    assert module._spread(500)[[0, -1]].tolist() == [0, 499]


def test_sources_of_one_maker_fall_into_different_folds():
    import fingerprint_db.build as module

    clips = module._pool(sorted(good_world()[1], key=lambda record: record.key), CAMERA)
    for mask in fold_masks(clips, 8):
        held = Counter(clips.makers[i] for i in {clips.sources[i]: i for i in np.flatnonzero(mask)}.values())
        assert max(count for maker, count in held.items() if maker != "camera") == 1


def test_a_packed_and_a_direct_enrolment_give_the_same_snapshot(good):
    records = good_world()[1]
    packed = read_pack(write_pack(records, name="starter", spec_id=SPEC)).records
    assert build(packed).id == good.id


def test_a_signature_listed_twice_counts_once(good):
    records = good_world()[1]
    assert build([*records, records[0]]).id == good.id


def test_the_snapshot_says_what_it_was_told():
    assert build(good_world()[1], notes="nightly").notes[0] == "nightly"


def test_signatures_of_another_spec_are_refused():
    records = good_world()[1]
    with pytest.raises(SpecMismatchError, match=SPEC):
        build([*records, replace(records[0], spec_id="another")])


def test_a_maker_known_from_one_source_is_never_named_and_the_class_table_says_why():
    world, records = good_world()
    snapshot = build(records + world.records("solo", sources=1, clips=10))
    entry = grade(snapshot, "solo")
    assert (entry.grade, entry.clips, entry.sources) == ("witness", 10, 1)
    assert "one source" in entry.why
    verdict = Matcher(snapshot).judge(world.windows_of("solo", "elsewhere"), QUALITY, spec_id=SPEC)
    assert verdict.generator is None
    assert "one source" in verdict.reason
    assert verdict.nearest[0].generator == "solo"


def test_the_family_of_a_maker_known_from_one_source_may_be_named_when_its_family_is_known_from_more():
    world, records = good_world()
    families = {"wan": "wan-vae", "solo": "wan-vae"}
    snapshot = build(records + world.records("solo", sources=1, clips=10), families)
    assert grade(snapshot, "solo").grade == "family"


def test_a_maker_with_two_clips_is_never_named():
    world, records = good_world()
    entry = grade(build(records + world.records("rare", sources=2, clips=1)), "rare")
    assert entry.grade == "witness"
    assert "only 2 clips" in entry.why


def test_without_camera_clips_nothing_is_calibrated_and_nothing_is_said_to_be_made():
    world, records = good_world()
    snapshot = build([record for record in records if record.generator != "camera"])
    assert snapshot.calibration.overall is None
    assert any("no camera clips" in note for note in snapshot.notes)
    verdict = Matcher(snapshot).judge(world.windows_of("wan", "elsewhere"), QUALITY, spec_id=SPEC)
    assert verdict.verdict is VerdictKind.INCONCLUSIVE
    assert "enroll camera clips" in verdict.reason
    assert 0 < verdict.llr <= np.log(2)
    assert verdict.p_value is None


def test_with_camera_clips_only_nothing_is_said_to_be_made_either():
    world = World()
    snapshot = build(world.records("camera", sources=5, clips=2))
    verdict = Matcher(snapshot).judge(world.windows_of("wan", "elsewhere"), QUALITY, spec_id=SPEC)
    assert verdict.verdict is VerdictKind.INCONCLUSIVE
    assert np.isfinite(verdict.llr)


@pytest.mark.parametrize("clips", [1, 2, 4])
def test_a_handful_of_clips_from_one_source_a_side_still_gives_a_bounded_likelihood_ratio(clips):
    world = World(seed=5)
    records = world.records("wan", sources=1, clips=clips) + world.records("camera", sources=1, clips=clips)
    snapshot = build(records)
    verdict = Matcher(snapshot).judge(world.windows_of("wan", "elsewhere"), QUALITY, spec_id=SPEC)
    assert abs(verdict.llr) <= np.log1p(clips)
    assert verdict.generator is None
    assert any("one source" in note for note in snapshot.notes)


def test_a_quality_bucket_gets_its_own_calibration_only_with_data_enough():
    world = World(seed=6)
    makers = [("wan", 8, 5), ("camera", 8, 5)]
    records = [
        record for name, sources, clips in makers for record in world.records(name, sources=sources, clips=clips)
    ]
    assert sorted(build(records).calibration.buckets) == ["small-high"]
    few = build(records[::3])
    assert few.calibration.buckets == {}
    assert any("one calibration serves all" in note for note in few.notes)


def test_every_bucket_says_what_it_was_calibrated_on_and_whose_fit_serves_it():
    world = World(seed=6)
    wide = replace(QUALITY, width=1280, height=720)
    records = [r for name in ("wan", "camera") for r in world.records(name, sources=8, clips=5)]
    records += [replace(world.record(name, f"{name}/wide"), quality=wide) for name in ("wan", "camera")]
    report = build(records).calibration.report
    assert set(report) == {"overall", "small-high", "large-high"}
    sides = ("made", "camera", "made_sources", "camera_sources", "fit")
    assert [report["overall"][side] for side in sides] == [41, 41, 9, 9, "own"]
    assert [report["small-high"][side] for side in sides] == [40, 40, 8, 8, "own"]
    assert [report["large-high"][side] for side in sides] == [1, 1, 1, 1, "overall"]
    assert report["overall"]["cllr"] == pytest.approx(build(records).measured["cllr"], abs=0.2)


def test_camera_clips_are_named_in_no_rehearsal_and_the_target_share_is_right():
    world = World(seed=8, separation=4.0)
    makers = ["wan", "sky", "mochi", "ltx", "svd"]
    records = [record for name in makers for record in world.records(name, sources=4, clips=4)]
    snapshot = build(records + world.records("camera", sources=12, clips=3))
    assert snapshot.measured["family_right"] >= 0.85
    assert snapshot.measured["generator_right"] >= 0.85


def test_hdr_camera_footage_in_the_cohort_is_noted(good):
    world, records = good_world()
    assert good.hdr is False
    hdr = replace(world.record("camera", "hdr-page"), quality=replace(QUALITY, hdr=True))
    assert build([*records, hdr]).hdr is True
