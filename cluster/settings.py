"""How many workers there are, where they live, and what is put up with before a task is given up."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ExecutorName = Literal["local", "ray"]


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """The knobs of both executors; those below ``recycle_after`` concern Ray alone.

    workers: threads in this process, or Ray actors; each has one task at a time. On Ray 0 means as many actors as the
    cluster has room for, counted again while the run goes on, and one more that waits for room: a cluster that scales
    itself grows by it, and a node that joins is used at once.
    most_workers: no more actors than this where ``workers`` is 0, since there is no work for more; 0 sets no limit.
    recycle_after: a worker is closed and replaced after so many tasks, since native libraries leak.
    max_worker_losses: a task whose actor has vanished so many times ends as ``worker_lost``.
    ray_address: cluster to join (``auto``, ``ray://...``, ``host:port``); None starts a runtime on this machine.
    cpus_per_worker / gpus_per_worker: what an actor reserves; fractions share a device.
    memory_mb: memory that an actor reserves of its node (Ray's ``memory`` resource), so that no more of them are put on
    a node than it can feed; 0 reserves none. Ray does not enforce it: the decoding child has its own limit.
    start_timeout_s: how long to wait for a first actor, since a cluster that scales up takes minutes.
    object_store_mb: shared memory of a runtime started here; only kilobytes cross it.
    """

    workers: int
    executor: ExecutorName = "local"
    recycle_after: int = 1000
    most_workers: int = 0
    max_worker_losses: int = 2
    ray_address: str | None = None
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0
    memory_mb: int = 0
    start_timeout_s: float = 600.0
    object_store_mb: int = 100

    def __post_init__(self) -> None:
        if self.executor not in ("local", "ray"):
            raise ValueError(f"executor is {self.executor!r}; it must be 'local' or 'ray'")
        positive = ["recycle_after", "max_worker_losses", "start_timeout_s"]
        for name in positive if self.executor == "ray" else ["workers", *positive]:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be greater than zero")
        for name in ("workers", "most_workers", "memory_mb"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be zero or more")
        if self.cpus_per_worker < 0 or self.gpus_per_worker < 0:
            raise ValueError("what a worker reserves of a processor must not be negative")
        if self.workers == 0 and not (self.cpus_per_worker or self.gpus_per_worker or self.memory_mb):
            raise ValueError("workers that reserve nothing fit without end; give their number")
        if self.object_store_mb < 80:
            raise ValueError(f"object_store_mb is {self.object_store_mb}; Ray needs at least 80")


def default_workers() -> int:
    """One worker a core this process may use: its affinity mask, cut to the container's CPU quota (cgroup)."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    quota = _cgroup_quota(Path("/sys/fs/cgroup"))
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def _cgroup_quota(root: Path) -> float | None:
    """CPUs that the cgroup (version 2, then 1) grants; None without a limit."""
    try:
        limit, period = (root / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit_us = int((root / "cpu/cpu.cfs_quota_us").read_text())
        period_us = int((root / "cpu/cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return limit_us / period_us if limit_us > 0 and period_us > 0 else None
