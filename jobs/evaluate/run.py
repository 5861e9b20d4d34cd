"""The evaluation: every clip judged by a system that has not seen it, and the figures of those verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fingerprint_db.build import build_snapshot
from fingerprint_db.matcher import Matcher
from fingerprint_db.signature import SignatureRecord
from fingerprint_db.snapshot import Snapshot
from fingerprint_db.verdict import Verdict
from jobs.evaluate import metrics
from jobs.evaluate.figures import FigureTable, Judged, NullTable, per_generator, verdict_counts
from jobs.evaluate.folds import Fold, leave_one_generator_out, leave_one_source_out, same_page_sets
from jobs.evaluate.gather import Evidence, Gathered
from jobs.evaluate.manifest import Clip, Label, LeftOut, Manifest, Resolve, resolve_by_catalogue
from jobs.evaluate.nulls import TREES, score_nulls
from jobs.evaluate.report import EvaluationReport, PageFigures
from jobs.record import judge_file
from jobs.snapshots import CAMERA

Protocol = Literal["auto", "snapshot", "leave_one_source_out", "leave_one_generator_out"]
SystemName = Literal["leave_one_source_out", "leave_one_generator_out"]


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A published snapshot and the signatures it was built from, which say what content it has seen."""

    snapshot: Snapshot
    records: Sequence[SignatureRecord]


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """protocol: ``auto`` judges by the given snapshot when it has signatures and shares no content with the manifest,
    otherwise leaves sources out. max_folds: sources (or generators) are dealt to at most so many folds, None: no limit.
    replicates, seed: of the bootstrap; the seed also steers the nulls. chain: how the clips were prepared, for the
    report. trees: of the metadata and thumbnail nulls.
    """

    protocol: Protocol = "auto"
    max_folds: int | None = 10
    replicates: int = 1000
    seed: int = 0
    chain: str = "none"
    trees: int = TREES


def evaluate(
    manifest: Manifest,
    gathered: Gathered,
    *,
    spec_id: str,
    known: Known | None = None,
    also: Sequence[Mapping[str, Evidence]] = (),
    options: EvaluationOptions | None = None,
    resolve: Resolve = resolve_by_catalogue,
    progress: Callable[[str], None] = lambda _step: None,
) -> EvaluationReport:
    """Judge the gathered clips and measure the verdicts; deterministic for equal inputs and options.

    also: the same clips through other chains, by name; folds learn from them too and never judge them.
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
    if protocol == "snapshot" and known is not None:
        folds = _null_folds(clips, options.max_folds, notes)
        judged = _by_snapshot(clips, evidence, known, spec_id, resolve)
        sources = {record.source for record in known.records}
        shared = sum(clip.source in sources for clip in clips)
        if shared:
            notes.append(f"{shared} of {len(clips)} clips come from sources that the snapshot has signatures of.")
    else:
        by_source = protocol == "leave_one_source_out"
        folds = (leave_one_source_out if by_source else leave_one_generator_out)(clips, options.max_folds)
        judged = _by_folds(clips, evidence, also, folds, spec_id, resolve, progress)
    progress("nulls")
    nulls = _nulls(clips, evidence, folds, options)
    table = FigureTable(judged, nulls)
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


def _by_snapshot(
    clips: Sequence[Clip], evidence: Sequence[Evidence], known: Known, spec_id: str, resolve: Resolve
) -> list[Judged]:
    matcher = Matcher(known.snapshot)
    filming = {entry.generator for entry in known.snapshot.classes if entry.kind == "camera"}
    makers = {_canonical(record.generator, resolve) for record in known.records}
    return [
        _judged(clip, judge_file(matcher, seen.file, spec_id), filming, clip.generator in makers, resolve)
        for clip, seen in zip(clips, evidence, strict=True)
    ]


def _by_folds(
    clips: Sequence[Clip],
    evidence: Sequence[Evidence],
    also: Sequence[Mapping[str, Evidence]],
    folds: Sequence[Fold],
    spec_id: str,
    resolve: Resolve,
    progress: Callable[[str], None],
) -> list[Judged]:
    """Each fold's clips, judged by a snapshot built from the fold's known side, in the order of ``clips``."""
    families: dict[str, str | None] = {}
    for clip in clips:
        if clip.generator is not None:
            # Versions of one generator may have different decoders; then its family cannot be said.
            same = families.get(clip.generator, clip.family) == clip.family
            families[clip.generator] = clip.family if same else None
    kinds = {CAMERA: "camera"}
    kinds |= {c.generator: "generator" for c in clips if c.generator and c.label is Label.GENERATED}
    kinds |= {c.generator: "processor" for c in clips if c.generator and c.label is Label.PROCESSED}
    copies = [
        [seen, *(more[c.name] for more in also if c.name in more)] for c, seen in zip(clips, evidence, strict=True)
    ]
    records = [[_record(clip, copy, spec_id) for copy in each] for clip, each in zip(clips, copies, strict=True)]
    judged: dict[int, Judged] = {}
    for fold in folds:
        progress(fold.name)
        learned = [record for i in fold.known for record in records[i] if record is not None]
        snapshot = build_snapshot(
            learned, spec_id=spec_id, families=families | {CAMERA: None}, kinds=kinds, notes=f"evaluation, {fold.name}"
        )
        matcher = Matcher(snapshot)
        makers = {record.generator for record in learned}
        for i in fold.held_out:
            verdict = judge_file(matcher, evidence[i].file, spec_id)
            judged[i] = _judged(clips[i], verdict, {CAMERA}, clips[i].generator in makers, resolve)
    return [judged[i] for i in range(len(clips))]


def _record(clip: Clip, seen: Evidence, spec_id: str) -> SignatureRecord | None:
    """The clip as a signature; None when it has no window, or nobody to be named (a processor without a name)."""
    maker = CAMERA if clip.label is Label.CAMERA else clip.generator
    if maker is None or not seen.file.windows:
        return None
    return SignatureRecord.from_windows(
        seen.file.windows,
        sha256=clip.sha256,
        generator=maker,
        source=clip.source,
        spec_id=spec_id,
        quality=seen.file.facts.quality(seen.file.coverage),
        origin="evaluation",
    )


def _judged(clip: Clip, verdict: Verdict, filming: set[str], nameable: bool, resolve: Resolve) -> Judged:
    """The verdict in the manifest's names. filming: the classes that are cameras."""
    nearest = next((near.generator for near in verdict.nearest if near.generator not in filming), None)
    return Judged(
        clip=clip,
        verdict=verdict,
        answer=_canonical(verdict.generator, resolve) if verdict.generator else None,
        nearest=_canonical(nearest, resolve) if nearest else None,
        nameable=nameable,
    )


def _canonical(generator: str, resolve: Resolve) -> str:
    found = resolve(generator)
    return found.generator if found else generator


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
    return {
        name: NullTable(
            null.scores,
            np.array(
                [g is not None and g == c.generator for g, c in zip(null.guesses, clips, strict=True)], dtype=bool
            ),
        )
        for name, null in scored.items()
    }


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
