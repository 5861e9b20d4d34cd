"""The same clips through many codec chains, judged by systems that learned from one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jobs.encode import Codec
from jobs.evaluate.figures import FigureTable, Interval, Judged, NullTable

CRFS = (18, 23, 28, 33)
SCALES = (1.0, 0.75, 0.5)
ENCODERS: tuple[Codec, ...] = ("x264", "x265")  # nothing is ever learned from the second
REPLICATES = 200  # of the bootstrap, a cell


@dataclass(frozen=True, slots=True)
class Cell:
    """One chain's figures; what they mean stands in jobs.evaluate.figures. counts: (clips that count, clips asked).

    learned: whether copies through this very chain were learned from. hf_energy: AUC of sharpness alone in this chain,
    learned on the chain that the folds learned from.
    """

    chain: str
    learned: bool
    n: int
    unreadable: int
    figures: Mapping[str, float]
    counts: Mapping[str, tuple[int, int]]
    auc_ci95: Interval | None
    hf_energy: float


SHOWN_FIGURES = (
    "auc",
    "tpr_at_fpr_0.05",
    "tpr_at_fpr_0.01",
    "cllr",
    "generator_ranked_nameable",
    "family_ranked",
    "generator_named",
    "generator_right",
    "family_named",
    "family_right",
    "camera_named",
    "camera_synthetic",
)


def grid_chains(
    crfs: Iterable[int] = CRFS, scales: Iterable[float] = SCALES, encoders: Iterable[str] = ENCODERS
) -> tuple[str, ...]:
    """The chains' spellings (jobs.evaluate.chain.parse_chain): every encoder, quality and scale."""
    return tuple(
        f"{encoder}-crf{crf}{'' if scale == 1.0 else f'-x{scale:g}'}"
        for encoder in encoders
        for scale in scales
        for crf in crfs
    )


def measure_cell(
    chain: str, judged: Sequence[Judged], null: NullTable, *, learned: bool, unreadable: int, seed: int
) -> Cell:
    """Figures of one chain's verdicts; null: sharpness, one answer a judged clip."""
    table = FigureTable(judged, {"hf_energy": null})
    measured = table.measure()
    few = FigureTable(judged, {}).intervals(replicates=REPLICATES, seed=seed)
    return Cell(
        chain=chain,
        learned=learned,
        n=len(judged),
        unreadable=unreadable,
        figures={name: measured[name] for name in SHOWN_FIGURES},
        counts={share: table.counts(share) for share in table.shares},
        auc_ci95=few["auc"],
        hf_energy=measured["null_hf_energy_auc"],
    )
