"""Compaction: rows stay exactly what they were, readers go on, any death leaves a home that the next run cleans up."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

import jobs.compact
import jobs.rematch
import jobs.sweep
from fingerprint_db.models import SnapshotRow
from jobs.audit import audit
from jobs.compact import CompactSummary, compact
from jobs.errors import BadUsageError, HomeError
from jobs.home import Home
from jobs.models import ResultPart, RetiredPart, Sweep, VerdictRow, utc_now
from jobs.rematch import rematch
from jobs.results import read_fingerprints
from jobs.scan import current_spec
from jobs.settings import Settings
from jobs.sweeps import start_sweep
from tests.jobs import state, stored
from tests.jobs.conftest import QUIET, run_sweep
from tests.jobs.crash import compact_job, run_until

HomeAt = Callable[..., Home]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return stored.copy_of_template(tmp_path / "home")


def run(home: Home, **options: float) -> CompactSummary:
    return compact(home, console=QUIET, **options)  # type: ignore[arg-type]


def names(home: Home, kind: str) -> list[str]:
    return [part.name for part in state.parts(home, kind)]


def test_small_parts_become_one_of_each_kind_and_every_row_is_kept(home: Home) -> None:
    before, verdicts = stored.everything(home), state.verdicts(home)
    summary = run(home)
    assert (summary.merged, summary.written, summary.superseded_rows) == (8, 2, 0)
    assert (len(names(home, "fingerprints")), len(names(home, "provenance"))) == (1, 1)
    assert stored.everything(home) == before
    assert state.verdicts(home) == verdicts
    stored.every_window_is_readable(home)
    assert audit(home, console=QUIET).findings == []


def test_compacting_again_changes_nothing(home: Home) -> None:
    run(home)
    before = names(home, "fingerprints") + names(home, "provenance")
    summary = run(home)
    assert (summary.merged, summary.written, summary.deleted, summary.orphans) == (0, 0, 0, 0)
    assert names(home, "fingerprints") + names(home, "provenance") == before


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    commits=st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=3), min_size=1, max_size=6),
    target=st.sampled_from([1, 60_000, 150_000, 1 << 28]),
)
def test_whatever_was_committed_the_rows_stay_and_rematch_judges_them(
    tmp_path_factory: pytest.TempPathFactory, commits: list[list[int]], target: int
) -> None:
    home = stored.copy_of_template(tmp_path_factory.mktemp("any") / "home")
    stored.fill(home, commits, first=100)
    before, verdicts = stored.everything(home), state.verdicts(home)
    parts = {part.name: part.bytes for part in state.parts(home, "fingerprints") + state.parts(home, "provenance")}
    summary = run(home, target_bytes=target, grace_s=0)
    assert stored.everything(home) == before
    assert state.verdicts(home) == verdicts
    stored.every_window_is_readable(home)
    assert stored.unnamed(home) == set()
    assert audit(home, console=QUIET).findings == []
    if target == 1:
        assert summary.written == 0
    elif target == 1 << 28:
        assert len(names(home, "fingerprints")) == len(names(home, "provenance")) == 1
    else:
        fresh = [part for part in state.parts(home, "fingerprints") if part.name not in parts]
        # A merge holds no more than the target; one file's footer instead of many makes it smaller still.
        assert all(part.bytes <= target for part in fresh)
    stored.make_current(home, stored.template()[1])
    assert rematch(home, console=QUIET).judged == len(verdicts)
    home.close()


def test_parts_of_another_day_snapshot_or_spec_stay_apart(home: Home) -> None:
    stored.make_current(home, stored.template()[1])
    stored.fill(home, [[1], [1]], first=50)
    (old,) = names(home, "fingerprints")[:1]
    moved = old.replace(old.split("/")[2], "sweep_date=2020-01-01")
    Path(home.settings.home, moved).parent.mkdir()
    os.rename(Path(home.settings.home, old), Path(home.settings.home, moved))
    with Session(home.engine) as session, session.begin():
        session.execute(update(ResultPart).where(ResultPart.name == old).values(name=moved))
    run(home)
    days = [name.split("/")[2] for name in names(home, "fingerprints")]
    assert sorted(day == "sweep_date=2020-01-01" for day in days) == [False, True]
    assert len(names(home, "provenance")) == 2, "one for each snapshot"


def test_a_reader_of_the_older_manifest_goes_on_until_the_grace_is_over(home: Home) -> None:
    old = names(home, "fingerprints")
    run(home)
    assert sum(len(list(read_fingerprints(home.folder, name))) for name in old) == 7
    assert run(home).deleted == 0
    with Session(home.engine) as session, session.begin():
        session.execute(update(RetiredPart).values(retired_at=utc_now() - timedelta(hours=2)))
    assert run(home).deleted == 8
    assert not any(Path(home.settings.home, name).exists() for name in old)
    assert stored.unnamed(home) == set()


def test_a_rematch_under_which_parts_are_merged_and_removed_judges_everything(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.make_current(home, stored.template()[1])
    waiting = jobs.rematch._waiting
    asked = 0

    def merged_right_after(*arguments: str) -> dict[str, set[str]]:
        nonlocal asked
        asked += 1
        found = waiting(*arguments)
        if asked == 1:
            run(home, grace_s=0)
        return found

    monkeypatch.setattr(jobs.rematch, "_waiting", merged_right_after)
    assert rematch(home, console=QUIET).judged == 7
    assert asked == 2
    assert audit(home, console=QUIET).findings == []


def test_a_rematch_still_names_a_part_that_is_truly_lost(home: Home) -> None:
    stored.make_current(home, stored.template()[1])
    home.folder.remove(names(home, "fingerprints")[0])
    with pytest.raises(HomeError, match="is missing from the home"):
        rematch(home, console=QUIET)


def test_of_two_compactions_the_slower_drops_its_own_file(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stored.everything(home)
    replace = jobs.compact.replace_parts
    rival: list[CompactSummary] = []

    def overtaken(*arguments: object, **options: object) -> None:
        if not rival:
            rival.append(CompactSummary())
            rival[0] = run(Home(home.settings))
        replace(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(jobs.compact, "replace_parts", overtaken)
    summary = run(home)
    assert (rival[0].merged, summary.merged) == (8, 0)
    assert stored.everything(home) == before
    assert stored.unnamed(home) == set()


def test_compactions_and_commits_at_once_lose_and_repeat_nothing(home: Home) -> None:
    errors: list[BaseException] = []
    stop = threading.Event()

    def compacting() -> None:
        mine = Home(home.settings)
        try:
            while not stop.is_set():
                run(mine)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=compacting) for _ in range(2)]
    for thread in threads:
        thread.start()
    stored.fill(home, [[1, 2], [3], [0, 1], [2], [1], [1, 1]], first=200)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    run(home)
    fingerprints, provenance = stored.everything(home)
    assert max(fingerprints.values()) == max(provenance.values()) == 1
    assert len({row["sha256"] for row in state.rows(home, "fingerprints")}) == 7 + 9
    stored.every_window_is_readable(home)
    assert stored.unnamed(home) == set()
    assert audit(home, console=QUIET).findings == []


def test_killed_at_any_boundary_and_run_again_it_ends_clean(tmp_path: Path) -> None:
    reference = stored.copy_of_template(tmp_path / "reference")
    before, verdicts = stored.everything(reference), state.verdicts(reference)
    for boundary in range(200):
        home = stored.copy_of_template(tmp_path / f"home{boundary}")
        status = run_until(boundary, compact_job, home.settings.home)
        assert stored.everything(home) == before, f"after boundary {boundary}"
        run(home, grace_s=0)
        run(home, grace_s=0)
        assert stored.everything(home) == before
        assert state.verdicts(home) == verdicts
        assert stored.unnamed(home) == set()
        assert (len(names(home, "fingerprints")), len(names(home, "provenance"))) == (1, 1)
        with Session(home.engine) as session:
            assert session.scalar(select(func.count()).select_from(RetiredPart)) == 0
        shutil.rmtree(home.settings.home)
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert boundary > 20, "the job has more boundaries than that"


def put(home: Home, name: str, hours_old: float) -> Path:
    path = Path(home.settings.home, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"left behind")
    then = time.time() - hours_old * 3600
    os.utime(path, (then, then))
    return path


def test_unnamed_files_go_once_they_are_old_and_only_those_a_home_writes(home: Home) -> None:
    day = "parquet/fingerprints/sweep_date=2026-01-01"
    orphan = put(home, f"{day}/part-{'a' * 32}.parquet", 2)
    partial = put(home, f"{day}/part-{'b' * 32}.parquet.{'c' * 32}.partial", 2)
    fresh = put(home, f"{day}/part-{'d' * 32}.parquet", 0.5)
    note = put(home, "parquet/README.txt", 1000)
    half = put(home, f"snapshots/{'e' * 32}/model.npz", 2)
    fresh_half = put(home, f"snapshots/{'f' * 32}/model.npz", 0.5)
    listed = {entry.uri for entry in home.folder.listing("snapshots")}
    committed = listed - {f"snapshots/{letter * 32}/model.npz" for letter in "ef"}
    summary = run(home)
    assert (summary.orphans, summary.snapshots, summary.foreign) == (2, 1, 1)
    assert [path.exists() for path in (orphan, partial, half)] == [False] * 3
    assert [path.exists() for path in (fresh, note, fresh_half)] == [True] * 3
    assert committed <= {entry.uri for entry in home.folder.listing("snapshots")}
    assert run(home, grace_s=1000).orphans == 1


def test_a_snapshot_that_a_verdict_cites_stays_even_without_a_row(home: Home) -> None:
    with Session(home.engine) as session, session.begin():
        cited = session.scalars(select(VerdictRow.snapshot_id).limit(1)).one()
        session.delete(session.get_one(SnapshotRow, cited))
    files = home.folder.listing("snapshots")
    for entry in files:
        os.utime(Path(home.settings.home, entry.uri), (0, 0))
    assert run(home).snapshots == 0
    assert {entry.uri for entry in home.folder.listing("snapshots")} == {entry.uri for entry in files}


def test_rows_that_a_later_part_repeats_are_left_out(home: Home) -> None:
    before = stored.everything(home)
    repeated = [stored.file_of(0, 2), stored.file_of(1, 3)]
    stored.repeat(home, repeated)  # rows that no verdict and no item points to, as older versions left them
    assert stored.everything(home) != before
    summary = run(home)
    assert summary.superseded_rows > 0
    rows = {repr(row) for row in stored.everything(home)[1]}
    assert rows == {repr(row) for row in before[1]}
    assert audit(home, console=QUIET).findings == []


def test_a_damaged_part_is_named_and_never_merged(home: Home) -> None:
    damaged = names(home, "fingerprints")[1]
    path = Path(home.settings.home, damaged)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    summary = run(home)
    assert list(summary.damaged) == [damaged]
    assert len(names(home, "fingerprints")) == 2
    assert damaged in names(home, "fingerprints")


def test_a_part_of_a_newer_makersmark_is_left_alone(home: Home) -> None:
    newer = names(home, "fingerprints")[0]
    with Session(home.engine) as session, session.begin():
        session.execute(update(ResultPart).where(ResultPart.name == newer).values(schema_version=99))
    run(home)
    assert newer in names(home, "fingerprints")


def test_too_short_a_grace_is_refused_while_a_sweep_runs(home: Home) -> None:
    sweep = start_sweep(home.engine, "/archive", current_spec(home.settings), "x")
    with pytest.raises(BadUsageError, match="a sweep is running"):
        run(home, grace_s=60)
    run(home)
    with Session(home.engine) as session, session.begin():
        session.execute(
            update(Sweep)
            .where(Sweep.id == sweep)
            .values(host="elsewhere boot 1 1.00", alive_at=utc_now() - timedelta(hours=1))
        )
    run(home, grace_s=60)


def test_a_sweep_that_slept_between_writing_and_commit_writes_its_parts_again(
    archive: Path, home_at: HomeAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_at()
    write = jobs.sweep.write_fingerprints
    slept = []

    def sleepy(*arguments: object, **options: object) -> ResultPart:
        part = write(*arguments, **options)  # type: ignore[arg-type]
        if not slept:
            slept.append(part.name)
            part.committed_at -= timedelta(hours=2)
            home.folder.remove(part.name)  # a compaction elsewhere took it for an orphan
        return part

    monkeypatch.setattr(jobs.sweep, "write_fingerprints", sleepy)
    assert run_sweep(home, archive).fingerprinted == 3
    assert slept
    assert slept[0] not in names(home, "fingerprints")
    assert stored.unnamed(home) == set()
    assert audit(home, console=QUIET).findings == []


@pytest.mark.s3
def test_a_home_on_s3_is_compacted_all_the_same(s3_bucket: str, tmp_path: Path) -> None:
    from jobs.archive import Folder

    local = stored.copy_of_template(tmp_path / "home")
    before = stored.everything(local)
    remote = Folder(f"{s3_bucket}/home")
    for prefix in ("parquet", "snapshots"):
        for entry in local.folder.listing(prefix):
            remote.write(entry.uri, local.folder.read(entry.uri))
    remote.write(f"parquet/fingerprints/sweep_date=2026-01-01/part-{'a' * 32}.parquet", b"orphan")
    home = Home(Settings(home=f"{s3_bucket}/home", db=local.settings.database_url, workers=1))
    assert run(home).orphans == 0
    # S3 keeps whole seconds, so what was written just now may look up to a second old.
    summary = run(home, grace_s=-2)
    assert (summary.deleted, summary.orphans) == (8, 1)
    assert stored.everything(home) == before
    stored.every_window_is_readable(home)
    assert stored.unnamed(home) == set()
    assert audit(home, console=QUIET).findings == []
