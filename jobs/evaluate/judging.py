"""Every clip judged by a system that has not seen its source (or its maker), through one chain or through many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fingerprint_db.build import build_snapshot
from fingerprint_db.matcher import Leading, Matcher
from fingerprint_db.signature import SignatureRecord
from fingerprint_db.snapshot import Snapshot
from fingerprint_db.verdict import Verdict
from jobs.evaluate.figures import Judged
from jobs.evaluate.folds import Fold
from jobs.evaluate.gather import Evidence
from jobs.evaluate.manifest import Clip, Label, Resolve
from jobs.record import verdict_on
from jobs.snapshots import CAMERA

Copies = Mapping[str, Evidence]  # evidence of the same clips through another chain, by clip name
Lesson = tuple[Clip, Evidence]  # a clip that is learned from and never judged


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A published snapshot and the signatures it was built from, which say what content it has seen."""

    snapshot: Snapshot
    records: Sequence[SignatureRecord]


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """One fold with the matcher that was built from its known side. makers: of whom it holds a signature."""

    fold: Fold
    matcher: Matcher
    makers: frozenset[str]


def train(
    clips: Sequence[Clip],
    evidence: Sequence[Evidence],
    also: Sequence[Copies],
    folds: Sequence[Fold],
    spec_id: str,
    *,
    beside: Sequence[Lesson] = (),
    shuffle: int | None = None,
    progress: Callable[[str], None] = lambda _step: None,
) -> Iterator[Trained]:
    """Build each fold's system from its known clips, and from their copies through other chains (``also``).

    beside: clips of other manifests (a decoder bench) that every fold learns from as well, except those that share a
    source with a held-out clip, or a maker that the fold knows from nowhere else.
    shuffle: seed by which the makers are dealt anew among the known clips of each fold, for the null of shuffled
    labels; None leaves them as they are.
    """
    families, kinds = _facts([*clips, *(clip for clip, _ in beside)])
    random = np.random.default_rng(shuffle)
    for fold in folds:
        progress(fold.name)
        makers = {i: maker_of(clips[i]) for i in fold.known}
        if shuffle is not None:
            named = [i for i in fold.known if makers[i] is not None]
            dealt = random.permutation(len(named))
            makers |= {i: maker_of(clips[named[k]]) for i, k in zip(named, dealt, strict=True)}
        learned: list[SignatureRecord] = []
        for i in fold.known:
            seen = [evidence[i], *(copies[clips[i].name] for copies in also if clips[i].name in copies)]
            found = (_record(clips[i], makers[i], one, spec_id) for one in seen)
            learned += [record for record in found if record is not None]
        lessons = (_record(clip, maker_of(clip), seen, spec_id) for clip, seen in _apart(beside, clips, fold))
        learned += [record for record in lessons if record is not None]
        snapshot = build_snapshot(
            learned, spec_id=spec_id, families=families | {CAMERA: None}, kinds=kinds, notes=f"evaluation, {fold.name}"
        )
        yield Trained(fold, Matcher(snapshot), frozenset(record.generator for record in learned))


def _apart(beside: Sequence[Lesson], clips: Sequence[Clip], fold: Fold) -> Iterator[Lesson]:
    """What a fold may learn from besides its own: nothing of a held-out source, nothing of a maker held out whole."""
    sources = {clips[i].source for i in fold.held_out}
    unknown = {maker_of(clips[i]) for i in fold.held_out} - {maker_of(clips[i]) for i in fold.known} - {CAMERA}
    return ((clip, seen) for clip, seen in beside if clip.source not in sources and maker_of(clip) not in unknown)


def judge_fold(
    trained: Trained, clips: Sequence[Clip], evidence: Mapping[int, Evidence], spec_id: str, resolve: Resolve
) -> dict[int, Judged]:
    """The fold's held-out clips, by number; ``evidence`` may lack some (a chain that could not be prepared)."""
    return {
        i: _judged(
            trained.matcher, clips[i], evidence[i], spec_id, {CAMERA}, clips[i].generator in trained.makers, resolve
        )
        for i in trained.fold.held_out
        if i in evidence
    }


def judge_by_snapshot(
    clips: Sequence[Clip], evidence: Sequence[Evidence], known: Known, spec_id: str, resolve: Resolve
) -> list[Judged]:
    """Every clip judged by one published snapshot."""
    matcher = Matcher(known.snapshot)
    filming = {entry.generator for entry in known.snapshot.classes if entry.kind == "camera"}
    makers = {canonical(record.generator, resolve) for record in known.records}
    return [
        _judged(matcher, clip, seen, spec_id, filming, clip.generator in makers, resolve)
        for clip, seen in zip(clips, evidence, strict=True)
    ]


def maker_of(clip: Clip) -> str | None:
    """The class a clip is learned as; None for footage processed by nobody knows what."""
    return CAMERA if clip.label is Label.CAMERA else clip.generator


def canonical(generator: str, resolve: Resolve) -> str:
    """The manifest's name of a maker that a snapshot may know under a version's slug."""
    found = resolve(generator)
    return found.generator if found else generator


def _facts(clips: Sequence[Clip]) -> tuple[dict[str, str | None], dict[str, str]]:
    families: dict[str, str | None] = {}
    for clip in clips:
        if clip.generator is not None:
            # Versions of one generator may have different decoders; then its family cannot be said.
            same = families.get(clip.generator, clip.family) == clip.family
            families[clip.generator] = clip.family if same else None
    kinds = {CAMERA: "camera"}
    kinds |= {c.generator: "generator" for c in clips if c.generator and c.label is Label.GENERATED}
    kinds |= {c.generator: "processor" for c in clips if c.generator and c.label is Label.PROCESSED}
    return families, kinds


def _record(clip: Clip, maker: str | None, seen: Evidence, spec_id: str) -> SignatureRecord | None:
    """The clip as a signature; None when it has no window, or nobody to be named (a processor without a name)."""
    if maker is None or not seen.file.windows:
        return None
    return SignatureRecord.from_windows(
        seen.file.windows,
        # The copy's own content: under the clip's, copies through several chains would replace one another.
        sha256=seen.file.sha256,
        generator=maker,
        source=clip.source,
        spec_id=spec_id,
        quality=seen.file.facts.quality(seen.file.coverage),
        origin="evaluation",
    )


def _judged(
    matcher: Matcher,
    clip: Clip,
    seen: Evidence,
    spec_id: str,
    filming: set[str],
    nameable: bool,
    resolve: Resolve,
) -> Judged:
    """The verdict in the manifest's names. filming: the classes that are cameras."""
    verdict: Verdict = verdict_on(matcher, seen.file, spec_id)
    nearest = next((near.generator for near in verdict.nearest if near.generator not in filming), None)
    lead = matcher.leading(seen.file.windows)
    if lead is not None:
        lead = Leading(canonical(lead.generator, resolve), lead.family, lead.margin)
    return Judged(
        clip=clip,
        verdict=verdict,
        answer=canonical(verdict.generator, resolve) if verdict.generator else None,
        nearest=canonical(nearest, resolve) if nearest else None,
        nameable=nameable,
        leading=lead,
    )
