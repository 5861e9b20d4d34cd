"""The main job: inventory, fan-out, judge, commit; started again after any kill it finishes the same work."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.console import Console

from cluster.executor import Executor
from cluster.outcome import Declined, Done, Failure, FailureError
from fingerprint_db.matcher import Matcher
from fingerprint_db.spec import FingerprintSpec
from fingerprint_db.verdict import Verdict
from jobs.archive import ask_archive, safe_uri
from jobs.errors import FailureKind, StoreError
from jobs.home import Home
from jobs.ledger import AlreadyJudgedError, Claim, Finding, LeaseLostError, StalePartError
from jobs.manifest import Inventory, take_inventory
from jobs.models import ItemState
from jobs.progress import Meter
from jobs.record import judge_file
from jobs.results import remove_part, write_fingerprints, write_provenance
from jobs.scan import (
    ContentTicket,
    FileCompletion,
    FileFingerprint,
    FileTask,
    current_spec,
    make_executor,
    useful_workers,
    worker_factory,
)
from jobs.snapshots import current_snapshot
from jobs.split import run_files
from jobs.sweeps import FINISHED, INTERRUPTED, bury_dead_sweeps, finish_sweep, heartbeat, start_sweep

BACKOFF_S = (1.0, 5.0, 20.0)
HELD_POLL_S = 2.0
# After so many files in a row that could not be fetched the archive itself is asked whether it is still there.
UNREAD_IN_A_ROW = 25
AWAY = (FailureKind.STORAGE_UNAVAILABLE, FailureKind.ACCESS_DENIED)


@dataclass(slots=True)
class SweepSummary:
    """The closing table. Every listed file is in exactly one of known, fingerprinted, duplicates, held or failures."""

    sweep_id: str
    spec_id: str
    snapshot_id: str
    inventory: Inventory
    fingerprinted: int = 0
    duplicates: int = 0
    held: int = 0
    freed: int = 0
    video_s: float = 0.0
    wall_s: float = 0.0
    verdicts: Counter[str] = field(default_factory=Counter)
    generators: Counter[str] = field(default_factory=Counter)
    failures: dict[str, Failure] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        inventory = self.inventory
        return {
            "listed": inventory.listed,
            "new": inventory.new,
            "changed": inventory.changed,
            "known": inventory.known,
            "gone": inventory.gone,
            "passed_over": inventory.passed_over,
            "opened": len(inventory.to_open),
            "fingerprinted": self.fingerprinted,
            "duplicates": self.duplicates,
            "held": self.held,
            "video_s": round(self.video_s, 3),
            "wall_s": round(self.wall_s, 3),
            "verdicts": dict(self.verdicts),
            "generators": dict(self.generators),
            "failures": dict(Counter(failure.kind for failure in self.failures.values())),
        }


def sweep(
    home: Home,
    archive: str,
    *,
    console: Console,
    limit: int | None = None,
    since: datetime | None = None,
    all_files: bool = False,
) -> SweepSummary:
    """Fingerprint and judge every file of an archive that is new, changed or unfinished.

    Raises FailureError when the archive cannot be listed. An interrupt commits what is finished, gives back what is
    not, and is raised on.
    """
    settings = home.settings
    spec = current_spec(settings)
    freed = bury_dead_sweeps(home.engine, home.ledger)
    snapshot = current_snapshot(home, spec)
    sweep_id = start_sweep(home.engine, archive, spec, snapshot.id)
    run: _Run | None = None
    state = INTERRUPTED
    started = time.monotonic()
    try:
        inventory = take_inventory(
            home.engine,
            archive,
            spec_id=spec.id,
            sweep_id=sweep_id,
            max_attempts=settings.max_attempts,
            all_files=all_files,
            limit=limit,
            since=since,
        )
        run = _Run(
            home, archive, spec, Matcher(snapshot), SweepSummary(sweep_id, spec.id, snapshot.id, inventory, freed=freed)
        )
        if inventory.to_open:
            with heartbeat(home.engine, home.ledger, sweep_id, settings.lease_s):
                run.work(console)
        state = FINISHED
    finally:
        if run is not None:
            run.close()
            run.summary.wall_s = time.monotonic() - started
        finish_sweep(home.engine, sweep_id, state, run.summary.as_dict() if run else {})
        home.ledger.audit("sweep", safe_uri(archive), sweep=sweep_id, state=state)
    return run.summary


class _Run:
    """One sweep at work: the gate, the batch being gathered, the second attempts."""

    def __init__(
        self, home: Home, archive: str, spec: FingerprintSpec, matcher: Matcher, summary: SweepSummary
    ) -> None:
        self.summary = summary
        self._archive = archive
        self._unread: list[str] = []
        self._home, self._spec, self._matcher = home, spec, matcher
        self._ledger, self._settings = home.ledger, home.settings
        self._batch: list[tuple[FileTask, FileFingerprint, Verdict, float]] = []
        self._batch_since = time.monotonic()
        self._retry: list[FileTask] = []
        self._held: dict[str, tuple[FileTask, str]] = {}

    def work(self, console: Console) -> None:
        tasks = self.summary.inventory.to_open
        weight = sum(task.size + 1 for task in tasks)
        with Meter(console, "sweep", len(tasks), weight) as meter:
            attempt = 0
            while tasks:
                executor = make_executor(self._settings, tasks=useful_workers(tasks, self._settings))
                self._pass(executor, tasks, meter)
                tasks = self._again(attempt, meter)
                attempt += 1

    def _pass(self, executor: Executor, tasks: list[FileTask], meter: Meter) -> None:
        factory = worker_factory(self._settings, self._spec)
        files = run_files(
            executor,
            self._settings,
            factory,
            self._gate,
            tasks,
            progress=lambda weight, whole: meter.advance(weight, files=whole),
            pulse=self._commit_when_due,
        )
        # closing: an interrupt must stop the workers now, not when the garbage collector finds the generator
        with contextlib.closing(files) as completions:
            for completion in completions:
                self._complete(completion)
                self._commit_when_due()
        self._commit()

    def _commit_when_due(self) -> None:
        """Also called while nothing finishes: what is done must not wait for the slowest file of the archive."""
        waited = time.monotonic() - self._batch_since
        if len(self._batch) >= self._settings.commit_files or waited >= self._settings.commit_s:
            self._commit()

    def _again(self, attempt: int, meter: Meter) -> list[FileTask]:
        """What the next pass has to do: transient failures after a pause, and files that another sweep let go."""
        tasks, self._retry = self._retry, []
        self._ask_archive()
        if tasks:
            # Full jitter, so that many machines that failed together do not return together.
            time.sleep(random.uniform(0.5, 1.0) * BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
        while self._held and not tasks:
            # The holder may die while we wait for it; its lease is long.
            bury_dead_sweeps(self._home.engine, self._ledger)
            states = self._ledger.states([sha256 for _, sha256 in self._held.values()], self._spec.id)
            for uri, (task, sha256) in list(self._held.items()):
                state = states.get(sha256, ItemState.FAILED)
                if state is ItemState.LEASED:
                    continue
                del self._held[uri]
                if state is ItemState.FAILED:
                    tasks.append(task)
                else:
                    self.summary.held += 1
            if self._held and not tasks:
                time.sleep(HELD_POLL_S)
        meter.extend(len(tasks), sum(task.size + 1 for task in tasks))
        return tasks

    def _gate(self, task: FileTask, ticket: ContentTicket) -> bool:
        owner = self.summary.sweep_id
        claim = self._ledger.claim(task.uri, ticket.sha256, ticket.size, self._spec.id, owner)
        if claim is Claim.HELD:
            self._held[task.uri] = (task, ticket.sha256)
        elif claim is not Claim.GRANTED:
            self.summary.duplicates += 1
        return claim is Claim.GRANTED

    def _ask_archive(self) -> None:
        """When nothing could be fetched of late, see whether it is the archive that went away, and then give up.

        Its files are not to blame: counting attempts against them would set a whole archive aside for one bad night.
        """
        if not self._unread:
            return
        try:
            ask_archive(self._archive)
        except FailureError as error:
            self._ledger.forgive_locations(self._unread)
            raise StoreError(error.failure) from error
        self._unread.clear()

    def _complete(self, completion: FileCompletion) -> None:
        if completion.ticket is not None:
            self._unread.clear()
        match completion.outcome:
            case Done(file):
                verdict = judge_file(self._matcher, file, self._spec.id)
                self._batch.append((completion.task, file, verdict, completion.wall_s))
            case Failure() as failure:
                self._fail(completion, failure)
            case Declined():
                pass

    def _fail(self, completion: FileCompletion, failure: Failure) -> None:
        task, owner = completion.task, self.summary.sweep_id
        if completion.ticket is None:
            state = self._ledger.fail_location(task.uri, failure)
            if failure.kind in AWAY:
                self._unread.append(task.uri)
                if len(self._unread) >= UNREAD_IN_A_ROW:
                    self._ask_archive()
        else:
            state = self._ledger.fail(completion.ticket.sha256, self._spec.id, owner, failure)
        if state is ItemState.FAILED:
            self._retry.append(task)
        else:
            self.summary.failures[task.uri] = failure

    def _commit(self) -> None:
        self._batch_since = time.monotonic()
        standing: frozenset[str] = frozenset()
        while self._batch:
            batch = self._batch
            parts = [
                write_fingerprints(
                    self._home.folder,
                    [file for _, file, _, _ in batch],
                    spec_id=self._spec.id,
                    sweep_id=self.summary.sweep_id,
                ),
                write_provenance(
                    self._home.folder,
                    [
                        (file.sha256, task.uri, file, verdict)
                        for task, file, verdict, _ in batch
                        if file.sha256 not in standing
                    ],
                    spec_id=self._spec.id,
                    snapshot_id=self.summary.snapshot_id,
                    sweep_id=self.summary.sweep_id,
                ),
            ]
            names = [part.name for part in parts]
            try:
                self._ledger.commit(
                    parts,
                    [
                        Finding(
                            sha256=file.sha256,
                            facts=file.facts_json(),
                            coverage=file.coverage,
                            duration_s=file.facts.duration_s,
                            verdict=None if file.sha256 in standing else verdict,
                            wall_s=wall_s,
                        )
                        for _, file, verdict, wall_s in batch
                    ],
                    spec_id=self._spec.id,
                    snapshot_id=self.summary.snapshot_id,
                    sweep_id=self.summary.sweep_id,
                    owner=self.summary.sweep_id,
                )
            except AlreadyJudgedError as judged:
                # Fingerprints that were lost and are made again: their verdicts stand, and so do the rows of those.
                for name in names:
                    remove_part(self._home.folder, name)
                standing |= judged.contents
                continue
            except LeaseLostError as lost:
                # Another sweep took them over while this machine slept; its results stand, ours are dropped.
                for name in names:
                    remove_part(self._home.folder, name)
                self.summary.held += len(lost.contents)
                self._batch = [entry for entry in batch if entry[1].sha256 not in lost.contents]
                continue
            except StalePartError:
                # This machine slept between writing and commit; the parts may be gone, so they are written again.
                for name in names:
                    remove_part(self._home.folder, name)
                continue
            self._count(batch)
            self._batch = []

    def _count(self, batch: list[tuple[FileTask, FileFingerprint, Verdict, float]]) -> None:
        for _, file, verdict, _ in batch:
            self.summary.fingerprinted += 1
            self.summary.video_s += file.facts.duration_s
            self.summary.verdicts[verdict.verdict.value] += 1
            named = verdict.generator or verdict.family
            if named:
                self.summary.generators[named] += 1

    def close(self) -> None:
        """Commit what is finished, give back what is not; nothing to do after an undisturbed run."""
        try:
            self._commit()
        finally:
            self._ledger.release(self.summary.sweep_id)
