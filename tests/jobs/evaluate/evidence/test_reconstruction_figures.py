"""Figures of reconstruction: what a checkpoint made against camera footage, aligned and cropped, and its rivals."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fingerprint_db.reconstruction import BANDS, Losses
from jobs.bench.negatives import NEGATIVES
from jobs.errors import BadUsageError
from jobs.evaluate.evidence import EvidenceOptions, measure_evidence, reconstruction
from jobs.evaluate.evidence.reconstruction_negatives import negatives_figures
from jobs.reconstruct import search
from jobs.reconstruct.calibrate import footage_for
from jobs.reconstruct.measure import NATIVE, Finding
from jobs.reconstruct.trials import CAMERA, Trial, Trials, cropped
from jobs.settings import Settings
from tests.footage import make_video
from tests.jobs.reconstruct.block_decoder import block_network
from tests.jobs.reconstruct.test_enroll_vae import small_checkpoint

QUIET = Console(quiet=True)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Camera clips of four sources."""
    with open(tmp_path / "labelled.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "generator", "source"])
        for number in range(4):
            make_video(tmp_path / f"{number}.mp4", frames=8, size=(160, 160), seed=number)
            rows.writerow([f"{number}.mp4", "camera", "", f"source{number}"])
    return tmp_path / "labelled.csv"


def test_figures_have_goals_nulls_and_counts_and_are_kept_for_the_next_time(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "ROUNDS", ((32, 2), (40, 1)))
    monkeypatch.setattr(reconstruction, "SEARCHED", 1)
    checkpoints = tuple(small_checkpoint(tmp_path / name, seed) for seed, name in enumerate(("one", "two")))
    options = EvidenceOptions(tmp_path / "cache", checkpoints=checkpoints)
    report = measure_evidence("reconstruction", manifest, Settings(), options=options, console=QUIET)
    figures = {figure.name: figure for figure in report.figures}
    for crf, goal in ((18, ">= .95"), (23, ">= .88"), (28, ">= .75")):
        figure = figures[f"AUC, CRF {crf}"]
        assert (figure.goal, figure.n) == (goal, "4 + 4 clips of 4 sources")
        assert figure.value is not None
        assert 0 <= figure.value <= 1
        assert figures[f"null: one reconstruction, CRF {crf}"].value is not None
    assert figures["right checkpoint first, CRF 23"].n == "8 clips of 4 sources, 2 checkpoints"
    assert figures["right checkpoint first, drop alone, CRF 23"].n == "8 clips of 4 sources, 2 checkpoints"
    assert figures["phase found, CRF 23"].n == "1 decoded clip"
    lost = figures["AUC lost by crop and trim, CRF 23"]
    moved, still = (
        figures[f"AUC, CRF 23, {which}"].value
        for which in ("cropped and trimmed by unknown offsets", "the same clips aligned")
    )
    assert (lost.goal, lost.value) == ("<= .03", still - moved)  # type: ignore[operator]
    processed = figures["passed as made, all processed camera footage, CRF 23"]
    assert processed.n == "20 clips of 4 sources"
    assert figures["mean llr by plain and softened camera clips, blur, CRF 23"].n == "4 clips of 4 sources"
    assert len(report.detail["clips"]) == 24 + 20
    kept = Trials({}, tmp_path / "cache" / "reconstruction")
    assert len(kept._known) == 24 + 2 + 16 + 20
    assert len(list((tmp_path / "cache" / "reconstruction" / "members").glob("*.npy"))) == 8


def test_processed_camera_clips_that_look_made_pass_and_a_calibration_that_knows_them_says_less(
    manifest: Path,
) -> None:
    contents = footage_for(manifest, 4, 0)
    found = {}
    for number, content in enumerate(contents):
        for member in (CAMERA, "one", *NEGATIVES):
            # Blurred and denoised clips lose as little as made ones, all others as much as plain camera clips.
            soft = member in ("one", "blur", "denoise")
            found[content.id, member, 23] = finding((0.0 if soft else 0.8) + 0.01 * number)
    processed = {key: one for key, one in found.items() if key[1] in NEGATIVES}
    aligned = {key: one for key, one in found.items() if key[1] not in NEGATIVES}
    every = negatives_figures("one", contents, aligned, processed, 23, 0)
    figures = {figure.name: figure.value for figure in every}
    for kind, passed, separated in (("blur", 1.0, 0.5), ("denoise", 1.0, 0.5)):
        assert figures[f"passed as made, {kind}, CRF 23"] == passed
        assert figures[f"drop alone, passed as made, {kind}, CRF 23"] == passed
        assert figures[f"AUC, made against {kind}, CRF 23"] == separated
    for kind in ("resample", "sharpen", "double"):
        assert figures[f"passed as made, {kind}, CRF 23"] == 0.25  # the lowest is below all others' edge
        assert figures[f"AUC, made against {kind}, CRF 23"] == 1
    plain, both = (
        figures[f"mean llr by {said}, blur, CRF 23"]
        for said in ("plain camera clips", "plain and softened camera clips")
    )
    assert plain is not None
    assert both is not None
    assert plain > both > 0
    assert figures["passed as made, made, CRF 23"] == 1
    assert negatives_figures("one", contents[:3], aligned, processed, 23, 0) == []
    assert negatives_figures("one", contents, aligned, {}, 23, 0) == []


def finding(drop: float) -> Finding:
    """One whose first loss lies ``drop`` above the second, in logarithms; nothing was gained by refining."""
    first, second = (np.full(len(BANDS), 9.0 * np.exp(power)) for power in (drop, 0.0))
    return Finding(NATIVE, Losses(first, first, second, 100), 18.0, 1)


def test_camera_footage_is_processed_alike_every_time_and_no_checkpoint_takes_its_name(
    manifest: Path, tmp_path: Path
) -> None:
    network = block_network()
    content = footage_for(manifest, 3, 0)[0]
    excesses = {}
    for kind in (CAMERA, "blur", "sharpen"):
        trial = Trial(content.id, content.clip.source, kind, "one", 23)
        once, again = (Trials({"one": ("0" * 64, network)}, None).run(content, trial) for _ in range(2))
        assert once.to_json() == again.to_json()
        excesses[kind] = once.excess
    assert len(set(excesses.values())) == 3
    with pytest.raises(BadUsageError, match="cannot be named blur"):
        Trials({"blur": ("0" * 64, network)}, tmp_path)


def test_a_moved_clip_begins_later_and_lies_elsewhere() -> None:
    drawn = [cropped(Trial(f"content{n}", "s", CAMERA, "one", 23), 0) for n in range(40)]
    assert all(trial.crop not in (None, (0, 0)) for trial in drawn)
    assert {side % 2 for trial in drawn for side in trial.crop or ()} == {0}
    assert {trial.trim for trial in drawn} == {0, 1, 2, 3}
    assert len({trial.key for trial in drawn}) == 40
    assert cropped(Trial("content1", "s", CAMERA, "one", 23), 0) == drawn[1]


def test_a_wider_content_is_another_finding(manifest: Path, tmp_path: Path) -> None:
    """Findings and decoded members are kept by the size of what was measured, not by the content's name alone."""
    network = block_network()
    trials = Trials({"one": ("0" * 64, network)}, tmp_path / "cache")
    sizes = []
    for side in (128, 160):
        content = footage_for(manifest, 3, 0, side=side)[0]
        found = trials.run(content, Trial(content.id, content.clip.source, "one", "one", 23))
        sizes.append(found.losses.blocks)
    assert sizes[0] < sizes[1]
    assert len(Trials({}, tmp_path / "cache")._known) == 2


def test_it_wants_a_checkpoint_and_footage_of_three_sources(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(BadUsageError, match="measured with a checkpoint; name one with --vae"):
        measure_evidence("reconstruction", manifest, Settings(), options=EvidenceOptions(tmp_path), console=QUIET)
    manifest.write_text("path,label,generator,source\n0.mp4,camera,,a\n1.mp4,camera,,b\n")
    options = EvidenceOptions(tmp_path, checkpoints=(small_checkpoint(tmp_path / "one"),))
    with pytest.raises(BadUsageError, match="camera footage of 3 sources, and there is 2"):
        measure_evidence("reconstruction", manifest, Settings(), options=options, console=QUIET)
