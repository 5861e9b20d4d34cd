"""Setting the clock used to make every living sweep look dead: the kernel moves its wall-clock start times along."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from fingerprint_db.spec import FingerprintSpec
from jobs.home import Home
from jobs.models import Sweep
from jobs.settings import Settings
from jobs.sweeps import bury_dead_sweeps, start_sweep


def opened(tmp_path: Path) -> tuple[Home, str]:
    home = Home(Settings(home=str(tmp_path / "home")))
    sweep_id = start_sweep(home.engine, "archive", FingerprintSpec(decoder="pyav", decoder_version="1"), "snapshot")
    home.ledger.claim("a", "1" * 64, 1, "spec", sweep_id)
    return home, sweep_id


def test_a_living_sweep_is_not_buried_when_the_clock_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, _ = opened(tmp_path)
    true_start: Callable[[psutil.Process], float] = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: true_start(process) - 3600)
    assert bury_dead_sweeps(home.engine, home.ledger) == 0


def test_a_sweep_whose_number_another_process_has_now_is_buried(tmp_path: Path) -> None:
    home, sweep_id = opened(tmp_path)
    with Session(home.engine) as session, session.begin():
        host = session.get_one(Sweep, sweep_id).host.rsplit(" ", 1)[0]
        session.execute(update(Sweep).values(host=f"{host} 1"))
    assert host.endswith(str(os.getpid()))
    assert bury_dead_sweeps(home.engine, home.ledger) == 1
