"""The real decode service, except that files of certain names do to the decoder what hostile ones do."""

from __future__ import annotations

import ctypes
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import jobs.scan
from cluster.outcome import ClusterFault
from fingerprint_db.window import FrameWindow
from jobs.decode.protocol import DecodeRequest, DecodeSummary
from jobs.decode.service import serve as decode
from jobs.scan import VideoWorker, WorkerSettings, make_worker
from tests.faults.hostile import write_on_the_wire

SERVICE = "tests.faults.poison:serve"
# File name: the class it ends in, and what its last words are, if any.
POISON: dict[str, tuple[ClusterFault, str]] = {
    "hangs.mp4": (ClusterFault.STALLED, ""),
    "spins.mp4": (ClusterFault.STALLED, "holding on to the interpreter lock"),
    "never ends.mp4": (ClusterFault.DEADLINE, ""),
    "eats memory.mp4": (ClusterFault.OUT_OF_MEMORY, ""),
    "segfaults.mp4": (ClusterFault.CRASHED, "about to read address zero"),
    "attacks.mp4": (ClusterFault.CRASHED, "not to be trusted"),
}


def serve(request: DecodeRequest) -> Iterator[FrameWindow | DecodeSummary | None]:
    """A target for a sandbox."""
    name = Path(request.path).name
    for reply in decode(request):
        yield reply
        if isinstance(reply, FrameWindow) and name in _FAULTS:
            yield from _FAULTS[name](request) or ()


def poisoned_worker(settings: WorkerSettings) -> VideoWorker:
    """The real worker around this service, in whatever process it is made."""
    jobs.scan.DECODE_SERVICE = SERVICE
    return make_worker(settings)


def _hang(_: DecodeRequest) -> None:
    time.sleep(3600)


def _spin(_: DecodeRequest) -> None:
    _last_words("holding on to the interpreter lock")
    re.match("(a+)+$", "a" * 64 + "b")  # 2**64 steps in C


def _never_end(_: DecodeRequest) -> Iterator[None]:
    while True:
        time.sleep(0.02)
        yield None


def _eat(_: DecodeRequest) -> Iterator[None]:
    hoard = []
    while True:
        hoard.append(np.ones(2**21, np.float64))  # 16 MiB, touched
        yield None  # on a busy machine it must not be taken for stalled


def _segfault(_: DecodeRequest) -> None:
    _last_words("about to read address zero")
    ctypes.string_at(0)


def _attack(request: DecodeRequest) -> Iterator[Any]:
    yield from write_on_the_wire(("pickle", str(Path(request.path).with_suffix(".taken"))))


def _last_words(text: str) -> None:
    ctypes.CDLL(None).write(2, text.encode() + b"\n", len(text) + 1)


_FAULTS: dict[str, Callable[[DecodeRequest], Iterator[Any] | None]] = {
    "hangs.mp4": _hang,
    "spins.mp4": _spin,
    "never ends.mp4": _never_end,
    "eats memory.mp4": _eat,
    "segfaults.mp4": _segfault,
    "attacks.mp4": _attack,
}
