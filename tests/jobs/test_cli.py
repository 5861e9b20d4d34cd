"""The command line as other tools rely on it: verbs, JSON, exit codes, one clear sentence for what goes wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import main
from tests.footage import make_video

RECORD_FIELDS = {
    "uri",
    "sha256",
    "duration_s",
    "coverage",
    "verdict",
    "family",
    "generator",
    "llr",
    "p_value",
    "margin",
    "segments",
    "nearest",
    "cues",
    "declared",
    "spec",
    "snapshot",
    "error",
}


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Said]:
    """Runs the command in this process, in an empty folder, with a home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["makersmark", *arguments])
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as leave:
            code = leave.code if isinstance(leave.code, int) else 0
        said = capfd.readouterr()
        return Said(code, said.out, said.err)

    return call


Run = Callable[..., Said]


def test_sweep_prints_the_closing_table_names_failures_on_stderr_and_exits_1(run: Run, archive: Path) -> None:
    said = run("sweep", str(archive), "--home", "home", "-j", "1")
    assert said.code == 1
    for expected in ("files in the archive", "fingerprinted", "throughput", "not_a_video", "hours of video"):
        assert expected in said.out
    for name in ("letter.mp4", "song.mp4", "cut.mp4", "empty.mp4"):
        assert name in said.err
    again = run("--home", "home", "sweep", str(archive))
    assert again.code == 0
    assert "no file was opened" in again.out


def test_sweep_json_is_one_object(run: Run, archive: Path) -> None:
    (summary,) = run("sweep", str(archive), "--home", "home", "-j", "1", "--json").objects
    assert (summary["listed"], summary["fingerprinted"], summary["duplicates"]) == (8, 3, 1)
    assert summary["failures"] == {"empty_file": 1, "not_a_video": 1, "no_video_stream": 1, "damaged": 1}


def test_scan_prints_one_json_object_a_file_and_stores_nothing(run: Run, archive: Path, tmp_path: Path) -> None:
    said = run("scan", str(archive / "one.mp4"), str(archive / "letter.mp4"), "--json", "-j", "1")
    assert said.code == 1
    by_name = {Path(record["uri"]).name: record for record in said.objects}
    good, bad = by_name["one.mp4"], by_name["letter.mp4"]
    assert set(good) >= RECORD_FIELDS
    assert set(bad) >= RECORD_FIELDS
    assert good["error"] is None
    assert good["coverage"] == 1.0
    assert isinstance(good["llr"], float)
    assert good["duration_s"] == pytest.approx(48 / 25, abs=0.1)
    assert len(good["sha256"]) == 64
    assert bad["verdict"] is None
    assert bad["error"]["class"] == "not_a_video"
    assert not (tmp_path / "makersmark-home").exists()


def test_scan_of_a_folder_takes_the_videos_in_it(run: Run, archive: Path) -> None:
    said = run("scan", str(archive / "sub"), "--json", "-j", "1")
    assert [Path(record["uri"]).name for record in said.objects] == ["copy of one.mp4"]


def test_a_missing_file_is_an_error_object_and_exit_1(run: Run) -> None:
    said = run("scan", "absent.mp4", "--json")
    assert said.code == 1
    assert said.objects[0]["error"]["class"] == "not_found"
    assert "absent.mp4 does not exist" in said.err


def test_lookup_finds_by_hash_path_and_content(run: Run, archive: Path, tmp_path: Path) -> None:
    run("sweep", str(archive), "--home", "home", "-j", "1")
    (by_path,) = run("lookup", str(archive / "one.mp4"), "--home", "home", "--json").objects
    (by_hash,) = run("lookup", by_path["sha256"], "--home", "home", "--json").objects
    copy = tmp_path / "elsewhere.mp4"
    copy.write_bytes((archive / "one.mp4").read_bytes())
    (by_content,) = run("lookup", str(copy), "--home", "home", "--json").objects
    assert by_path["sha256"] == by_hash["sha256"] == by_content["sha256"]
    assert by_path["verdicts"] == by_hash["verdicts"] == by_content["verdicts"]
    assert set(by_path["verdicts"][-1]) >= RECORD_FIELDS
    assert len(by_path["locations"]) == 2
    (broken,) = run("lookup", str(archive / "cut.mp4"), "--home", "home", "--json").objects
    assert broken["error"]["class"] == "damaged"
    assert broken["verdicts"] == []
    assert "one.mp4" in run("lookup", str(archive / "one.mp4"), "--home", "home").out


def test_lookup_of_the_unknown_says_so_and_exits_1(run: Run, archive: Path) -> None:
    run("sweep", str(archive / "sub"), "--home", "home", "-j", "1")
    said = run("lookup", "0" * 64, "--home", "home", "--json")
    assert said.code == 1
    assert said.objects[0]["verdicts"] == []
    assert "no content with SHA-256" in said.err


def test_quarantine_lists_what_was_set_aside_and_retry_opens_it_again(run: Run, archive: Path) -> None:
    run("sweep", str(archive), "--home", "home", "-j", "1")
    (aside,) = run("quarantine", "list", "--home", "home", "--json").objects
    assert (Path(aside["uri"]).name, aside["kind"]) == ("cut.mp4", "damaged")
    assert len(run("quarantine", "list", "--all", "--home", "home", "--json").objects) == 4
    assert "1 released" in run("quarantine", "retry", aside["sha256"][:12], "--home", "home").out
    assert run("quarantine", "list", "--home", "home", "--json").objects == []
    again = run("sweep", str(archive), "--home", "home", "-j", "1", "--json")
    assert again.objects[0]["opened"] == 1
    assert "cut.mp4" in again.err


def test_enrolling_publishes_a_snapshot_and_rematch_judges_without_opening_a_file(
    run: Run, archive: Path, tmp_path: Path
) -> None:
    run("sweep", str(archive), "--home", "home", "-j", "1")
    for number in range(3):
        folder = tmp_path / "made" / f"page{number}"
        folder.mkdir(parents=True)
        make_video(folder / "a.mp4", seed=10 + number)
    said = run("enroll", "Some New Generator", str(tmp_path / "made"), "--home", "home", "--family", "some-vae")
    assert said.code == 0, said.err
    assert "some-new-generator: 3 signatures added" in said.out
    table = run("generators", "--home", "home", "--json").objects[0]
    (own,) = [row for row in table["enrolled"] if row["slug"] == "some-new-generator"]
    assert (own["clips"], own["sources"], own["family"]) == (3, 3, "some-vae")
    hint = run("sweep", str(archive), "--home", "home")
    assert "makersmark rematch" in hint.out
    for path in archive.rglob("*.*"):
        if path.is_file():
            path.unlink()
    (summary,) = run("rematch", "--home", "home", "--json").objects
    assert summary["judged"] == 3
    (again,) = run("rematch", "--home", "home", "--json").objects
    assert (again["judged"], again["known"]) == (0, 3)
    found = run("lookup", str(archive / "one.mp4"), "--home", "home", "--json").objects[0]
    assert len({verdict["snapshot"] for verdict in found["verdicts"]}) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["sweep", "absent-folder"], 2, "there is no file or folder"),
        (["sweep", "x", "--executor", "slurm"], 2, "local, ray"),
        (["sweep", "x", "--since", "yesterday"], 2, "no ISO date"),
        (["lookup", "x", "--home", "absent-home"], 2, "there is no home"),
        (["enroll", "sora"], 2, "give a generator and its files"),
        (["generators", "hunyan"], 2, "did you mean hunyuanvideo"),
        (["quarantine", "retry", "--home", "absent-home"], 2, "name what to retry"),
        (["scan", "x.mp4", "--db", "nonsense"], 3, "database URL"),
        (["--config", "absent.toml", "scan", "x.mp4"], 2, "absent.toml"),
        (["frobnicate"], 2, "frobnicate"),
        (["sweep"], 2, "ARCHIVE_URI"),
    ],
)
def test_what_cannot_work_is_one_sentence_and_the_contracts_exit_code(
    run: Run, arguments: list[str], code: int, sentence: str
) -> None:
    said = run(*arguments)
    assert said.code == code, said.err
    assert sentence in said.err
    assert "Traceback" not in said.err


def test_a_home_that_cannot_be_written_is_the_systems_failure(run: Run, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the home should be")
    said = run("sweep", str(archive), "--home", "taken")
    assert said.code == 3
    assert "Traceback" not in said.err


def test_a_database_that_is_none_is_named(run: Run, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "makersmark.sqlite").write_text("this is no database, it only has the name of one" * 50)
    said = run("sweep", str(archive), "--home", "home")
    assert said.code == 3
    assert "makersmark.sqlite" in said.err


VERBS = (
    *("sweep", "scan", "enroll", "rematch", "lookup", "generators", "evaluate", "bench", "train"),
    *("compact", "audit", "backup"),
)


@pytest.mark.parametrize("verb", [[], *([v] for v in VERBS)])
def test_every_verb_has_help(run: Run, verb: list[str]) -> None:
    said = run(*verb, "--help")
    assert said.code == 0
    assert "Usage" in said.out


def test_a_pack_carries_signatures_to_another_home_and_gives_the_same_snapshot(run: Run, tmp_path: Path) -> None:
    for number in range(3):
        folder = tmp_path / "made" / f"page{number}"
        folder.mkdir(parents=True)
        make_video(folder / "a.mp4", seed=20 + number)
    assert run("enroll", "camera", str(tmp_path / "made"), "--home", "one").code == 0
    said = run("pack", "packed", "--name", "mine", "--home", "one")
    assert said.code == 0, said.err
    provenance = json.loads((tmp_path / "packed" / "mine.json").read_text())
    assert provenance["generators"]["camera"]["sources"][-3:] == ["page0", "page1", "page2"]
    loaded = run("pack", "packed/mine.npz", "--load", "--home", "two")
    assert loaded.code == 0, loaded.err
    assert provenance["snapshot"][:16] in loaded.out
    (tmp_path / "packed" / "mine.npz").write_bytes(b"no pack")
    damaged = run("pack", "packed/mine.npz", "--load", "--home", "two")
    assert (damaged.code, "damaged" in damaged.err) == (3, True)
    assert run("pack", "elsewhere", "--home", "absent").code == 2


def test_evaluate_writes_json_and_pages_and_judges_a_grid_of_chains(run: Run, tmp_path: Path) -> None:
    rows = ["path,label,generator,source,same_page"]
    for number in range(4):
        label, maker = ("camera", "") if number % 2 else ("generated", "some-maker")
        make_video(tmp_path / f"{number}.mp4", seed=number, frames=12, size=(160, 128))
        rows.append(f"{number}.mp4,{label},{maker},page {number},")
    (tmp_path / "labelled.csv").write_text("\n".join(rows) + "\n")
    said = run(
        *("evaluate", "labelled.csv", "--protocol", "leave-one-source-out", "--learn-from", "none", "--json"),
        *("--grid-chain", "x264-crf23", "--grid-chain", "x265-crf33-x0.75", "--cache", "kept"),
        *("--html", "page.html", "--markdown", "page.md"),
    )
    assert said.code == 0, said.err
    (report,) = said.objects
    assert report["n"] == 4
    assert {"metadata", "thumbnail", "hf_energy", "codec_parameters", "shuffled_labels"} <= set(report["nulls"])
    assert [(cell["chain"], cell["learned"], cell["n"]) for cell in report["grid"]] == [
        ("x264-crf23", True, 4),
        ("x265-crf33-x0.75", False, 4),
    ]
    assert report["open_set"]["named"][1] == 2
    for page in ("page.html", "page.md"):
        assert "x265-crf33-x0.75" in (tmp_path / page).read_text(encoding="utf-8")
