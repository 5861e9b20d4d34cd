"""Clips of other manifests that folds learn from: they may help, and they never tell a fold what it is asked."""

from __future__ import annotations

from jobs.evaluate.folds import leave_one_generator_out, leave_one_source_out
from jobs.evaluate.judging import Lesson, train
from jobs.evaluate.run import EvaluationOptions, evaluate

from .labelled import SPEC, World

QUICK = EvaluationOptions(
    protocol="leave_one_source_out", max_folds=3, replicates=20, trees=10, open_set=False, shuffled=False
)


def world(seed: int, prefix: str = "") -> World:
    made = World(separation=6.0, seed=seed)
    for maker in ("alpha", "beta"):
        for page in range(3):
            made.add(maker, f"{prefix}{maker}/{page}", clips=3)
    for camera in range(4):
        made.add(None, f"{prefix}camera/{camera}", clips=4)
    return made


def lessons(of: World) -> list[Lesson]:
    return [(clip, of.evidence[clip.name]) for clip in of.clips]


def test_lessons_of_a_held_out_source_are_not_learned_from() -> None:
    judged = world(1)
    # The very clips that are judged, offered once more: a fold that took them would have seen its own held-out side.
    alone = evaluate(judged.manifest(), judged.gathered(), spec_id=SPEC, options=QUICK)
    beside = evaluate(judged.manifest(), judged.gathered(), spec_id=SPEC, options=QUICK, beside=lessons(judged))
    assert beside.to_json() == alone.to_json()


def test_lessons_of_other_sources_are_learned_from() -> None:
    judged, other = world(1), world(1, prefix="other/")
    other.add("gamma", "other/gamma/0", clips=4)
    folds = leave_one_source_out(judged.clips, 3)
    evidence = [judged.evidence[clip.name] for clip in judged.clips]
    for trained in train(judged.clips, evidence, [], folds, SPEC, beside=lessons(other)):
        assert {"alpha", "beta", "gamma", "camera"} <= trained.makers
    for trained in train(judged.clips, evidence, [], folds, SPEC):
        assert "gamma" not in trained.makers


def test_a_maker_that_is_held_out_whole_stays_unknown() -> None:
    judged, other = world(1), world(2, prefix="other/")
    folds = leave_one_generator_out(judged.clips, None)
    evidence = [judged.evidence[clip.name] for clip in judged.clips]
    for trained in train(judged.clips, evidence, [], folds, SPEC, beside=lessons(other)):
        held = {judged.clips[i].generator for i in trained.fold.held_out} - {None}
        assert not held & trained.makers
