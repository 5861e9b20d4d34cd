"""The outcome of an evaluation, as JSON for machines, as Markdown for a page, as a table for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from jobs.evaluate.curves import Curves
from jobs.evaluate.fewshot import FewShot
from jobs.evaluate.figures import GeneratorFigures, Interval, Judged
from jobs.evaluate.grid import Cell
from jobs.evaluate.manifest import LeftOut
from jobs.evaluate.metrics import OperatingPoint
from jobs.evaluate.tables import ON_TERMINAL, sections


@dataclass(frozen=True, slots=True)
class PageFigures:
    """Clips published side by side. makers: generators shown; counts are generated clips, camera the filmed ones.
    auc: generated against camera on this page, NaN unless both are there.
    """

    n: int
    makers: int
    camera: int
    nameable: int
    named: int
    right: int
    nearest_right: int
    auc: float


@dataclass(frozen=True, slots=True)
class OpenSet:
    """Every generator left out once with all that its pages published, so that nobody knows it.

    auc, tpr_at_fpr: llr against camera footage. Counts are (clips that count, clips asked about): synthetic, of
    generated clips; named, those given any generator, which must be wrong; family_named, family_right as in figures,
    since a relative of the family may be known; camera_named, camera_synthetic of camera clips.
    """

    folds: int
    auc: float
    auc_ci95: Interval | None
    tpr_at_fpr: Mapping[str, float]
    synthetic: tuple[int, int]
    named: tuple[int, int]
    family_named: tuple[int, int]
    family_right: tuple[int, int]
    camera_named: tuple[int, int]
    camera_synthetic: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationReport:
    """All that an evaluation found; what each figure means stands in jobs.evaluate.figures.

    protocol, why: how clips were kept apart from what judged them. clips, sources: by label. counts: behind each share
    (clips that count, clips asked about). ci95: bootstrap over sources, None where too few sources carry it.
    verdicts: {label: {verdict: clips}}; confusion: {truth: {answer: clips}}. left_out: every row in no figure, and why.
    curves, few_shot (by page), open_set, grid (a cell a chain): see their own classes; empty where not measured.
    """

    protocol: str
    why: str
    chain: str
    spec: str
    snapshot: str | None
    folds: int
    seed: int
    clips: Mapping[str, int]
    sources: Mapping[str, int]
    source_count: int
    figures: Mapping[str, float]
    counts: Mapping[str, tuple[int, int]]
    ci95: Mapping[str, Interval | None]
    operating_points: tuple[OperatingPoint, ...]
    null_names: tuple[str, ...]
    per_generator: Mapping[str, GeneratorFigures]
    verdicts: Mapping[str, Mapping[str, int]]
    confusion: Mapping[str, Mapping[str, int]]
    same_page: Mapping[str, PageFigures]
    processed: tuple[Judged, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    curves: Curves = field(default_factory=Curves)
    few_shot: Mapping[str, FewShot] = field(default_factory=dict)
    open_set: OpenSet | None = None
    grid: tuple[Cell, ...] = ()

    @property
    def n(self) -> int:
        """Clips judged."""
        return sum(self.clips.values())

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dumps; numbers that are not defined are null."""
        split = ("null_", "tpr_at_fpr_")
        plain = {name: value for name, value in self.figures.items() if not name.startswith(split)}
        record: dict[str, Any] = {
            "n": self.n,
            "clips": dict(self.clips),
            "sources": {**self.sources, "all": self.source_count},
            "protocol": self.protocol,
            "why": self.why,
            "folds": self.folds,
            "chain": self.chain,
            "spec": self.spec,
            "snapshot": self.snapshot,
            "seed": self.seed,
            **plain,
            "tpr_at_fpr": {f"{point.target_fpr:g}": point.tpr for point in self.operating_points},
            "operating_points": [asdict(point) for point in self.operating_points],
            "nulls": {
                name: {
                    "auc": self.figures[f"null_{name}_auc"],
                    "generator_top1": self.figures[f"null_{name}_top1"],
                    "family_ranked": self.figures[f"null_{name}_family"],
                    "ci95": {
                        "auc": self.ci95.get(f"null_{name}_auc"),
                        "generator_top1": self.ci95.get(f"null_{name}_top1"),
                        "family_ranked": self.ci95.get(f"null_{name}_family"),
                    },
                }
                for name in self.null_names
            },
            "counts": {share: {"hits": hits, "of": of} for share, (hits, of) in self.counts.items()},
            "ci95": {name: interval for name, interval in self.ci95.items() if not name.startswith("null_")},
            "per_generator": {name: asdict(row) for name, row in self.per_generator.items()},
            "verdicts": {label: dict(kinds) for label, kinds in self.verdicts.items()},
            "confusion": {truth: dict(answers) for truth, answers in self.confusion.items()},
            "same_page": {page: asdict(row) for page, row in self.same_page.items()},
            "processed": [
                {
                    "name": j.clip.name,
                    "processor": j.clip.generator,
                    "verdict": j.verdict.verdict.value,
                    "answer": j.answer,
                    "llr": j.verdict.llr,
                }
                for j in self.processed
            ],
            "left_out": [asdict(row) for row in self.left_out],
            "notes": list(self.notes),
            "curves": asdict(self.curves),
            "few_shot": {page: asdict(row) | {"over_chance": row.over_chance} for page, row in self.few_shot.items()},
            "open_set": asdict(self.open_set) if self.open_set is not None else None,
            "grid": [asdict(cell) for cell in self.grid],
        }
        cleaned: dict[str, Any] = _without_nan(record)
        return cleaned

    def to_markdown(self) -> str:
        """The whole report as one Markdown document."""
        parts = [f"# Evaluation\n\n{self.headline()}\n"]
        for number, section in enumerate(sections(self)):
            parts += [f"\n## {section.title}\n"] if number else []
            parts.append(_markdown(section.columns, section.rows))
        remarks = self.remarks()
        if remarks:
            parts.append("\n## Remarks\n")
            parts.extend(f"- {remark}" for remark in remarks)
        if self.left_out:
            parts.append("\n## Left out\n")
            parts.extend(f"- `{row.name}` ({row.kind}): {row.message}" for row in self.left_out)
        return "\n".join(parts) + "\n"

    def to_terminal(self) -> RenderableType:
        """For rich.console.Console.print; nothing depends on colour."""
        parts: list[RenderableType] = [Text(self.headline())]
        parts.extend(_rich(each.title, each.columns, each.rows) for each in sections(self) if each.title in ON_TERMINAL)
        parts.extend(Text(remark) for remark in self.remarks())
        if self.left_out:
            kinds = sorted({row.kind for row in self.left_out})
            counted = ", ".join(f"{sum(row.kind == kind for row in self.left_out)} {kind}" for kind in kinds)
            parts.append(Text(f"{len(self.left_out)} rows are in no figure: {counted}"))
        return Group(*parts)

    def print(self, console: Console) -> None:
        """The terminal form."""
        console.print(self.to_terminal())

    def headline(self) -> str:
        """What was judged, how, and by what, in two lines."""
        by_label = ", ".join(
            f"{self.clips[label]} {label} from {self.sources[label]} sources"
            for label in self.clips
            if self.clips[label]
        )
        system = f"snapshot {self.snapshot}" if self.snapshot else f"{self.folds} folds"
        return (
            f"{self.n} clips judged: {by_label}.\n"
            f"Protocol {self.protocol} ({self.why}), {system}; chain: {self.chain}; spec {self.spec}."
        )

    def remarks(self) -> list[str]:
        """What a reader has to know beside the figures."""
        found = [point.note for point in self.operating_points if point.note]
        named, cameras = self.counts["camera_named"]
        interval = self.ci95.get("camera_named")
        if cameras and interval is not None:
            found.append(
                f"{named} of {cameras} camera clips were given a maker; the true share may be {interval[1]:.1%}."
            )
        return [*found, *self.notes]


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _rich(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _without_nan(value: Any) -> Any:
    """NaN and infinities become None, since JSON has neither; tuples become lists."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return value
