"""`evaluate --evidence KIND --out DIR` measured for minutes and then failed, because DIR was not there yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import jobs.evaluation as evaluation
from jobs.errors import BadUsageError
from jobs.evaluate.evidence import EvidenceOptions
from jobs.evaluation import evaluate_evidence
from jobs.settings import Settings


def asked(tmp_path: Path, out: Path) -> Any:
    return evaluate_evidence(
        "layout",
        tmp_path / "clips.csv",
        Settings(home=str(tmp_path / "home")),
        cache=tmp_path / "cache",
        limit=0,
        seed=0,
        checkpoints=(),
        out=out,
        console=Console(quiet=True),
    )


def test_the_folder_is_there_before_anything_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(*_: Any, options: EvidenceOptions, **__: Any) -> str:
        assert options.out is not None
        (options.out / "table.json").write_text("{}")
        return "figures"

    monkeypatch.setattr(evaluation, "measure_evidence", measured)
    assert asked(tmp_path, tmp_path / "not" / "yet") == "figures"


def test_a_folder_that_cannot_be_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadUsageError, match="nothing can be written to"):
        asked(tmp_path, tmp_path / "file")
