"""A backup taken while a sweep runs is a home: it audits clean, and a sweep on it ends with the same verdicts."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

import jobs.backup
from jobs.audit import audit
from jobs.backup import BackupSummary, backup
from jobs.compact import compact
from jobs.errors import BadUsageError
from jobs.home import Home
from jobs.models import Sweep
from jobs.repair import repair
from jobs.settings import Settings
from jobs.sweeps import INTERRUPTED
from tests.jobs import state, stored
from tests.jobs.conftest import QUIET, run_sweep
from tests.jobs.test_sweep import start

HomeAt = Callable[..., Home]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return stored.copy_of_template(tmp_path / "home")


def take(home: Home, target: Path | str) -> BackupSummary:
    return backup(home, str(target), console=QUIET)


def opened(folder: Path | str, **settings: str) -> Home:
    return Home(Settings(home=str(folder), workers=1, **settings))  # type: ignore[arg-type]


def test_a_backup_is_a_home_with_everything_in_it(home: Home, tmp_path: Path) -> None:
    summary = take(home, tmp_path / "backup")
    assert (summary.unusable, summary.rounds, summary.database) == ({}, 1, True)
    assert not list((tmp_path / "backup").glob("makersmark.sqlite-*"))
    copy = opened(tmp_path / "backup")
    assert stored.everything(copy) == stored.everything(home)
    assert state.verdicts(copy) == state.verdicts(home)
    assert audit(copy, console=QUIET).findings == []


@pytest.mark.slow
def test_taken_during_a_sweep_and_restored_elsewhere_it_ends_with_the_same_verdicts(
    footage: Path, tmp_path: Path, home_at: HomeAt
) -> None:
    unbroken = home_at("unbroken")
    run_sweep(unbroken, footage)
    process = start(tmp_path / "home", footage)
    try:
        live = home_at()
        while not state.verdicts(live) and process.poll() is None:
            time.sleep(0.02)
        take(live, tmp_path / "backup")
        live.close()
    finally:
        process.wait(timeout=120)
    shutil.copytree(tmp_path / "backup", tmp_path / "restored")
    restored = opened(tmp_path / "restored")
    assert 1 <= len(state.verdicts(restored)) <= 3
    with Session(restored.engine) as session:
        assert set(session.scalars(select(Sweep.state))) <= {INTERRUPTED, "finished"}
    report = audit(restored, console=QUIET)
    repair(restored, report)
    assert report.clean
    assert run_sweep(restored, footage).held == 0
    assert state.verdicts(restored) == state.verdicts(unbroken)
    assert state.items(restored) == state.items(unbroken)
    assert state.rows(restored, "fingerprints") == state.rows(unbroken, "fingerprints")
    assert audit(restored, console=QUIET).findings == []
    assert audit(opened(tmp_path / "home"), console=QUIET).findings == [], "the original took no harm"


def test_leases_are_not_carried_over_and_the_original_keeps_its_own(home: Home, tmp_path: Path) -> None:
    from jobs.scan import current_spec
    from jobs.sweeps import start_sweep

    spec = current_spec(home.settings)
    sweep = start_sweep(home.engine, "/archive", spec, "x")
    home.ledger.claim("file:///new", "e" * 64, 1, spec.id, sweep)
    take(home, tmp_path / "backup")
    assert state.items(opened(tmp_path / "backup"))["e" * 64] == ("failed", None)
    assert state.items(home)["e" * 64] == ("leased", None)


def test_the_next_backup_copies_only_what_is_new(home: Home, tmp_path: Path) -> None:
    first = take(home, tmp_path / "backup")
    stored.fill(home, [[2]], first=70)
    second = take(home, tmp_path / "backup")
    assert (second.copied, second.present) == (2, first.copied)
    assert stored.everything(opened(tmp_path / "backup")) == stored.everything(home)


def test_a_log_left_beside_an_earlier_copy_is_not_played_into_the_new_one(home: Home, tmp_path: Path) -> None:
    take(home, tmp_path / "backup")
    script = (
        "import os, sqlite3; c = sqlite3.connect('makersmark.sqlite'); c.execute('PRAGMA journal_mode=WAL');"
        "c.execute(\"UPDATE verdict SET verdict = 'somebody wrote here'\"); c.commit(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path / "backup", check=True)
    assert (tmp_path / "backup" / "makersmark.sqlite-wal").stat().st_size > 0
    take(home, tmp_path / "backup")
    assert state.verdicts(opened(tmp_path / "backup")) == state.verdicts(home)


def test_parts_merged_and_removed_under_a_backup_start_another_round(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_database = jobs.backup._copy_database
    before = stored.everything(home)

    def compacted_right_after(*arguments: object) -> object:
        engine = copy_database(*arguments)  # type: ignore[arg-type]
        compact(Home(home.settings), console=QUIET, grace_s=0)
        return engine

    monkeypatch.setattr(jobs.backup, "_copy_database", compacted_right_after)
    summary = take(home, tmp_path / "backup")
    assert (summary.rounds, summary.unusable) == (2, {})
    copy = opened(tmp_path / "backup")
    assert stored.everything(copy) == before
    assert audit(copy, console=QUIET).findings == []


def test_what_is_damaged_in_the_home_is_named_and_not_copied_and_the_copy_can_be_repaired(
    home: Home, tmp_path: Path
) -> None:
    lost, damaged = (part.name for part in state.parts(home, "provenance")[:2])
    Path(home.settings.home, lost).unlink()
    Path(home.settings.home, damaged).write_bytes(b"x")
    verdicts = state.verdicts(home)
    summary = take(home, tmp_path / "backup")
    assert set(summary.unusable) == {lost, damaged}
    assert summary.rounds == 1
    copy = opened(tmp_path / "backup")
    report = audit(copy, console=QUIET)
    repair(copy, report)
    assert report.clean
    assert len(report.findings) == 2
    assert state.verdicts(copy) == verdicts
    assert audit(copy, console=QUIET).findings == []


def test_a_damaged_snapshot_is_named(home: Home, tmp_path: Path) -> None:
    (entry, *_) = home.store.snapshots()
    Path(home.settings.home, "snapshots", entry.id, "model.npz").write_bytes(b"x")
    assert set(take(home, tmp_path / "backup").unusable) == {f"snapshots/{entry.id}"}


@pytest.mark.parametrize("inside", ["", "backup", "parquet/x"])
def test_a_place_inside_the_home_is_refused(home: Home, inside: str) -> None:
    with pytest.raises(BadUsageError, match="outside the home"):
        take(home, Path(home.settings.home, inside))


def test_a_database_elsewhere_is_in_the_backup_too(home: Home, tmp_path: Path) -> None:
    shutil.move(Path(home.settings.home, "makersmark.sqlite"), tmp_path / "elsewhere.sqlite")
    apart = opened(home.settings.home, db=f"sqlite:///{tmp_path / 'elsewhere.sqlite'}")
    take(apart, tmp_path / "backup")
    assert state.verdicts(opened(tmp_path / "backup")) == state.verdicts(apart)


@pytest.mark.s3
def test_a_backup_in_a_bucket_comes_back_whole(home: Home, s3_bucket: str, tmp_path: Path) -> None:
    from jobs.archive import Folder

    take(home, f"{s3_bucket}/backup")
    bucket = Folder(f"{s3_bucket}/backup")
    names = [*bucket.names("parquet"), *bucket.names("snapshots"), "makersmark.sqlite"]
    restored = Folder(str(tmp_path / "restored"))
    for name in names:
        restored.write(name, bucket.read(name))
    copy = opened(tmp_path / "restored")
    assert stored.everything(copy) == stored.everything(home)
    assert audit(copy, console=QUIET).findings == []
    assert take(home, f"{s3_bucket}/backup").copied == 0
