"""Long files in ranges: one film keeps a whole cluster busy, and comes back as the one result it would have been.

The worker that first looks at a file says how many bursts it will have (a ``ContentTicket``). Once the gate has granted
it, that worker goes on with the first range, and the others are handed out before any further file. When all are in,
the windows are put together in (burst, crop) order and the accounts added up: for a sound file the same bits that one
worker would have brought. Whoever runs files through ``run_files`` sees whole files only.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cluster.executor import LATER, Completion, Executor, Later
from cluster.outcome import ClusterFault, Declined, Done, Failure, FailureError, Outcome, Policy
from jobs.decode.plan import cut_ranges
from jobs.decode.protocol import BurstRange
from jobs.decode.source import Extents
from jobs.decode.tally import Tally, added_up, conclude
from jobs.errors import FailureKind
from jobs.settings import Settings

if TYPE_CHECKING:
    from fingerprint_db.window import WindowFingerprint
    from jobs.scan import ContentTicket, FileCompletion, FileFingerprint, FileTask, VideoWorker

    _Result = Outcome[FileFingerprint] | Outcome["FileFingerprint | FileRange"]

RANGE_ATTEMPTS = 2  # a range whose failure may be the machine's is tried so often before its file goes on without it
# Failures that say something of the file or its store as a whole: no other range can make up for them.
_WHOLE = {
    FailureKind.NOT_FOUND.value,
    FailureKind.ACCESS_DENIED.value,
    FailureKind.STORAGE_UNAVAILABLE.value,
}


@dataclass(frozen=True, slots=True, eq=False)
class FileRange:
    """What a worker brings of one range: its windows, and the account that adds up with those of the others."""

    bursts: BurstRange
    tally: Tally
    windows: tuple[WindowFingerprint, ...]


def run_files(
    executor: Executor,
    settings: Settings,
    worker: Callable[[], VideoWorker],
    gate: Callable[[FileTask, ContentTicket], bool],
    tasks: Iterable[FileTask],
    *,
    progress: Callable[[int, int], None] | None = None,
    pulse: Callable[[], None] | None = None,
) -> Generator[FileCompletion, None, None]:
    """Fingerprint files on an executor, long ones in ranges; exactly one completion a file, in the order they finish.

    settings: split_bursts and split_mb say which files are cut. progress: called with (bytes, files) as ranges (no
    file) and files finish. gate and pulse: see cluster.executor.Executor; the gate is asked once a file.
    """
    board = _Board(gate, iter(tasks), settings.split_bursts, settings.split_mb << 20)
    completions = executor.run(worker, board.gate, board.source(), pulse=pulse)
    try:
        for completion in completions:
            whole, weight = board.take(completion)
            if progress is not None and (weight or whole is not None):
                progress(weight, int(whole is not None))
            if whole is not None:
                yield whole
    finally:
        completions.close()


@dataclass(slots=True, eq=False)
class _Split:
    """One file that is being done in ranges. wholly: ranges led astray, so one worker reads it from end to end.

    ticket: without the extents, of which each range's task carries its own.
    """

    task: FileTask
    ticket: ContentTicket
    ranges: tuple[BurstRange, ...]
    extents: tuple[Extents, ...]
    found: dict[BurstRange, FileRange] = field(default_factory=dict)
    failed: dict[BurstRange, Failure] = field(default_factory=dict)
    attempts: Counter[BurstRange] = field(default_factory=Counter)
    wholly: bool = False
    first_out: bool = True  # the worker that identified the file has not come back
    wall_s: float = 0.0
    told: int = 0

    def subtask(self, bursts: BurstRange | None) -> FileTask:
        extents = self.extents[self.ranges.index(bursts)] if bursts is not None and self.extents else ()
        return replace(self.task, split_bursts=0, bursts=bursts, known=self.ticket, extents=extents)

    def outcome(self) -> Done[FileFingerprint] | Failure:
        """The file's end, once every range has been found or has failed."""
        if not self.found:
            return self.failed[self.ranges[0]]
        found = [self.found[bursts] for bursts in self.ranges if bursts in self.found]
        tally = added_up([part.tally for part in found])
        lost = tuple(f"{_named(bursts)}: {failure.message}" for bursts, failure in _in_order(self.failed))
        try:
            summary = conclude(replace(tally, causes=(*tally.causes, *lost)))
        except FailureError as error:
            return error.failure
        from jobs.scan import FileFingerprint

        windows = sorted(
            (window for part in found for window in part.windows), key=lambda window: (window.burst, window.crop)
        )
        return Done(
            FileFingerprint(
                sha256=self.ticket.sha256,
                size=self.ticket.size,
                facts=summary.facts,
                coverage=summary.coverage,
                shortfall=summary.reason,
                windows=tuple(windows),
            )
        )


class _Board:
    """What is to be handed out next, and what of each split file has come back."""

    def __init__(
        self,
        gate: Callable[[FileTask, ContentTicket], bool],
        files: Iterator[FileTask],
        split_bursts: int,
        split_bytes: int,
    ) -> None:
        self._gate, self._files = gate, files
        self._split_bursts, self._split_bytes = split_bursts, split_bytes
        self._ranges: deque[FileTask] = deque()
        self._splits: dict[str, _Split] = {}
        self._undecided: set[str] = set()  # handed out, and may yet turn out to be long
        self._overdue: set[str] = set()  # files whose end has been told while their first range was still out

    def source(self) -> Iterator[FileTask | Later]:
        """Ranges before files: a film that has been begun is finished before the next is fetched."""
        while True:
            if self._ranges:
                yield self._ranges.popleft()
                continue
            task = next(self._files, None)
            if task is not None:
                if self._split_bursts and task.size >= self._split_bytes:
                    self._undecided.add(task.uri)
                    task = replace(task, split_bursts=self._split_bursts)
                yield task
            elif self._splits or self._undecided:
                yield LATER
            else:
                return

    def gate(self, task: FileTask, ticket: ContentTicket) -> bool:
        """The caller's gate for a file; a part of a file that was granted passes while the file is still wanted."""
        if task.known is not None:
            return self._split_of(task) is not None
        if task.uri in self._overdue:
            return False
        granted = self._gate(task, ticket)
        self._undecided.discard(task.uri)
        self._drop(task.uri)  # its worker died, and the content is another by now
        if granted and task.split_bursts and ticket.bursts > task.split_bursts:
            ranges = cut_ranges(ticket.bursts, task.split_bursts)
            split = self._splits[task.uri] = _Split(task, replace(ticket, extents=()), ranges, ticket.extents)
            self._ranges.extend(split.subtask(bursts) for bursts in ranges[1:])
        return granted

    def take(
        self, completion: Completion[FileTask, ContentTicket, FileFingerprint | FileRange]
    ) -> tuple[FileCompletion | None, int]:
        """Book one completion; the file's own when that was the last of it, and the bytes that count as done."""
        task = completion.task
        self._undecided.discard(task.uri)
        if task.known is None and task.uri in self._overdue:
            self._overdue.discard(task.uri)
            return None, 0
        split = self._split_of(task)
        if split is None:
            if task.known is not None:
                return None, 0  # of a file whose end has been told already
            return _whole(completion.task, completion.ticket, completion.outcome, completion.wall_s), task.size + 1
        split.first_out = split.first_out and task.known is not None
        split.wall_s += completion.wall_s
        bursts = task.bursts or split.ranges[0]
        outcome = completion.outcome
        if split.wholly:
            return self._end(split, outcome) if task.known is not None and task.bursts is None else (None, 0)
        if isinstance(outcome, Done) and isinstance(outcome.result, FileRange):
            if outcome.result.tally.astray:
                split.wholly = True
                self._ranges = deque(other for other in self._ranges if other.uri != task.uri)
                self._ranges.appendleft(split.subtask(None))
                return None, 0
            split.found[bursts] = outcome.result
        elif isinstance(outcome, Failure):
            split.attempts[bursts] += 1
            retriable = outcome.policy is Policy.RETRY and outcome.kind != ClusterFault.WORKER_LOST.value
            if outcome.policy is Policy.SKIP:
                return self._end(split, outcome)
            if retriable and split.attempts[bursts] < RANGE_ATTEMPTS:
                self._ranges.append(split.subtask(bursts))
                return None, 0
            if outcome.kind in _WHOLE:
                return self._end(split, outcome)
            split.failed[bursts] = outcome
        else:
            return self._end(split, outcome)
        if len(split.found) + len(split.failed) == len(split.ranges):
            return self._end(split, split.outcome())
        share = task.size // len(split.ranges)
        split.told += share
        return None, share

    def _split_of(self, task: FileTask) -> _Split | None:
        """The open split that a task is part of: the one of its URI and, for a part, of its content."""
        split = self._splits.get(task.uri)
        if split is not None and task.known is not None and task.known != split.ticket:
            return None
        return split

    def _drop(self, uri: str) -> None:
        if self._splits.pop(uri, None) is not None:
            self._ranges = deque(task for task in self._ranges if task.uri != uri)

    def _end(self, split: _Split, outcome: _Result) -> tuple[FileCompletion, int]:
        self._drop(split.task.uri)
        if split.first_out:
            self._overdue.add(split.task.uri)
        return _whole(split.task, split.ticket, outcome, split.wall_s), split.task.size + 1 - split.told


def _in_order(failed: dict[BurstRange, Failure]) -> list[tuple[BurstRange, Failure]]:
    """In order of time."""
    return sorted(failed.items(), key=lambda entry: entry[0].first)


def _named(bursts: BurstRange) -> str:
    last = "the end" if bursts.last is None else str(bursts.last - 1)
    return f"bursts {bursts.first} to {last}"


def _whole(task: FileTask, ticket: ContentTicket | None, outcome: _Result, wall_s: float) -> FileCompletion:
    """A file's completion as the caller knows it, under the task that the caller gave."""
    from jobs.scan import FileFingerprint

    told: Outcome[FileFingerprint]
    match outcome:
        case Done(FileFingerprint() as file):
            told = Done(file)
        case Failure() | Declined():
            told = outcome
        case _:
            told = ClusterFault.INTERNAL.failure("a worker brought a range of a file that nobody had split")
    return Completion(replace(task, split_bursts=0), ticket, told, wall_s)
