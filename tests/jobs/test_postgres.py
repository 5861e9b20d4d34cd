"""PostgreSQL in place of SQLite: the same assertions, and what only a server with many writers can get wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, settings
from hypothesis.stateful import initialize, run_state_machine_as_test
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from fingerprint_db.verdict import VerdictKind
from jobs.database import open_database
from jobs.errors import DatabaseError
from jobs.home import Home
from jobs.ledger import Claim, Ledger
from jobs.manifest import take_inventory
from jobs.models import VERSION_TABLE, Asset, Base, VerdictRow, WorkItem
from jobs.settings import Settings
from tests.jobs import state, test_cli, test_enroll, test_ledger, test_sweep
from tests.jobs.conftest import run_sweep
from tests.jobs.test_cli import Run, run  # noqa: F401 (a fixture of the tests that run here again)
from tests.jobs.test_ledger import SPEC, VERDICT, LedgerMachine, commit, content, finding
from tests.jobs.test_sweep import swept  # noqa: F401 (the unbroken sweep into SQLite that is compared with)
from tests.postgres_server import PostgresServer

pytestmark = pytest.mark.postgres

# The specification of the ledger and of the main job, word for word, with this module's fixtures in place of theirs.
for _name in [name for name in vars(test_ledger) if name.startswith("test_")]:
    globals()[_name] = getattr(test_ledger, _name)
for _name in (
    "test_every_file_is_accounted_for",
    "test_a_second_sweep_of_an_unchanged_archive_opens_no_file",
    "test_two_sweeps_at_once_share_the_work_and_both_end_complete",
):
    globals()[_name] = getattr(test_sweep, _name)
for _name in (
    "test_quarantine_lists_what_was_set_aside_and_retry_opens_it_again",
    "test_enrolling_publishes_a_snapshot_and_rematch_judges_without_opening_a_file",
    "test_lookup_finds_by_hash_path_and_content",
):
    globals()[_name] = getattr(test_cli, _name)
clips = test_enroll.clips
test_rolling_back_on_postgresql = (
    test_enroll.test_rolling_back_judges_by_the_earlier_snapshot_and_builds_on_its_signatures
)


@pytest.fixture(autouse=True)
def database(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every home that these tests open, in this process or another, keeps its tables in a new database."""
    monkeypatch.setenv("MAKERSMARK_DB", postgres_url)
    return postgres_url


@pytest.fixture
def ledger(database: str) -> Ledger:
    return Ledger(open_database(database), lease_s=300, max_attempts=3)


@pytest.fixture
def home_at(tmp_path: Path, database: str) -> Callable[..., Home]:
    def make(name: str = "home", **changed: Any) -> Home:
        return Home(Settings(home=str(tmp_path / name), db=database, **{"workers": 1, **changed}))

    return make


EMPTIED = [name for name in Base.metadata.tables if name != "audit_event"]  # that one refuses to be emptied


def test_any_order_of_claims_failures_commits_and_deaths(database: str) -> None:
    engine = open_database(database)

    class Machine(LedgerMachine):
        @initialize()
        def open(self) -> None:
            with engine.begin() as connection:
                connection.execute(text(f"TRUNCATE {', '.join(EMPTIED)}"))
            self.ledger = Ledger(engine, lease_s=300, max_attempts=3)
            self.leases, self.lapsed, self.settled, self.done = {}, set(), set(), set()

        def teardown(self) -> None:
            """The database is the test's."""

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=8, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
    engine.dispose()


def test_the_migrated_schema_is_the_schema_of_the_models(database: str) -> None:
    engine = open_database(database)

    def ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or name in Base.metadata.tables

    with engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True, "include_name": ours}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []


def test_programs_that_start_at_the_same_moment_all_find_the_schema(database: str) -> None:
    in_threads(4, lambda _number: open_database(database).dispose())


def test_a_schema_that_is_newer_than_the_code_is_refused_without_the_password(database: str) -> None:
    with open_database(database).begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="newer Makersmark") as refused:
        open_database(database)
    assert "planted" not in str(refused.value)


def test_one_of_many_that_claim_at_once_is_granted(ledger: Ledger) -> None:
    answers: list[Claim] = []
    in_threads(6, lambda n: answers.append(ledger.claim("a", content(1), 1, SPEC, f"sweep {n}")))
    assert sorted(answer.name for answer in answers) == ["GRANTED"] + ["HELD"] * 5


def test_claims_and_commits_keep_their_meaning_where_the_server_defaults_to_another_isolation(database: str) -> None:
    with open_database(database).begin() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"))
    ledger = Ledger(open_database(database), lease_s=300, max_attempts=3)
    in_threads(6, lambda n: commit_own(ledger, f"sweep {n}", n))
    with Session(ledger.engine) as session:
        assert len(session.scalars(select(VerdictRow.sha256)).all()) == 6


def commit_own(ledger: Ledger, owner: str, number: int) -> None:
    assert ledger.claim("a", content(number), 1, SPEC, owner) is Claim.GRANTED
    commit(ledger, owner, content(number))


def test_the_heartbeat_and_the_commit_of_one_sweep_never_wait_for_each_other_in_a_ring(ledger: Ledger) -> None:
    contents = [content(number) for number in range(40)]
    beating = threading.Event()

    def beat(_number: int) -> None:
        while not beating.is_set():
            ledger.renew("sweep")

    def work(_number: int) -> None:
        try:
            for turn in range(5):
                batch = contents[turn * 8 : turn * 8 + 8]
                for sha256 in reversed(batch):
                    assert ledger.claim("a", sha256, 1, SPEC, "sweep") is Claim.GRANTED
                commit(ledger, "sweep", *reversed(batch))
        finally:
            beating.set()

    in_threads(2, lambda number: (work if number else beat)(number))
    with Session(ledger.engine) as session:
        assert set(session.scalars(select(WorkItem.state))) == {"done"}


def test_two_rematches_at_once_leave_every_verdict_once(ledger: Ledger) -> None:
    contents = [content(number) for number in range(30)]
    for sha256 in contents:
        ledger.claim("a", sha256, 1, SPEC, "sweep")
    commit(ledger, "sweep", *contents)

    def judge(number: int) -> None:
        order = contents if number else contents[::-1]
        ledger.commit(
            [test_ledger.parts()[1]],
            [finding(sha256) for sha256 in order],
            spec_id=SPEC,
            snapshot_id="a new snapshot",
            sweep_id=None,
            owner=None,
        )

    in_threads(4, judge)
    with Session(ledger.engine) as session:
        query = select(VerdictRow.sha256).where(VerdictRow.snapshot_id == "a new snapshot")
        assert sorted(session.scalars(query)) == contents


def test_inventories_of_one_archive_taken_at_once_agree(database: str, archive: Path) -> None:
    engine = open_database(database)

    def take(number: int) -> None:
        found = take_inventory(engine, str(archive), spec_id=SPEC, sweep_id=f"{number}", max_attempts=3)
        assert found.listed == 8

    in_threads(4, take)
    assert len(state.locations(Home(Settings(home="unused", db=database)))) == 8


def test_numbers_and_characters_that_postgres_refuses_do_not_end_a_commit(ledger: Ledger) -> None:
    from dataclasses import replace

    odd = replace(VERDICT, cues={"flat": float("nan"), "steep": float("inf"), "plain": 1.0})
    ledger.claim("a", content(1), 1, SPEC, "sweep")
    facts = {"declared": {"title": "a\x00b\ud800"}}
    ledger.commit(
        test_ledger.parts(),
        [test_ledger.Finding(content(1), facts, 1.0, 2.0, odd, 0.5)],
        spec_id=SPEC,
        snapshot_id="snapshot",
        sweep_id="sweep",
        owner="sweep",
    )
    with Session(ledger.engine) as session:
        row = session.scalars(select(VerdictRow)).one()
        assert (row.cues, row.verdict) == ({"flat": None, "steep": None, "plain": 1.0}, VerdictKind.ATTRIBUTED)
        assert session.get_one(Asset, content(1)).facts == facts


def test_a_restart_between_two_transactions_is_not_even_noticed(database: str, postgres_server: PostgresServer) -> None:
    ledger = Ledger(open_database(database, patience_s=30), lease_s=300, max_attempts=3)
    assert ledger.claim("a", content(1), 1, SPEC, "sweep") is Claim.GRANTED
    postgres_server.stop("immediate")
    later = threading.Timer(0.5, postgres_server.start)
    later.start()
    commit(ledger, "sweep", content(1))
    later.join()
    assert ledger.claim("a", content(1), 1, SPEC, "sweep") is Claim.SETTLED


def test_a_restart_in_the_middle_of_a_sweep_costs_nothing(
    swept: Home,  # noqa: F811
    footage: Path,
    home_at: Callable[..., Home],
    postgres_server: PostgresServer,
) -> None:
    home = home_at(commit_files=1, db_wait_s=60.0)
    restarted = threading.Thread(target=_restart_after_first, args=(home, postgres_server))
    restarted.start()
    try:
        run_sweep(home, footage)
    except DBAPIError as error:  # a transaction that was under way at that moment is lost with its connection
        if not error.connection_invalidated:
            raise
        restarted.join()
        run_sweep(home, footage)
    restarted.join()
    assert state.verdicts(home) == state.verdicts(swept)
    assert state.items(home) == state.items(swept)
    assert state.rows(home, "fingerprints") == state.rows(swept, "fingerprints")


def _restart_after_first(home: Home, server: PostgresServer) -> None:
    watching = open_database(home.settings.db)
    with watching.connect() as connection:
        while not connection.execute(text("SELECT count(*) FROM verdict")).scalar_one():
            connection.rollback()
            time.sleep(0.02)
    watching.dispose()
    server.stop("immediate")
    server.start()


def in_threads(count: int, work: Callable[[int], object]) -> None:
    """Run at once, each in a thread; what any of them raises is raised here."""
    start = threading.Barrier(count)
    failures: list[BaseException] = []

    def body(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=body, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
