"""What `bench score` says of telling decoded windows from camera footage: unseen decoders, and hard negatives."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.normalise import Floats
from jobs.bench.trials import Rows, pooled_auc
from jobs.bench.windows import CAMERA, NEGATIVE, BenchWindows
from jobs.evaluate.metrics import auc, bootstrap_by_source, clopper_pearson
from jobs.measured import Figure

POOLED = (1, 16, 64)
FALSE_CALLS = 0.05
REPLICATES = 500
# What the figures stand against, by the number of the last chain's quality where a goal names one.
_UNSEEN_GOALS = {18: ".92", 23: ".85", 28: ".75"}


def unseen(windows: BenchWindows, scores: Floats, seed: int) -> list[Figure]:
    """AUC of unseen decoders against camera footage of the same contents, a window and pooled over windows."""
    found: list[Figure] = []
    groups = [(name, windows.decoder == name) for name in np.unique(windows.decoder[windows.kind == "B"])]
    groups += [("simulated decoders", (windows.kind == "D") & windows.sharp)]
    groups += [("published nets", windows.kind == "A"), ("trained instances", (windows.kind == "C") & windows.sharp)]
    for name, made in groups:
        for chain in np.unique(windows.chain):
            rows = made & (windows.chain == chain) & np.isfinite(scores)
            if not rows.any():
                continue
            camera = (
                (windows.kind == CAMERA) & (windows.chain == chain) & np.isin(windows.content, windows.content[rows])
            )
            for count in POOLED:
                found.append(_ranked(windows, scores, rows, camera, f"{name}, unseen, {chain}", chain, count, seed))
    return found


def _ranked(
    windows: BenchWindows, scores: Floats, rows: Rows, camera: Rows, name: str, chain: str, count: int, seed: int
) -> Figure:
    both = np.flatnonzero(rows | camera)
    made = rows[both]

    def statistics(drawn: NDArray[np.intp]) -> Mapping[str, float]:
        own, plain = scores[both[drawn]][made[drawn]], scores[both[drawn]][~made[drawn]]
        if not len(own) or not len(plain):
            return {"auc": float("nan")}
        return {"auc": auc(own, plain) if count == 1 else pooled_auc(own, plain, count, seed, draws=400)}

    bounds = bootstrap_by_source(
        windows.source[both].tolist(), ["all"] * len(both), statistics, replicates=REPLICATES, seed=seed
    )["auc"]
    whole = auc(scores[rows], scores[camera]) if count == 1 else pooled_auc(scores[rows], scores[camera], count, seed)
    low, high = edges(bounds)
    return Figure(
        f"{name}: AUC, {count} window{'s' * (count > 1)}",
        whole,
        low,
        high,
        n=counted(windows, rows | camera),
        goal=_UNSEEN_GOALS.get(quality(chain), "") if count == 64 and windows.kind[rows][0] == "B" else "",
        how="against the same contents' camera footage; a decoder that no fold learned from"
        + ("; means of windows of different contents of one side, drawn with replacement" if count > 1 else ""),
    )


def negatives(windows: BenchWindows, scores: Floats) -> list[Figure]:
    found = []
    for chain in np.unique(windows.chain):
        here = windows.chain == chain
        camera = scores[here & (windows.kind == CAMERA)]
        camera = camera[np.isfinite(camera)]
        if not len(camera):
            continue
        threshold = float(np.quantile(camera, 1 - FALSE_CALLS))
        for name in np.unique(windows.decoder[windows.kind == NEGATIVE]):
            rows = here & (windows.decoder == name) & np.isfinite(scores)
            calls = int((scores[rows] > threshold).sum())
            low, high = clopper_pearson(calls, int(rows.sum()))
            found.append(
                Figure(
                    f"{name}, {chain}: called decoded",
                    calls / max(1, int(rows.sum())),
                    low,
                    high,
                    n=counted(windows, rows),
                    goal="10 % or less",
                    how=f"at the threshold that {FALSE_CALLS:.0%} of plain camera windows of the chain pass",
                )
            )
    return found


def edges(bounds: tuple[float, float] | None) -> tuple[float | None, float | None]:
    """Bounds as a Figure wants them."""
    return bounds or (None, None)


def counted(windows: BenchWindows, rows: Rows) -> str:
    """On how many windows, contents and sources a figure stands."""
    contents, sources = len(np.unique(windows.content[rows])), len(np.unique(windows.source[rows]))
    return f"{int(rows.sum())} windows, {contents} contents of {sources} sources"


def quality(chain: str) -> int:
    """The CRF of a plain x264 chain, 0 for any other: goals are stated for those."""
    rest = chain.removesuffix("-aligned").removeprefix("x264-crf")
    return int(rest) if rest.isdigit() else 0
