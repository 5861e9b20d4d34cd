"""The matcher: which answer is given when, and what stands beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingerprint_db.build import build_snapshot
from fingerprint_db.errors import SpecMismatchError
from fingerprint_db.matcher import MIN_RUN, Matcher, median_cues, runs
from fingerprint_db.verdict import VerdictKind
from fingerprint_db.window import WindowFingerprint
from tests.fingerprint_db.signatures import QUALITY, SPEC, World, as_window

KINDS = {"camera": "camera", "upscaler": "processor"}
FAMILIES = {"wan": "wan-vae", "sky": "wan-vae", "svd": "svd-vae"}


@pytest.fixture(scope="module")
def world():
    world = World(seed=11, separation=12.0, nuisance=1.5, windows=16)
    world._means["sky"] = world.mean("wan") + 0.3 * world.mean("sky-own") / 12.0  # one decoder, hardly told apart
    world._means["camera"] = np.zeros(40)
    return world


@pytest.fixture(scope="module")
def matcher(world):
    makers = ["wan", "sky", "svd", "mochi", "upscaler"]
    records = [record for name in makers for record in world.records(name, sources=4, clips=4)]
    records += world.records("camera", sources=10, clips=5)
    return Matcher(build_snapshot(records, spec_id=SPEC, families=FAMILIES, kinds=KINDS))


def judge(matcher, windows, quality=QUALITY):
    return matcher.judge(windows, quality, spec_id=SPEC)


def test_a_clip_of_a_known_maker_from_an_unseen_source_is_attributed(matcher, world):
    verdict = judge(matcher, world.windows_of("svd", "elsewhere"))
    assert (verdict.verdict, verdict.family, verdict.generator) == (VerdictKind.ATTRIBUTED, "svd-vae", "svd")
    assert verdict.llr > 1
    assert verdict.p_value == pytest.approx(1 / 51)
    assert verdict.margin > 1
    assert verdict.reason == "Consistent with svd."


def test_a_maker_without_a_known_family_is_attributed_without_one(matcher, world):
    verdict = judge(matcher, world.windows_of("mochi", "elsewhere"))
    assert (verdict.verdict, verdict.family, verdict.generator) == (VerdictKind.ATTRIBUTED, None, "mochi")


def test_makers_that_share_a_decoder_and_cannot_be_told_apart_get_their_familys_name_only(matcher, world):
    verdicts = [judge(matcher, world.windows_of(name, f"else-{i}")) for name in ("wan", "sky") for i in range(5)]
    assert {verdict.family for verdict in verdicts} == {"wan-vae"}
    assert {verdict.verdict for verdict in verdicts} == {VerdictKind.FAMILY}
    assert all(verdict.generator is None for verdict in verdicts)


def test_camera_footage_through_a_known_processor_is_called_that(matcher, world):
    verdict = judge(matcher, world.windows_of("upscaler", "elsewhere"))
    assert (verdict.verdict, verdict.family, verdict.generator) == (VerdictKind.PROCESSED_CAMERA, None, "upscaler")
    assert "camera footage" in verdict.reason


def test_camera_footage_is_no_known_generator_and_its_likelihood_ratio_says_camera(matcher, world):
    verdicts = [judge(matcher, world.windows_of("camera", f"street-{i}")) for i in range(20)]
    assert {verdict.generator for verdict in verdicts} == {verdict.family for verdict in verdicts} == {None}
    assert np.median([verdict.llr for verdict in verdicts]) < 0
    assert sum(verdict.verdict is VerdictKind.NO_KNOWN_GENERATOR for verdict in verdicts) >= 18


def test_an_unknown_maker_is_never_given_a_known_name(matcher, world):
    verdicts = [judge(matcher, world.windows_of(f"unknown-{i}", f"lab-{i}")) for i in range(20)]
    assert [verdict.generator or verdict.family for verdict in verdicts].count(None) >= 19


def test_traces_of_a_decoder_that_fits_no_known_maker_are_called_synthetic(matcher, world):
    far = world.mean("svd") + world.mean("mochi") + world.mean("upscaler")
    world._means["chimera"] = far
    verdict = judge(matcher, world.windows_of("chimera", "lab"))
    assert verdict.verdict is VerdictKind.SYNTHETIC
    assert verdict.family is verdict.generator is None
    assert verdict.llr > 0


def test_the_order_of_windows_does_not_matter(matcher, world):
    windows = world.windows_of("svd", "elsewhere-2")
    assert judge(matcher, windows) == judge(matcher, windows[::-1])


def test_one_odd_window_does_not_change_what_is_said(matcher, world):
    windows = world.windows_of("svd", "elsewhere-3")
    windows[5] = as_window(np.full(24, 1e4, np.float32), np.full(16, -1e4, np.float32), 2, 1)
    assert judge(matcher, windows).generator == "svd"


def test_the_nearest_signatures_are_listed_best_first(matcher, world):
    nearest = judge(matcher, world.windows_of("svd", "elsewhere-4")).nearest
    assert len(nearest) == 5
    assert nearest[0].generator == "svd"
    assert nearest[0].family == "svd-vae"
    scores = [each.score for each in nearest]
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1.0001 for score in scores)


def test_an_enrolled_clip_finds_itself_with_cosine_one(world):
    record = world.record("svd", "page")
    others = world.records("wan", sources=2, clips=3) + world.records("camera", sources=3, clips=3)
    matcher = Matcher(build_snapshot([record, *others], spec_id=SPEC, families={}, kinds=KINDS))
    windows = [
        as_window(d.astype(np.float32), t.astype(np.float32), int(b), int(c))
        for d, t, b, c in zip(record.decoder, record.texture, record.burst, record.crop, strict=True)
    ]
    best = judge(matcher, windows).nearest[0]
    assert best.generator == "svd"
    assert best.score == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"width": 1280, "height": 96}, "below 128 pixels"),
        ({"bits_per_pixel": 0.004}, "0.0040 bits per pixel"),
        ({"hdr": True}, "HDR"),
        ({"coverage": 0.2}, "Only 20% of the planned windows"),
    ],
)
def test_what_cannot_be_judged_is_inconclusive_with_its_reason_and_still_has_its_numbers(
    matcher, world, change, reason
):
    windows = world.windows_of("svd", "elsewhere-5")
    sound = judge(matcher, windows)
    verdict = judge(matcher, windows, replace(QUALITY, **change))
    assert verdict.verdict is VerdictKind.INCONCLUSIVE
    assert reason in verdict.reason
    assert verdict.family is verdict.generator is None
    assert (verdict.llr, verdict.p_value, verdict.nearest) == (sound.llr, sound.p_value, sound.nearest)
    assert verdict.segments == ()


def test_an_unknown_bit_rate_is_not_held_against_a_file(matcher, world):
    verdict = judge(matcher, world.windows_of("svd", "elsewhere-6"), replace(QUALITY, bits_per_pixel=0.0))
    assert verdict.verdict is VerdictKind.ATTRIBUTED


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"width": 60, "height": 40}, "60 x 40"),
        ({"coverage": 0.0}, "none of the planned windows could be decoded"),
        ({"duration_s": 0.04}, "too few frames"),
    ],
)
def test_a_file_without_a_window_is_inconclusive_and_has_no_likelihood_ratio(matcher, change, reason):
    verdict = judge(matcher, [], replace(QUALITY, **change))
    assert verdict.verdict is VerdictKind.INCONCLUSIVE
    assert reason in verdict.reason
    assert verdict.llr is verdict.p_value is verdict.margin is None
    assert verdict.nearest == verdict.segments == ()


def test_an_empty_snapshot_is_inconclusive_and_says_what_to_do(world):
    matcher = Matcher(build_snapshot([], spec_id=SPEC, families={}, kinds={}))
    verdict = judge(matcher, world.windows_of("svd", "x"))
    assert verdict.verdict is VerdictKind.INCONCLUSIVE
    assert "enroll clips" in verdict.reason
    assert verdict.llr == 0.0


def test_windows_of_another_specification_are_refused(matcher, world):
    with pytest.raises(SpecMismatchError, match=r"another.*fingerprint the file again"):
        matcher.judge(world.windows_of("svd", "x"), QUALITY, spec_id="another")


def test_spec_and_snapshot_are_cited(matcher, world):
    verdict = judge(matcher, world.windows_of("svd", "x"))
    assert (verdict.spec, verdict.snapshot) == (SPEC, matcher._snapshot.id)


def spliced(world, parts):
    """Windows of several clips one after the other: eight bursts of two crops each."""
    found: list[WindowFingerprint] = []
    for part, name in enumerate(parts):
        for window in world.windows_of(name, f"splice-{part}"):
            start = 8.0 * part + window.burst
            found.append(replace(window, burst=8 * part + window.burst, start_s=start, end_s=start + 0.6))
    return found


def test_a_generated_stretch_inside_camera_footage_is_reported_with_its_seconds(matcher, world):
    segments = judge(matcher, spliced(world, ["camera", "svd", "camera"])).segments
    assert [segment.generator for segment in segments] == [None, "svd", None]
    middle = segments[1]
    # To within a burst: one of two windows may lean the wrong way by itself.
    assert 8.0 <= middle.start_s <= 9.0
    assert 14.6 <= middle.end_s <= 15.6
    assert middle.verdict is VerdictKind.ATTRIBUTED
    assert middle.llr > 0 > segments[0].llr


def test_a_file_of_one_kind_has_one_segment_that_says_what_the_file_says(matcher, world):
    verdict = judge(matcher, world.windows_of("svd", "elsewhere-7"))
    [segment] = verdict.segments
    assert (segment.start_s, segment.end_s) == (0.0, 7.6)
    assert (segment.verdict, segment.generator, segment.llr) == (verdict.verdict, verdict.generator, verdict.llr)


def test_a_single_burst_never_gets_a_segment_of_its_own_because_the_maximum_multiplies_false_alarms(matcher, world):
    windows = world.windows_of("camera", "splice-x")
    odd = world.windows_of("svd", "splice-y")
    windows = [odd[i] if window.burst == 4 else window for i, window in enumerate(windows)]
    assert [segment.generator for segment in judge(matcher, windows).segments] == [None]


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_runs_cover_all_bursts_in_order_and_none_is_short(leaning):
    found = runs(leaning)
    assert [i for start, stop in found for i in range(start, stop)] == list(range(len(leaning)))
    assert all(stop - start >= min(MIN_RUN, len(leaning)) for start, stop in found)


def test_clear_runs_are_kept_as_they_are():
    assert runs([True, True, False, False, False, True, True]) == [(0, 2), (2, 5), (5, 7)]
    assert runs([True, False, True, True]) == [(0, 4)]
    assert runs([False, False, True, False, False]) == [(0, 5)]


def test_cues_are_medians_over_the_windows_that_have_them():
    blank = np.zeros(1, np.float32)
    cues = [{"a": 1.0}, {"a": 9.0, "b": 2.0}, {"a": 2.0, "b": float("nan")}, {"c": float("nan")}]
    windows = [replace(as_window(blank, blank, 0), cues=each) for each in cues]
    assert median_cues(windows) == {"a": 2.0, "b": 2.0}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(1.0, 1e4))
def test_any_vector_whatever_gets_a_finite_verdict(matcher, seed, size):
    rng = np.random.default_rng(seed)
    windows = [
        as_window((size * rng.normal(size=24)).astype(np.float32), (size * rng.normal(size=16)).astype(np.float32), b)
        for b in range(3)
    ]
    verdict = judge(matcher, windows)
    assert np.isfinite([verdict.llr, verdict.p_value, verdict.margin]).all()
    assert 0 < verdict.p_value <= 1


def test_what_would_be_named_is_known_even_where_nothing_is_named(matcher, world):
    lead = matcher.leading(world.windows_of("svd", "lead"))
    assert (lead.generator, lead.family) == ("svd", "svd-vae")
    assert lead.margin > 1
    filmed = [matcher.leading(world.windows_of("camera", f"lead-{i}")) for i in range(10)]
    assert all(each.generator != "camera" for each in filmed)
    assert np.median([each.margin for each in filmed]) < 0
    assert matcher.leading([]) is None
    empty = Matcher(build_snapshot([], spec_id=SPEC, families={}, kinds={}))
    assert empty.leading(world.windows_of("svd", "x")) is None


@pytest.mark.parametrize(
    ("gate", "value", "reason"),
    [
        ("named_p", 0.0, "camera footage scores alike too often"),
        ("typicality", 1.1, "it is unlike the enrolled clips of the nearest maker, svd"),
        ("family_margin", 1e6, "others are too close behind"),
    ],
)
def test_each_of_the_three_gates_withholds_the_name_alone(matcher, world, gate, value, reason):
    windows = named_windows(matcher, world, "svd", VerdictKind.ATTRIBUTED)
    gates = replace(matcher._snapshot.gates, **{"made_p": 1.0, "made_llr": 0.0, gate: value})
    verdict = judge(Matcher(replace(matcher._snapshot, gates=gates, _files={})), windows)
    assert verdict.verdict is VerdictKind.SYNTHETIC
    assert (verdict.family, verdict.generator) == (None, None)
    assert reason in verdict.reason


def test_the_generators_margin_withholds_only_the_generators_name(matcher, world):
    windows = named_windows(matcher, world, "svd", VerdictKind.ATTRIBUTED)
    ranked = replace(matcher._snapshot.gates, generator_margin=float("inf"))
    shut = replace(matcher._snapshot, gates=ranked, classes=relative_of_svd(matcher._snapshot.classes), _files={})
    verdict = judge(Matcher(shut), windows)
    assert (verdict.verdict, verdict.family, verdict.generator) == (VerdictKind.FAMILY, "svd-vae", None)


def named_windows(matcher, world, name, kind):
    """A clip that all the gates let pass."""
    drawn = (world.windows_of(name, f"gate-{i}") for i in range(20))
    return next(windows for windows in drawn if judge(matcher, windows).verdict is kind)


def relative_of_svd(classes):
    """The class table with mochi in svd's family, so that svd has a rival within it."""
    return tuple(replace(entry, family="svd-vae") if entry.generator == "mochi" else entry for entry in classes)


def test_traces_nearest_to_a_processor_that_cannot_be_named_leave_authentic_content_open(matcher, world):
    windows = named_windows(matcher, world, "upscaler", VerdictKind.PROCESSED_CAMERA)
    shut = replace(matcher._snapshot, gates=replace(matcher._snapshot.gates, family_margin=None), _files={})
    verdict = judge(Matcher(shut), windows)
    assert (verdict.verdict, verdict.generator) == (VerdictKind.SYNTHETIC, None)
    assert "authentic content is possible" in verdict.reason
