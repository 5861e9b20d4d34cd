"""How many actors a Ray cluster has room for, counted node by node, since an actor cannot lie across two."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import ray

from cluster.settings import ClusterSettings

_ROUNDING = 1e-6  # Ray counts in ten-thousandths; four quarters of a GPU must not become three by binary fractions


def actor_options(settings: ClusterSettings) -> dict[str, Any]:
    """What one actor reserves, in the terms of Ray; it is never restarted or retried behind the driver's back."""
    options: dict[str, Any] = {
        "num_cpus": settings.cpus_per_worker,
        "num_gpus": settings.gpus_per_worker,
        "max_restarts": 0,
        "max_task_retries": 0,
        "scheduling_strategy": "SPREAD",
    }
    if settings.memory_mb:
        options["memory"] = settings.memory_mb * 2**20
    return options


def reserved(settings: ClusterSettings) -> str:
    """What one actor reserves, for a person."""
    told = [f"{settings.cpus_per_worker:g} CPU"]
    told += [f"{settings.gpus_per_worker:g} GPU"] if settings.gpus_per_worker else []
    told += [f"{settings.memory_mb} MiB"] if settings.memory_mb else []
    return ", ".join(told)


def cluster_room(settings: ClusterSettings) -> int:
    """How many actors fit on the nodes that are alive now, whatever else may be using them."""
    nodes: list[Any] = ray.nodes()  # type: ignore[no-untyped-call]
    return room([node["Resources"] for node in nodes if node["Alive"]], settings)


def room(nodes: Iterable[Mapping[str, float]], settings: ClusterSettings) -> int:
    """How many actors fit on nodes with these resources (Ray's names; ``memory`` in bytes)."""
    needs = {
        "CPU": settings.cpus_per_worker,
        "GPU": settings.gpus_per_worker,
        "memory": float(settings.memory_mb * 2**20),
    }
    asked = {name: need for name, need in needs.items() if need > 0}
    return sum(
        min(math.floor(node.get(name, 0.0) / need + _ROUNDING) for name, need in asked.items()) for node in nodes
    )
