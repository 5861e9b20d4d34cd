"""After going back to an earlier snapshot, a look-up ended with the verdict of the one that had been abandoned.

Verdicts came in the order in which they were made. An analyst reads the last one, so the one by the snapshot that
judges now has to be it, and the others have to say that they are not. The shortlist of `reconstruct` took the newest
verdict as well.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from sqlalchemy import update
from sqlalchemy.orm import Session

from jobs import show
from jobs.lookup import look_up
from jobs.models import VerdictRow
from jobs.reconstruct.run import standing_verdicts
from jobs.rematch import rematch
from jobs.rollback import rollback
from jobs.scan import current_spec
from tests.jobs.stored import content, copy_of_template, make_current, template


def test_the_verdict_by_the_snapshot_that_judges_now_is_the_last_and_the_only_current_one(tmp_path: Path) -> None:
    home = copy_of_template(tmp_path / "home")
    entry = home.store.current_snapshot(current_spec(home.settings).id)
    assert entry is not None
    make_current(home, template()[1])
    rematch(home, console=Console(quiet=True))
    before = look_up(home, content(0))["verdicts"]
    assert [record["snapshot"] for record in before] == [entry.id, template()[1]]
    rollback(home, entry.id)
    after = look_up(home, content(0))["verdicts"]
    assert [record["snapshot"] for record in after] == [template()[1], entry.id]
    assert [record["current"] for record in after] == [False, True]
    console = Console(width=120, record=True, quiet=False)
    show.lookup(console, look_up(home, content(0)))
    assert console.export_text().count("not the snapshot that judges now") == 1
    home.close()


def test_the_shortlist_of_reconstruct_reads_the_standing_verdict_too(tmp_path: Path) -> None:
    home = copy_of_template(tmp_path / "home")
    spec_id = current_spec(home.settings).id
    entry = home.store.current_snapshot(spec_id)
    assert entry is not None
    make_current(home, template()[1])
    rematch(home, console=Console(quiet=True))
    with Session(home.engine) as session, session.begin():
        session.execute(update(VerdictRow).where(VerdictRow.snapshot_id == template()[1]).values(llr=99.0))
    assert {record["llr"] for _, record in standing_verdicts(home, spec_id)} == {99.0}
    rollback(home, entry.id)
    told = dict(standing_verdicts(home, spec_id))
    assert told[content(0)]["llr"] == look_up(home, content(0))["verdicts"][-1]["llr"]
    assert 99.0 not in {record["llr"] for record in told.values()}
    home.close()
