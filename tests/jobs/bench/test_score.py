"""What `bench score` says of windows whose truth was planted: decoders shift them, and so does footage."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fingerprint_db.fingerprint import DECODER_DIM, TEXTURE_DIM
from fingerprint_db.scoring import VIEWS
from jobs.bench.lessons import Lessons
from jobs.bench.trials import (
    FOLDS,
    closed_set,
    design_distances,
    detection_scores,
    enrolled_late,
    folds_of,
    pooled_auc,
)
from jobs.bench.windows import BenchWindows
from jobs.cli import main
from jobs.evaluate.metrics import auc
from tests.footage import make_video

CONTENTS, SOURCES = 48, 16
# Designs d0-d5 with two seeds each; a published VAE, a published net and two hard negatives beside the camera.
DECODERS = [("camera", "camera", "camera"), ("blur", "hard_negative", "blur"), ("double", "hard_negative", "double")]
DECODERS += [(f"sim-{d}-{w}", "D", f"net {d}") for d in range(6) for w in range(2)]
DECODERS += [("vae", "B", "vae"), ("upscaler", "A", "upscaler")]


def planted(signal: float, *, seed: int = 0, seeds_apart: float = 0.3) -> BenchWindows:
    """Source and content move every vector; a decoder moves it by what all share, by its design and by its seed."""
    rng = np.random.default_rng(seed)
    dim = DECODER_DIM + TEXTURE_DIM
    common = rng.normal(size=dim)
    designs = {design: rng.normal(size=dim) for _, _, design in DECODERS}
    weights = {slug: rng.normal(size=dim) for slug, _, _ in DECODERS}
    footage = rng.normal(size=(SOURCES, dim))
    columns: dict[str, list[str]] = {name: [] for name in ("content", "source", "decoder", "kind", "design", "chain")}
    rows = []
    for content in range(CONTENTS):
        own = footage[content % SOURCES] + rng.normal(size=dim)
        for slug, kind, design in DECODERS:
            made = 0.0 if kind in ("camera", "hard_negative") else 1.0
            shift = made * common + designs[design] + seeds_apart * weights[slug] if slug != "camera" else 0.0
            rows.append(own + signal * shift + 0.3 * rng.normal(size=dim))
            told = (f"c{content}", f"s{content % SOURCES}", slug, kind, design, "x264-crf23")
            for name, value in zip(columns, told, strict=True):
                columns[name].append(value)
    joined = np.array(rows, np.float32)
    return BenchWindows(
        **{name: np.array(values) for name, values in columns.items()},
        sharp=np.array([kind != "hard_negative" for kind in columns["kind"]]),
        vectors={"decoder": joined[:, :DECODER_DIM], "texture": joined[:, DECODER_DIM:]},
        detail=rng.normal(size=len(joined)),
        left_out=(),
    )


@pytest.fixture(scope="module")
def strong() -> BenchWindows:
    return planted(0.35)


def test_no_fold_judges_footage_that_it_learned_from_and_every_window_is_judged_once(strong: BenchWindows) -> None:
    folds = folds_of(strong, 1)
    assert len(folds) == FOLDS
    for fold in folds:
        assert not set(strong.source[fold.known]) & set(strong.source[fold.judged])
        assert set(strong.design[fold.unknown & (strong.kind == "D")]).isdisjoint(
            strong.design[~fold.unknown & (strong.kind == "D")]
        ), "the seeds of one architecture are unknown together"
    assert (np.sum([fold.judged for fold in folds], axis=0) == 1).all()


def test_what_all_decoders_share_finds_one_that_nothing_learned_from_and_spares_hard_negatives(
    strong: BenchWindows,
) -> None:
    scores = detection_scores(strong, folds_of(strong, 1), lambda _: None)
    camera, vae = scores[strong.kind == "camera"], scores[strong.decoder == "vae"]
    assert auc(vae, camera) > 0.9
    assert pooled_auc(vae, camera, 16, 0) > auc(vae, camera)
    negatives = scores[strong.kind == "hard_negative"]
    assert (negatives > np.quantile(camera, 0.95)).mean() < 0.2


def test_a_learned_fingerprint_gives_a_score_of_its_own_that_can_be_added(strong: BenchWindows) -> None:
    rng = np.random.default_rng(7)
    made = ~np.isin(strong.kind, ("camera", "hard_negative"))
    learned = (rng.normal(size=(len(strong), 8)) + 1.2 * made[:, None]).astype(np.float32)
    both, folds = replace(strong, learned=learned), folds_of(strong, 0)
    hand, beside, alone = (
        detection_scores(windows, folds, lambda _: None) for windows in (strong, both, both.by_learned_alone())
    )
    assert np.array_equal(hand, beside, equal_nan=True), "it has no part in the others' score"
    joined = hand + alone
    vae, camera = strong.kind == "B", strong.kind == "camera"
    assert auc(joined[vae], joined[camera]) > max(auc(hand[vae], hand[camera]), auc(alone[vae], alone[camera]))


def test_published_clips_teach_what_the_benchs_decoders_do_not_and_never_from_a_judged_source(
    strong: BenchWindows,
) -> None:
    made = ~np.isin(strong.kind, ("camera", "hard_negative"))
    # Published clips: what the bench's decoders share, on footage and with details of their own.
    shift = np.hstack([strong.vectors[name][made].mean(0) - strong.vectors[name][~made].mean(0) for name in VIEWS])
    rng = np.random.default_rng(5)
    count, dim = 400, DECODER_DIM + TEXTURE_DIM
    filmed = np.arange(count) % 4 == 0
    page = np.array([f"p{n % 40}" for n in range(count)])
    footage = {name: rng.normal(size=dim) for name in set(page)}
    rows = np.array([footage[name] for name in page]) + rng.normal(size=(count, dim)) + ~filmed[:, None] * shift
    lessons = Lessons(
        np.where(filmed, "camera", np.array([f"g{n % 7}" for n in range(count)])),
        page,
        ~filmed,
        {"decoder": rows[:, :DECODER_DIM], "texture": rows[:, DECODER_DIM:]},
    )
    folds = folds_of(strong, 1)
    judged = detection_scores(strong, folds, lambda _: None, lessons, lessons_alone=True)
    assert np.isfinite(judged).all(), "no decoder of the bench is learned from, so that every one is unseen"
    assert auc(judged[strong.decoder == "vae"], judged[strong.kind == "camera"]) > 0.9
    alone = replace(strong, sharp=strong.kind == "camera")  # its decoders are too blurred to teach
    scores = detection_scores(alone, folds, lambda _: None, lessons)
    assert np.isnan(detection_scores(alone, folds, lambda _: None)).all()
    assert auc(scores[strong.decoder == "vae"], scores[strong.kind == "camera"]) > 0.9
    # The same clips said to come from the footage that is judged: nothing of them is left to learn from.
    for fold in folds:
        sources = sorted(set(strong.source[fold.judged]))
        own = replace(lessons, source=np.array([sources[n % len(sources)] for n in range(count)]))
        assert not len(own.apart_from(sources).maker)
        assert len(own.apart_from(["elsewhere"]).vectors["decoder"]) == count
        assert np.isnan(detection_scores(alone, [fold], lambda _: None, own)).all()


def test_without_a_trace_nothing_is_found_nor_named() -> None:
    nothing = planted(0.0)
    folds = folds_of(nothing, 1)
    scores = detection_scores(nothing, folds, lambda _: None)
    assert 0.35 < auc(scores[nothing.decoder == "vae"], scores[nothing.kind == "camera"]) < 0.65
    members = np.isin(nothing.kind, ("A", "B", "D"))
    right, null, _ = closed_set(nothing, folds, members)
    chance = 1 / len(np.unique(nothing.decoder[members]))
    assert right[members].mean() < 3 * chance
    assert null[members].mean() < 3 * chance
    apart = [value for _, value in design_distances(nothing, members, 0)]
    assert abs(float(np.mean(apart))) < 1.0, "decoders that are alike are at no distance, whatever the noise"


def test_decoders_with_a_trace_are_named_and_enrolled_late_and_seeds_lie_nearer_than_architectures(
    strong: BenchWindows,
) -> None:
    folds = folds_of(strong, 1)
    members = np.isin(strong.kind, ("A", "B", "D"))
    right, null, _ = closed_set(strong, folds, members)
    assert right[members].mean() > 0.8
    assert right[~members].sum() == 0
    assert null[members].mean() < 0.3
    asked, found, together = enrolled_late(strong, folds, members, 0)
    assert set(strong.decoder[asked]) == set(strong.decoder[members]), "each decoder is the unseen one somewhere"
    assert found[asked].mean() > 0.5
    assert sum(one.windows for one in together) == asked.sum(), "every window speaks in one decision"
    assert np.mean([one.right for one in together]) >= found[asked].mean()
    distances = list(design_distances(strong, members, 0))
    same = [value for alike, value in distances if alike]
    other = [value for alike, value in distances if not alike]
    assert len(same) == 6
    assert np.median(same) < np.median(other)


def test_windows_pooled_name_a_decoder_that_one_window_does_not() -> None:
    faint = planted(0.14, seed=4)
    folds, members = folds_of(faint, 0), faint.kind == "D"
    alone, _, pooled = closed_set(faint, folds, members)
    assert len(pooled) == FOLDS * 12, "one decision a fold, chain and decoder"
    assert sum(one.windows for one in pooled) == members.sum()
    share = np.mean([one.right for one in pooled])
    assert share > alone[members].mean() + 0.1
    assert np.mean([one.null for one in pooled]) < 0.25, "the planted null knows nothing"


def test_a_pooled_auc_is_the_mean_over_drawn_groups() -> None:
    rng = np.random.default_rng(0)
    ahead, behind = rng.normal(0.5, 1, 400), rng.normal(0, 1, 400)
    assert pooled_auc(ahead, behind, 1, 0) == pytest.approx(auc(ahead, behind), abs=0.03)
    # A shift of half a standard deviation is one of two in the mean of 16.
    assert pooled_auc(ahead, behind, 16, 0) == pytest.approx(0.92, abs=0.04)
    assert pooled_auc(behind, behind, 16, 0) == pytest.approx(0.5, abs=0.03)


@pytest.mark.slow
def test_bench_score_learns_from_a_manifest_of_published_clips(
    bench: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = bench.parent / "published"
    folder.mkdir()
    lines = ["path,label,generator,source"]
    for number, told in enumerate(["generated,some-net,page", "generated,other-net,page", "camera,,street"]):
        make_video(folder / f"{number}.mp4", size=(176, 144), frames=18, seed=20 + number)
        lines.append(f"{number}.mp4,{told}")
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(lines) + "\n")
    command = ["makersmark", "bench", "score", str(bench), "--chain", "x264-crf28", "--json", "-j", "1"]
    monkeypatch.setattr(sys, "argv", [*command, "--learn-with", str(manifest)])
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code
    said = json.loads(capfd.readouterr().out)
    assert any("of clips by 2 published generators from 1 sources" in note for note in said["notes"])
    assert any("simulated decoders, unseen" in figure["name"] for figure in said["figures"])
    manifest.write_text("\n".join([lines[0], lines[-1]]) + "\n")
    monkeypatch.setattr(sys, "argv", [*command, "--learn-with", str(manifest)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert "has no generated clip to learn from" in " ".join(capfd.readouterr().err.split())


@pytest.mark.slow
def test_bench_score_counts_what_a_real_bench_holds_and_keeps_its_fingerprints(
    bench: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    page = bench.parent / "score.md"
    more = ["--markdown", str(page), "-j", "1"]
    said = []
    for _ in range(2):
        monkeypatch.setattr(
            sys, "argv", ["makersmark", "bench", "score", str(bench), "--chain", "x264-crf28", "--json", *more]
        )
        with pytest.raises(SystemExit) as left:
            main()
        assert not left.value.code
        said.append(json.loads(capfd.readouterr().out))
    assert said[0] == said[1]
    names = {figure["name"] for figure in said[0]["figures"]}
    assert any(name.startswith("blur, x264-crf28: called decoded") for name in names)
    assert said[0]["detail"]["windows"]["camera"] == 3
    assert "| counted on |" in page.read_text()
    assert list((bench / "fingerprints").rglob("*.npz"))


def test_a_folder_without_a_bench_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["makersmark", "bench", "score", str(tmp_path)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert "holds no bench" in " ".join(capfd.readouterr().err.split())
