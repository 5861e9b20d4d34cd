"""The executor on Ray: one actor a worker, one task an actor, and only kilobytes between them and the driver.

An actor that dies costs its task one attempt and nothing else. Ray is imported only here, in ``cluster.ray_host`` and
in ``cluster.ray_runtime``, because importing it takes a second.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import ray
from ray.exceptions import RayError

from cluster.executor import Completion, Later, Worker, WorkersUnavailableError, starved
from cluster.outcome import ClusterFault, Declined, Done, Failure, Outcome, failure_of, one_line
from cluster.ray_host import WorkerHost, dumps, unpacked
from cluster.ray_runtime import connected
from cluster.ray_sizing import actor_options, cluster_room, reserved
from cluster.settings import ClusterSettings

T = TypeVar("T")
K = TypeVar("K")
R = TypeVar("R")

_Stage = Literal["start", "admit", "perform", "release", "close"]
_CLOSE_GRACE_S = 5.0
_POLL_S = 1.0
_RESIZE_S = 1.0  # one question to Ray's control service


class RayExecutor:
    """Actors on a Ray cluster; ``tasks`` and ``gate`` run only in the thread that iterates.

    Uses the runtime this process is connected to, else joins ``settings.ray_address``, else starts one on this machine;
    what it joined or started it leaves again at the end of the run. The factory is shipped with cloudpickle. On a
    cluster of several machines this distribution has to be installed on each of them.
    """

    def __init__(self, settings: ClusterSettings) -> None:
        self._settings = settings

    def run(
        self,
        worker: Callable[[], Worker[T, K, R]],
        gate: Callable[[T, K], bool],
        tasks: Iterable[T | Later],
        *,
        pulse: Callable[[], None] | None = None,
    ) -> Generator[Completion[T, K, R], None, None]:
        """See cluster.executor.Executor. Closing kills the actors at work and lets the idle ones close."""
        factory = dumps(worker)
        with connected(self._settings):
            pool: _Pool[T, K, R] = _Pool(self._settings, factory, gate, iter(tasks), pulse)
            try:
                yield from pool.completions()
            finally:
                pool.stop()
        if pool.error is not None:
            raise pool.error


_HOST: Any = ray.remote(WorkerHost)


@dataclass(slots=True)
class _Job(Generic[T]):
    """A task on its way, across however many actors it takes. granted: the gate let ``ticket`` pass."""

    task: T
    blob: bytes
    losses: int = 0
    ticket: Any = None
    granted: bool = False
    wall_s: float = 0.0


@dataclass(slots=True, eq=False)
class _Slot(Generic[T]):
    """One actor, what it is asked just now, and for which task."""

    actor: Any
    stage: _Stage
    job: _Job[T] | None = None
    served: int = 0


@dataclass(slots=True)
class _Pool(Generic[T, K, R]):
    """The driver's side of one run.

    pending: every call under way, by its reference. waiting: consumed tasks without an actor. slots: all live actors.
    starving: the source said LATER when it was last asked. wanted: how many actors there should be.
    """

    settings: ClusterSettings
    factory: bytes
    gate: Callable[[T, K], bool]
    source: Iterator[T | Later]
    pulse: Callable[[], None] | None = None
    pending: dict[Any, _Slot[T]] = field(default_factory=dict)
    idle: list[_Slot[T]] = field(default_factory=list)
    slots: set[_Slot[T]] = field(default_factory=set)
    waiting: deque[_Job[T]] = field(default_factory=deque)
    done: deque[Completion[T, K, R]] = field(default_factory=deque)
    error: Exception | None = None
    drained: bool = False
    starving: bool = False
    busy: int = 0
    lost_starts: int = 0
    wanted: int = 0
    resize_at: float = 0.0

    def completions(self) -> Generator[Completion[T, K, R], None, None]:
        served = beaten = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= self.resize_at:
                self.resize_at = now + _RESIZE_S
                self._resize()
            self._hand_out()
            while self.done:
                yield self.done.popleft()
                self.starving = False  # whoever took the completion may have more work now
                beaten = 0.0
            if self.pulse is not None and now - beaten >= _POLL_S:
                self.pulse()
                beaten = now
            if not self.busy and self.drained:
                return
            if self.idle and not self.drained and not self.starving:
                continue
            if self.starving and not self.busy:
                self.error, self.drained = self.error or starved(), True
                continue
            if not self.pending:
                # Only after giving up: nobody is left who could take the tasks that lost their actors.
                while self.waiting:
                    self._complete(self.waiting.popleft(), ClusterFault.WORKER_LOST.failure("no worker is left"))
                continue
            ready, _ = ray.wait(list(self.pending), num_returns=1, timeout=_POLL_S)
            for ref in ready:
                self._advance(self.pending.pop(ref), ref)
            if self.idle or any(slot.stage != "start" for slot in self.pending.values()):
                served = time.monotonic()
            elif time.monotonic() - served > self.settings.start_timeout_s:
                for slot in self.pending.values():
                    self._dismiss(slot)
                self.pending.clear()
                waited = f"no worker started within {self.settings.start_timeout_s:g} s"
                self._give_up(f"{waited}; has the cluster room for one ({reserved(self.settings)})?")

    def stop(self) -> None:
        """Close what is idle, kill the rest; never raises and never waits long, since it also runs on Ctrl-C."""
        at_work = set(self.pending.values())
        closing = [ref for ref, slot in self.pending.items() if slot.stage == "close"]
        closing += [slot.actor.close.remote() for slot in self.slots - at_work]
        with contextlib.suppress(RayError):
            if closing:
                ray.wait(closing, num_returns=len(closing), timeout=_CLOSE_GRACE_S)
        for slot in list(self.slots):
            self._dismiss(slot)
        self.idle.clear()
        self.pending.clear()

    def _hire(self) -> None:
        slot: _Slot[T] = _Slot(_HOST.options(**actor_options(self.settings)).remote(), "start")
        self.slots.add(slot)
        self._ask(slot, "start", slot.actor.start.remote(self.factory))

    def _ask(self, slot: _Slot[T], stage: _Stage, ref: Any) -> None:
        slot.stage = stage
        self.pending[ref] = slot

    def _resize(self) -> None:
        """Have as many actors as are wanted now; let go of those that wait for room or for work in vain."""
        wanted = self.settings.workers
        if not wanted:
            # The one more than fits is what a cluster that scales itself sees as demand.
            wanted = cluster_room(self.settings) + 1
            wanted = max(1, min(wanted, self.settings.most_workers or wanted))
        at_work = sum(slot.job is not None for slot in self.slots)
        if self.drained:
            wanted = min(wanted, at_work + len(self.waiting))
        self.wanted = wanted
        for _ in range(wanted - len(self.slots)):
            self._hire()
        spare = len(self.slots) - max(wanted, at_work)
        for ref, slot in list(self.pending.items()):
            if spare > 0 and slot.stage == "start":
                spare -= 1
                del self.pending[ref]
                self._dismiss(slot)
        # Room that shrank is no reason to close an idle actor: those on the lost node are gone, this one is alive.
        while self.drained and self.idle and not self.waiting:
            slot = self.idle.pop()
            self._ask(slot, "close", slot.actor.close.remote())

    def _hand_out(self) -> None:
        """Give every idle actor a task: one that lost its actor first, then fresh ones."""
        self.starving = False
        while self.idle and not self.done:
            if self.waiting or self._draw():
                job = self.waiting.popleft()
                slot = self.idle.pop()
                slot.job = job
                self._ask(slot, "admit", slot.actor.admit.remote(job.blob))
            elif self.drained or self.starving:
                return

    def _draw(self) -> bool:
        """Consume one task. False when that brings no work: none is left or ready, or it cannot be sent and failed."""
        if self.drained:
            return False
        try:
            task = next(self.source)
            if isinstance(task, Later):
                self.starving = True
                return False
        except StopIteration:
            self.drained = True
            return False
        except Exception as broken_source:
            self.error = self.error or broken_source
            self.drained = True
            return False
        try:
            blob = dumps(task)
        except Exception as error:
            self.done.append(Completion(task, None, failure_of(error), 0.0))
            return False
        self.busy += 1
        self.waiting.append(_Job(task, blob))
        return True

    def _advance(self, slot: _Slot[T], ref: Any) -> None:
        """One call has ended: take its answer and ask the next thing."""
        try:
            blob: bytes = ray.get(ref)
        except RayError as error:
            self._lose(slot, error)
            return
        outcome, seconds = unpacked(blob)
        job = slot.job
        if slot.stage == "close":
            self._replace(slot)
        elif slot.stage == "start":
            self._started(slot, outcome)
        elif job is not None:
            job.wall_s += seconds
            if slot.stage == "admit":
                self._admitted(slot, job, outcome)
            elif slot.stage == "perform" or isinstance(outcome, Failure):
                self._finish(slot, job, outcome)
            else:
                self._finish(slot, job, Declined())

    def _started(self, slot: _Slot[T], outcome: Done[Any] | Failure) -> None:
        if isinstance(outcome, Failure):
            self._dismiss(slot)
            self._give_up(f"a worker could not be started: {outcome.message}")
            return
        self.lost_starts = 0
        self.idle.append(slot)

    def _admitted(self, slot: _Slot[T], job: _Job[T], outcome: Done[Any] | Failure) -> None:
        if isinstance(outcome, Failure):
            # A ticket that the gate let pass stays: whoever booked the work by it has to give it back.
            job.ticket = job.ticket if job.granted else None
            self._finish(slot, job, outcome)
            return
        # The gate may have booked the task for us already, before its actor died; asked again it might say "taken".
        again = job.granted and job.ticket == outcome.result
        job.ticket = outcome.result
        if again or self.gate(job.task, job.ticket):
            job.granted = True
            self._ask(slot, "perform", slot.actor.perform.remote())
        else:
            self._ask(slot, "release", slot.actor.release.remote())

    def _finish(self, slot: _Slot[T], job: _Job[T], outcome: Outcome[Any]) -> None:
        self._complete(job, outcome)
        slot.job = None
        slot.served += 1
        if slot.served >= self.settings.recycle_after:
            self._ask(slot, "close", slot.actor.close.remote())
        else:
            self.idle.append(slot)

    def _complete(self, job: _Job[T], outcome: Outcome[Any]) -> None:
        self.busy -= 1
        self.done.append(Completion(job.task, job.ticket, outcome, job.wall_s))

    def _lose(self, slot: _Slot[T], error: RayError) -> None:
        """The actor is gone, or cannot be spoken to, which is the same to its task."""
        job = slot.job
        if slot.stage == "start":
            self.lost_starts += 1
            if self.lost_starts > self.settings.max_worker_losses + self.wanted:
                self._dismiss(slot)
                self._give_up(f"workers die before they have started: {one_line(error)}")
                return
        elif job is not None and slot.stage == "release":
            self._complete(job, Declined())  # nothing was to be done any more, so nothing was lost
        elif job is not None:
            job.losses += 1
            if job.losses >= self.settings.max_worker_losses:
                message = f"the worker vanished {job.losses} times while it had this task"
                self._complete(job, ClusterFault.WORKER_LOST.failure(message))
            else:
                self.waiting.append(job)
        self._replace(slot)

    def _replace(self, slot: _Slot[T]) -> None:
        self._dismiss(slot)
        if self.waiting or not self.drained:
            self._hire()

    def _dismiss(self, slot: _Slot[T]) -> None:
        self.slots.discard(slot)
        with contextlib.suppress(RayError, ValueError):
            ray.kill(slot.actor)

    def _give_up(self, reason: str) -> None:
        """Stop handing out; what is under way is still completed, then the error is raised."""
        self.error = self.error or WorkersUnavailableError(reason)
        self.drained = True
