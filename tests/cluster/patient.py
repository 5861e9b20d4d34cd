"""A worker that does everything as the real one does, but finishes no clip before it may; imported by real actors."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fingerprint_db.spec import FingerprintSpec
from jobs.scan import ContentTicket, FileFingerprint, FileTask, VideoWorker, WorkerSettings, worker_factory
from jobs.settings import Settings
from jobs.split import FileRange

PATIENCE_S = 300.0


class PatientWorker(VideoWorker):
    """Waits for a file before each clip: a sweep lasts as long as its test needs, on a fast machine too."""

    def __init__(self, settings: WorkerSettings, go: str) -> None:
        super().__init__(settings)
        self._go = Path(go)

    def perform(self, task: FileTask, ticket: ContentTicket) -> FileFingerprint | FileRange:
        end = time.monotonic() + PATIENCE_S
        while "clip" in Path(task.uri).name and not self._go.exists() and time.monotonic() < end:
            time.sleep(0.05)
        return super().perform(task, ticket)


def patient_factory(go: Path) -> Callable[[Settings, FingerprintSpec], Any]:
    """In place of jobs.scan.worker_factory. go: the file that is waited for."""

    def factory(settings: Settings, spec: FingerprintSpec) -> functools.partial[PatientWorker]:
        return functools.partial(PatientWorker, *worker_factory(settings, spec).args, go=str(go))

    return factory
