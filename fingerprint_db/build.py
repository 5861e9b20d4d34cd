"""Builds a snapshot from signatures: fits the models, and judges them on sources that each model had not seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.calibrate import auc, cllr, fit_logistic, fit_temperature
from fingerprint_db.errors import SpecMismatchError
from fingerprint_db.index import SignatureIndex
from fingerprint_db.normalise import Floats, pool, source_weights
from fingerprint_db.scoring import VIEWS, ScoringModel, fit_model
from fingerprint_db.signature import SignatureRecord
from fingerprint_db.snapshot import Calibration, ClassEntry, Gates, Snapshot
from fingerprint_db.thresholds import Rehearsal, choose_gates, grade_classes, quality_bucket

MIN_BUCKET = 30  # camera clips, and made clips, that a quality bucket needs for a calibration of its own
MIN_BUCKET_SOURCES = 5
PIECES = 12  # windows of a clip, spread over it, that the detection direction is learned from beside the clip's mean


@dataclass(frozen=True, slots=True, eq=False)
class Clips:
    """The signatures, one row a clip.

    vectors: view -> (N, D), pooled. pieces: view -> (M, D), some windows of every clip and its pooled vector once more;
    owners: (M,) the clip of each piece.
    """

    vectors: Mapping[str, Floats]
    pieces: Mapping[str, Floats]
    owners: NDArray[np.int64]
    makers: tuple[str, ...]
    sources: tuple[str, ...]
    made: NDArray[np.bool_]
    buckets: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.makers)

    def take(self, chosen: NDArray[np.bool_]) -> Clips:
        rows = np.flatnonzero(chosen)
        kept = np.asarray(chosen)[self.owners]
        return Clips(
            {name: vectors[rows] for name, vectors in self.vectors.items()},
            {name: pieces[kept] for name, pieces in self.pieces.items()},
            (np.cumsum(chosen) - 1)[self.owners[kept]],
            tuple(self.makers[i] for i in rows),
            tuple(self.sources[i] for i in rows),
            self.made[rows],
            tuple(self.buckets[i] for i in rows),
        )

    def fit(self, *, retrieval: bool) -> ScoringModel:
        pieces = (self.pieces, self.owners)
        return fit_model(self.vectors, self.makers, self.sources, self.made, pieces=pieces, retrieval=retrieval)


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """A snapshot with what it was judged by: every clip scored by a model that had not seen its source.

    llr: (N,) natural-log likelihood ratios of the rehearsal, nan where a clip has none.
    """

    snapshot: Snapshot
    clips: Clips
    rehearsal: Rehearsal
    llr: Floats


def build_snapshot(
    signatures: Sequence[SignatureRecord],
    *,
    spec_id: str,
    families: Mapping[str, str | None],
    kinds: Mapping[str, str],
    notes: str = "",
    inner_folds: int = 8,
) -> Snapshot:
    """The snapshot of ``build``, without what it was judged by."""
    built = build(signatures, spec_id=spec_id, families=families, kinds=kinds, notes=notes, inner_folds=inner_folds)
    return built.snapshot


def build(
    signatures: Sequence[SignatureRecord],
    *,
    spec_id: str,
    families: Mapping[str, str | None],
    kinds: Mapping[str, str],
    notes: str = "",
    inner_folds: int = 8,
) -> Built:
    """Learn everything a verdict needs; deterministic, and independent of the order of the signatures.

    families: decoder family of each generator, None or absent when unknown. kinds: generator | processor | camera,
    absent means generator. inner_folds: groups of sources, each scored by a model that saw none of them; calibration,
    cohort and thresholds rest on those scores alone. What the data cannot support is left out and said in the notes.
    Raises SpecMismatchError when a signature is of another spec.
    """
    if any(record.spec_id != spec_id for record in signatures):
        raise SpecMismatchError(f"All signatures of a snapshot must be of fingerprint specification {spec_id}.")
    records = sorted({record.key: record for record in signatures}.values(), key=lambda record: record.key)
    remarks = [notes] if notes else []
    clips = _pool(records, kinds)
    if not records:
        blank = Rehearsal(np.zeros((0, 1)), np.zeros((0, 0)), np.zeros(0, dtype=np.int64))
        return Built(_empty(spec_id, [*remarks, "No signature is enrolled."]), clips, blank, np.zeros(0))
    classes = grade_classes(clips.makers, clips.sources, families, kinds)
    model = clips.fit(retrieval=True)
    rehearsal = rehearse(clips, classes, fold_masks(clips, inner_folds))
    calibration, llr = _calibrate(clips, rehearsal, remarks)
    cohort = np.sort(llr[~clips.made & ~np.isnan(llr)])
    gates, measured = choose_gates(rehearsal, classes, llr, calibration.temperature, remarks)
    measured |= _detection_figures(clips, llr)
    classes = _measured_classes(classes, rehearsal, llr, ~clips.made)
    indexes = {}
    for name in VIEWS:
        coordinates = model.retrieval(name, clips.vectors)
        indexes[name] = SignatureIndex(coordinates.shape[1])
        indexes[name].add(coordinates)
    numbers = {name: i for i, name in enumerate(model.classes)}
    hdr = any(record.quality.hdr and kinds.get(record.generator) == "camera" for record in records)
    snapshot = Snapshot(
        spec_id=spec_id,
        notes=tuple(remarks),
        classes=classes,
        model=model,
        calibration=calibration,
        gates=gates,
        cohort=cohort,
        typical=np.sort(rehearsal.own_cosine),
        rows=np.array([numbers[maker] for maker in clips.makers], dtype=np.int32),
        indexes=indexes,
        hdr=hdr,
        measured=measured,
    )
    return Built(snapshot, clips, rehearsal, llr)


def rehearse(clips: Clips, classes: Sequence[ClassEntry], folds: Sequence[NDArray[np.bool_]]) -> Rehearsal:
    """Score every clip of a fold by a model that saw none of the fold (see fold_masks); others stay unscored."""
    count, width = len(clips), len(classes)
    detection = np.full((count, 1), np.nan)
    cosines = np.full((count, width), -np.inf)
    columns = {entry.generator: i for i, entry in enumerate(classes)}
    for held in folds:
        train, test = clips.take(~held), clips.take(held)
        if len(train) < 2:
            continue
        model = train.fit(retrieval=False)
        rows = np.flatnonzero(held)
        if train.made.any() and not train.made.all():
            detection[rows] = model.detect(test.vectors)
        places = np.array([columns[name] for name in model.classes])
        cosines[np.ix_(rows, places)] = model.class_cosines(test.vectors)
    truth = np.array([columns[maker] for maker in clips.makers])
    return Rehearsal(detection, cosines, truth)


def fold_masks(clips: Clips, folds: int) -> list[NDArray[np.bool_]]:
    """Clips held out together, source by source, so that sources of one maker fall into different folds.

    Where made or camera clips all come from one source, their clips are dealt out singly: the result is optimistic,
    and the notes of the snapshot say so.
    """
    keys = list(clips.sources)
    for side in (True, False):
        rows = [i for i in range(len(clips)) if clips.made[i] == side]
        if len({clips.sources[i] for i in rows}) == 1:
            for i in rows:
                keys[i] = f"{clips.sources[i]}#{i}"
    sizes = Counter(keys)
    makers = {key: {clips.makers[i] for i in range(len(clips)) if keys[i] == key} for key in sizes}
    folds = max(1, min(folds, len(sizes)))
    load = [0] * folds
    held: list[Counter[str]] = [Counter() for _ in range(folds)]
    place = {}
    for key in sorted(sizes, key=lambda key: (-sizes[key], key)):
        best = min(range(folds), key=lambda f: (sum(held[f][maker] for maker in makers[key]), load[f], f))
        place[key] = best
        load[best] += sizes[key]
        held[best].update(makers[key])
    assigned = np.array([place[key] for key in keys])
    return [assigned == fold for fold in range(folds) if (assigned == fold).any()]


def _pool(records: Sequence[SignatureRecord], kinds: Mapping[str, str]) -> Clips:
    vectors = {name: [pool(getattr(record, name)) for record in records] for name in VIEWS}
    spread = [_spread(len(getattr(record, VIEWS[0]))) for record in records]
    pieces = {
        name: [
            np.vstack([np.asarray(getattr(record, name), dtype=np.float64)[chosen], pooled])
            for record, chosen, pooled in zip(records, spread, vectors[name], strict=True)
        ]
        for name in VIEWS
    }
    return Clips(
        {name: np.stack(rows) if rows else np.zeros((0, 0)) for name, rows in vectors.items()},
        {name: np.vstack(rows) if rows else np.zeros((0, 0)) for name, rows in pieces.items()},
        np.repeat(np.arange(len(records)), [len(chosen) + 1 for chosen in spread]),
        tuple(record.generator for record in records),
        tuple(record.source for record in records),
        np.array([kinds.get(record.generator) != "camera" for record in records], dtype=bool),
        tuple(quality_bucket(record.quality) for record in records),
    )


def _spread(windows: int) -> NDArray[np.int64]:
    """At most PIECES of so many windows, spread evenly, first and last among them."""
    return np.unique(np.linspace(0, windows - 1, min(windows, PIECES)).astype(np.int64))


def _calibrate(clips: Clips, rehearsal: Rehearsal, remarks: list[str]) -> tuple[Calibration, Floats]:
    """Calibration from the rehearsal, and each clip's llr, nan where it has none."""
    llr = np.full(len(clips), np.nan)
    temperature = fit_temperature(*rehearsal.closed_set())
    scored: NDArray[np.bool_] = np.isfinite(rehearsal.detection[:, 0])
    for side, name in ((clips.made, "made"), (~clips.made, "camera")):
        pages = {clips.sources[i] for i in np.flatnonzero(side)}
        if len(pages) == 1:
            remarks.append(f"All {name} clips come from one source: likelihood ratios are optimistic.")
    if not (scored & clips.made).any() or not (scored & ~clips.made).any():
        missing = "camera" if not (~clips.made).any() else "made" if not clips.made.any() else "scored"
        remarks.append(f"There are no {missing} clips to compare with: likelihood ratios are uncalibrated.")
        return Calibration(None, {}, temperature), llr
    weights = source_weights(clips.makers, clips.sources)
    overall = fit_logistic(rehearsal.detection[scored], clips.made[scored], weights[scored])
    llr[scored] = overall.llr(rehearsal.detection[scored])
    report = {"overall": _fitted_on(clips, scored, llr, "own")}
    buckets = {}
    for name in sorted(set(clips.buckets)):
        inside = scored & np.array([bucket == name for bucket in clips.buckets])
        sides = [inside & clips.made, inside & ~clips.made]
        enough = all(side.sum() >= MIN_BUCKET for side in sides)
        if enough and all(len({clips.sources[i] for i in np.flatnonzero(s)}) >= MIN_BUCKET_SOURCES for s in sides):
            buckets[name] = fit_logistic(rehearsal.detection[inside], clips.made[inside], weights[inside])
            llr[inside] = buckets[name].llr(rehearsal.detection[inside])
        report[name] = _fitted_on(clips, inside, llr, "own" if name in buckets else "overall")
    if not buckets:
        remarks.append("No quality bucket has clips enough for its own calibration: one calibration serves all.")
    return Calibration(overall, buckets, temperature, report), llr


def _fitted_on(clips: Clips, inside: NDArray[np.bool_], llr: Floats, fit: str) -> dict[str, Any]:
    """What a calibration had to go by, and what its likelihood ratios cost there."""
    made, camera = np.flatnonzero(inside & clips.made), np.flatnonzero(inside & ~clips.made)
    both = len(made) > 0 and len(camera) > 0
    return {
        "made": len(made),
        "camera": len(camera),
        "made_sources": len({clips.sources[i] for i in made}),
        "camera_sources": len({clips.sources[i] for i in camera}),
        "cllr": cllr(llr[inside], clips.made[inside]) if both else None,
        "fit": fit,
    }


def _measured_classes(
    classes: Sequence[ClassEntry], rehearsal: Rehearsal, llr: Floats, camera: NDArray[np.bool_]
) -> tuple[ClassEntry, ...]:
    """The class table with what the rehearsal found of each maker."""
    cosines, scored = rehearsal.cosines, ~np.isnan(llr)
    own = cosines[np.arange(len(rehearsal.truth)), rehearsal.truth]
    tested = np.isfinite(own) & (np.isfinite(cosines).sum(axis=1) > 1)
    right = tested & (cosines.argmax(axis=1) == rehearsal.truth)
    found = []
    for number, entry in enumerate(classes):
        mine = rehearsal.truth == number
        against = (mine | camera) & scored
        comparable = entry.kind != "camera" and (mine & scored).any() and (camera & scored).any()
        found.append(
            replace(
                entry,
                tested=int((mine & tested).sum()),
                nearest_right=int((mine & right).sum()),
                auc=auc(llr[against], mine[against]) if comparable else None,
            )
        )
    return tuple(found)


def _detection_figures(clips: Clips, llr: Floats) -> dict[str, float]:
    scored = ~np.isnan(llr)
    made = clips.made[scored]
    if not made.any() or made.all():
        return {}
    return {"auc": auc(llr[scored], made), "cllr": cllr(llr[scored], made)}


def _empty(spec_id: str, remarks: list[str]) -> Snapshot:
    nothing = np.zeros(0)
    return Snapshot(
        spec_id=spec_id,
        notes=tuple(remarks),
        classes=(),
        model=None,
        calibration=Calibration(None, {}, 1.0),
        gates=Gates(None, 0.0, None, 0.0, None, None),
        cohort=nothing,
        typical=nothing,
        rows=np.zeros(0, dtype=np.int32),
        indexes={},
        hdr=False,
        measured={},
    )
