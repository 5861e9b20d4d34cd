"""Progress of long work: a bar with ETA on a terminal, one line a minute elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Remaining

LINE_EVERY_S = 60.0


class Meter:
    """Counts finished files, weighted by their size for the ETA; use as a context manager.

    total: files. weight: the sum of all ``advance`` weights (bytes), 0 to weigh every file alike.
    """

    def __init__(self, console: Console, title: str, total: int, weight: int = 0) -> None:
        self._console, self._title = console, title
        self._total, self._weight = total, weight or total
        self._files, self._done = 0, 0
        self._started = self._last_line = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[files]}/{task.fields[of]} files"),
                TimeElapsedColumn(),
                TextColumn("left"),
                Remaining(),
                TextColumn("{task.fields[note]}"),
                console=console,
                transient=True,
            )

    def __enter__(self) -> Meter:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=self._weight, files=0, of=self._total, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, weight: int = 1, note: str = "", files: int = 1) -> None:
        """One file is finished, or with ``files`` 0 a part of one. note: what to show beside the bar."""
        self._files += files
        self._done += weight
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, files=self._files, note=note)
        elif time.monotonic() - self._last_line >= LINE_EVERY_S:
            self._last_line = time.monotonic()
            self._console.print(self._line(note), highlight=False)

    def extend(self, total: int, weight: int) -> None:
        """More work turned up (a second attempt)."""
        self._total += total
        self._weight += weight
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=self._weight, of=self._total)

    def _line(self, note: str) -> str:
        spent = time.monotonic() - self._started
        left = spent * (self._weight - self._done) / self._done if self._done else 0.0
        times = f"{spent / 60:.0f} min, about {left / 60:.0f} min left"
        return f"{self._title}: {self._files}/{self._total} files, {times} {note}".rstrip()
