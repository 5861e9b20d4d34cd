"""The nulls find what there is to be found without a fingerprint, and nothing where there is nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jobs.decode.thumbnail import Glance, Packaging
from jobs.evaluate.folds import Fold, leave_one_source_out
from jobs.evaluate.manifest import Clip, Label
from jobs.evaluate.metrics import auc
from jobs.evaluate.nulls import NullScores, score_nulls

from .labelled import clip, packaging


def collection() -> list[Clip]:
    """Two generators and a camera, four sources each, three clips a source."""
    makers = [("sora", Label.GENERATED), ("pika", Label.GENERATED), (None, Label.CAMERA)]
    return [
        clip(f"{maker}-{page}-{i}", label, f"{maker}/{page}", maker)
        for maker, label in makers
        for page in range(4)
        for i in range(3)
    ]


def blank(clips: list[Clip], seed: int = 0) -> tuple[list[Packaging], list[Glance]]:
    random = np.random.default_rng(seed)
    glances = [Glance(random.random((16, 16, 3), dtype=np.float32), float(random.random() + 0.1)) for _ in clips]
    return [packaging(int(random.integers(20, 200))) for _ in clips], glances


def detection(clips: list[Clip], null: NullScores) -> float:
    made = np.array([c.label is Label.GENERATED for c in clips])
    return auc(null.scores[made], null.scores[~made])


def naming(clips: list[Clip], null: NullScores) -> float:
    made = [(g, c.generator) for g, c in zip(null.guesses, clips, strict=True) if c.label is Label.GENERATED]
    return float(np.mean([guess == truth for guess, truth in made]))


def test_makers_that_always_use_one_frame_rate_are_named_by_the_packaging_alone() -> None:
    clips = collection()
    packagings, glances = blank(clips)
    rates = {"sora": 30.0, "pika": 24.0, None: 25.0}
    packagings = [replace(p, fps=rates[c.generator]) for p, c in zip(packagings, clips, strict=True)]
    null = score_nulls(clips, packagings, glances, leave_one_source_out(clips, 4), trees=40)["metadata"]
    assert detection(clips, null) > 0.95
    assert naming(clips, null) > 0.9


def test_makers_that_always_show_one_colour_are_named_by_the_thumbnail_alone() -> None:
    clips = collection()
    packagings, glances = blank(clips)
    for look, item in zip(glances, clips, strict=True):
        look.thumbnail[:, :, 1] *= {"sora": 0.2, "pika": 0.6, None: 1.0}[item.generator]
    null = score_nulls(clips, packagings, glances, leave_one_source_out(clips, 4), trees=40)["thumbnail"]
    assert detection(clips, null) > 0.9
    assert naming(clips, null) > 0.9


def test_makers_that_blur_are_found_by_one_number() -> None:
    clips = collection()
    packagings, glances = blank(clips)
    blur = {"sora": 0.01, "pika": 0.0001, None: 1.0}
    glances = [replace(g, hf_energy=g.hf_energy * blur[c.generator]) for g, c in zip(glances, clips, strict=True)]
    null = score_nulls(clips, packagings, glances, leave_one_source_out(clips, 4), trees=40)["hf_energy"]
    assert detection(clips, null) > 0.95
    assert naming(clips, null) > 0.9


def test_a_habit_of_one_source_does_not_count_since_the_source_is_held_out() -> None:
    clips = collection()
    packagings, glances = blank(clips)
    sizes = {source: 200 + 50 * k for k, source in enumerate(sorted({c.source for c in clips}))}
    packagings = [replace(p, frames=100, width=sizes[c.source]) for p, c in zip(packagings, clips, strict=True)]
    null = score_nulls(clips, packagings, glances, leave_one_source_out(clips, 4), trees=40)["thumbnail"]
    assert naming(clips, null) < 0.8
    assert detection(clips, null) < 0.75


def test_nothing_learned_gives_no_score_and_processed_clips_get_none() -> None:
    clips = [*collection(), clip("up", Label.PROCESSED, "q", "upscaler")]
    packagings, glances = blank(clips)
    made_only = tuple(i for i, c in enumerate(clips) if c.label is Label.GENERATED)
    filmed = tuple(i for i, c in enumerate(clips) if c.label is not Label.GENERATED)
    for null in score_nulls(clips, packagings, glances, [Fold("one class", made_only, filmed)], trees=10).values():
        assert np.isnan(null.scores).all()
        assert null.guesses == (None,) * len(clips)


def test_makers_that_use_one_encoders_settings_are_named_by_these_alone_and_sizes_are_not_among_them() -> None:
    clips = collection()
    packagings, glances = blank(clips)
    gaps = {"sora": 12, "pika": 48, None: 250}
    wide = {"sora": 640, "pika": 1280, None: 1920}
    coded = [replace(p, keyframe_gap=gaps[c.generator]) for p, c in zip(packagings, clips, strict=True)]
    sized = [
        replace(p, width=wide[c.generator], bit_rate=p.bit_rate * wide[c.generator] / p.width)
        for p, c in zip(packagings, clips, strict=True)
    ]
    folds = leave_one_source_out(clips, 4)
    null = score_nulls(clips, coded, glances, folds, trees=40)["codec_parameters"]
    assert detection(clips, null) > 0.95
    assert naming(clips, null) > 0.9
    blind = score_nulls(clips, sized, glances, folds, trees=40)["codec_parameters"]
    assert detection(clips, blind) < 0.75


def test_the_most_frequent_maker_and_family_are_always_said() -> None:
    clips = [replace(c, family="sora-vae" if c.generator == "sora" else None) for c in collection()]
    clips = [c for c in clips if c.source != "pika/3"]
    packagings, glances = blank(clips)
    null = score_nulls(clips, packagings, glances, leave_one_source_out(clips), trees=5)["majority"]
    assert {g for g, c in zip(null.guesses, clips, strict=True) if c.generator} == {"sora", "pika"}
    assert {f for f, c in zip(null.families, clips, strict=True) if c.generator} == {"sora-vae"}
    assert naming(clips, null) < 0.7
    assert detection(clips, null) == 0.5


def test_equal_seeds_give_equal_nulls() -> None:
    clips = collection()
    packagings, glances = blank(clips)
    folds = leave_one_source_out(clips, 3)
    first = score_nulls(clips, packagings, glances, folds, seed=4, trees=10)
    again = score_nulls(clips, packagings, glances, folds, seed=4, trees=10)
    assert all(np.array_equal(first[name].scores, again[name].scores) for name in first)
    assert all(first[name].guesses == again[name].guesses for name in first)
