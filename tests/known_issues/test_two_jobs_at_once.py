"""Two rematches wrote the same provenance twice; a slow first sweep published an old snapshot over a newer one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import jobs.rematch
from fingerprint_db.spec import FingerprintSpec
from jobs.home import Home
from jobs.rematch import rematch
from jobs.scan import current_spec
from jobs.snapshots import current_snapshot, publish, put, seed_catalogue
from tests.fingerprint_db.signatures import World
from tests.footage import make_video
from tests.jobs import state
from tests.jobs.conftest import QUIET, home_at, run_sweep

__all__ = ["home_at"]  # a fixture
HomeAt = Callable[..., Home]


def enroll(home: Home, spec: FingerprintSpec) -> None:
    home.store.register_generator("newcomer", name="newcomer", origin="enrolled")
    home.store.add_signatures([World().record("newcomer", "page", spec_id=spec.id)])
    publish(home, spec, notes="newcomer")


def test_a_rematch_that_was_overtaken_leaves_no_second_rows_and_no_part(
    tmp_path: Path, home_at: HomeAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "archive").mkdir()
    make_video(tmp_path / "archive" / "one.mp4", frames=4, size=(64, 48))
    home, other = home_at(), home_at()
    run_sweep(home, tmp_path / "archive")
    enroll(home, current_spec(home.settings))
    judge = jobs.rematch.judge_file

    def overtaken(*arguments: Any) -> Any:
        monkeypatch.setattr(jobs.rematch, "judge_file", judge)
        assert rematch(other, console=QUIET).judged == 1
        return judge(*arguments)

    monkeypatch.setattr(jobs.rematch, "judge_file", overtaken)
    assert rematch(home, console=QUIET).judged == 0
    assert len(state.rows(home, "provenance")) == len(state.verdicts(home)) == 2
    assert len(home.folder.names("parquet/provenance")) == len(state.parts(home, "provenance")) == 2


def test_a_first_snapshot_does_not_replace_one_that_was_published_meanwhile(
    home_at: HomeAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, fast = home_at(), home_at()
    spec = current_spec(slow.settings)

    def overtaken(home: Home, *arguments: Any, **named: Any) -> Any:
        if home is slow:
            seed_catalogue(fast.store)
            enroll(fast, spec)
        return put(home, *arguments, **named)

    monkeypatch.setattr("jobs.snapshots.put", overtaken)
    found = current_snapshot(slow, spec)
    assert [entry.notes for entry in slow.store.snapshots()] == ["newcomer"]
    assert found.id == slow.store.snapshots()[0].id


def test_a_snapshot_is_read_while_another_job_writes_the_same_one(home_at: HomeAt) -> None:
    home = home_at()
    spec = current_spec(home.settings)
    snapshot = current_snapshot(home, spec)
    listed = home.folder.names

    def with_one_that_vanishes(prefix: str) -> list[str]:
        return [*listed(prefix), f"{prefix}/manifest.json.0123.partial"]

    home.folder.names = with_one_that_vanishes  # type: ignore[method-assign]
    assert home.load_snapshot(snapshot.id).id == snapshot.id
