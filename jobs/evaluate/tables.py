"""The tables of an evaluation, as rows of text: what a page, a terminal and a Markdown document all show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.evaluate.curves import TARGET_RISK
from jobs.evaluate.figures import Interval
from jobs.evaluate.metrics import clopper_pearson

if TYPE_CHECKING:
    from jobs.evaluate.report import EvaluationReport

# What is shown to people, in this order; to_json has everything.
_SHOWN = {
    "auc": "AUC, generated against camera",
    "tpr_at_fpr_0.05": "TPR at 5 % FPR",
    "tpr_at_fpr_0.01": "TPR at 1 % FPR",
    "tpr_at_fpr_0.001": "TPR at 0.1 % FPR",
    "cllr": "Cllr (bits; 1 knows nothing)",
    "min_cllr": "Cllr after best recalibration",
    "generator_named": "generated clips given a generator",
    "generator_right": "  of those, rightly",
    "generator_top1": "nearest signature of the right generator",
    "generator_top1_nameable": "  of clips that could be named",
    "generator_ranked": "best-fitting maker is the right one",
    "generator_ranked_nameable": "  of clips that could be named",
    "family_ranked": "best-fitting maker is of the right family",
    "family_named": "known-family clips given a family",
    "family_right": "  of those, rightly",
    "unknown_named": "clips of unknown generators given a name",
    "camera_named": "camera clips given a maker (must be 0)",
    "camera_synthetic": "camera clips called synthetic",
    "camera_processed": "camera clips called processed",
    "oscr": "open-set naming (OSCR area)",
    "excess_auc": "AUC above the strongest null",
    "excess_top1": "naming above the strongest null",
    "excess_family": "best-fitting family above the strongest null",
}


ON_TERMINAL = (
    "Figures",
    "Nulls, same folds",
    "Generators left out",
    "Side by side, from a few examples",
    "Codecs and scales",
    "Generators",
)
_FEW_COLUMNS = ("page", "makers", "right", "macro", "chance", "times chance", "thumbnail null", "hf_energy null")
_GRID_COLUMNS = (
    "chain",
    "clips",
    "AUC",
    "95 %",
    "hf_energy AUC",
    "TPR at 1 % FPR",
    "Cllr",
    "ranked right (nameable)",
    "family ranked right",
    "generator named, right",
    "family named, right",
    "camera named + synthetic",
)
_GENERATOR_COLUMNS = (
    "generator",
    "family",
    "clips",
    "sources",
    "nameable",
    "named",
    "right",
    "nearest right",
    "synthetic",
    "llr",
    "AUC",
)
_PAGE_COLUMNS = ("page", "clips", "makers", "camera", "nameable", "named", "right", "nearest right", "AUC")


@dataclass(frozen=True, slots=True)
class Section:
    """One table with its heading."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def sections(report: EvaluationReport) -> list[Section]:
    """Every table of the report, in order; a page shows them all."""
    found = [
        Section("Figures", ("figure", "value", "95 %", "clips"), _figure_rows(report)),
        Section("Nulls, same folds", ("null", "AUC", "generator top-1", "family"), _null_rows(report)),
    ]
    if report.open_set is not None:
        found.append(Section("Generators left out", ("figure", "value", "95 %", "clips"), _open_rows(report)))
    found.append(Section("Naming fewer, more surely", ("level", "clips named", "of them wrong"), _risk_rows(report)))
    if report.few_shot:
        found.append(Section("Side by side, from a few examples", _FEW_COLUMNS, _few_rows(report)))
    if report.grid:
        found.append(Section("Codecs and scales", _GRID_COLUMNS, _grid_rows(report)))
    found.append(Section("Generators", _GENERATOR_COLUMNS, _generator_rows(report)))
    if report.same_page:
        found.append(Section("Side by side on one page", _PAGE_COLUMNS, _page_rows(report)))
    kinds = list(next(iter(report.verdicts.values()), {}))
    rows = [(label, *(str(counts[kind]) for kind in kinds)) for label, counts in report.verdicts.items()]
    found.append(Section("Verdicts", ("label", *kinds), rows))
    taken = [(truth, _most(answers)) for truth, answers in report.curves.confusion.items()]
    found.append(Section("Taken for", ("truth", "best-fitting maker: clips"), taken))
    return found


def _figure_rows(report: EvaluationReport) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, title in _SHOWN.items():
        hits, of = report.counts.get(name, (0, 0))
        behind = f"{hits} of {of}" if name in report.counts else ""
        rows.append((title, number(report.figures[name]), interval_text(report.ci95.get(name)), behind))
    return rows


def _null_rows(report: EvaluationReport) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name in report.null_names:
        cells = (f"null_{name}_auc", f"null_{name}_top1", f"null_{name}_family")
        rows.append(
            (name, *(f"{number(report.figures[c])} {interval_text(report.ci95.get(c))}".strip() for c in cells))
        )
    ours = (number(report.figures[name]) for name in ("auc", "generator_top1", "family_ranked"))
    return [*rows, ("this system", *ours)]


def _open_rows(report: EvaluationReport) -> list[tuple[str, ...]]:
    open_set = report.open_set
    if open_set is None:
        return []
    shares = {
        "unknown generators' clips called synthetic": open_set.synthetic,
        "unknown generators' clips given a name (must be 0)": open_set.named,
        "known-family clips given a family": open_set.family_named,
        "  of those, rightly": open_set.family_right,
        "camera clips given a maker (must be 0)": open_set.camera_named,
        "camera clips called synthetic": open_set.camera_synthetic,
    }
    interval = interval_text(open_set.auc_ci95)
    rows: list[tuple[str, ...]] = [("AUC, unknown generators against camera", number(open_set.auc), interval, "")]
    for target, tpr in open_set.tpr_at_fpr.items():
        rows.append((f"TPR at {float(target):.1%} FPR", number(tpr), "", ""))
    for title, (hits, of) in shares.items():
        exact = interval_text(clopper_pearson(hits, of)) if of else ""
        rows.append((title, number(hits / of) if of else "-", exact, f"{hits} of {of}"))
    return rows


def _risk_rows(report: EvaluationReport) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    levels = (
        ("generator", report.curves.risk_generator, report.curves.coverage_generator),
        ("family", report.curves.risk_family, report.curves.coverage_family),
    )
    for level, curve, best in levels:
        for wanted in (0.1, 0.25, 0.5, 1.0):
            at = next(((cover, risk) for cover, risk in curve if cover >= wanted - 1e-9), None)
            if at is not None:
                rows.append((level, f"{at[0]:.0%}", f"{at[1]:.0%}"))
        rows.append((level, f"{best:.1%}", f"at most {TARGET_RISK:.0%}"))
    return rows


def _few_rows(report: EvaluationReport) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for page, row in report.few_shot.items():
        makers = ", ".join(f"{maker} {count}" for maker, count in row.makers.items())
        numbers = (row.macro, row.chance, row.over_chance, *row.nulls.values())
        rows.append((page, makers, f"{row.hits} of {row.clips}", *map(number, numbers)))
    return rows


def _grid_rows(report: EvaluationReport) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for cell in report.grid:
        named = cell.counts["generator_named"][0]
        right = cell.counts["generator_right"][0]
        families, family_right = cell.counts["family_named"][0], cell.counts["family_right"][0]
        false, camera = cell.counts["camera_named"]
        alarms = cell.counts["camera_synthetic"][0]
        shown = ("auc", "tpr_at_fpr_0.01", "cllr", "generator_ranked_nameable", "family_ranked")
        auc, tpr, cost, ranked, kin = (number(cell.figures[name]) for name in shown)
        counts = (f"{right} of {named}", f"{family_right} of {families}", f"{false} + {alarms} of {camera}")
        chain = f"{cell.chain} (learned from)" if cell.learned else cell.chain
        rows.append(
            (
                chain,
                str(cell.n),
                auc,
                interval_text(cell.auc_ci95),
                number(cell.hf_energy),
                tpr,
                cost,
                ranked,
                kin,
                *counts,
            )
        )
    return rows


def _generator_rows(report: EvaluationReport) -> list[tuple[str, ...]]:
    return [
        (
            name,
            row.family or "",
            *map(str, (row.n, row.sources, row.nameable, row.named, row.right, row.nearest_right, row.synthetic)),
            number(row.llr_median),
            number(row.auc),
        )
        for name, row in report.per_generator.items()
    ]


def _page_rows(report: EvaluationReport) -> list[tuple[str, ...]]:
    return [
        (
            page,
            *map(str, (row.n, row.makers, row.camera, row.nameable, row.named, row.right, row.nearest_right)),
            number(row.auc),
        )
        for page, row in report.same_page.items()
    ]


def _most(answers: Mapping[str, int]) -> str:
    """The most frequent answers first."""
    ordered = sorted(answers.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{answer}: {count}" for answer, count in ordered[:6]) + (", ..." if len(ordered) > 6 else "")


def number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def interval_text(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
