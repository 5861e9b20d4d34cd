"""The audit log tells who did what, and the database itself keeps it from being changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from jobs.audit import audit, events
from jobs.compact import compact
from jobs.database import open_database
from jobs.home import Home
from jobs.models import AuditEvent, Sweep, utc_now
from jobs.sweeps import RUNNING
from tests.jobs import stored
from tests.jobs.conftest import QUIET, run_sweep

HomeAt = Callable[..., Home]
CHANGES = ["UPDATE audit_event SET action = 'x'", "DELETE FROM audit_event"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return stored.copy_of_template(tmp_path / "home")


def test_the_log_tells_who_did_what_oldest_first(archive: Path, home_at: HomeAt) -> None:
    home = home_at()
    run_sweep(home, archive / "sub")
    with Session(home.engine) as session, session.begin():
        session.execute(update(Sweep).values(state=RUNNING, host=_dead_process(session)))
    run_sweep(home, archive / "sub")
    compact(home, console=QUIET)
    audit(home, console=QUIET)
    log = events(home, 100)
    assert [event["action"] for event in log] == ["publish", "sweep", "sweep", "sweep", "compact", "audit"]
    assert [event.get("state") for event in log if event["action"] == "sweep"] == ["finished", "died", "finished"]
    assert [event["action"] for event in events(home, 2)] == ["compact", "audit"]


def _dead_process(session: Session) -> str:
    name, boot, pid, _ = str(session.scalar(select(Sweep.host))).split(" ")
    return f"{name} {boot} {pid} 1.00"


@pytest.mark.parametrize("statement", CHANGES)
def test_the_database_itself_refuses_to_change_the_log(home: Home, statement: str) -> None:
    before = events(home, 100)
    assert before
    with pytest.raises(DBAPIError, match="never changed or removed"), home.engine.begin() as connection:
        connection.execute(text(statement))
    assert events(home, 100) == before


@pytest.mark.postgres
@pytest.mark.parametrize("statement", [*CHANGES, "TRUNCATE audit_event"])
def test_postgresql_refuses_to_change_the_log_too(postgres_url: str, statement: str) -> None:
    engine = open_database(postgres_url)
    with Session(engine) as session, session.begin():
        session.add(AuditEvent(action="sweep", subject="/archive", detail={}, at=utc_now() - timedelta(days=1)))
    with pytest.raises(DBAPIError, match="never changed or removed"), engine.begin() as connection:
        connection.execute(text(statement))
    with Session(engine) as session:
        assert session.scalar(select(func.count()).select_from(AuditEvent)) == 1
    engine.dispose()
