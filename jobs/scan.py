"""From a URI to a file's fingerprint: the worker that fetches, decodes in a killable child, and fingerprints."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cluster.executor import Completion, Executor
from cluster.local import LocalExecutor
from cluster.outcome import Done, Failure, FailureError
from cluster.sandbox import Limits, Sandbox
from cluster.settings import ClusterSettings, default_workers
from fingerprint_db.spec import FingerprintSpec
from fingerprint_db.window import FrameWindow, Predecessors, WindowFingerprint
from jobs.archive import Fetched, fetch, fetch_parts, is_local, local_path, safe_uri
from jobs.decode.plan import cut_ranges
from jobs.decode.protocol import (
    BurstRange,
    DecodeRequest,
    DecoderName,
    DecodeSummary,
    LengthRequest,
    Missed,
    Outline,
    VideoFacts,
)
from jobs.decode.replies import REPLIES, REPLY_MB, checked, outlined
from jobs.decode.service import decoder_version
from jobs.decode.source import Extents, merged, without
from jobs.decode.tally import Tally
from jobs.errors import FailureKind
from jobs.settings import Settings
from jobs.split import FileRange, run_files

DECODE_SERVICE = "jobs.decode.service:serve"
# A decoding child is replaced after so many files: codecs leak, and a fresh heap is cheaper than a diagnosis.
FILES_PER_CHILD = 200
WORKER_BASE_MB = 1024  # an actor beside its decoding child: torch, one window of pixels, its answer


@dataclass(frozen=True, slots=True)
class FileTask:
    """One file to fingerprint, or a part of one. size is what the store listed, for ordering and progress.

    split_bursts: a file of more bursts than this is done in ranges, the first of them by whoever identifies the file;
    0 for a file that is done as a whole. known: the content, where a worker has identified it before; bursts: the range
    of it to do (jobs.split); extents: the parts of the file that it reads, empty for a whole download.
    """

    uri: str
    size: int = 0
    split_bursts: int = 0
    bursts: BurstRange | None = None
    known: ContentTicket | None = None
    extents: Extents = ()


@dataclass(frozen=True, slots=True)
class ContentTicket:
    """What a first look at a file gives: its content.

    bursts: how many the file will have, by its container's claims, where it can be done in ranges; else 0.
    stamp: size and time of change of a local file just before it was read; '' elsewhere. tag: the store's change tag of
    a remote one. extents: for each range the parts of a remote file that it reads, where that saves bytes.
    """

    sha256: str
    size: int
    bursts: int = 0
    stamp: str = ""
    tag: str = ""
    extents: tuple[Extents, ...] = ()


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
    range_bytes: int = 0


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
        self._kept: tuple[str, Fetched] | None = None  # a long file's copy: its next range is likely to come here too

    def admit(self, task: FileTask) -> ContentTicket:
        kept, self._kept = self._kept, None
        if task.known is not None:
            self._fetched[task.uri] = self._fetch_known(task, task.known, kept)
            return task.known
        _discard(kept)
        stamp = _stamp(task.uri)
        fetched = fetch(task.uri, self._scratch)
        self._fetched[task.uri] = fetched
        said = self._outline(task, fetched) if task.split_bursts else Outline(0)
        if not said.bursts:
            return ContentTicket(fetched.sha256, fetched.size)
        return ContentTicket(fetched.sha256, fetched.size, said.bursts, stamp, fetched.tag, said.extents)

    def perform(self, task: FileTask, ticket: ContentTicket) -> FileFingerprint | FileRange:
        bursts = task.bursts
        if task.split_bursts and ticket.bursts > task.split_bursts:
            bursts = cut_ranges(ticket.bursts, task.split_bursts)[0]
        try:
            if ticket.size == 0:
                raise FailureKind.EMPTY_FILE.error("the file has no bytes")
            fetched = self._fetched[task.uri]
            if bursts is None:
                return self._fingerprint(str(fetched.path), ticket)
            found = self._range(str(fetched.path), bursts, fetched.parts)
            if found is None:  # this file wants other bytes than was foreseen
                self.release(task)
                fetched = self._fetched[task.uri] = self._fetch_again(task.uri, ticket)
                found = self._range(str(fetched.path), bursts)
            if found is None:
                raise FailureKind.DAMAGED.error("the decoder misses parts of a file that is whole")
            return found
        finally:
            # A local file is looked at again for every range, since it may have changed; a copy cannot.
            left = self._fetched.get(task.uri)
            if bursts is not None and left is not None and left.temporary:
                self._kept = (task.uri, self._fetched.pop(task.uri))
            self.release(task)

    def release(self, task: FileTask) -> None:
        fetched = self._fetched.pop(task.uri, None)
        if fetched is not None:
            _discard((task.uri, fetched))

    def interrupt(self) -> None:
        """Called from another thread when a run is given up: ends the decoding under way."""
        self._sandbox.interrupt()

    def close(self) -> None:
        self._sandbox.close()
        _discard(self._kept)
        self._kept = None
        for uri in list(self._fetched):
            self.release(FileTask(uri))

    def _fetch_known(self, task: FileTask, known: ContentTicket, kept: tuple[str, Fetched] | None) -> Fetched:
        """What a range needs of a file: the copy at hand where it does, the parts foreseen, or all of it."""
        copy = kept[1] if kept is not None and kept[0] == task.uri and kept[1].sha256 == known.sha256 else None
        if copy is not None and not copy.parts:
            return copy
        if copy is None or not task.extents or copy.tag != known.tag:
            _discard(kept)
            copy = None
        if not task.extents or not known.tag:
            return self._fetch_again(task.uri, known)
        base = copy or Fetched(Path(), known.sha256, known.size, temporary=True, tag=known.tag)
        lacking = without(task.extents, merged(base.parts))
        fetched = fetch_parts(task.uri, base, lacking, self._scratch)
        return replace(fetched, parts=merged(fetched.parts))

    def _fetch_again(self, uri: str, known: ContentTicket) -> Fetched:
        """The bytes of a file whose content is known; a local file is not hashed once more."""
        if known.stamp and _stamp(uri) == known.stamp:
            return Fetched(local_path(uri), known.sha256, known.size, temporary=False)
        fetched = fetch(uri, self._scratch)
        if fetched.sha256 != known.sha256:
            _discard((uri, fetched))
            raise FailureKind.STORAGE_UNAVAILABLE.error(f"{safe_uri(uri)} changed while it was being read")
        return fetched

    def _outline(self, task: FileTask, fetched: Fetched) -> Outline:
        """How many bursts a file will have if it can be done in ranges; a file that cannot even say goes on whole.

        With the bytes of each range, where the store can give them and can tell that it is still the same file.
        """
        if fetched.size == 0:
            return Outline(0)
        settings, plan = self._settings, self._settings.spec.plan
        by_range = fetched.temporary and fetched.tag and 0 < settings.range_bytes <= fetched.size
        at_most = task.split_bursts if by_range and settings.decoder == "pyav" else 0
        try:
            with contextlib.closing(self._sandbox.call(LengthRequest(str(fetched.path), plan, at_most))) as replies:
                return outlined(replies, plan, fetched.size, at_most)
        except FailureError:
            return Outline(0)

    def _fingerprint(self, path: str, ticket: ContentTicket) -> FileFingerprint:
        windows, summary = self._decoded(DecodeRequest(path, self._settings.spec.plan, self._settings.decoder))
        if not isinstance(summary, DecodeSummary):
            raise FailureKind.DAMAGED.error("the decoder ended without saying what it had read")
        return FileFingerprint(
            sha256=ticket.sha256,
            size=ticket.size,
            facts=summary.facts,
            coverage=summary.coverage,
            shortfall=summary.reason,
            windows=tuple(windows),
        )

    def _range(self, path: str, bursts: BurstRange, parts: Extents = ()) -> FileRange | None:
        """None when only these parts of the file are there and others were needed."""
        plan, decoder = self._settings.spec.plan, self._settings.decoder
        windows, tally = self._decoded(DecodeRequest(path, plan, decoder, bursts, parts))
        if isinstance(tally, Missed):
            return None
        if not isinstance(tally, Tally):
            raise FailureKind.DAMAGED.error("the decoder ended without saying what it had read")
        return FileRange(bursts, tally, tuple(windows))

    def _decoded(self, request: DecodeRequest) -> tuple[list[WindowFingerprint], DecodeSummary | Tally | Missed | None]:
        from fingerprint_db.fingerprint import fingerprint_window

        windows: list[WindowFingerprint] = []
        earlier = Predecessors(request.plan.bursts)
        end: DecodeSummary | Tally | Missed | None = None
        with contextlib.closing(self._sandbox.call(request)) as replies:
            for reply in checked(replies, request.plan, partial=bool(request.present)):
                if isinstance(reply, FrameWindow):
                    before = earlier.of(reply)
                    windows.append(fingerprint_window(reply, device=self._settings.device, before=before))
                else:
                    end = reply
        return windows, end


def _discard(kept: tuple[str, Fetched] | None) -> None:
    if kept is not None and kept[1].temporary:
        kept[1].path.unlink(missing_ok=True)


def _size(uri: str) -> int:
    """Bytes of a local file; 0 for what is not local or not there."""
    try:
        return local_path(uri).stat().st_size if is_local(uri) else 0
    except OSError:
        return 0


def _stamp(uri: str) -> str:
    """Changes when a local file does; '' for what is not local or not there."""
    if not is_local(uri):
        return ""
    try:
        info = local_path(uri).stat()
    except OSError:
        return ""
    return f"{info.st_size:x}-{info.st_mtime_ns:x}-{info.st_ino:x}"


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
        make_worker,
        WorkerSettings(spec, settings.decoder, settings.device, limits, settings.scratch, settings.range_mb << 20),
    )


def make_executor(settings: Settings, *, tasks: int | None = None) -> Executor:
    """The executor that the settings ask for; Ray is imported only when it is asked for.

    tasks: how many there will be, when known, so that no more workers start than there is work.
    """
    most = None if tasks is None else max(1, tasks)
    if settings.executor == "local":
        workers = settings.workers or default_workers()
        return LocalExecutor(ClusterSettings(workers if most is None else min(workers, most)))
    from cluster.ray_executor import RayExecutor

    return RayExecutor(ray_settings(settings, most))


def ray_settings(settings: Settings, most: int | None = None) -> ClusterSettings:
    """What an actor reserves: a core, a share of a GPU where one is to be used, memory on machines that are shared.

    most: no more workers than this are of use.
    """
    on_gpu = settings.device != "cpu"
    # A runtime of our own has this machine to itself, like the executor without Ray, and starts however small it is.
    memory_mb = (settings.worker_mb or settings.decode_mb + WORKER_BASE_MB) if settings.ray_address else 0
    return ClusterSettings(
        workers=min(settings.workers, most) if most and settings.workers else settings.workers,
        executor="ray",
        most_workers=most or 0,
        ray_address=settings.ray_address or None,
        cpus_per_worker=settings.cpus_per_worker,
        gpus_per_worker=settings.gpus_per_worker if on_gpu else 0.0,
        memory_mb=memory_mb,
        object_store_mb=settings.object_store_mb,
    )


def useful_workers(tasks: Iterable[FileTask], settings: Settings) -> int:
    """How many workers could have something to do at once: one a file, and more for those that may be split."""
    if not settings.split_bursts:
        return sum(1 for _ in tasks)
    step = max(1, settings.split_mb) << 20
    return sum(1 + task.size // step for task in tasks)


FileCompletion = Completion[FileTask, ContentTicket, FileFingerprint]


def fingerprint_files(uris: Iterable[str], settings: Settings) -> Iterator[tuple[str, FileFingerprint | Failure]]:
    """Fingerprint files without a ledger, in the order they finish; each URI comes back exactly once."""
    tasks = [FileTask(uri, _size(uri)) for uri in dict.fromkeys(uris)]
    executor = make_executor(settings, tasks=useful_workers(tasks, settings))
    spec = current_spec(settings)
    for completion in run_files(executor, settings, worker_factory(settings, spec), lambda *_: True, tasks):
        match completion.outcome:
            case Done(result):
                yield completion.task.uri, result
            case Failure() as failure:
                yield completion.task.uri, failure
            case _:
                raise AssertionError("a gate that lets everything pass declined a file")
