"""Gates and grades: what may be named, and from when on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fingerprint_db.snapshot import ClassEntry
from fingerprint_db.thresholds import (
    Rehearsal,
    best_made,
    choose_gates,
    grade_classes,
    lower_bound,
    quality_bucket,
    rank_groups,
)
from fingerprint_db.window import Quality

CLASSES = (
    ClassEntry("camera", "camera", None, 20, 5, "witness"),
    ClassEntry("mochi", "generator", None, 9, 3, "named"),
    ClassEntry("sky", "generator", "wan-vae", 9, 3, "named"),
    ClassEntry("wan", "generator", "wan-vae", 9, 3, "named"),
)


def test_makers_of_a_family_add_up_before_families_are_compared():
    cosines = np.array([0.0, 0.50, 0.45, 0.45])
    ranking = rank_groups(cosines, CLASSES, temperature=10.0)
    assert ranking.group == "wan-vae"
    assert ranking.margin == pytest.approx(math.log(2 * math.exp(4.5)) - 5.0)
    assert ranking.maker_margin == pytest.approx(0.0)


def test_a_maker_alone_in_its_group_has_no_rival_within_it():
    ranking = rank_groups(np.array([0.0, 0.9, 0.1, 0.1]), CLASSES, temperature=10.0)
    assert (ranking.group, CLASSES[ranking.maker].generator) == ("=mochi", "mochi")
    assert ranking.maker_margin == math.inf


def test_a_class_that_was_not_at_hand_is_not_in_the_running():
    ranking = rank_groups(np.array([-np.inf, 0.1, -np.inf, 0.2]), CLASSES, temperature=10.0)
    assert CLASSES[ranking.maker].generator == "wan"
    assert ranking.margin == pytest.approx(1.0)


def test_the_best_maker_that_is_no_camera_is_ranked_whether_or_not_camera_footage_fits_better():
    made = best_made(np.array([0.9, 0.5, 0.45, 0.47]), CLASSES, temperature=10.0)
    assert CLASSES[made[0]].generator == "wan"  # its family adds up to more than mochi alone
    assert made[1] == pytest.approx(math.log(math.exp(4.5) + math.exp(4.7)) - 9.0)
    lone = best_made(np.array([0.0, 0.9, 0.1, 0.1]), CLASSES, temperature=10.0)
    assert (CLASSES[lone[0]].generator, lone[1]) == ("mochi", pytest.approx(9.0 - math.log(2 * math.exp(1.0))))


def test_with_nothing_to_compare_there_is_no_best_maker():
    assert best_made(np.array([0.9, -np.inf, -np.inf, -np.inf]), CLASSES, 10.0) is None
    assert best_made(np.array([-np.inf, 0.9, -np.inf, -np.inf]), CLASSES, 10.0) is None


def test_the_lower_bound_is_the_share_at_which_so_many_hits_would_be_this_surprising():
    for hits, trials in ((7, 7), (9, 10), (40, 45)):
        share = lower_bound(hits, trials)
        assert stats.binom.sf(hits - 1, trials, share) == pytest.approx(0.1)
    assert lower_bound(0, 5) == 0.0


def rehearsal(rights, wrongs, cameras_like_wan=0):
    """Clips of wan that score wan (right), clips of mochi that score wan less clearly (wrong), and camera clips."""
    rows = [[0.0, 0.1, -0.9, 0.9]] * rights + [[0.0, 0.1, -0.9, 0.5]] * wrongs
    truth = [3] * rights + [1] * wrongs
    cameras = 40
    rows += [[0.0, 0.1, -0.9, 0.95]] * cameras_like_wan + [[0.9, 0.0, 0.0, 0.0]] * (cameras - cameras_like_wan)
    truth += [0] * cameras
    llr = np.array([2.0] * (rights + wrongs) + [2.5] * cameras_like_wan + [-2.0] * (cameras - cameras_like_wan))
    cosines = np.array(rows)
    return Rehearsal(llr[:, None], cosines, np.array(truth)), llr


def gates_of(*args, **more):
    remarks: list[str] = []
    scores, llr = rehearsal(*args, **more)
    gates, measured = choose_gates(scores, CLASSES, llr, 10.0, remarks)
    return gates, measured, remarks


def test_the_margin_shuts_out_wrong_names_and_keeps_right_ones():
    gates, measured, _ = gates_of(20, 20)
    assert 4.1 < gates.family_margin < 8.1  # wrong ones have a margin of 4, right ones of 8
    assert measured["family_named"] == 20
    assert measured["family_right"] == 1.0


def test_where_no_wrong_name_was_seen_the_posterior_decides():
    assert gates_of(20, 0)[0].family_margin == pytest.approx(math.log(0.85 / 0.15))


def test_a_few_right_names_prove_nothing():
    gates, _, remarks = gates_of(5, 20)
    assert gates.family_margin is None
    assert gates.generator_margin is None
    assert any("nothing is named" in remark for remark in remarks)


def test_one_camera_clip_that_would_be_named_forbids_the_name():
    assert gates_of(20, 0, cameras_like_wan=1)[0].named_p is None


def test_too_little_camera_footage_closes_every_gate():
    scores, llr = rehearsal(20, 0)
    keep = np.array([i < 24 for i in range(len(llr))])
    remarks: list[str] = []
    gates, _ = choose_gates(
        Rehearsal(scores.detection[keep], scores.cosines[keep], scores.truth[keep]), CLASSES, llr[keep], 10.0, remarks
    )
    assert gates.made_p is gates.named_p is gates.family_margin is None
    assert "Only 4 camera clips" in remarks[0]


def test_grades_follow_clips_and_sources():
    makers = ["camera"] * 3 + ["one"] * 5 + ["two"] * 2 + ["many"] * 4 + ["kin"]
    sources = ["c1", "c2", "c3"] + ["p"] * 5 + ["a", "b"] + ["a", "b", "c", "c"] + ["z"]
    table = grade_classes(makers, sources, {"many": "vae", "kin": "vae"}, {"camera": "camera"})
    grades = {entry.generator: entry.grade for entry in table}
    assert grades == {"camera": "witness", "kin": "family", "many": "named", "one": "witness", "two": "witness"}
    assert [entry.generator for entry in table] == sorted(grades)


@pytest.mark.parametrize(
    ("width", "height", "bits", "bucket"),
    [(640, 360, 0.12, "small-high"), (1920, 1080, 0.05, "large-low"), (480, 854, 0.0, "large-unknown")],
)
def test_buckets_follow_the_shorter_side_and_the_compression(width, height, bits, bucket):
    assert quality_bucket(Quality(width, height, 25.0, 4.0, bits)) == bucket
