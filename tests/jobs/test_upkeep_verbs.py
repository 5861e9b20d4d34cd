"""The verbs of upkeep on the command line: what they print, their JSON, their exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.home import Home
from tests.jobs import state, stored
from tests.jobs.test_cli import Run, run

__all__ = ["run"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return stored.copy_of_template(tmp_path / "home")


def test_compact_says_what_it_merged(home: Home, run: Run) -> None:
    (summary,) = run("compact", "--home", "home", "--json").objects
    assert (summary["merged"], summary["written"]) == (8, 2)
    assert "no parts to merge" in run("compact", "--home", "home").out
    assert "8 replaced parts" in run("compact", "--home", "home", "--grace", "0").out


def test_a_damaged_part_is_named_on_stderr_and_ends_with_1(home: Home, run: Run) -> None:
    damaged = state.parts(home, "provenance")[0].name
    Path(home.settings.home, damaged).write_bytes(b"x")
    for verb in (["compact"], ["audit"], ["audit", "--quick"], ["backup", "copy"]):
        said = run(*verb, "--home", "home")
        assert said.code == 1, verb
        assert damaged in said.err
        assert "Traceback" not in said.err


def test_audit_ends_with_0_once_everything_is_mended(home: Home, run: Run) -> None:
    assert "nothing is wrong" in run("audit", "--home", "home").out
    Path(home.settings.home, state.parts(home, "fingerprints")[0].name).unlink()
    (report,) = run("audit", "--home", "home", "--json").objects
    assert (report["clean"], report["findings"][0]["fault"]) == (False, "part_missing")
    said = run("audit", "--home", "home", "--repair")
    assert said.code == 0
    assert "repaired" in said.out
    assert "2 contents are open again" in said.out
    assert run("audit", "--home", "home").code == 0


def test_audit_shows_the_log(home: Home, run: Run) -> None:
    run("compact", "--home", "home")
    run("audit", "--home", "home")
    shown = run("audit", "--home", "home", "--events", "2", "--json").objects
    assert [event["action"] for event in shown] == ["compact", "audit"]
    assert "compact" in run("audit", "--home", "home", "--events", "2").out


def test_backup_says_what_it_copied(home: Home, run: Run) -> None:
    (summary,) = run("backup", "copy", "--home", "home", "--json").objects
    assert summary["copied"] > 8
    again = run("backup", "copy", "--home", "home")
    assert again.code == 0
    assert "0 files copied" in again.out
    assert run("audit", "--home", "copy").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["compact", "--home", "absent"], 2, "there is no home"),
        (["audit", "--home", "absent"], 2, "there is no home"),
        (["backup", "home/inside", "--home", "home"], 2, "outside the home"),
        (["backup", "/proc/nowhere", "--home", "home"], 3, "/proc/nowhere"),
        (["audit", "--events", "0"], 2, "--events"),
    ],
)
def test_what_cannot_work_is_one_sentence(home: Home, run: Run, arguments: list[str], code: int, sentence: str) -> None:
    said = run(*arguments)
    assert said.code == code, said.err
    assert sentence in said.err
    assert "Traceback" not in said.err
