"""The child process's side of decoding: light, talkative, and never without a class for its failures."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.outcome import FailureError
from jobs.decode import packets
from jobs.decode.protocol import DecodeRequest, DecodeSummary
from jobs.decode.service import decoder_version, serve
from tests import footage
from tests.jobs.decode.reference import PLAN


def test_the_child_loads_neither_torch_nor_scipy_nor_ray() -> None:
    code = (
        "import sys; from jobs.decode.service import serve, decoder_version; decoder_version('pyav'); "
        "print([name for name in ('torch', 'scipy', 'ray', 'faiss', 'decord', 'pandas') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_signs_of_life_come_while_there_is_nothing_else_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "HEARTBEAT_S", 0.0)
    path = footage.make_video(tmp_path / "any.mp4")
    steps = list(serve(DecodeRequest(str(path), PLAN)))
    assert steps.count(None) > 48  # at least one a packet of the first pass
    assert isinstance(steps[-1], DecodeSummary)


def test_windows_and_summary_travel_between_processes(tmp_path: Path) -> None:
    path = footage.make_video(tmp_path / "any.mp4", metadata={"comment": "hello"})
    for step in serve(DecodeRequest(str(path), PLAN)):
        copy = pickle.loads(pickle.dumps(step))
        if isinstance(step, DecodeSummary):
            assert copy == step


def test_an_unforeseen_fault_becomes_an_internal_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = footage.make_video(tmp_path / "any.mp4", frames=8)
    monkeypatch.setattr("jobs.decode.service._decoder", lambda name: {}[name])
    with pytest.raises(FailureError) as fault:
        list(serve(DecodeRequest(str(path), PLAN)))
    assert fault.value.failure.kind == "internal"


def test_the_version_names_library_and_window_rules() -> None:
    assert decoder_version("pyav").startswith("18.")
    assert "-w" in decoder_version("pyav")
