"""A sweep over good files and poison: what kills a decoder costs its own file, and only until somebody retries it."""

from __future__ import annotations

import functools
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

import jobs.scan
import jobs.sweep
from cluster.outcome import Policy
from fingerprint_db.spec import FingerprintSpec
from jobs import cli
from jobs.home import Home
from jobs.models import ItemState, Location, WorkItem
from jobs.quarantine import find, let_retry, set_aside
from jobs.settings import Settings
from jobs.sweep import SweepSummary
from tests import footage
from tests.faults.poison import POISON, SERVICE, poisoned_worker
from tests.jobs import state
from tests.jobs.conftest import run_sweep

GOOD = ("one.mp4", "two.mkv", "three.webm", "four.avi")
# Good files here take a tenth of a second; the limits leave room for a busy machine.
LIMITS: dict[str, Any] = {"workers": 2, "stall_s": 3.0, "file_s": 5.0, "decode_mb": 300, "max_attempts": 2}


class Pauses(tuple[float, ...]):
    """Short pauses in place of a sweep's own, which notes for which attempt each was taken."""

    taken: list[int]

    def __getitem__(self, index: Any) -> Any:
        self.taken.append(index)
        return super().__getitem__(index)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    for seed, name in enumerate([*GOOD, *POISON]):
        footage.make_video(folder / name, seed=seed, size=(128, 96), frames=24)
    return folder


@pytest.fixture(scope="module")
def clean(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The same archive swept by the real service."""
    home = Home(Settings(home=str(tmp_path_factory.mktemp("clean") / "home"), workers=2))
    assert run_sweep(home, archive).fingerprinted == len(GOOD) + len(POISON)
    return home


@pytest.fixture(scope="module")
def poisoned(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, SweepSummary, list[int]]:
    home = Home(Settings(home=str(tmp_path_factory.mktemp("poisoned") / "home"), **LIMITS))
    pauses = Pauses((0.05, 0.05, 0.05))
    pauses.taken = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(jobs.scan, "DECODE_SERVICE", SERVICE)
        patched.setattr(jobs.sweep, "BACKOFF_S", pauses)
        summary = run_sweep(home, archive)
    return home, summary, pauses.taken


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command line in this process; returns its exit code."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["makersmark", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    return run


def content(home: Home, name: str) -> str:
    with Session(home.engine) as session:
        return next(str(row.sha256) for row in session.scalars(select(Location)) if Path(row.uri).name == name)


def check_poisoned(home: Home, summary: SweepSummary, clean: Home) -> None:
    assert {Path(uri).name: failure.kind for uri, failure in summary.failures.items()} == {
        name: fault.value for name, (fault, _words) in POISON.items()
    }
    assert summary.fingerprinted == len(GOOD)
    good = {content(clean, name) for name in GOOD}
    assert state.verdicts(home) == [entry for entry in state.verdicts(clean) if entry["sha256"] in good]
    assert state.rows(home, "fingerprints") == [
        row for row in state.rows(clean, "fingerprints") if row["sha256"] in good
    ]
    states = state.items(home)
    for name, (fault, _words) in POISON.items():
        assert states[content(clean, name)] == (ItemState.QUARANTINED.value, fault.value)


def test_poison_costs_its_own_file_and_good_files_get_the_verdicts_of_a_clean_sweep(
    poisoned: tuple[Home, SweepSummary, list[int]], clean: Home, archive: Path
) -> None:
    home, summary, _ = poisoned
    check_poisoned(home, summary, clean)
    assert sorted(path.name for path in archive.iterdir()) == sorted([*GOOD, *POISON]), "nothing took over"


def test_the_class_decides_between_another_attempt_after_a_pause_and_quarantine_at_once(
    poisoned: tuple[Home, SweepSummary, list[int]],
) -> None:
    home, _, pauses = poisoned
    with Session(home.engine) as session:
        attempts = {row.sha256: row.attempts for row in session.scalars(select(WorkItem))}
    for name, (fault, _words) in POISON.items():
        expected = LIMITS["max_attempts"] if fault.policy is Policy.RETRY else 1
        assert attempts[content(home, name)] == expected, name
    assert pauses == [0], "one pause before the one second attempt"


def test_the_next_sweep_leaves_what_is_in_quarantine_alone(
    poisoned: tuple[Home, SweepSummary, list[int]], archive: Path
) -> None:
    summary = run_sweep(poisoned[0], archive)
    assert (summary.inventory.to_open, summary.failures) == ([], {})


@pytest.mark.parametrize("name", POISON)
def test_the_quarantine_shows_everything_known_of_an_entry(
    poisoned: tuple[Home, SweepSummary, list[int]],
    archive: Path,
    name: str,
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    home = poisoned[0]
    fault, words = POISON[name]
    assert command("quarantine", "show", str(archive / name), "--home", home.settings.home, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["kind"], shown["policy"]) == (fault.value, fault.policy.value)
    assert shown["sha256"] == content(home, name)
    assert shown["size"] == (archive / name).stat().st_size
    assert shown["attempts"] == (2 if fault.policy is Policy.RETRY else 1)
    assert words in shown["message"]
    assert [Path(place["uri"]).name for place in shown["locations"]] == [name]
    assert shown["next_step"].endswith(".")
    assert command("quarantine", "show", shown["sha256"][:12], "--home", home.settings.home) == 0
    told = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert fault.value in told
    assert shown["sha256"][:40] in told


def test_showing_what_is_not_set_aside_is_one_sentence(
    poisoned: tuple[Home, SweepSummary, list[int]],
    archive: Path,
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command("quarantine", "show", str(archive / "one.mp4"), "--home", poisoned[0].settings.home) == 1
    assert "is not set aside" in capsys.readouterr().err


def test_after_a_retry_with_a_sound_decoder_nothing_tells_that_there_was_poison(
    archive: Path, clean: Home, poisoned: tuple[Home, SweepSummary, list[int]], tmp_path: Path
) -> None:
    shutil.copytree(poisoned[0].settings.home, tmp_path / "home")
    home = Home(Settings(home=str(tmp_path / "home"), workers=2))
    assert {Path(entry.uri).name for entry in set_aside(home.engine)} == set(POISON)
    assert len(let_retry(home.engine, [str(archive / "hangs.mp4")])) == 1
    assert find(home.engine, str(archive / "hangs.mp4")) == []
    assert run_sweep(home, archive).fingerprinted == 1
    assert len(let_retry(home.engine, None)) == len(POISON) - 1
    assert run_sweep(home, archive).fingerprinted == len(POISON) - 1
    assert set_aside(home.engine) == []
    assert state.verdicts(home) == state.verdicts(clean)
    assert state.rows(home, "fingerprints") == state.rows(clean, "fingerprints")
    assert state.items(home) == state.items(clean)


@pytest.mark.slow
@pytest.mark.ray
def test_poison_costs_its_own_file_on_ray_actors_too(
    archive: Path, clean: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., functools.partial[Any]] = jobs.scan.worker_factory

    def factory(settings: Settings, spec: FingerprintSpec) -> functools.partial[Any]:
        return functools.partial(poisoned_worker, *real(settings, spec).args)

    monkeypatch.setattr(jobs.sweep, "worker_factory", factory)
    # One attempt: each pass of a sweep starts a Ray runtime, and second attempts are tested above.
    home = Home(Settings(home=str(tmp_path / "home"), executor="ray", **{**LIMITS, "max_attempts": 1}))
    summary = run_sweep(home, archive)
    check_poisoned(home, summary, clean)
