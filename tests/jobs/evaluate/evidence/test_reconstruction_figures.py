"""Figures of reconstruction: what a checkpoint made against camera footage, aligned and cropped, and its rivals."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from rich.console import Console

from jobs.errors import BadUsageError
from jobs.evaluate.evidence import EvidenceOptions, measure_evidence, reconstruction
from jobs.reconstruct import search
from jobs.reconstruct.calibrate import footage_for
from jobs.reconstruct.trials import CAMERA, Trial, Trials, cropped
from jobs.settings import Settings
from tests.footage import make_video
from tests.jobs.reconstruct.block_decoder import block_network
from tests.jobs.reconstruct.test_enroll_vae import small_checkpoint

QUIET = Console(quiet=True)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Camera clips of three sources."""
    with open(tmp_path / "labelled.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "generator", "source"])
        for number in range(3):
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
        assert (figure.goal, figure.n) == (goal, "3 + 3 clips of 3 sources")
        assert figure.value is not None
        assert 0 <= figure.value <= 1
        assert figures[f"null: one reconstruction, CRF {crf}"].value is not None
    assert figures["right checkpoint first, CRF 23"].n == "6 clips of 3 sources, 2 checkpoints"
    assert figures["phase found, CRF 23"].n == "1 decoded clip"
    lost = figures["AUC lost by crop and trim, CRF 23"]
    moved, still = (
        figures[f"AUC, CRF 23, {which}"].value
        for which in ("cropped and trimmed by unknown offsets", "the same clips aligned")
    )
    assert (lost.goal, lost.value) == ("<= .03", still - moved)  # type: ignore[operator]
    assert len(report.detail["clips"]) == 18
    kept = Trials({}, tmp_path / "cache" / "reconstruction")
    assert len(kept._known) == 18 + 2 + 12
    assert len(list((tmp_path / "cache" / "reconstruction" / "members").glob("*.npy"))) == 6


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
