"""From judged clips to figures: what each number means is defined here and nowhere else.

Shares (0..1), over the clips that were judged:

generator_named    generated clips whose verdict is ``attributed``
generator_right    of those, the named generator is the true one (NaN when none was named)
generator_top1     generated clips whose nearest signature of a generator is of the true one, named or not
generator_ranked   generated clips whose best-fitting maker (by its mean) is the true one, named or not
family_ranked      generated clips of a known decoder family whose best-fitting maker is of that family
family_named       generated clips of a known decoder family whose verdict is ``attributed`` or ``family``
family_right       of those, the named family is the true one; naming a maker without a known family is wrong
camera_named       camera clips whose verdict is ``attributed`` or ``family``; must be 0
camera_synthetic   camera clips whose verdict is ``synthetic``
camera_processed   camera clips whose verdict is ``processed_camera``

The same with ``_nameable`` count only generated clips of whose generator the judging system held a signature (under
leave-one-source-out: from another source). The others cannot be named rightly by any system, and naming them at all is
an open-set error: ``unknown_named``.

Scores, from the llr of generated against camera clips: auc, cllr, min_cllr, calibration_error (jobs.evaluate.metrics);
oscr gates nearest-signature naming of nameable clips by llr against camera clips. Processed clips enter none of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.matcher import Leading
from fingerprint_db.verdict import Verdict, VerdictKind
from jobs.evaluate import metrics
from jobs.evaluate.manifest import Clip, Label

Interval = tuple[float, float]
SHARES_OF = {
    "generator_named": "generated",
    "generator_top1": "generated",
    "generator_right": "named",
    "generator_ranked": "generated",
    "family_ranked": "family_known",
    "family_named": "family_known",
    "family_right": "family_said",
    "camera_named": "camera",
    "camera_synthetic": "camera",
    "camera_processed": "camera",
    "generator_named_nameable": "nameable",
    "generator_top1_nameable": "nameable",
    "generator_ranked_nameable": "nameable",
    "unknown_named": "unknown",
}


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One clip with its verdict, in the manifest's names.

    answer: the generator that the verdict names, nearest: that of the nearest signature of a generator; None without.
    nameable: the judging system held a signature of the clip's generator. leading: what would be named if something had
    to be; None where nothing could be compared.
    """

    clip: Clip
    verdict: Verdict
    answer: str | None
    nearest: str | None
    nameable: bool
    leading: Leading | None = None


@dataclass(frozen=True, slots=True, eq=False)
class NullTable:
    """A null's answers, one a judged clip: see jobs.evaluate.nulls.NullScores. right, kin: whether the generator, the
    family it names is the true one.
    """

    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    kin: NDArray[np.bool_]


class FigureTable:
    """Judged clips as columns, so that a thousand resamples of them are quick to measure."""

    def __init__(self, judged: Sequence[Judged], nulls: Mapping[str, NullTable]) -> None:
        self.judged = tuple(judged)
        self.nulls = dict(nulls)
        kinds = [j.verdict.verdict for j in judged]
        said_family = [kind in (VerdictKind.ATTRIBUTED, VerdictKind.FAMILY) for kind in kinds]
        self.llr = _array([float("nan") if j.verdict.llr is None else j.verdict.llr for j in judged])
        self.generated = _mask(j.clip.label is Label.GENERATED for j in judged)
        self.camera = _mask(j.clip.label is Label.CAMERA for j in judged)
        attributed = _mask(kind is VerdictKind.ATTRIBUTED for kind in kinds)
        said = _mask(said_family)
        right = _mask(j.answer is not None and j.answer == j.clip.generator for j in judged)
        top1 = _mask(j.nearest is not None and j.nearest == j.clip.generator for j in judged)
        ranked = _mask(j.leading is not None and j.leading.generator == j.clip.generator for j in judged)
        kin = _mask(j.leading is not None and j.leading.family == j.clip.family for j in judged)
        family = _mask(j.verdict.family is not None and j.verdict.family == j.clip.family for j in judged)
        nameable = _mask(j.nameable for j in judged) & self.generated
        self._base = {
            "generated": self.generated,
            "camera": self.camera,
            "named": self.generated & attributed,
            "family_known": self.generated & _mask(j.clip.family is not None for j in judged),
            "nameable": nameable,
            "unknown": self.generated & ~nameable,
        }
        self._base["family_said"] = self._base["family_known"] & said
        self._hit = {
            "generator_named": attributed,
            "generator_top1": top1,
            "generator_right": right,
            "generator_ranked": ranked,
            "generator_ranked_nameable": ranked,
            "family_ranked": kin,
            "family_named": said,
            "family_right": family,
            "camera_named": said,
            "camera_synthetic": _mask(kind is VerdictKind.SYNTHETIC for kind in kinds),
            "camera_processed": _mask(kind is VerdictKind.PROCESSED_CAMERA for kind in kinds),
            "generator_named_nameable": attributed,
            "generator_top1_nameable": top1,
            "unknown_named": attributed,
        }
        self._top1 = top1

    @property
    def shares(self) -> tuple[str, ...]:
        """The names of all shares."""
        return tuple(SHARES_OF)

    def counts(self, share: str) -> tuple[int, int]:
        """(clips that count, clips asked about) behind a share."""
        base = self._base[SHARES_OF[share]]
        return int((base & self._hit[share]).sum()), int(base.sum())

    def measure(self, rows: NDArray[np.intp] | None = None) -> dict[str, float]:
        """Every figure over these rows (all when None; repeats count); NaN where a figure is not defined."""
        take = np.arange(len(self.judged), dtype=np.intp) if rows is None else rows
        generated, camera = take[self.generated[take]], take[self.camera[take]]
        made, filmed = _finite(self.llr[generated]), _finite(self.llr[camera])
        figures = {"auc": metrics.auc(made, filmed)}
        for share, over in SHARES_OF.items():
            base = take[self._base[over][take]]
            figures[share] = float(self._hit[share][base].mean()) if base.size else float("nan")
        for target in metrics.FPR_TARGETS:
            tpr = metrics.operating_point(made, filmed, target).tpr
            figures[f"tpr_at_fpr_{target:g}"] = float("nan") if tpr is None else tpr
        figures["cllr"] = metrics.cllr(made, filmed)
        figures["min_cllr"] = metrics.min_cllr(made, filmed)
        figures["calibration_error"] = metrics.calibration_error(made, filmed)
        asked = take[self._base["nameable"][take] & np.isfinite(self.llr[take])]
        figures["oscr"] = metrics.oscr(self.llr[asked], self._top1[asked], filmed)
        for name, null in self.nulls.items():
            figures[f"null_{name}_auc"] = metrics.auc(_finite(null.scores[generated]), _finite(null.scores[camera]))
            figures[f"null_{name}_top1"] = float(null.right[generated].mean()) if generated.size else float("nan")
            of_family = take[self._base["family_known"][take]]
            figures[f"null_{name}_family"] = float(null.kin[of_family].mean()) if of_family.size else float("nan")
        figures |= self._excess(figures)
        return figures

    def intervals(self, *, replicates: int, seed: int) -> dict[str, Interval | None]:
        """95 % intervals by bootstrap over sources. A share's interval is never narrower than the exact binomial one
        of its clips (Clopper-Pearson), because resampling cannot see beyond zero alarms.
        """
        rows = [i for i, j in enumerate(self.judged) if j.clip.label is not Label.PROCESSED]
        clips = [self.judged[i].clip for i in rows]
        place = np.array(rows, dtype=np.intp)
        found = metrics.bootstrap_by_source(
            [clip.source for clip in clips],
            [clip.label for clip in clips],
            lambda drawn: self.measure(place[drawn]),
            replicates=replicates,
            seed=seed,
        )
        for share in SHARES_OF:
            hits, asked = self.counts(share)
            interval = found[share]
            if interval is not None and asked:
                exact = metrics.clopper_pearson(hits, asked)
                found[share] = (min(interval[0], exact[0]), max(interval[1], exact[1]))
        return found

    def _excess(self, figures: Mapping[str, float]) -> dict[str, float]:
        """How far the system passes the strongest null, in the same clips."""
        aucs = [figures[f"null_{name}_auc"] for name in self.nulls]
        tops = [figures[f"null_{name}_top1"] for name in self.nulls]
        kins = [figures[f"null_{name}_family"] for name in self.nulls]
        return {
            "excess_auc": figures["auc"] - max(_finite(_array(aucs)), default=float("nan")),
            "excess_top1": figures["generator_top1"] - max(_finite(_array(tops)), default=float("nan")),
            "excess_family": figures["family_ranked"] - max(_finite(_array(kins)), default=float("nan")),
        }


@dataclass(frozen=True, slots=True)
class GeneratorFigures:
    """One generator's row. Counts are clips; auc is of its llr against all camera clips."""

    n: int
    sources: int
    family: str | None
    nameable: int
    named: int
    right: int
    nearest_right: int
    synthetic: int
    llr_median: float
    auc: float


def per_generator(judged: Sequence[Judged]) -> dict[str, GeneratorFigures]:
    """By generator slug, the most clips first."""
    filmed = _llrs([j for j in judged if j.clip.label is Label.CAMERA])
    groups: dict[str, list[Judged]] = {}
    for j in judged:
        if j.clip.label is Label.GENERATED and j.clip.generator is not None:
            groups.setdefault(j.clip.generator, []).append(j)
    rows = {}
    for generator in sorted(groups, key=lambda g: (-len(groups[g]), g)):
        clips = groups[generator]
        named = [j for j in clips if j.verdict.verdict is VerdictKind.ATTRIBUTED]
        llr = _llrs(clips)
        rows[generator] = GeneratorFigures(
            n=len(clips),
            sources=len({j.clip.source for j in clips}),
            family=clips[0].clip.family,
            nameable=sum(j.nameable for j in clips),
            named=len(named),
            right=sum(j.answer == generator for j in named),
            nearest_right=sum(j.nearest == generator for j in clips),
            synthetic=sum(j.verdict.verdict is VerdictKind.SYNTHETIC for j in clips),
            llr_median=float(np.median(llr)) if llr.size else float("nan"),
            auc=metrics.auc(llr, filmed),
        )
    return rows


def verdict_counts(judged: Sequence[Judged]) -> dict[str, dict[str, int]]:
    """{label: {verdict: clips}}, every verdict listed."""
    return {
        label.value: {
            kind.value: sum(j.clip.label is label and j.verdict.verdict is kind for j in judged) for kind in VerdictKind
        }
        for label in Label
    }


def _llrs(judged: Sequence[Judged]) -> NDArray[np.float64]:
    return _array([j.verdict.llr for j in judged if j.verdict.llr is not None])


def _array(values: Sequence[float]) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)


def _mask(values: Iterable[bool]) -> NDArray[np.bool_]:
    return np.fromiter(values, dtype=np.bool_)


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]
