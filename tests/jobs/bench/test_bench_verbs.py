"""`makersmark bench` measures speed as it always did, and has learned a second thing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from jobs.cli import main


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["makersmark", *arguments])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_bench_without_a_further_word_measures_the_files_it_is_given(
    camera: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    clip = str(camera / "street" / "clip.mp4")
    for spelling in (["bench"], ["bench", "speed"]):
        assert _run(monkeypatch, *spelling, clip, "--rounds", "1", "--json") == 0
        measured = json.loads(capfd.readouterr().out)
        assert {entry["unit"] for entry in measured} == {"s", "ms"}


def test_bench_decoders_prints_how_faithful_each_decoder_was(
    camera: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ["--crop", "128", "--frames", "9", "--limit", "1", "--simulated", "2", "--decoders", "D", "--json"]
    footage = ["--footage", str(camera), "--out", str(tmp_path / "out")]
    assert _run(monkeypatch, "bench", "decoders", *footage, *options) == 0
    found = {entry["decoder"]: entry for entry in json.loads(capfd.readouterr().out)}
    assert found["simulated"]["contents"] == 2
    assert found["simulated"]["psnr_db"] > 25
    assert found["blur"]["gradient_ratio"] < found["sharpen"]["gradient_ratio"]
    assert (tmp_path / "out" / "manifest.csv").is_file()


def test_what_is_missing_is_a_usage_error_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none").mkdir()
    where = ["--footage", str(tmp_path / "none"), "--out", str(tmp_path / "out")]
    for verb in (["bench", "decoders"], ["train", "decoders"]):
        assert _run(monkeypatch, *verb, *where) == 2
        said = capfd.readouterr().err
        assert "holds no video file" in said
        assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
