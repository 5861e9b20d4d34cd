"""Holds verdicts against the truth, and counts every answer for what it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fingerprint_db.verdict import VerdictKind
from jobs.demo.archive import CAMERA, TruthRow


class Mark(StrEnum):
    """What an answer is worth. Only RIGHT is right."""

    RIGHT = "right"
    WRONG = "wrong"  # a false alarm on camera footage, or a wrong name
    UNNAMED = "noticed, not named"  # a trace was seen, no name given
    MISSED = "missed"  # processed footage that passed for camera footage
    ABSTAINED = "abstained"  # inconclusive, with its reason
    UNREAD = "no verdict"  # the file brought an error


@dataclass(frozen=True, slots=True)
class Answer:
    """What the system said of one file; all None where it holds no verdict, ``error`` then says why."""

    verdict: str | None
    generator: str | None
    family: str | None
    llr: float | None
    p_value: float | None
    reason: str
    error: str | None

    @classmethod
    def from_lookup(cls, found: Mapping[str, Any]) -> Answer:
        """From the object that ``makersmark lookup --json`` prints: its newest verdict, or its error."""
        verdicts = found.get("verdicts") or []
        last: Mapping[str, Any] = verdicts[-1] if verdicts else {}
        error = last.get("error") or found.get("error")
        return cls(
            verdict=last.get("verdict"),
            generator=last.get("generator"),
            family=last.get("family"),
            llr=last.get("llr"),
            p_value=last.get("p_value"),
            reason=last.get("reason") or "",
            error=error["class"] if error else None,
        )

    @property
    def words(self) -> str:
        """The answer in a few words, as it stands in the table."""
        if self.verdict is None:
            return f"unreadable: {self.error}" if self.error else "no answer"
        name = self.generator or self.family
        plain = self.verdict.replace("_", " ")
        return f"{plain}: {name}" if name else plain


def mark(row: TruthRow, answer: Answer, enrolled: Collection[str]) -> Mark:
    """Judges one answer.

    Camera footage is right as ``no_known_generator``. Footage of an enrolled decoder is right under its name (or its
    family's). Footage of a decoder that nobody enrolled has no right name: noticing a trace without a name is right.
    """
    if answer.verdict is None:
        return Mark.UNREAD
    if answer.verdict == VerdictKind.INCONCLUSIVE:
        return Mark.ABSTAINED
    silent = answer.verdict == VerdictKind.NO_KNOWN_GENERATOR
    if row.label == CAMERA:
        return Mark.RIGHT if silent else Mark.WRONG
    if silent:
        return Mark.MISSED
    names = {answer.generator, answer.family} - {None}
    if not names:
        return Mark.UNNAMED if row.generator in enrolled else Mark.RIGHT
    if row.generator not in enrolled:
        return Mark.WRONG
    named_right = answer.generator == row.generator if answer.generator else answer.family == row.decoder_family
    return Mark.RIGHT if named_right else Mark.WRONG


@dataclass(frozen=True, slots=True)
class Tally:
    """The answers of one group of files."""

    group: str
    files: int
    sources: int
    marks: Mapping[Mark, int]


def tally(rows: Iterable[tuple[TruthRow, Mark]], enrolled: Collection[str]) -> tuple[Tally, ...]:
    """Counts by group: camera footage, each enrolled decoder, the decoders that nobody enrolled."""
    groups: dict[str, list[tuple[TruthRow, Mark]]] = {}
    for row, given in rows:
        unknown = f"{row.generator} (not enrolled)"
        group = CAMERA if row.label == CAMERA else row.generator if row.generator in enrolled else unknown
        groups.setdefault(group, []).append((row, given))
    order = [CAMERA, *(slug for slug in enrolled)]
    names = sorted(groups, key=lambda name: (order.index(name) if name in order else len(order), name))
    return tuple(
        Tally(
            name, len(groups[name]), len({row.source for row, _ in groups[name]}), Counter(m for _, m in groups[name])
        )
        for name in names
    )


def zero_bound(n: int) -> float:
    """The highest rate that zero events among n independent trials leave possible, with 95 % confidence."""
    return 1.0 if n == 0 else 1 - 0.05 ** (1 / n)
