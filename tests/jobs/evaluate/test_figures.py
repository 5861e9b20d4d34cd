"""What each figure of an evaluation counts, on a handful of verdicts that can be counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fingerprint_db.verdict import VerdictKind as Kind
from jobs.evaluate.figures import FigureTable, NullTable, per_generator, verdict_counts
from jobs.evaluate.manifest import Label

from .labelled import clip, judged

MADE = [
    judged(
        clip("0", Label.GENERATED, "p0", "a", "fam"), Kind.ATTRIBUTED, generator="a", family="fam", llr=5, nearest="a"
    ),
    judged(
        clip("1", Label.GENERATED, "p0", "a", "fam"), Kind.ATTRIBUTED, generator="b", family="fam", llr=4, nearest="b"
    ),
    judged(clip("2", Label.GENERATED, "p1", "a", "fam"), Kind.FAMILY, family="other", llr=3, nearest="a"),
    judged(clip("3", Label.GENERATED, "p2", "b", "fam"), Kind.ATTRIBUTED, generator="x", llr=2, nearest="b"),
    judged(clip("4", Label.GENERATED, "p3", "c"), Kind.ATTRIBUTED, generator="a", family="fam", llr=1, nameable=False),
    judged(clip("5", Label.GENERATED, "p3", "c"), Kind.SYNTHETIC, llr=None, nameable=False),
]
FILMED = [
    judged(clip("6", Label.CAMERA, "c0"), Kind.NO_KNOWN_GENERATOR, llr=-3),
    judged(clip("7", Label.CAMERA, "c0"), Kind.NO_KNOWN_GENERATOR, llr=2.5),
    judged(clip("8", Label.CAMERA, "c1"), Kind.SYNTHETIC, llr=-1),
    judged(clip("9", Label.CAMERA, "c2"), Kind.FAMILY, family="fam", llr=-2),
]
PROCESSED = [judged(clip("10", Label.PROCESSED, "q", "upscaler"), Kind.ATTRIBUTED, generator="a", family="fam", llr=9)]
ALL = [*MADE, *FILMED, *PROCESSED]


def table() -> FigureTable:
    scores = np.array([1.0, 1, 1, 0, 0, np.nan, 0, 0, 0, 1, np.nan])
    null = NullTable(scores, np.array([True] + [False] * 10), np.array([True] * 2 + [False] * 9))
    return FigureTable(ALL, {"metadata": null})


@pytest.mark.parametrize(
    ("share", "hits", "asked"),
    [
        ("generator_named", 4, 6),
        ("generator_right", 1, 4),
        ("generator_top1", 3, 6),
        ("family_named", 4, 4),
        ("family_right", 2, 4),
        ("camera_named", 1, 4),
        ("camera_synthetic", 1, 4),
        ("camera_processed", 0, 4),
        ("generator_named_nameable", 3, 4),
        ("generator_top1_nameable", 3, 4),
        ("unknown_named", 1, 2),
    ],
)
def test_shares_count_what_their_definition_says(share: str, hits: int, asked: int) -> None:
    assert table().counts(share) == (hits, asked)
    assert table().measure()[share] == pytest.approx(hits / asked)


def test_scores_compare_generated_with_camera_and_pass_over_clips_without_a_score_and_processed_ones() -> None:
    found = table().measure()
    assert found["auc"] == pytest.approx(18 / 20)  # of 5 x 4 pairs, 2.5 stands above 2 and 1
    assert math.isnan(found["tpr_at_fpr_0.05"])  # four cameras
    assert found["null_metadata_auc"] == pytest.approx((3 * 3.5 + 2 * 1.5) / 20)
    assert found["null_metadata_top1"] == pytest.approx(1 / 6)
    assert found["excess_auc"] == pytest.approx(found["auc"] - found["null_metadata_auc"])


def test_without_a_null_there_is_no_excess_to_claim() -> None:
    assert math.isnan(FigureTable(ALL, {}).measure()["excess_auc"])


def test_a_share_never_claims_more_certainty_than_its_clips_give() -> None:
    calm = [judged(clip(f"c{i}", Label.CAMERA, f"s{i}"), Kind.NO_KNOWN_GENERATOR, llr=-1) for i in range(84)]
    found = FigureTable([*MADE, *calm], {}).intervals(replicates=50, seed=0)
    low, high = found["camera_named"] or (9.0, 9.0)
    assert low == 0.0
    assert high == pytest.approx(1 - 0.025 ** (1 / 84))


def test_intervals_resample_sources_and_hold_the_figure() -> None:
    measured, found = table().measure(), table().intervals(replicates=300, seed=1)
    for name in ("auc", "generator_named", "family_right", "camera_named"):
        low, high = found[name] or (9.0, 9.0)
        assert low <= measured[name] <= high


def test_each_generator_has_a_row_with_its_clips_sources_and_outcomes() -> None:
    rows = per_generator(ALL)
    assert list(rows) == ["a", "c", "b"]  # most clips first
    a = rows["a"]
    assert (a.n, a.sources, a.family, a.nameable) == (3, 2, "fam", 3)
    assert (a.named, a.right, a.nearest_right, a.synthetic) == (2, 1, 2, 0)
    assert (a.llr_median, a.auc) == (4.0, 1.0)
    assert (rows["c"].synthetic, rows["c"].llr_median) == (1, 1.0)


def test_every_verdict_is_counted_under_its_label() -> None:
    counts = verdict_counts(ALL)
    assert counts["generated"] == {
        "attributed": 4, "family": 1, "synthetic": 1, "processed_camera": 0, "no_known_generator": 0, "inconclusive": 0,
    }  # fmt: skip
    assert sum(counts["camera"].values()) == 4
    assert counts["processed"]["attributed"] == 1
