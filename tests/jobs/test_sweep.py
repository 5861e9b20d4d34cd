"""The main job on a real archive: every file accounted for, nothing done twice, nothing lost by any death."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

import jobs.scan
from cluster.outcome import FailureError
from jobs.home import Home
from jobs.lookup import look_up
from jobs.models import Sweep
from tests.jobs import state
from tests.jobs.conftest import run_sweep

HomeAt = Callable[..., Home]
NO_VIDEO = {"empty.mp4": "empty_file", "letter.mp4": "not_a_video", "song.mp4": "no_video_stream", "cut.mp4": "damaged"}


@pytest.fixture(scope="module")
def swept(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The unbroken sweep that others are compared with; read-only."""
    from jobs.settings import Settings

    home = Home(Settings(home=str(tmp_path_factory.mktemp("swept") / "home"), workers=2))
    run_sweep(home, footage)
    return home


def test_every_file_is_accounted_for(archive: Path, home_at: HomeAt) -> None:
    home = home_at()
    summary = run_sweep(home, archive)
    assert (summary.inventory.listed, summary.inventory.passed_over) == (8, 1)
    assert (summary.fingerprinted, summary.duplicates) == (3, 1)
    assert {Path(uri).name: failure.kind for uri, failure in summary.failures.items()} == NO_VIDEO
    assert summary.fingerprinted + summary.duplicates + len(summary.failures) == summary.inventory.listed
    assert sum(summary.verdicts.values()) == 3
    assert summary.video_s == pytest.approx(3 * 48 / 25, abs=0.2)
    states = state.locations(home)
    assert set(states) == {path.name for path in archive.rglob("*") if path.is_file()} - {"readme.txt"}
    assert all(found == "identified" for found, _ in states.values())
    assert sorted(state.items(home).values(), key=str) == sorted(
        [("done", None)] * 3
        + [("skipped", "empty_file"), ("skipped", "not_a_video"), ("skipped", "no_video_stream")]
        + [("quarantined", "damaged")],
        key=str,
    )


def test_a_second_sweep_of_an_unchanged_archive_opens_no_file(
    archive: Path, home_at: HomeAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_at()
    run_sweep(home, archive)
    before = (state.verdicts(home), len(state.parts(home, "fingerprints")))

    def opened(*_: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr(jobs.scan, "fetch", opened)
    summary = run_sweep(home, archive)
    assert (summary.inventory.known, summary.inventory.to_open) == (8, [])
    assert (state.verdicts(home), len(state.parts(home, "fingerprints"))) == before


def test_only_what_is_new_is_opened(archive: Path, home_at: HomeAt) -> None:
    home = home_at()
    run_sweep(home, archive)
    shutil.copy(archive / "two.mkv", archive / "another name.mkv")
    summary = run_sweep(home, archive)
    assert (len(summary.inventory.to_open), summary.duplicates, summary.fingerprinted) == (1, 1, 0)
    both = look_up(home, str(archive / "another name.mkv"))["locations"]
    assert [Path(uri).name for uri in both] == ["another name.mkv", "two.mkv"]


def test_parquet_holds_a_row_a_window_and_duckdb_reads_it(swept: Home) -> None:
    names = [part.name for part in state.parts(swept, "fingerprints")]
    paths = [str(Path(swept.settings.home, name)) for name in names]
    counted = duckdb.sql(f"select count(*), count(distinct sha256), min(len(decoder)) from read_parquet({paths})")
    (row,) = counted.fetchall()
    windows, contents, dimensions = row
    assert contents == 3
    assert windows >= 3
    assert dimensions > 50
    provenance = [str(Path(swept.settings.home, part.name)) for part in state.parts(swept, "provenance")]
    judged = duckdb.sql(f"select distinct sha256, verdict from read_parquet({provenance})").fetchall()
    assert len(judged) == 3


def test_workers_and_their_number_leave_no_trace_in_the_results(swept: Home, footage: Path, home_at: HomeAt) -> None:
    alone = home_at(workers=1, commit_files=1)
    run_sweep(alone, footage)
    assert state.verdicts(alone) == state.verdicts(swept)
    assert state.rows(alone, "fingerprints") == state.rows(swept, "fingerprints")


@pytest.mark.ray
@pytest.mark.slow
def test_ray_actors_give_the_same_results(swept: Home, footage: Path, home_at: HomeAt) -> None:
    home = home_at(executor="ray", workers=2)
    summary = run_sweep(home, footage)
    assert {Path(uri).name: failure.kind for uri, failure in summary.failures.items()} == NO_VIDEO
    assert state.verdicts(home) == state.verdicts(swept)
    assert state.rows(home, "fingerprints") == state.rows(swept, "fingerprints")


@pytest.mark.s3
def test_an_archive_and_a_home_on_s3_give_the_same_results(
    swept: Home, footage: Path, home_at: HomeAt, s3_bucket: str, tmp_path: Path
) -> None:
    from jobs.archive import Folder
    from jobs.settings import Settings

    bucket = Folder(f"{s3_bucket}/videos")
    for path in sorted(footage.rglob("*.*")):
        if path.is_file():
            bucket.write(str(path.relative_to(footage)), path.read_bytes())
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    home = Home(
        Settings(
            home=f"{s3_bucket}/home", db=f"sqlite:///{tmp_path / 'remote.sqlite'}", workers=1, scratch=str(scratch)
        )
    )
    run_sweep(home, f"{s3_bucket}/videos")
    assert state.verdicts(home) == state.verdicts(swept)
    assert state.rows(home, "fingerprints") == state.rows(swept, "fingerprints")
    assert list(scratch.iterdir()) == [], "fetched copies were left behind"
    assert run_sweep(home, f"{s3_bucket}/videos").inventory.to_open == []


def start(home: Path, archive: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "MAKERSMARK_COMMIT_FILES": "1", "MAKERSMARK_WORKERS": "2"}
    command = [sys.executable, "-m", "jobs", "--home", str(home), "sweep", str(archive)]
    return subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


@pytest.mark.slow
@pytest.mark.parametrize("progress", [0, 1, 2], ids=["before any", "after one", "after two"])
def test_a_sweep_killed_with_its_whole_process_group_goes_on_to_the_same_end(
    swept: Home, footage: Path, tmp_path: Path, home_at: HomeAt, progress: int
) -> None:
    process = start(tmp_path / "home", footage)
    home = home_at()
    while len(state.verdicts(home)) < progress and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with_leases = home_at()
    summary = run_sweep(with_leases, footage)
    assert summary.held == 0
    assert state.verdicts(with_leases) == state.verdicts(swept)
    assert state.items(with_leases) == state.items(swept)
    assert state.rows(with_leases, "fingerprints") == state.rows(swept, "fingerprints")


@pytest.mark.slow
def test_two_sweeps_at_once_share_the_work_and_both_end_complete(
    swept: Home, footage: Path, tmp_path: Path, home_at: HomeAt
) -> None:
    both = [start(tmp_path / "home", footage), start(tmp_path / "home", footage)]
    codes = [process.wait(timeout=120) for process in both]
    assert set(codes) <= {0, 1}
    home = home_at()
    assert state.verdicts(home) == state.verdicts(swept)
    assert state.rows(home, "fingerprints") == state.rows(swept, "fingerprints")


def test_a_sweep_that_died_on_another_machine_is_left_to_its_lease(archive: Path, home_at: HomeAt) -> None:
    home = home_at(lease_s=2.0)
    run_sweep(home, archive, limit=1)
    with Session(home.engine) as session, session.begin():
        session.execute(update(Sweep).values(state="running", host="elsewhere boot 1 1.00"))
    home.ledger.claim("file:///x", "f" * 64, 1, "spec", "the dead sweep")
    summary = run_sweep(home, archive)
    assert summary.freed == 0
    assert summary.fingerprinted + summary.duplicates + len(summary.failures) == 7


def test_a_missing_archive_is_one_clear_sentence(home_at: HomeAt, tmp_path: Path) -> None:
    with pytest.raises(FailureError, match="there is no file or folder"):
        run_sweep(home_at(), tmp_path / "absent")


def test_an_empty_archive_is_no_error(home_at: HomeAt, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    summary = run_sweep(home_at(), tmp_path / "empty")
    assert (summary.inventory.listed, summary.fingerprinted) == (0, 0)
