"""The evaluation: every clip judged by a system that has not seen it, and the figures of those verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from jobs.evaluate import metrics
from jobs.evaluate.curves import curves_of
from jobs.evaluate.fewshot import few_shot_pages
from jobs.evaluate.figures import FigureTable, Judged, NullTable, per_generator, verdict_counts
from jobs.evaluate.folds import Fold, leave_one_generator_out, leave_one_source_out, same_page_sets
from jobs.evaluate.gather import Evidence, Gathered
from jobs.evaluate.grid import Cell, measure_cell
from jobs.evaluate.judging import Copies, Known, Lesson, Trained, judge_by_snapshot, judge_fold, train
from jobs.evaluate.manifest import Clip, Label, LeftOut, Manifest, Resolve, resolve_by_catalogue
from jobs.evaluate.nulls import TREES, NullScores, score_nulls, score_sharpness
from jobs.evaluate.report import EvaluationReport, OpenSet, PageFigures

Protocol = Literal["auto", "snapshot", "leave_one_source_out", "leave_one_generator_out"]
SystemName = Literal["leave_one_source_out", "leave_one_generator_out"]


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """protocol: ``auto`` judges by the given snapshot when it has signatures and shares no content with the manifest,
    otherwise leaves sources out. max_folds: sources (or generators) are dealt to at most so many folds, None: no limit.
    replicates, seed: of the bootstrap; the seed also steers the nulls. chain: how the clips were prepared, for the
    report; learned: the spellings of all chains that the folds learn from. trees: of the nulls that are forests.
    open_set: also leave every generator out once. shuffled: also run the null of shuffled labels.
    """

    protocol: Protocol = "auto"
    max_folds: int | None = 10
    replicates: int = 1000
    seed: int = 0
    chain: str = "none"
    learned: tuple[str, ...] = ()
    trees: int = TREES
    open_set: bool = True
    shuffled: bool = True


@dataclass(slots=True)
class _Case:
    """What every step of one evaluation needs. evidence, also, grid: by clip number, by name, by chain and name."""

    clips: Sequence[Clip]
    evidence: Sequence[Evidence]
    also: Sequence[Copies]
    beside: Sequence[Lesson]
    grid: Mapping[str, Copies]
    spec_id: str
    resolve: Resolve
    progress: Callable[[str], None]
    cells: dict[str, dict[int, Judged]] = field(default_factory=dict)

    def train(self, folds: Sequence[Fold]) -> Iterator[Trained]:
        """The system of each fold, learned from its known side and from what lies beside."""
        return train(
            self.clips,
            self.evidence,
            self.also,
            folds,
            self.spec_id,
            beside=self.beside,
            progress=self.progress,
        )

    def copies(self, chain: str) -> dict[int, Evidence]:
        """Evidence of one chain by clip number, of the clips that went through it."""
        found = self.grid[chain]
        return {i: found[clip.name] for i, clip in enumerate(self.clips) if clip.name in found}


def evaluate(
    manifest: Manifest,
    gathered: Gathered,
    *,
    spec_id: str,
    known: Known | None = None,
    also: Sequence[Copies] = (),
    beside: Sequence[Lesson] = (),
    grid: Mapping[str, Copies] | None = None,
    options: EvaluationOptions | None = None,
    resolve: Resolve = resolve_by_catalogue,
    progress: Callable[[str], None] = lambda _step: None,
) -> EvaluationReport:
    """Judge the gathered clips and measure the verdicts; deterministic for equal inputs and options.

    also: the same clips through other chains, by name; folds learn from them too and never judge them.
    beside: clips of other manifests that folds learn from too, as far as they share no source with what is judged.
    grid: the same clips through further chains, by chain; they are judged by the same folds and never learned from.
    known: what the ``snapshot`` protocol judges by; clips whose content it has seen are left out and listed.
    progress: called with a few words before each fold. Raises ValueError, one sentence, when the protocol asked for
    cannot be run (no snapshot, fewer than two sources, no clip left).
    """
    options = options or EvaluationOptions()
    clips = [clip for clip in manifest.clips if clip.name in gathered.evidence]
    left_out = list(gathered.left_out)
    protocol, why = _choose(options.protocol, clips, known)
    if protocol == "snapshot" and known is not None:
        seen = {record.sha256 for record in known.records}
        left_out += [
            LeftOut(clip.name, "enrolled", "its content is among the snapshot's own signatures")
            for clip in clips
            if clip.sha256 in seen
        ]
        clips = [clip for clip in clips if clip.sha256 not in seen]
    if not clips:
        raise ValueError("no clip is left to judge: every one is unreadable or already enrolled")
    evidence = [gathered.evidence[clip.name] for clip in clips]
    notes: list[str] = []
    case = _Case(clips, evidence, also, beside, grid or {}, spec_id, resolve, progress)
    shuffled: NullTable | None = None
    if protocol == "snapshot" and known is not None:
        folds = _null_folds(clips, options.max_folds, notes)
        judged = _by_snapshot(case, known)
        sources = {record.source for record in known.records}
        shared = sum(clip.source in sources for clip in clips)
        if shared:
            notes.append(f"{shared} of {len(clips)} clips come from sources that the snapshot has signatures of.")
    else:
        by_source = protocol == "leave_one_source_out"
        folds = (leave_one_source_out if by_source else leave_one_generator_out)(clips, options.max_folds)
        judged = _by_folds(case, folds)
        if options.shuffled:
            shuffled = _shuffled(case, folds, options.seed)
    open_set = None
    if options.open_set and protocol == "leave_one_source_out":
        open_set = _open_set(case, options, notes)
    progress("nulls")
    nulls = _nulls(clips, evidence, folds, options)
    if shuffled is not None:
        nulls["shuffled_labels"] = shuffled
    table = FigureTable(judged, nulls)
    progress("pages")
    few_shot = few_shot_pages(clips, evidence)
    progress("intervals")
    made = [j.verdict.llr for j in judged if j.clip.label is Label.GENERATED and j.verdict.llr is not None]
    filmed = [j.verdict.llr for j in judged if j.clip.label is Label.CAMERA and j.verdict.llr is not None]
    silent = sum(j.verdict.llr is None for j in judged)
    if silent:
        notes.append(
            f"{silent} clips brought no window and have no llr; they count in the shares and not in the scores."
        )
    return EvaluationReport(
        protocol=protocol,
        why=why,
        chain=options.chain,
        spec=spec_id,
        snapshot=known.snapshot.id if protocol == "snapshot" and known is not None else None,
        folds=len(folds) if protocol != "snapshot" else 0,
        seed=options.seed,
        clips={label.value: sum(clip.label is label for clip in clips) for label in Label},
        sources={label.value: len({c.source for c in clips if c.label is label}) for label in Label},
        source_count=len({clip.source for clip in clips}),
        figures=table.measure(),
        counts={share: table.counts(share) for share in table.shares},
        ci95=table.intervals(replicates=options.replicates, seed=options.seed),
        operating_points=tuple(metrics.operating_point(made, filmed, target) for target in metrics.FPR_TARGETS),
        null_names=tuple(nulls),
        per_generator=per_generator(judged),
        verdicts=verdict_counts(judged),
        confusion=metrics.confusion(
            [j.clip.generator or j.clip.label.value for j in judged],
            [j.answer or j.verdict.verdict.value for j in judged],
        ),
        same_page=_pages(judged),
        processed=tuple(j for j in judged if j.clip.label is Label.PROCESSED),
        left_out=tuple(left_out),
        notes=tuple(notes),
        curves=curves_of(judged),
        few_shot=few_shot,
        open_set=open_set,
        grid=_cells(case, folds, options),
    )


def _choose(asked: Protocol, clips: Sequence[Clip], known: Known | None) -> tuple[Protocol, str]:
    """The protocol in force, and why."""
    if asked == "snapshot":
        if known is None or not known.records:
            raise ValueError(
                "there is no snapshot with signatures to judge by: enroll clips first, or leave sources out"
            )
        return asked, "as asked for"
    if asked != "auto":
        return asked, "as asked for"
    if known is None or not known.records:
        return "leave_one_source_out", "no snapshot with signatures was at hand"
    enrolled = {record.sha256 for record in known.records}
    shared = sum(clip.sha256 in enrolled for clip in clips)
    if shared:
        return "leave_one_source_out", f"{shared} of {len(clips)} clips are enrolled in the snapshot itself"
    return "snapshot", "the snapshot has seen none of these clips"


def _by_snapshot(case: _Case, known: Known) -> list[Judged]:
    for chain in case.grid:
        copies = case.copies(chain)
        through = judge_by_snapshot(
            [case.clips[i] for i in copies], list(copies.values()), known, case.spec_id, case.resolve
        )
        case.cells[chain] = dict(zip(copies, through, strict=True))
    return judge_by_snapshot(case.clips, case.evidence, known, case.spec_id, case.resolve)


def _by_folds(case: _Case, folds: Sequence[Fold]) -> list[Judged]:
    """Each fold's clips, judged by what was built from the fold's known side, in the order of the clips; every chain of
    the grid is judged by the same systems on the way.
    """
    judged: dict[int, Judged] = {}
    evidence = dict(enumerate(case.evidence))
    chains = {chain: case.copies(chain) for chain in case.grid}
    for trained in case.train(folds):
        judged |= judge_fold(trained, case.clips, evidence, case.spec_id, case.resolve)
        for chain, copies in chains.items():
            through = judge_fold(trained, case.clips, copies, case.spec_id, case.resolve)
            case.cells.setdefault(chain, {}).update(through)
    return [judged[i] for i in range(len(case.clips))]


def _shuffled(case: _Case, folds: Sequence[Fold], seed: int) -> NullTable:
    """The system itself, taught who made what by lot: whatever it finds then was not learned from labels."""
    evidence = dict(enumerate(case.evidence))
    found: dict[int, Judged] = {}
    for trained in train(case.clips, case.evidence, case.also, folds, case.spec_id, shuffle=seed):
        case.progress(f"shuffled labels, {trained.fold.name}")
        found |= judge_fold(trained, case.clips, evidence, case.spec_id, case.resolve)
    judged = [found[i] for i in range(len(case.clips))]
    return NullTable(
        np.array([float("nan") if j.verdict.llr is None else j.verdict.llr for j in judged], dtype=np.float64),
        np.array([j.nearest is not None and j.nearest == j.clip.generator for j in judged], dtype=bool),
        np.array([j.leading is not None and j.leading.family == j.clip.family for j in judged], dtype=bool),
    )


def _open_set(case: _Case, options: EvaluationOptions, notes: list[str]) -> OpenSet | None:
    """Every generator unknown once, with all that its pages published."""
    try:
        folds = leave_one_generator_out(case.clips, options.max_folds)
    except ValueError as error:
        notes.append(f"There is no open set to judge: {error}.")
        return None
    evidence = dict(enumerate(case.evidence))
    judged: list[Judged] = []
    for trained in case.train(folds):
        judged += judge_fold(trained, case.clips, evidence, case.spec_id, case.resolve).values()
    table = FigureTable(judged, {})
    figures = table.measure()
    intervals = table.intervals(replicates=options.replicates, seed=options.seed)
    made = [j for j in judged if j.clip.label is Label.GENERATED]
    return OpenSet(
        folds=len(folds),
        auc=figures["auc"],
        auc_ci95=intervals["auc"],
        tpr_at_fpr={f"{target:g}": figures[f"tpr_at_fpr_{target:g}"] for target in metrics.FPR_TARGETS},
        synthetic=(sum(j.verdict.verdict.value == "synthetic" for j in made), len(made)),
        named=table.counts("unknown_named"),
        family_named=table.counts("family_named"),
        family_right=table.counts("family_right"),
        camera_named=table.counts("camera_named"),
        camera_synthetic=table.counts("camera_synthetic"),
    )


def _cells(case: _Case, folds: Sequence[Fold], options: EvaluationOptions) -> tuple[Cell, ...]:
    """Figures of every chain of the grid, the null of sharpness learned on the judged chain beside each."""
    cells = []
    learned = [seen.prepared.glance for seen in case.evidence]
    for chain, judged in case.cells.items():
        case.progress(f"grid, {chain}")
        copies = case.copies(chain)
        numbers = sorted(judged)
        if not numbers:
            continue
        glances = [copies[i].prepared.glance if i in copies else learned[i] for i in range(len(case.clips))]
        null = score_sharpness(case.clips, learned, glances, folds) if folds else None
        cells.append(
            measure_cell(
                chain,
                [judged[i] for i in numbers],
                _null_table(null, case.clips, numbers),
                learned=chain in options.learned,
                unreadable=len(case.clips) - len(numbers),
                seed=options.seed,
            )
        )
    return tuple(cells)


def _null_folds(clips: Sequence[Clip], max_folds: int | None, notes: list[str]) -> tuple[Fold, ...]:
    """A snapshot has no training clips that a null could learn from, so the nulls leave sources out."""
    try:
        folds = leave_one_source_out(clips, max_folds)
    except ValueError as error:
        notes.append(f"There are no nulls to compare with: {error}.")
        return ()
    notes.append("The nulls learned from the other sources of this manifest, which the snapshot has not seen.")
    return folds


def _nulls(
    clips: Sequence[Clip], evidence: Sequence[Evidence], folds: Sequence[Fold], options: EvaluationOptions
) -> dict[str, NullTable]:
    if not folds:
        return {}
    packagings = [seen.prepared.packaging for seen in evidence]
    glances = [seen.prepared.glance for seen in evidence]
    scored = score_nulls(clips, packagings, glances, folds, seed=options.seed, trees=options.trees)
    everyone = range(len(clips))
    return {name: _null_table(null, clips, everyone) for name, null in scored.items()}


def _null_table(null: NullScores | None, clips: Sequence[Clip], numbers: Sequence[int]) -> NullTable:
    """A null's answers about the clips of these numbers; nothing known where there is no null."""
    if null is None:
        nothing = np.zeros(len(numbers), dtype=bool)
        return NullTable(np.full(len(numbers), np.nan), nothing, nothing)
    right = [null.guesses[i] is not None and null.guesses[i] == clips[i].generator for i in numbers]
    kin = [null.families[i] is not None and null.families[i] == clips[i].family for i in numbers]
    return NullTable(null.scores[list(numbers)], np.array(right, dtype=bool), np.array(kin, dtype=bool))


def _pages(judged: Sequence[Judged]) -> dict[str, PageFigures]:
    """Figures inside each page that shows several makers side by side."""
    pages = {}
    for page, members in same_page_sets([j.clip for j in judged]).items():
        on_page = [judged[i] for i in members]
        made = [j for j in on_page if j.clip.label is Label.GENERATED]
        filmed = [j for j in on_page if j.clip.label is Label.CAMERA]
        pages[page] = PageFigures(
            n=len(on_page),
            makers=len({j.clip.generator for j in made}),
            camera=len(filmed),
            nameable=sum(j.nameable for j in made),
            named=sum(j.answer is not None for j in made),
            right=sum(j.answer is not None and j.answer == j.clip.generator for j in made),
            nearest_right=sum(j.nearest == j.clip.generator for j in made),
            auc=metrics.auc(
                [j.verdict.llr for j in made if j.verdict.llr is not None],
                [j.verdict.llr for j in filmed if j.verdict.llr is not None],
            ),
        )
    return pages
