"""One canonical chain for every clip, camera and generated alike, so that no figure rests on who encoded it how.

Encoding runs in killable children, and what they make is kept in a folder by content: a rerun encodes nothing again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, get_args

import av

from cluster.executor import Completion
from cluster.local import LocalExecutor
from cluster.outcome import Done, Failure
from cluster.sandbox import Limits, Sandbox
from cluster.settings import ClusterSettings, default_workers
from jobs.decode.thumbnail import Glance, Packaging, glance, read_packaging
from jobs.encode import Codec, CodecChain, reencode
from jobs.errors import FailureKind
from jobs.evaluate.cache import EvaluationCache
from jobs.evaluate.manifest import Clip
from jobs.settings import Settings

# Raise when the same clip and chain would give other files or other glances.
PREPARE_VERSION = 1
_SPELLING = re.compile(r"(?P<codec>[a-z0-9]+)-crf(?P<crf>\d+)(-(?P<preset>[a-z]+))?(-x(?P<scale>\d+(\.\d+)?))?")


@dataclass(frozen=True, slots=True)
class EvaluationChain:
    """Crop rule, length and codec chain for all clips. crop_px: centre crop to at most this side, before scaling."""

    codec: CodecChain = field(default_factory=lambda: CodecChain("x264", 23))
    crop_px: int = 512
    max_frames: int = 64

    @property
    def name(self) -> str:
        """Stable text of everything that changes the pixels: ``x264-crf23, centre 512 px, 64 frames``."""
        return f"{self.codec.name}, centre {self.crop_px} px, {self.max_frames} frames"


def parse_chain(text: str) -> EvaluationChain | None:
    """``x264-crf23``, ``x265-crf28-fast``, ``vp9-crf33-x0.75`` (codec, quality, preset, scale); ``none`` judges the
    files as they are. Raises ValueError with one sentence for anything else.
    """
    if text == "none":
        return None
    found = _SPELLING.fullmatch(text)
    if not found or found["codec"] not in get_args(Codec):
        codecs = ", ".join(get_args(Codec))
        raise ValueError(f"no chain is called {text!r}; write none, or like x264-crf23-x0.75 with one of {codecs}")
    chain = CodecChain(
        cast(Codec, found["codec"]),
        int(found["crf"]),
        preset=found["preset"] or "medium",
        scale=float(found["scale"] or 1.0),
    )
    return EvaluationChain(chain)


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A clip ready to be judged. path: the re-encoded copy, or the original where there is no chain; key: its name in
    the cache. packaging: of the original file. glance: of the pixels that will be judged.
    """

    path: Path
    key: str
    packaging: Packaging
    glance: Glance


@dataclass(frozen=True, slots=True)
class PrepareRequest:
    """One clip's preparation. target: where the copy goes; None judges the original."""

    source: Path
    target: Path | None
    chain: EvaluationChain | None


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
        PrepareRequest(clip.path.absolute(), cache.file(key, ".mp4") if chain else None, chain): (clip, key)
        for clip, key in todo
    }
    # Always on this machine: the copies have to land in this machine's folder.
    executor = LocalExecutor(ClusterSettings(workers=workers))
    done: Iterator[Completion[PrepareRequest, None, tuple[Packaging, Glance]]] = executor.run(
        lambda: _Preparer(limits), lambda _task, _ticket: True, list(requests)
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


def serve(request: PrepareRequest) -> Iterator[tuple[Packaging, Glance]]:
    """What the child does: read the packaging, encode, glance at the result."""
    packaging = read_packaging(request.source)
    judged = request.source
    if request.target is not None and request.chain is not None:
        judged = request.target
        if not judged.is_file():
            chain = request.chain
            try:
                reencode(request.source, judged, chain.codec, max_frames=chain.max_frames, crop_px=chain.crop_px)
            except ValueError as error:
                raise FailureKind.DAMAGED.error(f"{request.source.name} does not fit the chain: {error}") from error
    yield packaging, glance(judged)


class _Preparer:
    """The executor's worker: owns one child."""

    def __init__(self, limits: Limits) -> None:
        self._sandbox = Sandbox("jobs.evaluate.chain:serve", limits)

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
    text = f"{clip.sha256}|{chain.name if chain else 'none'}|{PREPARE_VERSION}|{av.__version__}"
    return hashlib.sha256(text.encode()).hexdigest()
