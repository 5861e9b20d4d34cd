"""`makersmark bench score`: what the fingerprint is worth on decoders whose truth is known, with bounds and nulls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from fingerprint_db.embedding import Embedding, embedding_from_bytes, shipped_embedding
from jobs.bench.detection_figures import REPLICATES, counted, edges, negatives, quality, unseen
from jobs.bench.footage import Split, split_of
from jobs.bench.lessons import load_lessons
from jobs.bench.trials import (
    SHOTS,
    Fold,
    Pooled,
    Rows,
    closed_set,
    design_distances,
    detection_scores,
    enrolled_late,
    folds_of,
)
from jobs.bench.windows import BenchWindows, load_windows
from jobs.errors import BadUsageError
from jobs.evaluate.metrics import auc, bootstrap_by_source, clopper_pearson
from jobs.measured import Figure, MeasuredReport
from jobs.settings import Settings

SHIPPED = "shipped"
# What the figures stand against, by the quality of the chain where a goal names one.
_CLOSED_GOALS = {23: "70 %, 25 points above the null", 28: "55 %, 25 points above the null"}
_NETS_GOALS = {23: "85 %", 28: "70 %"}


def score_bench(
    folder: Path,
    settings: Settings,
    *,
    chains: Sequence[str] = (),
    embedding: Path | str | None = None,
    learn_with: Path | None = None,
    lessons_alone: bool = False,
    seed: int = 0,
    console: Console,
) -> MeasuredReport:
    """Fingerprint the bench's coded clips and judge them by folds over footage sources and decoders.

    embedding: weights of a learned fingerprint that joins the others, SHIPPED for the package's own; footage it was
    trained on is judged by no fold. learn_with: a manifest of published clips that detection learns from as well;
    lessons_alone: and from no decoder of the bench.
    With trained instances in the bench, footage of the train split, which they have seen, is learned from and never
    judged.
    Raises BadUsageError where the folder holds no bench or not these chains, or the file no weights.
    """
    if lessons_alone and learn_with is None:
        raise BadUsageError("--lessons-alone needs the clips to learn from: name their manifest with --learn-with")
    torch.set_num_threads(1)
    learned = _load(embedding) if embedding is not None else None
    windows = load_windows(folder, settings, chains=chains, embedding=learned, console=console)
    seen = np.isin(windows.source, list(learned.provenance["sources"]) if learned is not None else [])
    if np.any(windows.kind == "C"):
        seen |= np.array([split_of(str(source)) is Split.TRAIN for source in windows.source])
    folds = [replace(fold, judged=fold.judged & ~seen) for fold in folds_of(windows, seed)]

    def tell(step: str) -> None:
        console.print(step, style="dim", highlight=False)

    lessons = load_lessons(learn_with, folder, settings, console) if learn_with is not None else None
    scores = detection_scores(windows, folds, tell, lessons, lessons_alone=lessons_alone)
    of_learned: list[Figure] = []
    if learned is not None:
        alone = detection_scores(windows.by_learned_alone(), folds, tell)  # published clips have no such vectors here
        found = [*unseen(windows, alone, seed), *negatives(windows, alone)]
        of_learned = [replace(figure, name=f"learned alone: {figure.name}", goal="") for figure in found]
        # Added, since in one discriminant with the others it is trusted too much: it fits what it was trained on.
        scores = scores + alone
    figures = [*unseen(windows, scores, seed), *negatives(windows, scores), *of_learned]
    tell("closed sets")
    sharp = windows.sharp & np.isin(windows.kind, ("A", "B", "C", "D"))
    figures += _named(windows, folds, sharp, "sharp decoders named", _CLOSED_GOALS)
    nets = windows.kind == "A"
    figures += _named(windows, folds, nets, "published nets named", _NETS_GOALS)
    # All of them, sharp or not: that contents hide their detail is no reason to leave a decoder out of its own set.
    trained = windows.kind == "C"
    figures += _named(windows, folds, trained, "trained instances named", {})
    tell("enrollment")
    figures += _enrolled(windows, folds, sharp, seed)
    tell("distances")
    distances, said = _distances(windows, sharp, seed)
    if np.any(trained):
        apart, told = _distances(windows, trained, seed, "trained instances: ")
        distances, said = [*distances, *apart], [*said, *told]
    notes = [
        f"{counted(windows, np.ones(len(windows), bool))} through {_listed(np.unique(windows.chain).tolist())}; "
        f"{len(folds)} folds over sources, drawn by seed {seed}.",
        "Every figure counts windows of 16 frames from footage whose source the judging fold had not seen.",
        *said,
    ]
    if np.any(windows.kind == "C"):
        notes.append("Trained instances have seen the train split: none of its footage is judged.")
    if lessons is not None:
        makers, pages = (len(np.unique(side[lessons.made])) for side in (lessons.maker, lessons.source))
        notes.append(
            f"Detection learned from {int(lessons.made.sum())} windows of clips by {makers} published generators from "
            f"{pages} sources{', from no decoder of the bench' if lessons_alone else ' as well'}."
        )
    if learned is not None:
        notes.append(
            f"With the learned fingerprint {learned.id}; footage of its {len(learned.provenance['sources'])} sources "
            "is learned from and never judged. It may have seen simulated decoders and published nets that are called "
            "unseen, on other footage; decoders of kind B it has never seen."
        )
    if windows.left_out:
        notes.append(f"{len(windows.left_out)} files gave no window, among them {windows.left_out[0]}.")
    return MeasuredReport(
        "decoders", "The fingerprint on known decoders", (*figures, *distances), tuple(notes), _detail(windows)
    )


def _load(file: Path | str) -> Embedding:
    try:
        return shipped_embedding() if file == SHIPPED else embedding_from_bytes(Path(file).read_bytes())
    except (OSError, ValueError) as error:
        raise BadUsageError(f"{file} cannot be used: {error}") from error


def _named(
    windows: BenchWindows, folds: Sequence[Fold], members: Rows, title: str, goals: Mapping[int, str]
) -> list[Figure]:
    names = np.unique(windows.decoder[members])
    if len(names) < 2:
        return []
    right, null, pooled = closed_set(windows, folds, members)
    judged = np.any([fold.judged for fold in folds], axis=0)
    found = []
    for chain in np.unique(windows.chain):
        rows = members & (windows.chain == chain) & judged
        for label, named, goal, how in (
            (title, right, goals.get(quality(chain), ""), f"closed set of {len(names)}, chance {1 / len(names):.3f}"),
            (f"{title}, null", null, "", "the same by the high-frequency cue alone"),
        ):
            found.append(_share(windows, named, rows, f"{label}, {chain}", goal, how))
    return found + _together(title, pooled, with_null=True)


def _together(title: str, pooled: Sequence[Pooled], *, with_null: bool) -> list[Figure]:
    """One decision a decoder, chain and fold, by the mean of its windows' scores."""
    found = []
    for chain in sorted({one.chain for one in pooled}):
        here = [one for one in pooled if one.chain == chain]
        count = np.mean([one.windows for one in here])
        sides = [("", sum(one.right for one in here)), (", null", sum(one.null for one in here))]
        for label, hits in sides if with_null else sides[:1]:
            low, high = clopper_pearson(hits, len(here))
            found.append(
                Figure(
                    f"{title}, all held-out windows together{label}, {chain}",
                    hits / len(here),
                    low,
                    high,
                    n=f"{len(here)} decisions, from {count:.1f} windows each",
                    how="one decision a decoder and fold, by the mean of its windows' scores",
                )
            )
    return found


def _enrolled(windows: BenchWindows, folds: Sequence[Fold], members: Rows, seed: int) -> list[Figure]:
    asked, right, pooled = enrolled_late(windows, folds, members, seed)
    one_window = [
        _share(
            windows,
            right,
            asked & (windows.chain == chain),
            f"enrolled from {SHOTS} clips, rank-1, {chain}",
            "85 %" if quality(chain) == 23 else "",
            f"a decoder that training had not seen, among {len(np.unique(windows.decoder[members]))}",
        )
        for chain in np.unique(windows.chain[asked])
    ]
    return one_window + _together(f"enrolled from {SHOTS} clips, rank-1", pooled, with_null=False)


def _share(windows: BenchWindows, hits: Rows, rows: Rows, name: str, goal: str, how: str) -> Figure:
    """A share of windows with bounds from resampling sources."""
    at = np.flatnonzero(rows)

    def statistics(drawn: NDArray[np.intp]) -> Mapping[str, float]:
        return {"share": float(hits[at[drawn]].mean())}

    bounds = bootstrap_by_source(windows.source[at].tolist(), ["all"] * len(at), statistics, replicates=REPLICATES)
    low, high = edges(bounds["share"])
    return Figure(name, float(hits[at].mean()), low, high, n=counted(windows, rows), goal=goal, how=how)


def _distances(windows: BenchWindows, members: Rows, seed: int, whose: str = "") -> tuple[list[Figure], list[str]]:
    pairs = list(design_distances(windows, members, seed)) if len(np.unique(windows.decoder[members])) > 1 else []
    sides = {same: np.array([value for alike, value in pairs if alike == same]) for same in (True, False)}
    if not len(sides[True]) or not len(sides[False]):
        kind = "" if whose else "sharp "
        return [], [
            f"{whose}no two sets of weights of one {kind}architecture to hold against another are in this bench."
        ]
    figures = [
        Figure(
            f"{whose}squared distance between {'two seeds of one architecture' if same else 'two architectures'}",
            float(np.median(values)),
            float(np.quantile(values, 0.25)),
            float(np.quantile(values, 0.75)),
            n=f"{len(values)} pairs (quartiles in place of bounds)",
            how="median over pairs, in units of the spread between contents, cross-validated over sources",
        )
        for same, values in sides.items()
    ]
    nearer = auc(sides[False], sides[True])
    said = (
        f"{whose}two architectures are further apart than two seeds of one with probability {nearer:.2f} (chance .50)."
    )
    return figures, [said]


def _detail(windows: BenchWindows) -> dict[str, Any]:
    names, counts = np.unique(windows.decoder, return_counts=True)
    return {"windows": dict(zip(names.tolist(), counts.tolist(), strict=True)), "left_out": list(windows.left_out)}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(str(name) for name in names)
