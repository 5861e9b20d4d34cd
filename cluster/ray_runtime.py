"""Joining or starting a Ray runtime quietly, and leaving it again."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
from collections.abc import Iterator
from typing import Any

import ray

from cluster.child_process import import_path
from cluster.executor import WorkersUnavailableError
from cluster.outcome import one_line
from cluster.settings import ClusterSettings, default_workers


@contextlib.contextmanager
def connected(settings: ClusterSettings) -> Iterator[None]:
    """Be connected to Ray, for several runs in a row too; leave afterwards what was joined or started here.

    Raises WorkersUnavailableError when the cluster cannot be reached or no runtime can be started.
    """
    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if settings.ray_address is not None:
        options["address"] = settings.ray_address
    else:
        options |= {
            "address": "local",  # also where a RAY_ADDRESS lies about in the environment
            "num_cpus": max(1, math.ceil((settings.workers or default_workers()) * settings.cpus_per_worker)),
            "include_dashboard": False,
            "object_store_memory": settings.object_store_mb * 2**20,
        }
    try:
        with _inherited_environment():
            ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = settings.ray_address or "on this machine"
        raise WorkersUnavailableError(f"Ray cannot be reached or started ({where}): {one_line(error)}") from error
    # Ray prints "(raylet) A worker died ..." to stdout whatever it was told about logs; that would land in the middle
    # of a caller's JSON. This switch, made for its own debugger, is the only one that stops it.
    ray_worker: Any = sys.modules["ray._private.worker"]
    talkative = getattr(ray_worker, "_worker_logs_enabled", True)
    ray_worker._worker_logs_enabled = False
    try:
        yield
    finally:
        ray.shutdown()
        ray_worker._worker_logs_enabled = talkative


@contextlib.contextmanager
def _inherited_environment() -> Iterator[None]:
    """What a runtime started here hands on to its actors: our import path, so that a checkout works uninstalled.

    Ray's ``runtime_env`` could say the same, at 1.4 s more for every actor started (measured on two cores).
    """
    # Ray reports usage to its makers unless told otherwise, and a runtime of ours is no one's business.
    wanted = {"PYTHONPATH": import_path(), "RAY_USAGE_STATS_ENABLED": "0"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
