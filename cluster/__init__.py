"""How work is spread over machines: executors, killable children, outcomes. Knows no video and no fingerprints.

``RayExecutor`` is not among these names: importing Ray takes a second, so ``cluster.ray_executor`` is imported only
by who wants it.
"""

from cluster.executor import LATER, Completion, Executor, Interruptible, Later, Worker, WorkersUnavailableError
from cluster.framing import Heartbeat
from cluster.local import LocalExecutor
from cluster.outcome import ClusterFault, Declined, Done, Failure, FailureError, Outcome, Policy
from cluster.sandbox import Limits, Sandbox
from cluster.settings import ClusterSettings, default_workers

__all__ = [
    "LATER",
    "ClusterFault",
    "ClusterSettings",
    "Completion",
    "Declined",
    "Done",
    "Executor",
    "Failure",
    "FailureError",
    "Heartbeat",
    "Interruptible",
    "Later",
    "Limits",
    "LocalExecutor",
    "Outcome",
    "Policy",
    "Sandbox",
    "Worker",
    "WorkersUnavailableError",
    "default_workers",
]
