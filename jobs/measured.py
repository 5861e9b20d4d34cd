"""Measured figures: each with its bounds, what it was counted on, and the goal it stands against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    value, low, high: the figure and its 95 % bounds (None where there is none, or nothing to count). n: what it was
    counted on, in words with the number (``84 camera clips of 21 sources``). goal: as the issue states it, '' for none.
    how: the definition and, where one exists, the null beside it.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: str = ""
    goal: str = ""
    how: str = ""


@dataclass(frozen=True, slots=True)
class MeasuredReport:
    """What one run measured. kind: of what, a word. detail: tables for machines, plain JSON. notes: for the reader."""

    kind: str
    title: str
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "title": self.title,
            "figures": [asdict(figure) for figure in self.figures],
            "notes": list(self.notes),
            "detail": dict(self.detail),
        }

    def to_markdown(self) -> str:
        """A page section: one table, then the definitions and the notes."""
        rows = [f"## {self.title}", "", "| figure | value | 95 % | counted on | goal |", "|---|---|---|---|---|"]
        rows += ["| " + " | ".join(_cell(text) for text in cells) + " |" for cells in _rows(self.figures)]
        rows += ["", *(f"- **{figure.name}**: {figure.how}" for figure in self.figures if figure.how)]
        rows += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join(rows) + "\n"

    def print(self, console: Console) -> None:
        table = Table(title=self.title, title_justify="left", title_style="bold", box=None)
        for column in ("figure", "value", "95 %", "counted on", "goal"):
            table.add_column(column, overflow="fold")
        for cells in _rows(self.figures):
            table.add_row(*(escape(text) for text in cells))
        console.print(table)
        for note in self.notes:
            console.print(note, style="dim", highlight=False)


def _rows(figures: Sequence[Figure]) -> list[tuple[str, str, str, str, str]]:
    return [
        (
            figure.name,
            _number(figure.value),
            "" if figure.low is None or figure.high is None else f"{_number(figure.low)}-{_number(figure.high)}",
            figure.n,
            figure.goal,
        )
        for figure in figures
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
