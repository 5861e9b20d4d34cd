"""Who may learn from whom: sources stay whole, every clip is judged once, an unknown generator is really unknown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.evaluate.folds import leave_one_generator_out, leave_one_source_out, same_page_sets
from jobs.evaluate.manifest import Clip, Label


def clip(number: int, source: str, generator: str | None, page: str = "") -> Clip:
    label = Label.GENERATED if generator else Label.CAMERA
    return Clip(f"{number}.mp4", Path(f"{number}.mp4"), label, generator, None, source, page, f"{number:064x}")


collections = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([None, "sora", "veo-3", "pika"])), min_size=2, max_size=40
).map(lambda rows: [clip(i, source, generator) for i, (source, generator) in enumerate(rows)])


@given(collections.filter(lambda clips: len({c.source for c in clips}) > 1), st.sampled_from([None, 2, 3, 50]))
def test_every_clip_is_judged_once_by_what_never_saw_its_source(clips: list[Clip], most: int | None) -> None:
    folds = leave_one_source_out(clips, most)
    assert sorted(i for fold in folds for i in fold.held_out) == list(range(len(clips)))
    for fold in folds:
        assert not {clips[i].source for i in fold.known} & {clips[i].source for i in fold.held_out}
        assert len(fold.known) + len(fold.held_out) == len(clips)
    assert len(folds) <= (most or 99)


def test_without_a_limit_each_source_is_a_fold_of_its_own() -> None:
    clips = [clip(i, source, "sora") for i, source in enumerate("aabbc")]
    assert sorted(len(fold.held_out) for fold in leave_one_source_out(clips)) == [1, 2, 2]


def test_folds_share_out_both_classes_so_that_none_learns_without_camera_footage() -> None:
    clips = [clip(i, f"page {i // 3}", "sora") for i in range(60)]
    clips += [clip(100 + i, f"camera {i}", None) for i in range(8)]
    for fold in leave_one_source_out(clips, 4):
        assert sum(clips[i].generator is None for i in fold.held_out) == 2
        assert sum(clips[i].generator is not None for i in fold.held_out) == 15


def test_one_source_cannot_be_left_out() -> None:
    with pytest.raises(ValueError, match="at least two sources"):
        leave_one_source_out([clip(0, "a", "sora"), clip(1, "a", None)])


@given(collections.filter(lambda clips: any(c.generator for c in clips)), st.sampled_from([None, 2]))
def test_a_held_out_generator_and_its_pages_are_unknown_to_their_judge(clips: list[Clip], most: int | None) -> None:
    folds = leave_one_generator_out(clips, most)
    assert sorted(i for fold in folds for i in fold.held_out) == list(range(len(clips)))
    for fold in folds:
        known = {clips[i].generator for i in fold.known} - {None}
        assert not known & {clips[i].generator for i in fold.held_out}
        assert not {clips[i].source for i in fold.known} & {clips[i].source for i in fold.held_out}


def test_pages_count_only_when_they_show_different_makers() -> None:
    clips = [
        clip(0, "s", "sora", "duel"),
        clip(1, "s", "pika", "duel"),
        clip(2, "s", "sora", "solo"),
        clip(3, "s", "sora", "solo"),
        clip(4, "s", None, "real or made"),
        clip(5, "s", "sora", "real or made"),
        clip(6, "s", "pika"),
    ]
    assert same_page_sets(clips) == {"duel": (0, 1), "real or made": (4, 5)}
