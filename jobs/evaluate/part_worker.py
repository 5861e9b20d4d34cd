"""A part of the fingerprint of many files, their cues by default: decoded in killable children like anything else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from cluster.executor import Completion
from cluster.local import LocalExecutor
from cluster.outcome import Done, Failure
from cluster.sandbox import Limits, Sandbox
from cluster.settings import ClusterSettings, default_workers
from fingerprint_db.spec import WindowPlan
from fingerprint_db.window import FrameWindow, WindowFingerprint
from jobs.archive import file_sha256
from jobs.decode.protocol import DecodeRequest, DecoderName, DecodeSummary
from jobs.decode.replies import REPLIES, REPLY_MB, checked
from jobs.errors import FailureKind
from jobs.scan import DECODE_SERVICE, FileFingerprint
from jobs.settings import Settings


def window_cues(window: FrameWindow) -> WindowFingerprint:
    """The window's cues, none where it has none (``has_cues``), in the form in which fingerprints keep them."""
    import torch

    from fingerprint_db.cues.measure import has_cues, measure_cues
    from fingerprint_db.residual import load_planes

    cues: dict[str, float] = {}
    if has_cues(window):
        with torch.inference_mode():
            cues = measure_cues(load_planes(window), full_range=window.full_range)
    return WindowFingerprint.of(window, cues=cues)


def window_layout(window: FrameWindow) -> WindowFingerprint:
    """The window's series a frame and its profiles, which is what evidence on assembly and layout is read from."""
    import torch

    from fingerprint_db.layout.profiles import measure_profiles
    from fingerprint_db.residual import load_planes
    from fingerprint_db.traces import measure_traces

    with torch.inference_mode():
        planes = load_planes(window)
        return WindowFingerprint.of(window, traces=measure_traces(planes, window), profiles=measure_profiles(planes))


def measure_files(
    paths: Iterable[str], settings: Settings, measure: Callable[[FrameWindow], WindowFingerprint] = window_cues
) -> Iterator[tuple[str, FileFingerprint | Failure]]:
    """As ``jobs.scan.fingerprint_files`` for local files, with what ``measure`` gives alone: a quarter of the time."""
    todo = list(dict.fromkeys(paths))
    workers = max(1, min(settings.workers or default_workers(), len(todo)))
    executor = LocalExecutor(ClusterSettings(workers=workers))
    done: Iterator[Completion[str, None, FileFingerprint]] = executor.run(
        lambda: _Worker(settings, measure), lambda _task, _ticket: True, todo
    )
    for completion in done:
        match completion.outcome:
            case Done(result):
                yield completion.task, result
            case Failure() as failure:
                yield completion.task, failure
            case _:
                raise AssertionError("a gate that lets everything pass declined a file")


class _Worker:
    """The executor's worker: owns one decoding child."""

    def __init__(self, settings: Settings, measure: Callable[[FrameWindow], WindowFingerprint]) -> None:
        import torch

        torch.set_num_threads(1)
        limits = Limits(
            total_s=settings.file_s, stall_s=settings.stall_s, memory_mb=settings.decode_mb, reply_mb=REPLY_MB
        )
        self._measure = measure
        self._decoder: DecoderName = settings.decoder
        self._sandbox = Sandbox(DECODE_SERVICE, limits, replies=REPLIES)

    def admit(self, task: str) -> None:
        return None

    def perform(self, task: str, ticket: None) -> FileFingerprint:
        plan = WindowPlan()
        windows: list[WindowFingerprint] = []
        summary: DecodeSummary | None = None
        for reply in checked(self._sandbox.call(DecodeRequest(task, plan, self._decoder)), plan):
            if isinstance(reply, FrameWindow):
                windows.append(self._measure(reply))
            elif isinstance(reply, DecodeSummary):
                summary = reply
        if summary is None:
            raise FailureKind.DAMAGED.error("the decoder ended without saying what it had read")
        path = Path(task)
        return FileFingerprint(
            sha256=file_sha256(path),
            size=path.stat().st_size,
            facts=summary.facts,
            coverage=summary.coverage,
            shortfall=summary.reason,
            windows=tuple(windows),
        )

    def release(self, task: str) -> None:
        return None

    def interrupt(self) -> None:
        self._sandbox.interrupt()

    def close(self) -> None:
        self._sandbox.close()
