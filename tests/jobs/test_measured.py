"""The figures of a kind of evidence: asked for by name, printed for people, pages and machines alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from jobs.errors import BadUsageError
from jobs.evaluate.evidence import EvidenceOptions, measure_evidence
from jobs.measured import Figure, MeasuredReport
from jobs.settings import Settings

REPORT = MeasuredReport(
    "assembly",
    "How a video was put together",
    (
        Figure("RIFE x2 flagged", 0.9123, 0.81, 0.97, "57 clips of 21 sources", ">= 90 %", "share | of clips"),
        Figure("nothing counted", None, n="0 clips"),
    ),
    ("one note",),
    {"per_clip": [1, 2]},
)


def test_a_page_has_every_figure_with_bounds_counts_and_goal() -> None:
    page = REPORT.to_markdown()
    assert "| RIFE x2 flagged | 0.912 | 0.81-0.97 | 57 clips of 21 sources | >= 90 % |" in page
    assert "| nothing counted | - |  | 0 clips |  |" in page
    assert "- **RIFE x2 flagged**: share | of clips" in page
    assert "- one note" in page


def test_machines_get_the_same_figures_and_the_detail() -> None:
    said = json.loads(json.dumps(REPORT.to_json()))
    assert said["figures"][0]["value"] == 0.9123
    assert said["detail"] == {"per_clip": [1, 2]}


def test_a_person_sees_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    REPORT.print(Console(width=160))
    assert "57 clips of 21 sources" in capsys.readouterr().out


def test_a_kind_that_there_is_not_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadUsageError, match="no evidence called 'astrology'; choose one of assembly, cues"):
        measure_evidence(
            "astrology", tmp_path / "m.csv", Settings(), options=EvidenceOptions(tmp_path), console=Console()
        )
