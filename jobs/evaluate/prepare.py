"""Brings every clip through the chain in killable children; what they make is kept by content, for the next run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from cluster.executor import Completion
from cluster.local import LocalExecutor
from cluster.outcome import Done, Failure
from cluster.sandbox import Limits, Sandbox
from cluster.settings import ClusterSettings, default_workers
from jobs.decode.thumbnail import Glance, Packaging
from jobs.evaluate.cache import EvaluationCache
from jobs.evaluate.chain import EvaluationChain, PrepareRequest
from jobs.evaluate.manifest import Clip
from jobs.settings import Settings

# Raise when the same clip and chain would give other files or other glances.
PREPARE_VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A clip ready to be judged. path: the re-encoded copy, or the original where there is no chain; key: its name in
    the cache. packaging: of the original file. glance: of the pixels that will be judged.
    """

    path: Path
    key: str
    packaging: Packaging
    glance: Glance


def prepare(
    clips: Sequence[Clip], chain: EvaluationChain | None, cache: EvaluationCache, settings: Settings
) -> Iterator[tuple[Clip, Prepared | Failure]]:
    """Bring every clip through the chain, in the order they finish; each clip comes back exactly once.

    cache: may be shared by chains and manifests. A Failure never stops the others.
    """
    todo: list[tuple[Clip, str]] = []
    for clip in clips:
        key = _key(clip, chain)
        known = cache.glance(key)
        copy = cache.file(key, ".mp4") if chain else clip.path
        if known is not None and copy.is_file():
            yield clip, Prepared(copy, key, *known)
        else:
            todo.append((clip, key))
    if not todo:
        return
    workers = max(1, min(settings.workers or default_workers(), len(todo)))
    limits = Limits(total_s=settings.file_s, stall_s=settings.file_s, memory_mb=settings.decode_mb)
    requests = {
        PrepareRequest(clip.path.absolute(), cache.file(key, ".mp4").absolute() if chain else None, chain): (clip, key)
        for clip, key in todo
    }
    writable = sorted({str(request.target.parent) for request in requests if request.target is not None})
    for folder in writable:
        Path(folder).mkdir(parents=True, exist_ok=True)
    # Always on this machine: the copies have to land in this machine's folder.
    executor = LocalExecutor(ClusterSettings(workers=workers))
    done: Iterator[Completion[PrepareRequest, None, tuple[Packaging, Glance]]] = executor.run(
        lambda: _Preparer(limits, writable), lambda _task, _ticket: True, list(requests)
    )
    for completion in done:
        clip, key = requests[completion.task]
        match completion.outcome:
            case Done((packaging, seen)):
                cache.keep_glance(key, packaging, seen)
                yield clip, Prepared(completion.task.target or clip.path, key, packaging, seen)
            case Failure() as failure:
                yield clip, failure
            case _:
                raise AssertionError("a gate that lets everything pass declined a clip")


class _Preparer:
    """The executor's worker: owns one child."""

    def __init__(self, limits: Limits, writable: Sequence[str]) -> None:
        replies = (Packaging, Glance)
        self._sandbox = Sandbox("jobs.evaluate.chain:serve", limits, replies=replies, writable=writable)

    def admit(self, task: PrepareRequest) -> None:
        return None

    def perform(self, task: PrepareRequest, ticket: None) -> tuple[Packaging, Glance]:
        replies: list[tuple[Packaging, Glance]] = list(self._sandbox.call(task))
        return replies[0]

    def release(self, task: PrepareRequest) -> None:
        return None

    def interrupt(self) -> None:
        self._sandbox.interrupt()

    def close(self) -> None:
        self._sandbox.close()


def _key(clip: Clip, chain: EvaluationChain | None) -> str:
    """Names a clip's content, the chain, and the library that encodes."""
    text = f"{clip.sha256}|{chain.name if chain else 'none'}|{PREPARE_VERSION}|{metadata.version('av')}"
    return hashlib.sha256(text.encode()).hexdigest()
