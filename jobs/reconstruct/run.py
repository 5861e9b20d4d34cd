"""Reconstruction over files and homes: the shortlist, every checkpoint on it, failures as values."""

from __future__ import annotations

import contextlib
import itertools
import operator
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.outcome import Failure, FailureError
from jobs.archive import fetch, safe_uri
from jobs.database import for_reading
from jobs.errors import BadUsageError, FailureKind
from jobs.home import Home
from jobs.models import Location, LocationState, VerdictRow
from jobs.progress import Meter
from jobs.reconstruct.evidence import compose
from jobs.reconstruct.registry import Checkpoint, kept_checkpoints, opened
from jobs.reconstruct.store import measured, put
from jobs.scan import current_spec

# Verdicts that speak of a decoder, whatever the likelihood ratio.
SPEAKING = frozenset(("synthetic", "family", "attributed"))
_ROWS = 1000  # of verdicts at a time
NO_CHECKPOINT = "no checkpoint is enrolled in this home; makersmark enroll GENERATOR --vae DIR keeps one"


def shortlisted(record: Mapping[str, Any], families: set[str]) -> bool:
    """Whether a file is worth a round trip through every checkpoint.

    It is if its llr is above 0, if its verdict is synthetic, family or attributed, or if its nearest signature is of a
    family of which a checkpoint is at hand.
    """
    if record["error"]:
        return False
    llr = record["llr"]
    nearest = record["nearest"][:1]
    near = {name for one in nearest for name in (one.get("family"), one.get("generator")) if name}
    return bool((llr is not None and llr > 0) or record["verdict"] in SPEAKING or near & families)


def kin(checkpoints: Sequence[Checkpoint]) -> set[str]:
    """The slugs that a nearest signature shares with a checkpoint: families and generators."""
    return {name for one in checkpoints for name in (one.family, one.generator) if name}


class Reconstructor:
    """Every checkpoint of a home, loaded once, and the decoding children; a context manager."""

    def __init__(self, home: Home) -> None:
        from jobs.reconstruct.frames import FrameReader

        self.checkpoints = kept_checkpoints(home)
        if not self.checkpoints:
            raise BadUsageError(NO_CHECKPOINT)
        self._home = home
        self._stack = contextlib.ExitStack()
        self._reader = self._stack.enter_context(FrameReader(home.settings))
        self._networks: dict[str, Any] = {}

    def findings(
        self, uri: str, wanted: Sequence[Checkpoint] | None = None, *, sha256: str = ""
    ) -> list[tuple[Checkpoint, dict[str, Any]]]:
        """What checkpoints (all, unless named) say of one file. Raises FailureError where it cannot be had or read.

        sha256: the content that it must be; '' takes what is there.
        """
        import torch

        from jobs.reconstruct.judge import JudgePlan, judge_path

        torch.set_num_threads(1)  # one thread gives the same numbers on any machine size
        fetched = fetch(uri)
        try:
            if sha256 and fetched.sha256 != sha256:
                raise FailureKind.NOT_FOUND.error(f"{safe_uri(uri)} holds another content now; sweep its archive again")
            found = []
            for checkpoint in self.checkpoints if wanted is None else wanted:
                network = self._network(checkpoint)
                found.append((checkpoint, judge_path(self._reader, fetched.path, checkpoint, network, JudgePlan())))
            return found
        finally:
            if fetched.temporary:
                fetched.path.unlink(missing_ok=True)

    def evidence(self, uri: str) -> dict[str, Any] | None:
        """The composed evidence of one file, or its failure in its place."""
        try:
            return compose([finding for _, finding in self.findings(uri)])
        except FailureError as failed:
            return {"error": {"class": failed.failure.kind, "message": failed.failure.message}}

    def _network(self, checkpoint: Checkpoint) -> Any:
        if checkpoint.id not in self._networks:
            self._networks[checkpoint.id] = self._stack.enter_context(
                opened(self._home, checkpoint, device=self._home.settings.device)
            )
        return self._networks[checkpoint.id]

    def __enter__(self) -> Reconstructor:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@dataclass(slots=True)
class ReconstructSummary:
    """measured: contents asked about now; known: before, by every checkpoint; passed_over: not on the shortlist.

    speaking: contents for which the best checkpoint's llr is above 0, by generator. failures: by URI.
    """

    checkpoints: int = 0
    measured: int = 0
    known: int = 0
    passed_over: int = 0
    wall_s: float = 0.0
    speaking: dict[str, int] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "checkpoints": self.checkpoints,
            "measured": self.measured,
            "known": self.known,
            "passed_over": self.passed_over,
            "wall_s": round(self.wall_s, 3),
            "speaking": dict(self.speaking),
            "failures": {safe_uri(uri): {"class": f.kind, "message": f.message} for uri, f in self.failures.items()},
        }


def reconstruct_home(home: Home, *, everything: bool, limit: int | None, console: Console) -> ReconstructSummary:
    """Ask every checkpoint about the shortlisted contents of a home (all of them with ``everything``) and store it.

    A content is shortlisted by its standing verdict. Started again, it goes on; a content that one checkpoint has not
    seen yet is asked of that one alone. Raises BadUsageError without a checkpoint.
    """
    started = time.monotonic()
    with Reconstructor(home) as reconstructor:
        summary = ReconstructSummary(len(reconstructor.checkpoints))
        seen = {one.id: measured(home.engine, one.id) for one in reconstructor.checkpoints}
        families = kin(reconstructor.checkpoints)
        todo = []
        for sha256, record in standing_verdicts(home, current_spec(home.settings).id):
            if not (everything or shortlisted(record, families)):
                summary.passed_over += 1
                continue
            lacking = [one for one in reconstructor.checkpoints if sha256 not in seen[one.id]]
            if lacking:
                todo.append((sha256, lacking))
            else:
                summary.known += 1
        with Meter(console, "reconstruct", len(todo[:limit])) as meter:
            for sha256, lacking in todo[:limit]:
                _one(home, reconstructor, sha256, lacking, summary)
                meter.advance()
    summary.wall_s = time.monotonic() - started
    home.ledger.audit("reconstruct", home.settings.home, measured=summary.measured, failed=len(summary.failures))
    return summary


def _one(
    home: Home, reconstructor: Reconstructor, sha256: str, lacking: Sequence[Checkpoint], summary: ReconstructSummary
) -> None:
    failure: Failure | None = None
    uris = _places(home, sha256)
    for uri in uris:
        try:
            found = reconstructor.findings(uri, lacking, sha256=sha256)
        except FailureError as failed:
            failure = failed.failure
            continue
        put(home.engine, sha256, [(checkpoint.id, finding) for checkpoint, finding in found])
        summary.measured += 1
        best = compose([finding for _, finding in found])
        if best is not None and best["generator"]:
            summary.speaking[best["generator"]] = summary.speaking.get(best["generator"], 0) + 1
        return
    gone = FailureKind.NOT_FOUND.failure("the archive no longer lists this content under any name")
    summary.failures[uris[0] if uris else sha256] = failure or gone


def standing_verdicts(home: Home, spec_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every content's standing verdict as a record, by content: the current snapshot's, else the newest."""
    current = home.store.current_snapshot(spec_id)
    stands = VerdictRow.snapshot_id == (current.id if current is not None else "")
    query = (
        select(VerdictRow.sha256, VerdictRow.llr, VerdictRow.verdict, VerdictRow.nearest)
        .where(VerdictRow.spec_id == spec_id)
        .order_by(VerdictRow.sha256, stands, VerdictRow.id)
        .execution_options(yield_per=_ROWS)
    )
    with Session(for_reading(home.engine)) as session:
        for sha256, rows in itertools.groupby(session.execute(query), key=operator.itemgetter(0)):
            *_, (_, llr, verdict, nearest) = rows
            yield sha256, {"error": None, "llr": llr, "verdict": verdict, "nearest": nearest}


def _places(home: Home, sha256: str) -> list[str]:
    query = (
        select(Location.uri)
        .where(Location.sha256 == sha256, Location.state != LocationState.GONE.value)
        .order_by(Location.uri)
    )
    with Session(for_reading(home.engine)) as session:
        return list(session.scalars(query))
