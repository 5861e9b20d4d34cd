"""When the system itself fails: one line that says why, exit code 3, nothing half-written; the next run completes."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

import jobs.archive.stores
import jobs.database
import jobs.manifest
from jobs.archive import Folder, Listed
from jobs.database import open_database
from jobs.home import Home
from jobs.ledger import Claim, Ledger
from jobs.models import VERSION_TABLE, ResultPart, VerdictRow, WorkItem, utc_now
from jobs.schemas import VERSION_KEY
from jobs.settings import Settings
from tests.jobs import state
from tests.jobs.conftest import archive, footage, home_at, run_sweep  # noqa: F401 (fixtures)
from tests.jobs.test_cli import Run, Said, run  # noqa: F401 (a fixture)
from tests.postgres_server import PostgresServer

# ruff: noqa: F811


def failed_clearly(said: Said, *words: str) -> None:
    """Exit code 3, and as its last word one line that says why."""
    assert said.code == 3, said.err
    assert "Traceback" not in said.err
    last = said.err.strip().splitlines()[-1]
    assert last.startswith("makersmark: "), said.err
    for word in words:
        assert word in last


def consistent(home: Home) -> None:
    """Every part that SQL names is there and whole; every finished content has its verdict; nothing is leased."""
    with Session(home.engine) as session:
        for part in session.scalars(select(ResultPart)):
            assert pq.read_table(pa.BufferReader(home.folder.read(part.name))).num_rows == part.rows
        done = set(session.scalars(select(WorkItem.sha256).where(WorkItem.state == "done")))
        assert set(session.scalars(select(VerdictRow.sha256))) == done
        assert not session.scalars(select(WorkItem.sha256).where(WorkItem.state == "leased")).all()
    assert not list(Path(home.settings.home).rglob("*.partial"))


def completes(run: Run, archive: Path, *options: str) -> None:
    said = run("sweep", str(archive), "--home", "home", "-j", "1", "--json", *options)
    assert said.code in (0, 1), said.err
    (summary,) = said.objects
    home = Home(Settings(home="home", db=options[1] if options else ""))
    consistent(home)
    assert len(state.verdicts(home)) == 3
    assert summary["opened"] == summary["fingerprinted"] + summary["duplicates"] + sum(summary["failures"].values())
    home.close()


# Databases


@pytest.mark.postgres
def test_a_database_that_is_down_at_the_start_and_one_that_goes_down_half_way(
    run: Run, archive: Path, postgres_url: str, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAKERSMARK_DB_WAIT_S", "0.2")
    monkeypatch.setenv("MAKERSMARK_COMMIT_FILES", "1")
    postgres_server.stop()
    failed_clearly(run("sweep", str(archive), "--home", "home", "--db", postgres_url), "cannot be opened")
    assert not Path("home", "parquet").exists()
    postgres_server.start()
    write = Folder.write

    def write_and_pull_the_plug(folder: Folder, name: str, data: bytes) -> None:
        write(folder, name, data)
        if "provenance" in name:
            postgres_server.stop()

    monkeypatch.setattr(Folder, "write", write_and_pull_the_plug)
    failed_clearly(run("sweep", str(archive), "--home", "home", "-j", "1", "--db", postgres_url), "database failed")
    monkeypatch.setattr(Folder, "write", write)
    postgres_server.start()
    home = Home(Settings(home="home", db=postgres_url))
    assert state.verdicts(home) == []
    # What the broken run still holds is freed as a real one's is: its process is gone.
    with home.engine.begin() as connection:
        connection.execute(text("UPDATE sweep SET host = regexp_replace(host, ' [^ ]+ [^ ]+$', ' 999999999 1')"))
    home.close()
    completes(run, archive, "--db", postgres_url)


def test_a_schema_that_is_newer_than_the_code_is_left_alone(run: Run, archive: Path) -> None:
    run("sweep", str(archive), "--home", "home", "-j", "1", "--limit", "1")
    engine = open_database(f"sqlite:///{Path('home/makersmark.sqlite').absolute()}")
    with engine.begin() as connection:
        before = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one()
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    for verb in (["sweep", str(archive)], ["rematch"], ["lookup", "0" * 64]):
        failed_clearly(run(*verb, "--home", "home"), "newer Makersmark", "9999", "upgrade")
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{before}'"))
    engine.dispose()
    completes(run, archive)


# Disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB where this process may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this process may not mount a small file system (the limit on file sizes below stands in for it)")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_under_the_results(run: Run, archive: Path, small_disk: Path, tmp_path: Path) -> None:
    database = ["--db", f"sqlite:///{tmp_path / 'elsewhere.sqlite'}"]
    run("sweep", str(archive / "sub"), "--home", str(small_disk / "home"), "-j", "1", *database)
    ballast = small_disk / "ballast"
    fill(ballast)
    said = run("sweep", str(archive), "--home", str(small_disk / "home"), "-j", "1", *database)
    failed_clearly(said, "No space left on device", "parquet")
    home = Home(Settings(home=str(small_disk / "home"), db=database[1]))
    consistent(home)
    assert len(state.verdicts(home)) == 1
    ballast.unlink()
    assert run("sweep", str(archive), "--home", str(small_disk / "home"), "-j", "1", *database).code in (0, 1)
    consistent(home)
    assert len(state.verdicts(home)) == 3


def test_a_full_disk_under_the_database(run: Run, archive: Path, small_disk: Path) -> None:
    database = ["--db", f"sqlite:///{small_disk / 'db.sqlite'}"]
    run("sweep", str(archive / "sub"), "--home", "home", "-j", "1", *database)
    ballast = small_disk / "ballast"
    fill(ballast)
    failed_clearly(run("sweep", str(archive), "--home", "home", "-j", "1", *database), "disk")
    ballast.unlink()
    completes(run, archive, *database)


def fill(ballast: Path) -> None:
    with open(ballast, "wb", buffering=0) as sink:
        try:
            while True:
                sink.write(bytes(4096))
        except OSError:
            pass


def test_a_write_that_the_system_refuses_ends_the_real_command_with_3(archive: Path, tmp_path: Path) -> None:
    """Everywhere, mounts or not: a limit on the size of files, well below that of a database."""
    command = [sys.executable, "-m", "jobs", "--home", str(tmp_path / "home"), "sweep", str(archive), "-j", "1"]
    limited = subprocess.run(
        command,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    failed_clearly(Said(limited.returncode, limited.stdout, limited.stderr))
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 1, again.stderr
    home = Home(Settings(home=str(tmp_path / "home")))
    consistent(home)
    assert len(state.verdicts(home)) == 3


def test_a_home_that_may_not_be_written(run: Run, archive: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    failed_clearly(run("sweep", str(archive), "--home", str(small_disk / "home")), "Read-only file system")


# What the home keeps


def test_a_damaged_snapshot_is_named_with_the_remedy(run: Run, archive: Path) -> None:
    run("sweep", str(archive), "--home", "home", "-j", "1", "--limit", "1")
    (model,) = Path("home", "snapshots").glob("*/model.npz")
    data = bytearray(model.read_bytes())
    whole = bytes(data)
    data[len(data) // 2] ^= 1
    model.write_bytes(bytes(data))
    for verb in (["sweep", str(archive)], ["rematch"], ["scan", str(archive / "one.mp4")]):
        failed_clearly(
            run(*verb, "--home", "home"), model.parent.name, "model.npz is damaged", "restore", "audit --repair"
        )
    model.unlink()
    failed_clearly(run("sweep", str(archive), "--home", "home"), "lacks its file model.npz", "restore")
    model.write_bytes(whole)
    completes(run, archive)


def test_a_part_that_is_missing_damaged_or_newer_stops_rematch_before_it_writes(run: Run, archive: Path) -> None:
    run("sweep", str(archive), "--home", "home", "-j", "1")
    home = Home(Settings(home="home"))
    (part,) = state.parts(home, "fingerprints")
    path = Path("home", part.name)
    whole = path.read_bytes()
    with home.engine.begin() as connection:
        connection.execute(text("DELETE FROM segment_match"))
        connection.execute(text("DELETE FROM verdict"))
    newer = pq.read_table(path)
    newer = newer.replace_schema_metadata({**newer.schema.metadata, VERSION_KEY: b"99"})
    path.unlink()
    failed_clearly(run("rematch", "--home", "home"), part.name, "missing", "restore")
    path.write_bytes(whole[: len(whole) // 2])
    failed_clearly(run("rematch", "--home", "home"), part.name, "damaged", "restore")
    pq.write_table(newer, path)
    failed_clearly(run("rematch", "--home", "home"), part.name, "schema version 99", "upgrade")
    assert state.verdicts(home) == []
    assert len(state.parts(home, "provenance")) == 1
    path.write_bytes(whole)
    assert run("rematch", "--home", "home").code == 0
    consistent(home)


@pytest.mark.s3
def test_a_bucket_that_is_denied_or_absent(
    run: Run, archive: Path, s3_bucket: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec
    import s3fs

    from tests.faulty_proxy import FaultyProxy

    proxy = FaultyProxy(s3_endpoint)
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": proxy.url})
    s3fs.S3FileSystem.clear_instance_cache()
    proxy.spoil("denied", times=10_000, chosen=lambda _method, _path: True)
    failed_clearly(run("sweep", f"{s3_bucket}/archive", "--home", "home"), f"{s3_bucket}/archive", "denied")
    said = run("sweep", str(archive), "--home", f"{s3_bucket}/home", "--db", f"sqlite:///{Path('x.sqlite').absolute()}")
    failed_clearly(said, f"{s3_bucket}/home", "denied")
    proxy.close()


@pytest.mark.s3
def test_a_bucket_that_goes_away_half_way_costs_no_file_its_attempts(
    run: Run, archive: Path, s3_bucket: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec
    import s3fs

    from tests.faulty_proxy import FaultyProxy

    proxy = FaultyProxy(s3_endpoint)
    quick = {"retries": {"max_attempts": 0}}
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": proxy.url, "config_kwargs": quick})
    monkeypatch.setattr(jobs.archive.stores, "FIRST_PAUSE_S", 0.01)
    s3fs.S3FileSystem.clear_instance_cache()
    for path in archive.glob("*.*"):
        Folder(f"{s3_bucket}/archive").write(path.name, path.read_bytes())
    listed = list_archive_once(monkeypatch, lambda: proxy.spoil("denied", times=10_000, chosen=lambda *_: True))
    for _night in range(4):  # more nights than there are attempts
        failed_clearly(run("sweep", f"{s3_bucket}/archive", "--home", "home", "-j", "1"), s3_bucket, "denied")
        proxy.spoil("", times=0, chosen=lambda *_: False)
    assert len(listed) == 4
    home = Home(Settings(home="home"))
    assert set(state.locations(home).values()) == {("listed", None)}
    monkeypatch.setattr(jobs.manifest, "list_archive", jobs.archive.list_archive)
    run_sweep(home, f"{s3_bucket}/archive")
    assert len(state.verdicts(home)) == 3
    proxy.close()


def list_archive_once(monkeypatch: pytest.MonkeyPatch, then: Callable[[], None]) -> list[str]:
    """The store answers every listing and goes away right after it."""
    listed: list[str] = []
    true_list = jobs.manifest.list_archive

    def listing(uri: str, *, all_files: bool = False) -> list[Listed | str]:
        found = list(true_list(uri, all_files=all_files))
        listed.append(uri)
        then()
        return found

    monkeypatch.setattr(jobs.manifest, "list_archive", listing)
    return listed


# Clocks and versions


def test_a_clock_that_was_wrong_holds_no_work_back_and_takes_none_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(open_database(f"sqlite:///{tmp_path / 'l.sqlite'}"), lease_s=300, max_attempts=3)
    one, two = "1" * 64, "2" * 64
    set_clock(monkeypatch, timedelta(days=400))
    assert ledger.claim("a", one, 1, "spec", "from the future") is Claim.GRANTED
    set_clock(monkeypatch, timedelta(0))
    assert ledger.states([one], "spec") == {one: "failed"}, "a lease that no setting gives is no lease"
    assert ledger.claim("a", one, 1, "spec", "now") is Claim.GRANTED
    assert ledger.claim("b", two, 1, "spec", "now") is Claim.GRANTED
    set_clock(monkeypatch, -timedelta(seconds=200))
    assert ledger.claim("b", two, 1, "spec", "slightly late") is Claim.HELD
    ledger.renew("now")
    assert ledger.claim("b", two, 1, "spec", "slightly late") is Claim.HELD


def test_a_sweep_on_a_clock_that_was_set_back_finds_and_finishes_its_work(
    home_at: Callable[..., Home], archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_at()
    run_sweep(home, archive, limit=2)
    set_clock(monkeypatch, -timedelta(days=30))
    summary = run_sweep(home, archive)
    assert summary.held == 0
    consistent(home)
    assert len(state.verdicts(home)) == 3


def set_clock(monkeypatch: pytest.MonkeyPatch, ahead: timedelta) -> None:
    monkeypatch.setattr(jobs.database, "utc_now", lambda: utc_now() + ahead)


def test_two_specifications_share_a_home_side_by_side(home_at: Callable[..., Home], archive: Path) -> None:
    first, second = home_at(), home_at(decoder="decord")
    run_sweep(first, archive)
    before = state.verdicts(first)
    summary = run_sweep(second, archive)
    assert summary.fingerprinted == 3, "another specification judges for itself"
    both = state.verdicts(first)
    assert [row for row in both if row["spec_id"] != summary.spec_id] == before
    assert len({row["snapshot_id"] for row in both}) == 2
    assert {row["spec_id"] for row in state.rows(first, "fingerprints")} == {row["spec_id"] for row in both}
    again = run_sweep(first, archive)
    assert (again.inventory.known, again.inventory.to_open) == (8, [])
