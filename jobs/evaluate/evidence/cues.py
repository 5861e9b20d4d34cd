"""Artefact cues: what camera footage shows by resolution and bitrate, how often a cue alarms falsely, what it tells.

Ranges come from camera clips as published and through x264 at four qualities and three scales; a range is held
against sources that it was not made of (one left out at a time). What a cue tells of generated clips is measured
through one codec chain for all, with the metadata null beside it.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from fingerprint_db.cues.definitions import CUE_NAMES
from fingerprint_db.cues.ranges import RangeTable, file_values
from jobs.bench.speed import cue_shares
from jobs.encode import CodecChain
from jobs.evaluate.cache import EvaluationCache
from jobs.evaluate.chain import EvaluationChain
from jobs.evaluate.cue_ranges import REPLICATES, Bounded, Seen, alarms_of, false_alarms, range_table, write_ranges
from jobs.evaluate.evidence import EvidenceOptions
from jobs.evaluate.folds import leave_one_source_out
from jobs.evaluate.gather import Gathered, gather
from jobs.evaluate.grid import CRFS, SCALES
from jobs.evaluate.manifest import Label, Manifest, load_manifest
from jobs.evaluate.metrics import auc, bootstrap_by_source
from jobs.evaluate.nulls import score_nulls
from jobs.evaluate.part_worker import measure_files
from jobs.measured import Figure, MeasuredReport
from jobs.progress import Meter
from jobs.scan import current_spec
from jobs.settings import Settings

# Of the copies for ranges: two bursts are enough for a file's medians, and whole frames keep their resolution.
RANGE_FRAMES, WHOLE_PX = 32, 8192
PUBLISHED = "as published"
COST_SIDES = (("1080p", 1000, 1200), ("720p", 700, 800), ("480p", 470, 490))
COST_FILES, COST_ROUNDS = 4, 5


def measure(manifest: Path, settings: Settings, *, options: EvidenceOptions, console: Console) -> MeasuredReport:
    """Ranges, false alarms and what cues tell; ``options.out`` gets ``cue_ranges.json``."""
    clips = _chosen(load_manifest(manifest), options)
    cache = EvaluationCache(options.cache / "cues")
    forms = range_forms()
    cameras = replace(clips, clips=tuple(clip for clip in clips.clips if clip.label is Label.CAMERA))
    seen: list[Seen] = []
    with Meter(console, "cues", 2 * (len(forms) * len(cameras.clips) + len(clips.clips))) as meter:

        def gathered(of: Manifest, chain: EvaluationChain | None) -> Gathered:
            step: Callable[[str], None] = lambda _step: meter.advance()  # noqa: E731
            return gather(of, settings, chain=chain, cache=cache, fingerprint=measure_files, progress=step)

        for chain in forms:
            seen += _seen(cameras, gathered(cameras, chain), chain.name if chain else PUBLISHED)
        judged = gathered(clips, EvaluationChain())
    alike = _seen(clips, judged, EvaluationChain().name)
    alarms = false_alarms(seen)
    provenance = {
        "spec": current_spec(settings).id,
        "made": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "files": len(seen),
        "clips": len({s.clip.name for s in seen}),
        "sources": len({s.clip.source for s in seen}),
        "forms": [chain.name if chain else PUBLISHED for chain in forms],
        "command": "makersmark evaluate MANIFEST --evidence cues --out fingerprint_db",
    }
    table = range_table(seen, {name: rate for name, (rate, _) in alarms.items()}, provenance)
    if options.out is not None:
        write_ranges(table, options.out / "cue_ranges.json")
    return _report(seen, alarms, table, alike, judged, cost_figures(seen, settings), options.seed)


def range_forms() -> tuple[EvaluationChain | None, ...]:
    """As published, then x264 at every quality and scale of the grid."""
    made = [
        EvaluationChain(CodecChain("x264", crf, scale=scale), crop_px=WHOLE_PX, max_frames=RANGE_FRAMES)
        for scale in SCALES
        for crf in CRFS
    ]
    return None, *made


def _chosen(manifest: Manifest, options: EvidenceOptions) -> Manifest:
    clips = [clip for clip in manifest.clips if clip.label is not Label.PROCESSED]
    if options.limit and options.limit < len(clips):
        order = np.random.default_rng(options.seed).permutation(len(clips))
        clips = [clips[i] for i in sorted(order[: options.limit])]
    return replace(manifest, clips=tuple(clips))


def _seen(manifest: Manifest, gathered: Gathered, form: str) -> list[Seen]:
    found = []
    for clip in manifest.clips:
        if clip.name in gathered.evidence:
            file = gathered.evidence[clip.name].file
            if values := file_values(file.windows):
                found.append(Seen(clip, form, file.facts.quality(file.coverage), values))
    return found


def telling(alike: Sequence[Seen], replicates: int = REPLICATES) -> dict[str, Bounded]:
    """AUC of each cue for generated against camera, higher values counting as generated, and bounds by source."""
    made = np.array([entry.clip.label is Label.GENERATED for entry in alike])
    values = np.array([[entry.values[cue] for cue in CUE_NAMES] for entry in alike]).reshape(len(alike), -1)
    labels = [entry.clip.label.value for entry in alike]

    def areas(at: NDArray[np.intp]) -> Mapping[str, float]:
        on = made[at]
        return {cue: auc(values[at[on], k], values[at[~on], k]) for k, cue in enumerate(CUE_NAMES)}

    bounds = bootstrap_by_source([entry.clip.source for entry in alike], labels, areas, replicates=replicates)
    return {cue: (value, bounds[cue]) for cue, value in areas(np.arange(len(alike))).items()}


def counts_telling(alike: Sequence[Seen], seen: Sequence[Seen]) -> dict[str, Bounded]:
    """How many cues lie outside on generated and on camera clips of one chain, and the AUC of that number."""
    counts = alarms_of(alike, seen).sum(axis=1)
    made = np.array([entry.clip.label is Label.GENERATED for entry in alike])

    def figures(at: NDArray[np.intp]) -> Mapping[str, float]:
        on, found = made[at], counts[at]
        return {
            "cues out of range on a generated clip": float(found[on].mean()) if on.any() else float("nan"),
            "cues out of range on a camera clip": float(found[~on].mean()) if (~on).any() else float("nan"),
            "AUC of the number of cues out of range": auc(found[on], found[~on]),
        }

    labels = [entry.clip.label.value for entry in alike]
    bounds = bootstrap_by_source([entry.clip.source for entry in alike], labels, figures, replicates=REPLICATES)
    return {name: (value, bounds[name]) for name, value in figures(np.arange(len(alike))).items()}


def metadata_auc(alike: Sequence[Seen], judged: Gathered) -> float | None:
    """AUC of the metadata null, leaving one source out; None where one class or source is all there is."""
    clips = [entry.clip for entry in alike]
    if len({clip.source for clip in clips}) < 2 or len({clip.label for clip in clips}) < 2:
        return None
    looks = [judged.evidence[clip.name].prepared for clip in clips]
    folds = leave_one_source_out(clips, 16)
    null = score_nulls(clips, [p.packaging for p in looks], [p.glance for p in looks], folds, trees=100)["metadata"]
    made = np.array([clip.label is Label.GENERATED for clip in clips])
    known = np.isfinite(null.scores)
    value = auc(null.scores[made & known], null.scores[~made & known])
    return value if np.isfinite(value) else None


def _report(
    seen: Sequence[Seen],
    alarms: Mapping[str, Bounded],
    table: RangeTable,
    alike: Sequence[Seen],
    judged: Gathered,
    costs: Sequence[Figure],
    seed: int,
) -> MeasuredReport:
    cameras, sources = len({s.clip.name for s in seen}), len({s.clip.source for s in seen})
    counted = f"{len(seen)} files of {cameras} camera clips of {sources} sources"
    figures = [
        _figure("cues out of range on a camera file", alarms["cues out of range"], counted, how=_HOW_FALSE),
        _figure("camera files with any cue out of range", alarms["any cue out of range"], counted),
    ]
    figures += [_figure(f"false alarms of {cue}", alarms[cue], counted, "about 1 % a side") for cue in CUE_NAMES]
    made = sum(s.clip.label is Label.GENERATED for s in alike)
    both = f"{made} generated and {len(alike) - made} camera clips of {len({s.clip.source for s in alike})} sources"
    areas = telling(alike) if 0 < made < len(alike) else {}
    null = metadata_auc(alike, judged)
    figures.append(Figure("AUC of the metadata null", null, n=both, how=_HOW_AUC))
    if areas:
        figures += [_figure(name, found, both, how=_HOW_COUNT) for name, found in counts_telling(alike, seen).items()]
    figures += [_figure(f"AUC of {cue}", areas[cue], both) for cue in areas]
    figures += costs
    detail = {
        "ranges": {name: dict(group) for name, group in table.groups.items()},
        "provenance": dict(table.provenance),
        "left_out": [{"name": out.name, "class": out.kind, "message": out.message} for out in judged.left_out],
        "seed": seed,
    }
    return MeasuredReport("cues", "Artefact cues", tuple(figures), _NOTES, detail)


def cost_figures(seen: Sequence[Seen], settings: Settings) -> list[Figure]:
    """CPU time of the cues over that of decoding, for published camera clips of the usual sizes."""
    figures = []
    for name, low, high in COST_SIDES:
        files = [
            str(entry.clip.path)
            for entry in seen
            if entry.form == PUBLISHED and low <= min(entry.quality.width, entry.quality.height) <= high
        ][:COST_FILES]
        shares = sorted(share for path in files for share in cue_shares(path, settings, rounds=COST_ROUNDS))
        if shares:
            name, counted = f"cost of cues and series at {name}", f"{len(files)} camera clips, {COST_ROUNDS} rounds"
            low_high = shares[0], shares[-1]
            figures.append(_figure(name, (shares[len(shares) // 2], low_high), counted, "<= 0.4", _HOW_COST))
    return figures


def _figure(name: str, found: Bounded, counted: str, goal: str = "", how: str = "") -> Figure:
    value, bounds = found
    low, high = bounds if bounds is not None else (None, None)
    return Figure(name, value if np.isfinite(value) else None, low, high, counted, goal, how)


_HOW_FALSE = (
    "each source's files against the 1 % and 99 % quantiles of the other sources' in the same group of resolution and "
    "bitrate; bounds by bootstrap over sources"
)
_HOW_AUC = (
    "generated against camera footage through one codec chain (x264 CRF 23, centre 512 px); a cue's higher values "
    "count as generated, so that 0 and 1 both separate and 0.5 does not; the null sees the original packaging"
)
_HOW_COUNT = "through the same chain, against the ranges, of which the clip's own source is left out"
_HOW_COST = (
    "CPU time of all cues and series of a file over that of decoding its windows, one process, one thread, paired: "
    "median of all pairs, and in place of bounds the lowest and the highest"
)
_NOTES = (
    "No cue alone makes a verdict: with so many cues looked at, about one lies outside on the average camera file.",
    "Copies of one clip are not independent: bounds resample sources.",
)
