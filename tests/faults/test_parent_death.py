"""A child never outlives the process it works for, not even one that can no longer run a line of Python."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from tests.cluster.behaviours import HERE, gone

PARENT = """
import sys, threading
from cluster import Sandbox
def serve():
    sandbox = Sandbox(sys.argv[1])
    for reply in sandbox.call(sys.argv[2]):
        print(reply, flush=True)
        if sys.argv[3] == "idle":
            break_off = threading.Event()
            break_off.wait()
if sys.argv[3] == "thread":
    threading.Thread(target=serve).start()
else:
    serve()
"""


def start(request: str, where: str) -> tuple[subprocess.Popen[str], int]:
    """A process with a sandbox whose child has just replied for the first time; the child's number."""
    command = [sys.executable, "-c", PARENT, f"{HERE}:misbehave", request, where]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


@pytest.mark.parametrize("where", ["main", "thread"])
@pytest.mark.parametrize("hang", ["sleep_with_lock", "loop_in_c", "loop_in_python"])
def test_killing_the_parent_ends_a_child_however_stuck_it_is(hang: str, where: str) -> None:
    parent, child = start(hang, where)
    assert psutil.Process(child).ppid() == parent.pid
    parent.kill()
    parent.wait()
    assert gone(child)


def test_killing_the_parent_ends_a_child_that_waits_for_it() -> None:
    parent, child = start("huge_reply", "idle")
    parent.kill()
    parent.wait()
    assert gone(child)
