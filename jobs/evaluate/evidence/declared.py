"""What the declared signs are worth: published clips as they are, each judged by statistics without its source.

No codec chain: the signs are the file's packaging, and only untouched files carry it. Clips that were cut without being
encoded again (column ``trimmed``, or ``stream-copied`` in ``notes``) lose their number of frames and keep the rest.

Two levels of holding out. The statistics never see the source that they judge. The posterior from which a name is given
is chosen, for each source, on the answers about all other sources. The weights in ``fingerprint_db.declared_fits`` are
frozen; they were set by looking at some hundred variants on one collection of clips (docs/declared.md says how much
hangs on them).
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from cluster.outcome import FailureError
from cluster.sandbox import Limits, Sandbox
from fingerprint_db.declared import CAMERA, NEVER, Declaration, learn
from fingerprint_db.declared_fits import UNKNOWN, Scorer
from jobs.decode.protocol import VideoFacts
from jobs.decode.replies import REPLIES, described
from jobs.decode.thumbnail import Packaging
from jobs.evaluate.evidence import EvidenceOptions, marks
from jobs.evaluate.evidence.declared_figures import Answer, Judged, named_outright, report, share
from jobs.evaluate.folds import leave_one_source_out
from jobs.evaluate.manifest import Clip, Label, load_manifest
from jobs.evaluate.nulls import TREES, metadata_features
from jobs.measured import MeasuredReport
from jobs.settings import Settings

# Share of the names given that a threshold has to have right on the sources it is chosen on. Above the goal of 0.9, as
# the lowest threshold that reaches a share is the luckiest one too.
TARGET = 0.94
FEWEST = 10  # names on which a threshold may rest
STATISTICS = "declared_statistics.json"


def measure(manifest: Path, settings: Settings, *, options: EvidenceOptions, console: Console) -> MeasuredReport:
    """See the module. options.out: where the statistics of all clips are written, with the threshold chosen on all."""
    loaded = load_manifest(manifest)
    wanted = [clip for clip in loaded.clips if clip.label is not Label.PROCESSED]
    clips, facts, packagings = _read(wanted[: options.limit or None], settings, console)
    cut = cut_clips(manifest)
    signs = [_signs(one, clip.name in cut) for clip, one in zip(clips, facts, strict=True)]
    labels = [clip.generator or CAMERA if clip.label is Label.GENERATED else CAMERA for clip in clips]
    examples = list(zip(labels, (clip.source for clip in clips), signs, strict=True))
    answers = cross_judge(clips, examples)
    spoken, families = nested(clips, answers, labels), nested(clips, answers, labels, by_family=True)
    everything = range(len(clips))
    statistics = learn(
        examples,
        _threshold(everything, clips, answers, labels, by_family=False),
        _threshold(everything, clips, answers, labels, by_family=True),
    )
    described_as = {
        "made_by": "makersmark evaluate MANIFEST --evidence declared --out DIR",
        "clips": len(clips),
        "cut_clips": sum(clip.name in cut for clip in clips),
        "sources": len({clip.source for clip in clips}),
        "note": "shares of labelled published clips by source; no clip, frame or file name is in it",
    }
    statistics = replace(statistics, provenance=described_as)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(statistics.to_json(), indent=1, sort_keys=True) + "\n"
        (options.out / STATISTICS).write_text(text, encoding="utf-8")
    null = _null(clips, packagings, labels, options.seed)
    judged = [
        Judged(
            source=clip.source,
            label=label,
            answer=answer,
            named=given,
            family_named=family_given,
            right=_right(clip, answer, label, False),
            family_right=_right(clip, answer, label, True),
            outright=named_outright(one.declared),
            credentials=one.declared.get("c2pa", "absent"),
            null=guess,
        )
        for clip, label, answer, given, family_given, one, guess in zip(
            clips, labels, answers, spoken, families, facts, null, strict=True
        )
    ]
    told = report(judged, statistics, examples, seed=options.seed)
    seen = marks.look(manifest, clips, settings)
    return replace(
        told,
        figures=(*told.figures, *marks.figures(seen, partial(share, seed=options.seed))),
        detail={**told.detail, **marks.detail(seen)},
    )


def cut_clips(manifest: Path) -> frozenset[str]:
    """Names of the clips that are the first seconds of a longer file, copied without encoding them again."""
    with manifest.open(encoding="utf-8-sig", newline="") as stream:
        rows = [
            {str(key).strip(): (value or "").strip() for key, value in row.items()} for row in csv.DictReader(stream)
        ]
    return frozenset(
        row["path"]
        for row in rows
        if row.get("trimmed", "").lower() == "true" or "stream-copied" in row.get("notes", "")
    )


def cross_judge(clips: Sequence[Clip], examples: Sequence[tuple[str, str, Mapping[str, str]]]) -> list[Answer]:
    """Each clip's answer by statistics that lack its source."""
    answers: list[Answer | None] = [None] * len(clips)
    for fold in leave_one_source_out(clips):
        scorer = Scorer(learn(examples[i] for i in fold.known))
        for i in fold.held_out:
            fits = scorer.fits(examples[i][2])
            families = scorer.families(fits)
            name = fits[0].generator if fits[0].generator not in (CAMERA, UNKNOWN) else None
            family, posterior = families[0] if families else (None, 0.0)
            answers[i] = Answer(name, fits[0].posterior if name else 0.0, family, posterior)
    return [answer for answer in answers if answer is not None]


def nested(
    clips: Sequence[Clip], answers: Sequence[Answer], labels: Sequence[str], *, by_family: bool = False
) -> list[bool]:
    """Whether each clip's answer is given, by the threshold that the other sources' answers would have chosen."""
    by_source: dict[str, list[int]] = defaultdict(list)
    for i, clip in enumerate(clips):
        by_source[clip.source].append(i)
    given = [False] * len(clips)
    for source, held in by_source.items():
        others = [i for i, clip in enumerate(clips) if clip.source != source]
        threshold = _threshold(others, clips, answers, labels, by_family=by_family)
        for i in held:
            given[i] = _confidence(answers[i], by_family) >= threshold
    return given


def _threshold(
    among: Sequence[int], clips: Sequence[Clip], answers: Sequence[Answer], labels: Sequence[str], *, by_family: bool
) -> float:
    """The lowest posterior from which names among these generated clips are right as often as the target asks.

    NEVER where no threshold with enough names does that.
    """
    rows = sorted(
        (
            (_confidence(answers[i], by_family), _right(clips[i], answers[i], labels[i], by_family))
            for i in among
            if labels[i] != CAMERA and _confidence(answers[i], by_family) > 0
        ),
        reverse=True,
    )
    chosen, right = NEVER, 0
    for count, (posterior, good) in enumerate(rows, 1):
        right += good
        tied = count < len(rows) and rows[count][0] == posterior
        if not tied and count >= FEWEST and right / count >= TARGET:
            chosen = posterior
    return chosen


def _confidence(answer: Answer, by_family: bool) -> float:
    return answer.family_posterior if by_family else answer.posterior


def _right(clip: Clip, answer: Answer, label: str, by_family: bool) -> bool:
    return clip.family is not None and answer.family == clip.family if by_family else answer.name == label


def _signs(facts: VideoFacts, cut: bool) -> dict[str, str]:
    frames = 0 if cut else facts.frame_count
    return Declaration(facts.width, facts.height, facts.fps, frames, facts.codec, told=facts.declared).signs()


def _read(
    clips: Sequence[Clip], settings: Settings, console: Console
) -> tuple[list[Clip], list[VideoFacts], list[Packaging]]:
    """Facts and packaging of each clip, by confined children; clips that cannot be opened are named and left out."""
    limits = Limits(total_s=settings.file_s, stall_s=settings.stall_s, memory_mb=settings.decode_mb)
    kept: list[Clip] = []
    facts: list[VideoFacts] = []
    packagings: list[Packaging] = []
    with Sandbox("jobs.decode.declaration:serve_packaging", limits, replies=(*REPLIES, Packaging)) as child:
        for clip in clips:
            try:
                *replies, packaging = child.call(str(clip.path.absolute()))
                one = described(replies)
            except FailureError as error:
                console.print(f"left out: {clip.name}: {error.failure.message}", highlight=False, markup=False)
                continue
            kept.append(clip)
            facts.append(one)
            packagings.append(packaging)
    return kept, facts, packagings


def _null(
    clips: Sequence[Clip], packagings: Sequence[Packaging], labels: Sequence[str], seed: int
) -> list[tuple[str, float]]:
    """(name, confidence) by extremely randomised trees on all packaging (jobs.evaluate.nulls), the same folds."""
    from sklearn.ensemble import ExtraTreesClassifier  # takes a second that other verbs need not wait for

    features, made = metadata_features(packagings), np.array(labels)
    found = [("", 0.0)] * len(clips)
    for fold in leave_one_source_out(clips):
        known, held = list(fold.known), list(fold.held_out)
        forest = ExtraTreesClassifier(TREES, class_weight="balanced", random_state=seed, n_jobs=1)
        shares = forest.fit(features[known], made[known]).predict_proba(features[held])
        for i, row in zip(held, shares, strict=True):
            best = int(np.argmax(row))
            name = str(forest.classes_[best])
            found[i] = (name, 0.0 if name == CAMERA else float(row[best]))
    return found
