"""From a URI to a file's fingerprint: the worker that fetches, decodes in a killable child, and fingerprints."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cluster.executor import Completion, Executor
from cluster.local import LocalExecutor
from cluster.outcome import Done, Failure
from cluster.sandbox import Limits, Sandbox
from cluster.settings import ClusterSettings, default_workers
from fingerprint_db.spec import FingerprintSpec
from fingerprint_db.window import FrameWindow, WindowFingerprint
from jobs.archive import Fetched, fetch
from jobs.decode.protocol import DecodeRequest, DecoderName, DecodeSummary, VideoFacts
from jobs.decode.replies import REPLIES, REPLY_MB, checked
from jobs.decode.service import decoder_version
from jobs.errors import FailureKind
from jobs.settings import Settings

DECODE_SERVICE = "jobs.decode.service:serve"
# A decoding child is replaced after so many files: codecs leak, and a fresh heap is cheaper than a diagnosis.
FILES_PER_CHILD = 200


@dataclass(frozen=True, slots=True)
class FileTask:
    """One file to fingerprint. size is what the store listed, for ordering and progress."""

    uri: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class ContentTicket:
    """What a first look at a file gives: its content."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class FileFingerprint:
    """Everything that is kept of one content: facts, coverage and one fingerprint a window.

    shortfall: why windows are missing; empty when all the planned ones came.
    """

    sha256: str
    size: int
    facts: VideoFacts
    coverage: float
    shortfall: str
    windows: tuple[WindowFingerprint, ...]

    def facts_json(self) -> dict[str, Any]:
        return asdict(self.facts)


def current_spec(settings: Settings) -> FingerprintSpec:
    """The fingerprint specification that these settings and this code amount to."""
    return FingerprintSpec(decoder=settings.decoder, decoder_version=decoder_version(settings.decoder))


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker needs to know, small enough to travel to any machine."""

    spec: FingerprintSpec
    decoder: DecoderName
    device: str
    limits: Limits
    scratch: str


class VideoWorker:
    """Fetches, decodes and fingerprints one file at a time; owns the decoding child and the fetched copy."""

    def __init__(self, settings: WorkerSettings) -> None:
        import torch  # here and below: the driver and the other verbs need not wait for torch

        # Two one-thread workers beat one two-thread worker, and one thread gives the same bits on any machine size.
        torch.set_num_threads(1)
        self._settings = settings
        self._scratch = Path(settings.scratch) if settings.scratch else None
        self._sandbox = Sandbox(DECODE_SERVICE, settings.limits, replies=REPLIES)
        self._fetched: dict[str, Fetched] = {}

    def admit(self, task: FileTask) -> ContentTicket:
        fetched = fetch(task.uri, self._scratch)
        self._fetched[task.uri] = fetched
        return ContentTicket(fetched.sha256, fetched.size)

    def perform(self, task: FileTask, ticket: ContentTicket) -> FileFingerprint:
        try:
            if ticket.size == 0:
                raise FailureKind.EMPTY_FILE.error("the file has no bytes")
            return self._fingerprint(str(self._fetched[task.uri].path), ticket)
        finally:
            self.release(task)

    def release(self, task: FileTask) -> None:
        fetched = self._fetched.pop(task.uri, None)
        if fetched is not None and fetched.temporary:
            fetched.path.unlink(missing_ok=True)

    def interrupt(self) -> None:
        """Called from another thread when a run is given up: ends the decoding under way."""
        self._sandbox.interrupt()

    def close(self) -> None:
        self._sandbox.close()
        for uri in list(self._fetched):
            self.release(FileTask(uri))

    def _fingerprint(self, path: str, ticket: ContentTicket) -> FileFingerprint:
        from fingerprint_db.fingerprint import fingerprint_window

        request = DecodeRequest(path, self._settings.spec.plan, self._settings.decoder)
        windows: list[WindowFingerprint] = []
        summary: DecodeSummary | None = None
        with contextlib.closing(self._sandbox.call(request)) as replies:
            for reply in checked(replies, request.plan):
                if isinstance(reply, FrameWindow):
                    windows.append(fingerprint_window(reply, device=self._settings.device))
                else:
                    summary = reply
        if summary is None:
            raise FailureKind.DAMAGED.error("the decoder ended without saying what it had read")
        return FileFingerprint(
            sha256=ticket.sha256,
            size=ticket.size,
            facts=summary.facts,
            coverage=summary.coverage,
            shortfall=summary.reason,
            windows=tuple(windows),
        )


def make_worker(settings: WorkerSettings) -> VideoWorker:
    """Top-level so that any executor can pickle it."""
    return VideoWorker(settings)


def worker_factory(settings: Settings, spec: FingerprintSpec) -> functools.partial[VideoWorker]:
    """The picklable factory that executors call once a worker."""
    limits = Limits(
        total_s=settings.file_s,
        stall_s=settings.stall_s,
        memory_mb=settings.decode_mb,
        max_calls=FILES_PER_CHILD,
        reply_mb=REPLY_MB,
    )
    return functools.partial(
        make_worker, WorkerSettings(spec, settings.decoder, settings.device, limits, settings.scratch)
    )


def make_executor(settings: Settings, *, tasks: int | None = None) -> Executor:
    """The executor that the settings ask for; Ray is imported only when it is asked for.

    tasks: how many there will be, when known, so that no more workers start than there is work.
    """
    workers = settings.workers or default_workers()
    if tasks is not None:
        workers = max(1, min(workers, tasks))
    cluster = ClusterSettings(workers=workers, executor=settings.executor, ray_address=settings.ray_address or None)
    if settings.executor == "ray":
        from cluster.ray_executor import RayExecutor

        return RayExecutor(cluster)
    return LocalExecutor(cluster)


FileCompletion = Completion[FileTask, ContentTicket, FileFingerprint]


def fingerprint_files(uris: Iterable[str], settings: Settings) -> Iterator[tuple[str, FileFingerprint | Failure]]:
    """Fingerprint files without a ledger, in the order they finish; each URI comes back exactly once."""
    tasks = [FileTask(uri) for uri in dict.fromkeys(uris)]
    executor = make_executor(settings, tasks=len(tasks))
    spec = current_spec(settings)
    for completion in executor.run(worker_factory(settings, spec), lambda _task, _ticket: True, tasks):
        match completion.outcome:
            case Done(result):
                yield completion.task.uri, result
            case Failure() as failure:
                yield completion.task.uri, failure
            case _:
                raise AssertionError("a gate that lets everything pass declined a file")
