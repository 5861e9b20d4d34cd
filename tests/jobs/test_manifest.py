"""The inventory opens what is new, changed or unfinished, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from cluster.outcome import FailureError
from jobs.archive import fetch
from jobs.database import open_database
from jobs.errors import FailureKind
from jobs.ledger import Ledger
from jobs.manifest import Inventory, take_inventory
from jobs.models import Location

SPEC = "spec"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_database(f"sqlite:///{tmp_path / 'home' / 'db.sqlite'}")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    for name, size in [("small.mp4", 10), ("large.mp4", 1000), ("middle.mkv", 100)]:
        (folder / name).write_bytes(name.encode() * size)
    return folder


def inventory(engine: Engine, archive: Path, **options: object) -> Inventory:
    return take_inventory(engine, str(archive), spec_id=SPEC, sweep_id="sweep", max_attempts=3, **options)  # type: ignore[arg-type]


def names(found: Inventory) -> list[str]:
    return [Path(task.uri).name for task in found.to_open]


def settle(engine: Engine, found: Inventory) -> None:
    """Every file turns out to be no video: settled without a single result."""
    ledger = Ledger(engine, lease_s=300, max_attempts=3)
    for task in found.to_open:
        sha256 = fetch(task.uri).sha256
        ledger.claim(task.uri, sha256, task.size, SPEC, "sweep")
        ledger.fail(sha256, SPEC, "sweep", FailureKind.NOT_A_VIDEO.failure("text"))


def test_a_new_archive_is_opened_largest_first(engine: Engine, archive: Path) -> None:
    found = inventory(engine, archive)
    assert names(found) == ["large.mp4", "middle.mkv", "small.mp4"]
    assert (found.new, found.changed, found.known, found.gone) == (3, 0, 0, 0)


def test_an_unchanged_and_settled_archive_is_not_opened(engine: Engine, archive: Path) -> None:
    settle(engine, inventory(engine, archive))
    again = inventory(engine, archive)
    assert names(again) == []
    assert (again.new, again.changed, again.known) == (0, 0, 3)


def test_listed_but_unfinished_files_are_opened_again(engine: Engine, archive: Path) -> None:
    inventory(engine, archive)
    assert len(names(inventory(engine, archive))) == 3


def test_a_changed_file_is_opened_again(engine: Engine, archive: Path) -> None:
    settle(engine, inventory(engine, archive))
    (archive / "small.mp4").write_bytes(b"something else of another length")
    again = inventory(engine, archive)
    assert names(again) == ["small.mp4"]
    assert (again.changed, again.known) == (1, 2)


def test_a_file_that_left_is_noted_and_opened_when_it_returns(engine: Engine, archive: Path) -> None:
    settle(engine, inventory(engine, archive))
    held = (archive / "small.mp4").rename(archive.parent / "aside.mp4")
    assert inventory(engine, archive).gone == 1
    assert inventory(engine, archive).gone == 0
    with Session(engine) as session:
        assert session.scalars(select(Location.state).where(Location.uri.endswith("small.mp4"))).one() == "gone"
    held.rename(archive / "small.mp4")
    assert names(inventory(engine, archive)) == ["small.mp4"]


def test_another_spec_means_all_the_work_again(engine: Engine, archive: Path) -> None:
    settle(engine, inventory(engine, archive))
    found = take_inventory(engine, str(archive), spec_id="newer", sweep_id="s", max_attempts=3)
    assert len(found.to_open) == 3


def test_folders_whose_names_share_a_beginning_or_differ_in_case_stay_apart(engine: Engine, tmp_path: Path) -> None:
    for folder in ("arc", "archive", "ARCHIVE"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.mp4").write_bytes(folder.encode())
        settle(engine, inventory(engine, tmp_path / folder))
    for folder in ("arc", "archive", "ARCHIVE"):
        again = inventory(engine, tmp_path / folder)
        assert (again.known, again.gone) == (1, 0)


def test_an_archive_that_is_not_there_leaves_no_trace(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(FailureError, match="no file or folder"):
        inventory(engine, tmp_path / "absent")
    with Session(engine) as session:
        assert session.scalars(select(Location)).all() == []


def test_files_that_cannot_be_read_are_given_up_after_their_attempts(engine: Engine, archive: Path) -> None:
    found = inventory(engine, archive)
    ledger = Ledger(engine, lease_s=300, max_attempts=3)
    denied = FailureKind.ACCESS_DENIED.failure("denied")
    for attempt in range(3):
        assert len(inventory(engine, archive).to_open) == 3, attempt
        for task in found.to_open:
            ledger.fail_location(task.uri, denied)
    assert inventory(engine, archive).to_open == []


def test_limit_leaves_the_rest_for_the_next_sweep(engine: Engine, archive: Path) -> None:
    first = inventory(engine, archive, limit=2)
    assert names(first) == ["large.mp4", "middle.mkv"]
    settle(engine, first)
    assert names(inventory(engine, archive, limit=2)) == ["small.mp4"]
