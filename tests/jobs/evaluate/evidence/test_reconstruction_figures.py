"""Figures of reconstruction: what a checkpoint made against camera footage, aligned and cropped, and its rivals."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from rich.console import Console

from jobs.errors import BadUsageError
from jobs.evaluate.evidence import EvidenceOptions, measure_evidence, reconstruction
from jobs.reconstruct import search
from jobs.reconstruct.trials import Trials
from jobs.settings import Settings
from tests.footage import make_video
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
    assert len(report.detail["clips"]) == 18
    kept = Trials({}, tmp_path / "cache" / "reconstruction")
    assert len(kept._known) == 18 + 2 + 12


def test_it_wants_a_checkpoint_and_footage_of_three_sources(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(BadUsageError, match="measured with a checkpoint; name one with --vae"):
        measure_evidence("reconstruction", manifest, Settings(), options=EvidenceOptions(tmp_path), console=QUIET)
    manifest.write_text("path,label,generator,source\n0.mp4,camera,,a\n1.mp4,camera,,b\n")
    options = EvidenceOptions(tmp_path, checkpoints=(small_checkpoint(tmp_path / "one"),))
    with pytest.raises(BadUsageError, match="camera footage of 3 sources, and there is 2"):
        measure_evidence("reconstruction", manifest, Settings(), options=options, console=QUIET)
