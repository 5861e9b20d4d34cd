"""A process that runs one job on a home and kills itself at its n-th boundary: a rename, a removal, a commit."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

from rich.console import Console
from sqlalchemy import event

# Imported before any child is forked off the server, so that a kill costs no second start of Python.
from jobs.archive import Folder
from jobs.audit import audit
from jobs.compact import compact
from jobs.home import Home
from jobs.repair import repair
from jobs.settings import Settings

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.jobs.crash"])


def run_until(boundary: int, job: Callable[..., None], home: str) -> int:
    """The exit status: 0 when the job ended before that boundary, -SIGKILL when it was cut off there."""
    process = CONTEXT.Process(target=_run, args=(boundary, job, home))
    process.start()
    process.join(60)
    assert process.exitcode is not None, "the job hangs"
    return process.exitcode


def compact_job(home: Home) -> None:
    compact(home, console=Console(quiet=True), grace_s=0)


def repair_job(home: Home) -> None:
    repair(home, audit(home, console=Console(quiet=True)))


def _run(boundary: int, job: Callable[[Home], None], home: str) -> None:
    opened = Home(Settings(home=home, workers=1))
    left = boundary

    def step(*_: Any) -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    def around(wrapped: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            step()
            result = wrapped(*arguments)
            step()
            return result

        return call

    os.replace = around(os.replace)
    Folder.remove = around(Folder.remove)  # type: ignore[method-assign]
    event.listen(opened.engine, "commit", step)
    job(opened)
