"""Marking the answers: only the right answer is right, and silence is told apart from error."""

from __future__ import annotations

import pytest

from jobs.demo.archive import TruthRow
from jobs.demo.score import Answer, Mark, mark, tally, zero_bound

ENROLLED = ("upscaler", "stylizer")


def row(label: str, generator: str = "", family: str = "", source: str = "s") -> TruthRow:
    return TruthRow("archive/a.mp4", label, generator, family, source, "", "x264-crf23")


def said(verdict: str | None, generator: str | None = None, family: str | None = None) -> Answer:
    return Answer(verdict, generator, family, 1.0, 0.5, "", None)


CAMERA = row("camera")
UPSCALED = row("processed", "upscaler", "upscalers")
UNKNOWN = row("processed", "stranger")


@pytest.mark.parametrize(
    ("truth", "answer", "wanted"),
    [
        (CAMERA, said("no_known_generator"), Mark.RIGHT),
        (CAMERA, said("processed_camera", "upscaler"), Mark.WRONG),
        (CAMERA, said("synthetic"), Mark.WRONG),
        (CAMERA, said("inconclusive"), Mark.ABSTAINED),
        (CAMERA, said(None), Mark.UNREAD),
        (UPSCALED, said("processed_camera", "upscaler", "upscalers"), Mark.RIGHT),
        (UPSCALED, said("family", None, "upscalers"), Mark.RIGHT),
        (UPSCALED, said("processed_camera", "stylizer", "upscalers"), Mark.WRONG),
        (UPSCALED, said("family", None, "stylizers"), Mark.WRONG),
        (UPSCALED, said("synthetic"), Mark.UNNAMED),
        (UPSCALED, said("no_known_generator"), Mark.MISSED),
        (UPSCALED, said("inconclusive"), Mark.ABSTAINED),
        (UNKNOWN, said("synthetic"), Mark.RIGHT),
        (UNKNOWN, said("processed_camera", "upscaler"), Mark.WRONG),
        (UNKNOWN, said("no_known_generator"), Mark.MISSED),
    ],
)
def test_an_answer_gets_the_mark_it_deserves(truth: TruthRow, answer: Answer, wanted: Mark) -> None:
    assert mark(truth, answer, ENROLLED) is wanted


def test_the_newest_verdict_of_a_lookup_counts() -> None:
    old = {
        "verdict": "inconclusive",
        "llr": None,
        "generator": None,
        "family": None,
        "p_value": None,
        "reason": "short",
    }
    new = {"verdict": "processed_camera", "llr": 2.5, "generator": "upscaler", "family": "f", "p_value": 0.01}
    answer = Answer.from_lookup({"verdicts": [old, new], "error": None})
    assert (answer.verdict, answer.generator, answer.llr, answer.p_value) == ("processed_camera", "upscaler", 2.5, 0.01)
    assert answer.words == "processed camera: upscaler"


def test_a_file_without_a_verdict_keeps_the_class_of_its_failure() -> None:
    answer = Answer.from_lookup({"verdicts": [], "error": {"class": "empty_file", "message": "no bytes"}})
    assert (answer.verdict, answer.error, answer.words) == (None, "empty_file", "unreadable: empty_file")


def test_a_tally_counts_each_group_by_itself_and_its_sources_once() -> None:
    pairs = [
        (row("camera", source="a"), Mark.RIGHT),
        (row("camera", source="a"), Mark.WRONG),
        (row("processed", "stranger", source="b"), Mark.RIGHT),
        (row("processed", "upscaler", source="a"), Mark.MISSED),
        (row("processed", "upscaler", source="b"), Mark.RIGHT),
    ]
    groups = tally(pairs, ENROLLED)
    assert [(g.group, g.files, g.sources) for g in groups] == [
        ("camera", 2, 1),
        ("upscaler", 2, 2),
        ("stranger (not enrolled)", 1, 1),
    ]
    assert groups[1].marks == {Mark.MISSED: 1, Mark.RIGHT: 1}


def test_no_event_in_n_trials_bounds_the_rate() -> None:
    assert zero_bound(300) == pytest.approx(0.00994, abs=1e-4)
    assert zero_bound(1) == pytest.approx(0.95)
    assert zero_bound(0) == 1.0
