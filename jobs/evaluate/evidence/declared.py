"""What the declared signs are worth: published clips as they are, each judged by statistics without its source.

No codec chain: the signs are the file's packaging, and only untouched files carry it. Clips that were cut without being
encoded again (column ``trimmed``, or ``stream-copied`` in ``notes``) lose their number of frames and keep the rest.

Two levels of holding out. The statistics never see the source that they judge. The posterior from which a name is given
is chosen, for each source, on the answers about all other sources. The weights in ``fingerprint_db.declared_fits`` are
frozen; they were set by looking at some ninety variants on one collection of clips (docs/declared.md says how much
hangs on them).
"""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from cluster.outcome import FailureError
from cluster.sandbox import Limits, Sandbox
from fingerprint_db.declared import CAMERA, NEVER, Declaration, Statistics, learn
from fingerprint_db.declared_fits import UNKNOWN, Scorer
from fingerprint_db.statements import statements
from jobs.decode.protocol import VideoFacts
from jobs.decode.replies import REPLIES, described
from jobs.decode.thumbnail import Packaging
from jobs.evaluate.evidence import EvidenceOptions
from jobs.evaluate.evidence.report import EvidenceReport, Figure
from jobs.evaluate.folds import leave_one_source_out
from jobs.evaluate.manifest import Clip, Label, load_manifest
from jobs.evaluate.metrics import clopper_pearson, risk_coverage
from jobs.evaluate.nulls import TREES, metadata_features
from jobs.settings import Settings

# Share of the names given that a threshold has to have right on the sources it is chosen on. Above the goal of 0.9, as
# the lowest threshold that reaches a share is the luckiest one too.
TARGET = 0.94
FEWEST = 10  # names on which a threshold may rest
GOAL = "named rightly >= 90 % of the times it speaks; speaks on >= 30 %"
STATISTICS = "declared_statistics.json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of one clip. name: the best generator, None where camera or nobody fits better. family: likewise."""

    name: str | None
    posterior: float
    family: str | None
    family_posterior: float


def measure(manifest: Path, settings: Settings, *, options: EvidenceOptions, console: Console) -> EvidenceReport:
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
    return _report(clips, facts, answers, labels, spoken, families, null, statistics, examples)


def named_outright(facts: VideoFacts) -> str | None:
    """The one generator that a file's statements name; None where they name none or several."""
    names = {one.generator for one in statements(facts.declared) if one.generator}
    return names.pop() if len(names) == 1 else None


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


def _report(
    clips: Sequence[Clip],
    facts: Sequence[VideoFacts],
    answers: Sequence[Answer],
    labels: Sequence[str],
    spoken: Sequence[bool],
    families: Sequence[bool],
    null: Sequence[tuple[str, float]],
    statistics: Statistics,
    examples: Sequence[tuple[str, str, Mapping[str, str]]],
) -> EvidenceReport:
    made = [i for i, label in enumerate(labels) if label != CAMERA]
    camera = [i for i, label in enumerate(labels) if label == CAMERA]
    homes: dict[str, set[str]] = defaultdict(set)
    for clip, label in zip(clips, labels, strict=True):
        homes[label].add(clip.source)
    nameable = [i for i in made if len(homes[labels[i]]) > 1]
    right = [_right(clips[i], answers[i], labels[i], False) for i in range(len(clips))]
    said = [i for i in made if spoken[i]]
    by_family = [i for i in made if families[i]]
    named_camera = [i for i in camera if spoken[i]]
    outright = [(i, name) for i in made if (name := named_outright(facts[i]))]
    strongest = sorted((i for i in made if null[i][1] > 0), key=lambda i: -null[i][1])[: len(said)]
    sources = len({clip.source for clip in clips})
    figures = (
        _share("generator named rightly, when it speaks", [right[i] for i in said], "names", GOAL, _HOW),
        _share("share of generated clips it speaks on", [spoken[i] for i in made], "generated clips", GOAL, _SPEAKS),
        _share(
            "the same, of clips whose generator is in another source too",
            [spoken[i] for i in nameable],
            f"clips of {len({labels[i] for i in nameable})} generators",
            "",
            "the others can be named by the catalogue alone, or not at all",
        ),
        _share(
            "named rightly among those", [right[i] for i in nameable if spoken[i]], "names", "", "as the first figure"
        ),
        _share(
            "decoder family named rightly, when it speaks",
            [_right(clips[i], answers[i], labels[i], True) for i in by_family],
            "names",
            "",
            "the posteriors of a family's generators together, with a threshold of its own; a family said of a "
            "generator whose decoder is undisclosed counts as wrong",
        ),
        _share(
            "share of generated clips it names a family for", [families[i] for i in made], "generated clips", "", ""
        ),
        _share(
            "camera clips named as a generator",
            [spoken[i] for i in camera],
            f"camera clips of {len({clips[i].source for i in camera})} sources",
            "",
            f"they come from {len({clips[i].source for i in named_camera})} sources: "
            + (", ".join(sorted({clips[i].source for i in named_camera})) or "none"),
        ),
        _share(
            "camera clips given a family",
            [families[i] for i in camera],
            f"camera clips of {len({clips[i].source for i in camera})} sources",
            "",
            "",
        ),
        _share(
            "generator named outright, rightly",
            [name == labels[i] for i, name in outright],
            "names",
            "",
            "tags, node graphs and content credentials that name one generator (fingerprint_db.statements)",
        ),
        _share(
            "generated clips with content credentials",
            [facts[i].declared.get("c2pa", "absent") != "absent" for i in made],
            "generated clips",
            "",
            "published copies have mostly lost them",
        ),
        _share(
            "null: metadata forest named rightly, as many names as above",
            [null[i][0] == labels[i] for i in strongest],
            "names",
            "",
            "extremely randomised trees on all packaging, the same folds, its most confident answers",
        ),
    )
    order, risks = risk_coverage([answers[i].posterior for i in made], [right[i] for i in made])
    detail: dict[str, Any] = {
        "sources": sources,
        "speak_from": statistics.speak_from,
        "risk_coverage": [[round(float(c), 4), round(float(r), 4)] for c, r in zip(order, risks, strict=True)],
        "wrong": Counter(f"{labels[i]} called {answers[i].name}" for i in said if not right[i]),
        "named": Counter(labels[i] for i in said if right[i]),
        "camera_called": Counter(str(answers[i].name) for i in named_camera),
        "likelihood_ratios": likelihood_ratios(statistics, examples),
    }
    notes = (
        f"{len(clips)} untouched clips of {sources} sources; every source judged by statistics without it, its "
        "threshold chosen on the answers about the others.",
        f"The statistics of all clips name a generator from a posterior of {statistics.speak_from:.3f}, a family from "
        f"{statistics.family_from:.3f}.",
    )
    return EvidenceReport("declared", "What files declare of their making", figures, notes, detail)


_HOW = "leave one source out on untouched published clips; a name is right when it is the label's generator"
_SPEAKS = "posterior over the threshold that the other sources' answers choose"


def _share(name: str, hits: Sequence[bool], what: str, goal: str, how: str) -> Figure:
    low, high = clopper_pearson(sum(hits), len(hits))
    value = sum(hits) / len(hits) if hits else None
    return Figure(name, value, low, high, f"{sum(hits)} of {len(hits)} {what}", goal, how)


def likelihood_ratios(
    statistics: Statistics, examples: Sequence[tuple[str, str, Mapping[str, str]]]
) -> dict[str, dict[str, float]]:
    """By sign: natural log of P(value | own generator) / P(value | camera), the median over each generator's clips."""
    scorer = Scorer(statistics)
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for label, _source, signs in examples:
        if label != CAMERA:
            for sign in scorer.signs_of(label, signs):
                found[sign.sign][label].append(sign.llr)
    return {
        sign: {label: round(float(np.median(values)), 3) for label, values in sorted(by_label.items())}
        for sign, by_label in sorted(found.items())
    }
