"""A schedule: which drivers run, alone or two at once, and what befalls each; a pure function of its seed.

Seeds from 0 draw at random. Negative seeds count through a list that leaves nothing to chance (``aimed``): a kill at
every boundary that can be reached, and a sleep wherever a driver may sleep.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.faults import BOUNDARIES, Action, Fault, allowed

PAIRS = 0.3  # share of runs with a second driver alive at the same time
SECOND_FAULT = 0.35  # share of drivers that meet a second, survivable fault before the first
# What has to happen first, for boundaries that an undisturbed run never passes: a dead sweep to bury, a file that could
# not be fetched.
LEADS = {"bury": Fault("perform", 1, Action.KILL), "fail_location": Fault("fetch", 1, Action.WORKER)}
# Where results are made to last; these come first in the list of aimed schedules.
COMMITS = ("commit.", "rematch.", "publish.", "write.")
EVERY = {"bare": 40, "seeded": 10, "swept": 3, "published": 1}  # of so many turns the last begins in this home
WORKER_FAULTS = 2  # in one schedule; three would rightly end in quarantine


@dataclass(frozen=True, slots=True)
class Schedule:
    """runs: in order; each is one or two plans, a driver each. An undisturbed run always follows."""

    seed: int
    start: str
    runs: tuple[tuple[tuple[Fault, ...], ...], ...]

    def __str__(self) -> str:
        runs = "; ".join(" beside ".join(", ".join(map(str, plan)) or "nothing" for plan in run) for run in self.runs)
        return f"seed {self.seed}, {self.start} home: {runs}"


def make_schedule(seed: int, passages: Mapping[str, Mapping[str, int]], turn: int) -> Schedule:
    """passages: for each kind of home, how often an undisturbed run passes each boundary, in order of first passage.

    turn: the schedule's number; it picks the home and the boundary of the first fault, so that a long run of
    schedules visits every boundary alike.
    """
    if seed < 0:
        return aimed(passages)[-1 - seed]
    rng = random.Random(seed)
    # A bare home costs two migrations and a snapshot; it is needed for the few boundaries that lie there.
    start = next(start for start, every in EVERY.items() if turn % every == every - 1)
    counts = passages[start]
    order = {boundary: place for place, boundary in enumerate(counts)}
    first = first_boundary(turn // EVERY[start], list(counts))
    faults = [Fault(first, 1, rng.choice(allowed(first)))]
    for _ in range(rng.randrange(4)):
        boundary = rng.choice(list(counts))
        action = Action.KILL if rng.random() < 0.6 else rng.choice(allowed(boundary))
        faults.append(_fault(rng, boundary, action, counts))
    if rng.random() < 0.7:
        # What lies late in a run is reached only while the earlier work is not all done: early faults first.
        faults.sort(key=lambda fault: order[fault.boundary])
    faults = _few_worker_faults(faults)
    runs: list[tuple[tuple[Fault, ...], ...]] = []
    while faults:
        plan = [faults.pop(0)]
        if faults and rng.random() < SECOND_FAULT:
            plan.append(faults.pop(0))
        other: tuple[Fault, ...] | None = None
        if rng.random() < PAIRS:
            other = (faults.pop(0),) if faults and rng.random() < 0.5 else ()
        runs.append((tuple(plan),) if other is None else _one_sleeper(tuple(plan), other))
    return Schedule(seed, start, tuple(runs))


def aimed(passages: Mapping[str, Mapping[str, int]]) -> list[Schedule]:
    """One fault each: a kill at each boundary's first passage, and a sleep, in the cheapest home that passes it."""
    plans: list[tuple[str, tuple[Fault, ...]]] = []
    for boundary in BOUNDARIES:
        lead = LEADS.get(boundary.split(".")[0])
        for start, counts in passages.items():
            if boundary not in counts and (lead is None or lead.boundary not in counts):
                continue
            for action in (Action.KILL, Action.SLEEP):
                if action in allowed(boundary):
                    plans.append((start, ((lead,) if lead else ()) + (Fault(boundary, 1, action),)))
            # Verdicts are written by sweeps and by rematches, which lose a race in different ways.
            if not boundary.startswith("write.provenance") or start == "swept":
                break
    plans.sort(key=lambda plan: _telling(plan[0], plan[1][-1]))
    return [Schedule(-1 - number, start, _one_after_the_other(plan)) for number, (start, plan) in enumerate(plans)]


def _telling(start: str, fault: Fault) -> tuple[bool, ...]:
    """Sorts what shows a broken commit soonest to the front: deaths right after one, then sleeps before one."""
    committed = fault.boundary.endswith(".committed")
    return not fault.boundary.startswith(COMMITS), not committed, fault.action is not Action.SLEEP, start != "swept"


def _one_after_the_other(plan: tuple[Fault, ...]) -> tuple[tuple[tuple[Fault, ...], ...], ...]:
    """What a driver survives, and what then befalls the same one; after a death it befalls the next."""
    first = plan[0]
    if len(plan) > 1 and first.action is not Action.KILL:
        return ((plan,),)
    return tuple(((fault,),) for fault in plan)


def first_boundary(number: int, boundaries: Sequence[str]) -> str:
    """Goes round all boundaries in long steps; a step that divides their number would pass most of them over."""
    step = next(step for step in (7, 11, 13, 1) if math.gcd(step, len(boundaries)) == 1)
    return boundaries[number * step % len(boundaries)]


def _fault(rng: random.Random, boundary: str, action: Action, counts: Mapping[str, int]) -> Fault:
    # Mostly among the first passages: a run that goes on where another died passes a boundary less often.
    nth = rng.randint(1, min(3, counts[boundary])) if rng.random() < 0.6 else rng.randint(1, counts[boundary])
    return Fault(boundary, nth, action)


def _one_sleeper(plan: tuple[Fault, ...], other: tuple[Fault, ...]) -> tuple[tuple[Fault, ...], ...]:
    """Two that sleep beside each other would leave nobody whose end could wake them."""
    if any(fault.action is Action.SLEEP for fault in plan):
        other = tuple(Fault(f.boundary, f.nth, Action.KILL) if f.action is Action.SLEEP else f for f in other)
    return plan, other


def _few_worker_faults(faults: list[Fault]) -> list[Fault]:
    kept: list[Fault] = []
    for fault in faults:
        if fault.action is Action.WORKER and sum(f.action is Action.WORKER for f in kept) >= WORKER_FAULTS:
            fault = Fault(fault.boundary, fault.nth, Action.KILL)
        kept.append(fault)
    return kept
