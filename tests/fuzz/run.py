"""Runs mutated files through fetch, decoding child, fingerprint and judgement, and accounts for each of them."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cluster.outcome import Failure, attempt
from cluster.sandbox import Limits
from fingerprint_db.matcher import Matcher
from jobs.archive import canonical_uri
from jobs.decode.replies import REPLY_MB
from jobs.errors import FailureKind
from jobs.home import Home
from jobs.record import judge_file
from jobs.scan import FileFingerprint, FileTask, VideoWorker, WorkerSettings, current_spec
from jobs.settings import Settings
from jobs.snapshots import current_snapshot
from tests.fuzz.mutations import mutate

# A mutant of these sizes takes a tenth of a second; whatever comes near these limits is a find.
LIMITS = Limits(total_s=20.0, stall_s=8.0, memory_mb=1024, max_calls=200, reply_mb=REPLY_MB)
SLOW_S = 5.0
EXPECTED = {kind.value for kind in FailureKind} - {"storage_unavailable", "access_denied", "not_found"}


@dataclass(frozen=True, slots=True)
class Find:
    """A mutant that ended as none should. ``name`` and ``seed`` make it again."""

    name: str
    seed: str
    mutations: str
    outcome: str
    message: str
    wall_s: float


@dataclass(slots=True)
class Report:
    """outcomes: how many mutants ended in which verdict or class; they add up to ``mutants``."""

    mutants: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    by_format: Counter[str] = field(default_factory=Counter)
    finds: list[Find] = field(default_factory=list)
    wall_s: float = 0.0
    slowest_s: float = 0.0

    @property
    def unaccounted(self) -> int:
        return self.mutants - self.outcomes.total()


Mutant = tuple[str, str, str, bytes]


def mutants(corpus: Mapping[str, bytes], count: int, seed: int, formats: Sequence[str] = ()) -> Iterator[Mutant]:
    """``count`` damaged files, the formats (all, when none is named) in turn: format, seed, mutations, bytes."""
    names = list(formats or corpus)
    for number in range(count):
        name = names[number % len(names)]
        yield name, *again(corpus, name, f"{seed}.{number}")


def again(corpus: Mapping[str, bytes], name: str, seed: str) -> tuple[str, str, bytes]:
    """The mutant of this format and seed: seed, names of its mutations, bytes."""
    done, data = mutate(corpus[name], random.Random(f"{name}/{seed}"), list(corpus.values()))
    return seed, done, data


def run(
    corpus: Mapping[str, bytes],
    made: Iterable[Mutant],
    folder: Path,
    *,
    keep: Path | None = None,
) -> Iterator[Report]:
    """Yield the report after each mutant; the same object, growing. keep: a folder for the files that were finds."""
    settings = Settings(home=str(folder / "home"), workers=1)
    home = Home(settings)
    spec = current_spec(settings)
    matcher = Matcher(current_snapshot(home, spec))
    worker = VideoWorker(WorkerSettings(spec, settings.decoder, "cpu", LIMITS, ""))
    report, started = Report(), time.monotonic()
    try:
        for name, seed, mutations, data in made:
            path = folder / f"mutant{Path(name).suffix}"
            path.write_bytes(data)
            begun = time.monotonic()
            outcome, message = _judge(worker, matcher, FileTask(canonical_uri(str(path)), len(data)), spec.id)
            wall_s = time.monotonic() - begun
            report.mutants += 1
            report.outcomes[outcome] += 1
            report.by_format[name] += 1
            report.wall_s, report.slowest_s = time.monotonic() - started, max(report.slowest_s, wall_s)
            if (not outcome.startswith("verdict ") and outcome not in EXPECTED) or wall_s > SLOW_S:
                report.finds.append(Find(name, seed, mutations, outcome, message, wall_s))
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{seed}-{name}").write_bytes(data)
            yield report
    finally:
        worker.close()
        home.close()


def _judge(worker: VideoWorker, matcher: Matcher, task: FileTask, spec_id: str) -> tuple[str, str]:
    admitted = attempt(lambda: worker.admit(task))
    if isinstance(admitted, Failure):
        return admitted.kind, admitted.message
    done = attempt(lambda: worker.perform(task, admitted.result))
    if isinstance(done, Failure):
        return done.kind, done.message
    file: FileFingerprint = done.result
    judged = attempt(lambda: judge_file(matcher, file, spec_id))
    if isinstance(judged, Failure):
        return judged.kind, judged.message
    return f"verdict {judged.result.verdict.value}", judged.result.reason
