"""Judges a file's windows against a snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fingerprint_db.calibrate import conformal_p
from fingerprint_db.errors import SpecMismatchError
from fingerprint_db.normalise import Floats, pool
from fingerprint_db.scoring import VIEWS, ScoringModel
from fingerprint_db.signature import quantise
from fingerprint_db.snapshot import ClassEntry, Snapshot
from fingerprint_db.thresholds import Ranking, best_made, may_name_group, quality_bucket, rank_groups, typicality
from fingerprint_db.verdict import Nearest, Segment, Verdict, VerdictKind
from fingerprint_db.window import Quality, WindowFingerprint

MIN_SIDE = 128  # luma pixels; no clip of the development set has fewer than 144
MIN_BITS_PER_PIXEL = 0.01  # the thinnest clip of the development set has 0.014
MIN_COVERAGE = 0.25  # share of the planned windows
MIN_RUN = 2  # bursts in a row before seconds of a file get a verdict of their own
NEAREST = 5
CANDIDATES = 50  # signatures retrieved a view before the views' cosines are averaged
UNCALIBRATED = float(np.log(2.0))  # bound of the llr where no calibration was possible


@dataclass(frozen=True, slots=True)
class Reading:
    """What a stretch of windows says, before it is asked whether the file can be judged at all."""

    verdict: VerdictKind
    reason: str
    family: str | None
    generator: str | None
    llr: float
    p_value: float | None
    margin: float | None


@dataclass(frozen=True, slots=True)
class Leading:
    """The best-fitting maker that is no camera, whether or not a verdict may name it.

    margin: log posterior of its family (or of itself without one) above the next; below 0 camera footage fits better.
    """

    generator: str
    family: str | None
    margin: float


class Matcher:
    """Holds a snapshot and answers for any number of files; keeps no state between them."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._snapshot_id = snapshot.id

    def judge(self, windows: Sequence[WindowFingerprint], quality: Quality, *, spec_id: str) -> Verdict:
        """The verdict for one file's windows, in any order.

        llr is there for every file with a window, whatever the verdict. Raises SpecMismatchError when the windows are
        of another fingerprint specification than the snapshot.
        """
        snapshot = self._snapshot
        if spec_id != snapshot.spec_id:
            raise SpecMismatchError(
                f"These windows are of fingerprint specification {spec_id}, the snapshot is of {snapshot.spec_id}: "
                "enroll signatures under the specification in use, or fingerprint the file again."
            )
        if not windows:
            return self._without_windows(quality)
        if snapshot.model is None:
            reason = "The snapshot holds no signature to compare with: enroll clips and publish a snapshot."
            reading = Reading(VerdictKind.INCONCLUSIVE, reason, None, None, 0.0, None, None)
            return self._verdict(reading, (), (), windows)
        reading = self._read(windows, quality, snapshot.model)
        nearest = self._nearest(windows, snapshot.model)
        obstacle = self._obstacle(quality)
        if obstacle:
            reading = Reading(
                VerdictKind.INCONCLUSIVE, obstacle, None, None, reading.llr, reading.p_value, reading.margin
            )
            return self._verdict(reading, (), nearest, windows)
        return self._verdict(reading, self._segments(windows, quality, reading, snapshot.model), nearest, windows)

    def leading(self, windows: Sequence[WindowFingerprint]) -> Leading | None:
        """What these windows would be named if something had to be named; None where nothing can be compared."""
        snapshot = self._snapshot
        if not windows or snapshot.model is None:
            return None
        cosines = snapshot.model.class_cosines(pool_windows(windows))[0]
        found = best_made(cosines, snapshot.classes, snapshot.calibration.temperature)
        if found is None:
            return None
        entry = snapshot.classes[found[0]]
        return Leading(entry.generator, entry.family, found[1])

    def _verdict(
        self,
        reading: Reading,
        segments: tuple[Segment, ...],
        nearest: tuple[Nearest, ...],
        windows: Sequence[WindowFingerprint],
    ) -> Verdict:
        return Verdict(
            verdict=reading.verdict,
            reason=reading.reason,
            family=reading.family,
            generator=reading.generator,
            llr=reading.llr,
            p_value=reading.p_value,
            margin=reading.margin,
            segments=segments,
            nearest=nearest,
            cues=median_cues(windows),
            spec=self._snapshot.spec_id,
            snapshot=self._snapshot_id,
        )

    def _without_windows(self, quality: Quality) -> Verdict:
        if 0 < min(quality.width, quality.height) < MIN_SIDE:
            why = f"the picture is {quality.width} x {quality.height}, smaller than {MIN_SIDE} pixels"
        elif quality.coverage <= 0 and quality.duration_s > 0:
            why = "none of the planned windows could be decoded"
        else:
            why = "the video has too few frames"
        reason = f"No window could be fingerprinted: {why}."
        spec, snapshot = self._snapshot.spec_id, self._snapshot_id
        return Verdict(VerdictKind.INCONCLUSIVE, reason, None, None, None, None, None, (), (), {}, spec, snapshot)

    def _obstacle(self, quality: Quality) -> str:
        """Why a file with windows still cannot be judged; '' when it can."""
        if self._snapshot.gates.made_p is None:
            return "The snapshot knows too little camera footage to compare with: enroll camera clips."
        if min(quality.width, quality.height) < MIN_SIDE:
            return f"The picture is {quality.width} x {quality.height}; below {MIN_SIDE} pixels no trace is reliable."
        if 0 < quality.bits_per_pixel < MIN_BITS_PER_PIXEL:
            return (
                f"The video is compressed to {quality.bits_per_pixel:.4f} bits per pixel; "
                f"below {MIN_BITS_PER_PIXEL} the codec has removed what could be measured."
            )
        if quality.hdr and not self._snapshot.hdr:
            return "The video is HDR, and the snapshot has no HDR camera footage to calibrate against."
        if quality.coverage < MIN_COVERAGE:
            return f"Only {quality.coverage:.0%} of the planned windows could be read; {MIN_COVERAGE:.0%} are needed."
        return ""

    def _read(self, windows: Sequence[WindowFingerprint], quality: Quality, model: ScoringModel) -> Reading:
        snapshot = self._snapshot
        vectors = pool_windows(windows)
        llr = self._llr(vectors, quality, model)
        p_value = float(conformal_p(np.array([llr]), snapshot.cohort)[0]) if len(snapshot.cohort) else None
        cosines = model.class_cosines(vectors)[0]
        ranking = rank_groups(cosines, snapshot.classes, snapshot.calibration.temperature)
        best = snapshot.classes[ranking.maker]
        typical = float(typicality(cosines[[ranking.maker]], snapshot.typical)[0])
        kind, reason = self._decide(llr, p_value, ranking, best, typical)
        family = best.family if kind in (VerdictKind.ATTRIBUTED, VerdictKind.FAMILY) else None
        names_maker = kind in (VerdictKind.ATTRIBUTED, VerdictKind.PROCESSED_CAMERA)
        return Reading(kind, reason, family, best.generator if names_maker else None, llr, p_value, ranking.margin)

    def _decide(
        self, llr: float, p_value: float | None, ranking: Ranking, best: ClassEntry, typical: float
    ) -> tuple[VerdictKind, str]:
        gates = self._snapshot.gates
        p = 1.0 if p_value is None else p_value
        doubt = ""
        if best.kind == "camera":
            doubt = "it fits no known generator better than camera footage"
        elif not may_name_group(best):
            doubt = f"the nearest known maker is {best.generator}, of which {best.why}"
        elif typical < gates.typicality:
            doubt = f"it is unlike the enrolled clips of the nearest maker, {best.generator}"
        elif gates.family_margin is None or ranking.margin < gates.family_margin:
            doubt = f"{best.generator} is nearest, but others are too close behind"
        elif gates.named_p is None or p > gates.named_p or llr <= 0:
            doubt = f"{best.generator} is nearest, but camera footage scores alike too often"
        least = float("inf") if gates.generator_margin is None else gates.generator_margin
        sure = best.grade == "named" and ranking.maker_margin >= least
        if not doubt and sure:
            if best.kind == "processor":
                return VerdictKind.PROCESSED_CAMERA, f"Consistent with camera footage passed through {best.generator}."
            return VerdictKind.ATTRIBUTED, f"Consistent with {best.generator}."
        if not doubt and best.family is not None and best.kind == "generator":
            return VerdictKind.FAMILY, f"Consistent with the {best.family} decoder family; which maker is open."
        doubt = doubt or f"{best.generator} is nearest, but not clearly enough to be named"
        if gates.made_p is not None and p <= gates.made_p and llr >= gates.made_llr:
            # A neural codec or upscaler leaves a decoder's trace on what a camera filmed.
            hint = " (a processor of footage, so authentic content is possible)" if best.kind == "processor" else ""
            return VerdictKind.SYNTHETIC, f"Traces of a decoder that camera footage lacks; {doubt}{hint}."
        return VerdictKind.NO_KNOWN_GENERATOR, f"Nothing known is established; {doubt}."

    def _llr(self, vectors: Mapping[str, Floats], quality: Quality, model: ScoringModel) -> float:
        calibration = self._snapshot.calibration
        fit = calibration.buckets.get(quality_bucket(quality), calibration.overall)
        if fit is not None:
            return float(fit.llr(model.detect(vectors))[0])
        # Without calibration the sign is all that can be meant: how much nearer the nearest made signature is than
        # the nearest camera signature, bounded so that nobody reads it as strong evidence.
        cosines = self._cosines(vectors, model)
        camera = np.array([self._snapshot.classes[row].kind == "camera" for row in self._snapshot.rows])
        made_best = float(cosines[~camera].max()) if (~camera).any() else 0.0
        camera_best = float(cosines[camera].max()) if camera.any() else 0.0
        return UNCALIBRATED * float(np.clip(made_best - camera_best, -1.0, 1.0))

    def _cosines(self, vectors: Mapping[str, Floats], model: ScoringModel) -> Floats:
        """(S,) mean of the views' cosines with every signature; for small snapshots only."""
        total = np.zeros(len(self._snapshot.rows))
        for name in VIEWS:
            index = self._snapshot.indexes[name]
            scores, rows = index.search(model.retrieval(name, vectors), len(index))
            total[rows[0]] += scores[0]
        return total / len(VIEWS)

    def _nearest(self, windows: Sequence[WindowFingerprint], model: ScoringModel) -> tuple[Nearest, ...]:
        vectors = pool_windows(windows)
        candidates: set[int] = set()
        queries = {name: model.retrieval(name, vectors) for name in VIEWS}
        for name in VIEWS:
            candidates.update(self._snapshot.indexes[name].search(queries[name], CANDIDATES)[1][0].tolist())
        rows = sorted(candidates)
        scores = np.mean([self._snapshot.indexes[name].cosines(queries[name][0], rows) for name in VIEWS], axis=0)
        best = sorted(zip(-scores, rows, strict=True))[:NEAREST]
        entries = [(self._snapshot.classes[self._snapshot.rows[row]], -score) for score, row in best]
        return tuple(Nearest(entry.generator, entry.family, float(score)) for entry, score in entries)

    def _segments(
        self, windows: Sequence[WindowFingerprint], quality: Quality, whole: Reading, model: ScoringModel
    ) -> tuple[Segment, ...]:
        """Runs of bursts that lean the same way, each judged by all its windows together."""
        bursts = group_bursts(windows)
        leaning = [self._llr(pool_windows(burst), quality, model) > 0 for burst in bursts]
        found: list[tuple[list[WindowFingerprint], Reading]] = []
        for start, stop in runs(leaning):
            run = [window for burst in bursts[start:stop] for window in burst]
            reading = whole if stop - start == len(bursts) else self._read(run, quality, model)
            if found and _same(found[-1][1], reading):
                run = found.pop()[0] + run
                reading = whole if len(run) == len(windows) else self._read(run, quality, model)
            found.append((run, reading))
        return tuple(
            Segment(
                start_s=min(window.start_s for window in run),
                end_s=max(window.end_s for window in run),
                verdict=reading.verdict,
                family=reading.family,
                generator=reading.generator,
                llr=reading.llr,
            )
            for run, reading in found
        )


def pool_windows(windows: Sequence[WindowFingerprint]) -> dict[str, Floats]:
    """View -> (1, D): the windows pooled exactly as an enrolled clip's are, half precision included."""
    return {name: pool(quantise(np.stack([getattr(w, name) for w in windows])))[None, :] for name in VIEWS}


def group_bursts(windows: Sequence[WindowFingerprint]) -> list[list[WindowFingerprint]]:
    """Windows by burst, in order of time."""
    bursts: dict[int, list[WindowFingerprint]] = {}
    for window in windows:
        bursts.setdefault(window.burst, []).append(window)
    return sorted(bursts.values(), key=lambda burst: (min(w.start_s for w in burst), burst[0].burst))


def runs(leaning: Sequence[bool]) -> list[tuple[int, int]]:
    """Half-open ranges of equal values; a range shorter than MIN_RUN joins the one before it (the first: the next)."""
    ranges: list[tuple[int, int]] = []
    for i, value in enumerate(leaning):
        if ranges and leaning[ranges[-1][0]] == value:
            ranges[-1] = (ranges[-1][0], i + 1)
        else:
            ranges.append((i, i + 1))
    long: list[tuple[int, int]] = []
    for start, stop in ranges:
        alike = long and leaning[long[-1][0]] == leaning[start]
        if long and (stop - start < MIN_RUN or long[-1][1] - long[-1][0] < MIN_RUN or alike):
            long[-1] = (long[-1][0], stop)
        else:
            long.append((start, stop))
    return long


def median_cues(windows: Sequence[WindowFingerprint]) -> dict[str, float]:
    """Each cue's median over the windows that have a finite value of it."""
    names = sorted({name for window in windows for name in window.cues})
    values = {name: [window.cues[name] for window in windows if name in window.cues] for name in names}
    finite = {name: [value for value in found if np.isfinite(value)] for name, found in values.items()}
    return {name: float(np.median(found)) for name, found in finite.items() if found}


def _same(a: Reading, b: Reading) -> bool:
    return (a.verdict, a.family, a.generator) == (b.verdict, b.family, b.generator)
