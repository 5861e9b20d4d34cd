"""The audit finds every way in which a home can disagree with itself, and repairs what needs no guess."""

from __future__ import annotations

import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

import jobs.audit
from fingerprint_db.models import SignatureRow, SnapshotRow
from jobs.audit import AuditReport, Fault, audit, events
from jobs.compact import compact
from jobs.home import Home
from jobs.lookup import look_up
from jobs.models import ItemState, ResultPart, SegmentMatch, Sweep, VerdictRow, WorkItem
from jobs.rematch import rematch
from jobs.repair import repair
from jobs.scan import current_spec
from jobs.sweeps import start_sweep
from tests.jobs import state, stored
from tests.jobs.conftest import QUIET, run_sweep
from tests.jobs.crash import repair_job, run_until

HomeAt = Callable[..., Home]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return stored.copy_of_template(tmp_path / "home")


def look(home: Home, *, quick: bool = False) -> AuditReport:
    return audit(home, console=QUIET, quick=quick)


def mend(home: Home) -> AuditReport:
    report = look(home)
    repair(home, report)
    return report


def faults(report: AuditReport) -> set[str]:
    return {finding.fault.value for finding in report.findings}


def part(home: Home, kind: str, number: int = 0) -> Path:
    return Path(home.settings.home, state.parts(home, kind)[number].name)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def execute(home: Home, statement: object) -> None:
    with Session(home.engine) as session, session.begin():
        session.execute(statement)  # type: ignore[call-overload]


def one(home: Home, query: object) -> str:
    with Session(home.engine) as session:
        return str(session.scalars(query).first())  # type: ignore[call-overload]


def unchecked(home: Home, statement: str) -> None:
    """SQL that foreign keys would refuse: what a damaged or hand-edited database looks like."""
    with sqlite3.connect(Path(home.settings.home, "makersmark.sqlite")) as connection:
        connection.execute(statement)


def test_an_undisturbed_home_is_clean_and_counted(home: Home) -> None:
    report = look(home)
    assert report.clean
    assert report.findings == []
    counts = report.counts
    assert (counts["items_done"], counts["verdicts"], counts["unnamed_files"]) == (7, 7, 0)
    assert (counts["fingerprints_parts"], counts["provenance_parts"]) == (4, 4)
    assert counts["fingerprints_rows"] == len(state.rows(home, "fingerprints"))
    assert look(home, quick=True).findings == []


def lose_fingerprints(home: Home) -> None:
    part(home, "fingerprints").unlink()


def cut_fingerprints(home: Home) -> None:
    path = part(home, "fingerprints")
    path.write_bytes(path.read_bytes()[:-100])


def flip_fingerprints(home: Home) -> None:
    flip(part(home, "fingerprints"))


def lose_provenance(home: Home) -> None:
    part(home, "provenance").unlink()


def flip_provenance(home: Home) -> None:
    flip(part(home, "provenance", 1))


def misstate_rows(home: Home) -> None:
    execute(home, update(ResultPart).where(ResultPart.kind == "provenance").values(rows=99))


def point_items_elsewhere(home: Home) -> None:
    first, second = (entry.id for entry in state.parts(home, "fingerprints")[:2])
    execute(home, update(WorkItem).where(WorkItem.part_id == first).values(part_id=second))


def point_verdicts_elsewhere(home: Home) -> None:
    first, second = (entry.id for entry in state.parts(home, "provenance")[:2])
    execute(home, update(VerdictRow).where(VerdictRow.part_id == first).values(part_id=second))


def forget_part(home: Home) -> None:
    execute(home, update(WorkItem).values(part_id=None))


def leave_leases(home: Home) -> None:
    ended = one(home, select(Sweep.id))
    execute(home, update(WorkItem).values(state=ItemState.LEASED.value, owner=ended, part_id=None))


def damage_snapshot(home: Home) -> None:
    current = home.store.current_snapshot(current_spec(home.settings).id)
    assert current is not None
    flip(Path(home.settings.home, "snapshots", current.id, "model.npz"))


def lose_snapshot(home: Home) -> None:
    current = home.store.current_snapshot(current_spec(home.settings).id)
    assert current is not None
    shutil.rmtree(Path(home.settings.home, "snapshots", current.id))


@pytest.mark.parametrize(
    ("harm", "fault", "reopened"),
    [
        (lose_fingerprints, Fault.PART_MISSING, 2),
        (cut_fingerprints, Fault.PART_DAMAGED, 2),
        (flip_fingerprints, Fault.PART_DAMAGED, 2),
        (lose_provenance, Fault.PART_MISSING, 0),
        (flip_provenance, Fault.PART_DAMAGED, 0),
        (misstate_rows, Fault.PART_DAMAGED, 0),
        (point_items_elsewhere, Fault.ROWS_MISSING, 2),
        (point_verdicts_elsewhere, Fault.ROWS_MISSING, 0),
        (forget_part, Fault.ITEM_WITHOUT_PART, 7),
        (leave_leases, Fault.LEASE_ORPHANED, 7),
        (damage_snapshot, Fault.SNAPSHOT_DAMAGED, 0),
        (lose_snapshot, Fault.SNAPSHOT_DAMAGED, 0),
    ],
)
def test_what_can_be_mended_is_found_named_mended_and_written_down(
    home: Home, harm: Callable[[Home], None], fault: Fault, reopened: int
) -> None:
    verdicts, (fingerprints, provenance) = state.verdicts(home), stored.everything(home)
    harm(home)
    assert faults(look(home)) == {fault.value}
    report = mend(home)
    assert report.clean
    assert all(finding.repaired and finding.remedy for finding in report.findings)
    assert all(len(finding.message.splitlines()) == 1 for finding in report.findings)
    assert look(home).findings == []
    assert state.verdicts(home) == verdicts
    compact(home, console=QUIET, grace_s=0)
    assert stored.rows(home, "provenance") == provenance
    assert [state for state, _ in state.items(home).values()].count("failed") == reopened
    if not reopened:
        assert stored.rows(home, "fingerprints") == fingerprints
    logged = [event for event in events(home, 50) if event["action"] == "repair"]
    assert {event["fault"] for event in logged} == {fault.value}
    assert look(home).findings == []


def test_quick_finds_what_is_missing_or_cut_without_reading_a_part(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_fingerprints(home)
    part(home, "provenance", 1).unlink()
    flip(part(home, "fingerprints", 2))

    def opened(*_: object) -> None:
        raise AssertionError("a part was read")

    monkeypatch.setattr(jobs.audit, "damage", opened)
    assert faults(look(home, quick=True)) == {"part_damaged", "part_missing"}
    assert len(look(home, quick=True).findings) == 2


def test_sql_and_parquet_that_state_different_answers_are_named_and_left_alone(home: Home) -> None:
    changed = one(home, select(VerdictRow.sha256))
    execute(home, update(VerdictRow).where(VerdictRow.sha256 == changed).values(verdict="attributed", generator="x"))
    report = mend(home)
    assert faults(report) == {"verdict_differs"}
    assert changed in report.findings[0].message
    assert not report.clean
    assert faults(look(home)) == {"verdict_differs"}


def test_a_segment_that_sql_has_lost_is_found(home: Home) -> None:
    verdict = int(one(home, select(SegmentMatch.verdict_id)))
    execute(home, delete(SegmentMatch).where(SegmentMatch.verdict_id == verdict))
    assert faults(look(home)) == {"verdict_differs"}


def test_a_done_content_without_a_verdict_is_left_to_rematch(home: Home) -> None:
    lost = one(home, select(VerdictRow.sha256))
    unchecked(home, "PRAGMA foreign_keys=OFF")
    with Session(home.engine) as session, session.begin():
        session.execute(delete(VerdictRow).where(VerdictRow.sha256 == lost))
    report = mend(home)
    assert faults(report) == {"verdict_missing"}
    assert "rematch" in report.findings[0].remedy
    rematch(home, console=QUIET)
    assert look(home).findings == []


def test_verdicts_of_a_snapshot_that_was_never_published_are_named(home: Home) -> None:
    cited = one(home, select(VerdictRow.snapshot_id))
    execute(home, delete(SnapshotRow).where(SnapshotRow.id == cited))
    assert faults(mend(home)) == {"snapshot_unknown"}


def test_rows_that_point_nowhere_are_the_databases_damage(home: Home) -> None:
    unchecked(home, "UPDATE work_item SET part_id = 'nowhere'")
    assert faults(look(home)) == {"database_damaged", "item_without_part"}


def test_leases_of_a_running_sweep_are_no_finding(home: Home) -> None:
    sweep = start_sweep(home.engine, "/archive", current_spec(home.settings), "x")
    home.ledger.claim("file:///new", "e" * 64, 1, current_spec(home.settings).id, sweep)
    assert look(home).findings == []
    execute(home, update(Sweep).where(Sweep.id == sweep).values(state="interrupted"))
    report = mend(home)
    assert faults(report) == {"lease_orphaned"}
    assert state.items(home)["e" * 64] == ("failed", None)


def test_a_snapshot_whose_signatures_have_grown_is_rebuilt_from_those_it_was_built_from(home: Home) -> None:
    spec = current_spec(home.settings)
    before = home.store.current_snapshot(spec.id)
    assert before is not None
    home.store.add_signature(stored.WORLD.record("maker-a", "a later page", spec_id=spec.id))
    damage_snapshot(home)
    report = mend(home)
    assert report.clean
    assert "the equal id proves it" in report.findings[0].remedy
    assert home.load_snapshot(before.id).id == before.id


def test_a_snapshot_whose_signatures_are_gone_gets_a_successor_and_stays_named(home: Home) -> None:
    spec = current_spec(home.settings)
    before = home.store.current_snapshot(spec.id)
    assert before is not None
    gone = int(one(home, select(SignatureRow.id).where(SignatureRow.generator == "maker-a")))
    execute(home, delete(SignatureRow).where(SignatureRow.id == gone))
    damage_snapshot(home)
    report = mend(home)
    assert not report.clean
    successor = home.store.current_snapshot(spec.id)
    assert successor is not None
    assert successor.id != before.id
    assert successor.id in report.findings[0].remedy
    assert rematch(home, console=QUIET).judged == 7


def test_a_lost_fingerprints_part_is_made_again_by_the_next_sweep(archive: Path, home_at: HomeAt) -> None:
    home = home_at(commit_files=1)
    run_sweep(home, archive)
    verdicts, items = state.verdicts(home), state.items(home)
    windows, provenance = state.rows(home, "fingerprints"), state.rows(home, "provenance")
    part(home, "fingerprints").unlink()
    flip(part(home, "provenance", 1))
    assert faults(look(home)) == {"part_missing", "part_damaged"}
    assert mend(home).clean
    assert run_sweep(home, archive).fingerprinted == 1
    assert (state.verdicts(home), state.items(home)) == (verdicts, items)
    assert state.rows(home, "fingerprints") == windows
    compact(home, console=QUIET, grace_s=0)
    assert state.rows(home, "provenance") == provenance
    assert stored.unnamed(home) == set()
    assert look(home).findings == []


def test_contents_that_no_archive_lists_any_more_are_said_to_be_lost(archive: Path, home_at: HomeAt) -> None:
    home = home_at()
    run_sweep(home, archive / "sub")
    (archive / "sub" / "copy of one.mp4").unlink()
    run_sweep(home, archive / "sub")
    part(home, "fingerprints").unlink()
    (finding,) = mend(home).findings
    assert "1 of them no archive lists any more" in finding.remedy


def test_a_part_merged_while_it_is_looked_at_is_no_finding(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = jobs.audit.committed_parts

    def merged_right_after(session: Session) -> object:
        found = manifest(session)
        session.rollback()
        compact(Home(home.settings), console=QUIET, grace_s=0)
        return found

    monkeypatch.setattr(jobs.audit, "committed_parts", merged_right_after)
    assert look(home).findings == []


def test_a_repair_killed_anywhere_is_finished_by_the_next(tmp_path: Path) -> None:
    for boundary in range(100):
        home = stored.copy_of_template(tmp_path / f"home{boundary}")
        verdicts = state.verdicts(home)
        part(home, "fingerprints").unlink()
        flip(part(home, "provenance"))
        status = run_until(boundary, repair_job, home.settings.home)
        assert mend(home).clean
        assert look(home).findings == []
        assert state.verdicts(home) == verdicts
        compact(home, console=QUIET, grace_s=0)
        assert stored.unnamed(home) == set()
        shutil.rmtree(home.settings.home)
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert boundary > 3


@pytest.mark.s3
def test_a_home_on_s3_is_audited_and_mended_all_the_same(home: Home, s3_bucket: str) -> None:
    from jobs.archive import Folder
    from jobs.settings import Settings

    remote = Folder(f"{s3_bucket}/home")
    for prefix in ("parquet", "snapshots"):
        for entry in home.folder.listing(prefix):
            remote.write(entry.uri, home.folder.read(entry.uri))
    there = Home(Settings(home=f"{s3_bucket}/home", db=home.settings.database_url, workers=1))
    assert look(there).findings == look(there, quick=True).findings == []
    remote.remove(state.parts(there, "provenance")[0].name)
    assert faults(look(there, quick=True)) == {"part_missing"}
    assert mend(there).clean
    assert look(there).findings == []


def test_lookup_still_answers_after_every_repair(home: Home) -> None:
    asked = one(home, select(VerdictRow.sha256))
    before = look_up(home, asked)["verdicts"]
    lose_provenance(home)
    lose_fingerprints(home)
    mend(home)
    assert look_up(home, asked)["verdicts"] == before
