"""One driver's life in a forked child: sweep, and once all is settled enroll, publish and rematch; then look."""

from __future__ import annotations

import os
import pickle
import traceback
from pathlib import Path
from typing import Any

from rich.console import Console
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

import jobs.sweep
from cluster.outcome import FailureError
from jobs.errors import DatabaseError
from jobs.home import Home
from jobs.ledger import SETTLED
from jobs.models import Location, LocationState, WorkItem
from jobs.rematch import rematch
from jobs.scan import current_spec
from jobs.snapshots import publish
from jobs.sweep import sweep
from tests.chaos import evidence
from tests.chaos.faults import Faults, install
from tests.chaos.stage import SECOND, Stored, replaying_factory, settings_at

# Ways for a run to end. A system failure is one of the errors that the command line turns into exit code 3.
DONE, SYSTEM_FAILED, UNEXPECTED = 0, 3, 70


def live(
    home: Path,
    archive: Path,
    stored: Stored,
    records: dict[str, list[Any]],
    faults: Faults | None,
    *,
    second_act: bool,
    report: Path | None = None,
) -> int:
    """What the child does; the exit code. report: gather the evidence afterwards and write it there."""
    if faults is not None:
        install(faults)
    jobs.sweep.worker_factory = replaying_factory(stored)
    jobs.sweep.BACKOFF_S = (0.0,)  # type: ignore[assignment]
    jobs.sweep.HELD_POLL_S = 0.01
    try:
        opened = Home(settings_at(home))
        sweep(opened, str(archive), console=Console(quiet=True))
        if second_act and settled(opened):
            _second_act(opened, records)
        if report is not None:
            if faults is not None:
                faults.over = True
            report.write_bytes(pickle.dumps(evidence.gather(opened, archive)))
        opened.close()
    except (SQLAlchemyError, FailureError, DatabaseError, OSError) as error:
        if faults is not None and faults.errors:
            return SYSTEM_FAILED
        _keep(home, error)
        return UNEXPECTED
    except BaseException as error:
        _keep(home, error)
        return UNEXPECTED
    return DONE


def _keep(home: Path, error: BaseException) -> None:
    text = "".join(traceback.format_exception(error))
    (home.parent / f"error-{os.getpid()}.txt").write_text(text)


def settled(home: Home) -> bool:
    """Whether every location and every item has come to its end."""
    waiting = select(func.count()).where(Location.state.in_([LocationState.LISTED, LocationState.UNREADABLE]))
    unfinished = select(func.count()).where(WorkItem.state.not_in(SETTLED))
    with Session(home.engine) as session:
        return not session.scalar(waiting) and not session.scalar(unfinished)


def _second_act(home: Home, records: dict[str, list[Any]]) -> None:
    """A generator becomes known after the sweep, and everything is judged again."""
    spec = current_spec(home.settings)
    if home.store.counts(spec.id).get(SECOND) is None or _older_snapshot(home, spec.id):
        home.store.register_generator(SECOND, name=SECOND, family="family-two", origin="enrolled")
        home.store.add_signatures(records[SECOND])
        publish(home, spec, notes="second")
    rematch(home, console=Console(quiet=True))


def _older_snapshot(home: Home, spec_id: str) -> bool:
    current = home.store.current_snapshot(spec_id)
    return current is None or current.notes != "second"
