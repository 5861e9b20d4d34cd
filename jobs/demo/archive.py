"""Makes the demo's archive: camera clips, the same clips through neural decoders, one codec for both, and bad files."""

from __future__ import annotations

import csv
import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jobs.demo.decoders import DECODERS, HELD_OUT, NeuralDecoder, available_decoders, load
from jobs.demo.footage import ARCHIVE, FPS, KNOWN, Shot, Source
from jobs.encode import CodecChain, Rgb, write_audio, write_gif, write_video

CAMERA = "camera"
PROCESSED = "processed"
MARK = ".makersmark-demo"  # says that a folder is ours to overwrite
Progress = Callable[[int, int, str], None]  # (done, total, what)

_KNOWN_CHAINS = (CodecChain("x264", 18), CodecChain("x265", 22), CodecChain("vp9", 24), CodecChain("x264", 23))
_ARCHIVE_CHAINS = (CodecChain("x264", 21), CodecChain("x265", 20), CodecChain("vp9", 26), CodecChain("x264", 19))
_SUFFIX = {"x264": ".mp4", "x265": ".mkv", "vp9": ".webm", "av1": ".mp4"}


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """How much is made. frames: of a clip, at most. known / archive: names of sources, in jobs.demo.footage."""

    frames: int = 32
    known: tuple[str, ...] = tuple(source.name for source in KNOWN)
    archive: tuple[str, ...] = tuple(source.name for source in ARCHIVE)
    workers: int = 2


@dataclass(frozen=True, slots=True)
class KnownClip:
    """A clip to enroll. slug: a decoder's, or ``camera``. source: the shot or photograph it shows."""

    path: Path
    slug: str
    source: str


@dataclass(frozen=True, slots=True)
class TruthRow:
    """What is true of one file of the archive; path is relative to the demo's folder."""

    path: str
    label: str
    generator: str
    decoder_family: str
    source: str
    same_page: str
    codec: str
    notes: str = ""


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that has no verdict. reasons: the failure classes that would be right."""

    path: str
    reasons: tuple[str, ...]
    notes: str


@dataclass(frozen=True, slots=True)
class DemoTruth:
    """The archive as it was made. decoders: to enroll; held_out: in the archive, enrolled by nobody (or None)."""

    folder: Path
    known: tuple[KnownClip, ...]
    archive: tuple[TruthRow, ...]
    bad: tuple[BadFile, ...]
    decoders: tuple[NeuralDecoder, ...]
    held_out: NeuralDecoder | None

    def known_files(self) -> Mapping[str, Sequence[Path]]:
        """Files to enroll by slug, ``camera`` first."""
        slugs = (CAMERA, *(decoder.slug for decoder in self.decoders))
        return {slug: [clip.path for clip in self.known if clip.slug == slug] for slug in slugs}


@dataclass(frozen=True, slots=True)
class _Job:
    """One view of one source and the files to make of it; runs in a process of its own."""

    source: Source
    view: int
    frames: int
    seed: int
    chain: CodecChain
    targets: tuple[tuple[str, Path], ...] = field(default=())  # (slug or camera, file)


def make_archive(
    folder: Path, *, seed: int = 7, progress: Progress | None = None, plan: DemoPlan | None = None
) -> DemoTruth:
    """Fills ``folder`` with ``known/<slug>/<source>/*``, ``archive/**``, ``truth.csv`` and ``bad-files.csv``.

    truth.csv has the columns of an evaluation manifest (path relative to the folder, label, generator, decoder_family,
    source, same_page, codec, notes). The same seed gives the same bytes on one machine with the same packages.
    File names in the archive tell nothing of what is in them. An earlier demo in the folder is replaced.
    Raises DemoPackageMissing when nothing can be borrowed, ValueError when the folder holds something else.
    """
    plan = plan or DemoPlan()
    report = progress or (lambda done, total, what: None)
    decoders = available_decoders()
    held_out = HELD_OUT if HELD_OUT.available else None
    _claim(folder)
    known_jobs, known = _plan_known(folder, plan, seed, decoders)
    archive_jobs, rows = _plan_archive(folder, plan, seed, decoders, held_out)
    _run([*known_jobs, *archive_jobs], plan.workers, report)
    extra, bad = _add_troublemakers(folder, rows, plan, seed)
    truth = DemoTruth(folder, tuple(known), (*rows, *extra), tuple(bad), decoders, held_out)
    _write_tables(truth)
    return truth


def _claim(folder: Path) -> None:
    """Makes the folder ours: empty, or an earlier demo whose own files go."""
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise ValueError(f"{folder} holds other files; name an empty or a new folder for the demo")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text("Made by `python -m jobs.demo`; everything here may be deleted.\n")
    for name in ("known", "archive"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _plan_known(
    folder: Path, plan: DemoPlan, seed: int, decoders: Sequence[NeuralDecoder]
) -> tuple[list[_Job], list[KnownClip]]:
    """Camera clips of every view, decoders on the first view of every source."""
    jobs: list[_Job] = []
    clips: list[KnownClip] = []
    for source in (s for s in KNOWN if s.name in plan.known):
        for view in range(len(source.views)):
            chain = _KNOWN_CHAINS[len(jobs) % len(_KNOWN_CHAINS)]
            slugs = [CAMERA, *(d.slug for d in decoders)] if view == 0 else [CAMERA]
            name = f"clip-{view}{_SUFFIX[chain.codec]}"
            made = [KnownClip(folder / "known" / slug / source.name / name, slug, source.name) for slug in slugs]
            clips += made
            jobs.append(_Job(source, view, plan.frames, seed, chain, tuple((c.slug, c.path) for c in made)))
    return jobs, clips


def _plan_archive(
    folder: Path, plan: DemoPlan, seed: int, decoders: Sequence[NeuralDecoder], held_out: NeuralDecoder | None
) -> tuple[list[_Job], list[TruthRow]]:
    """Every view as camera footage, the first also through the decoders to enroll; shuffled over folders and numbered.

    The second views of real shots go through the held-out decoder.
    """
    planned: list[tuple[Source, int, CodecChain, str]] = []
    for source in (s for s in ARCHIVE if s.name in plan.archive):
        for view in range(len(source.views)):
            chain = _ARCHIVE_CHAINS[len({(p[0].name, p[1]) for p in planned}) % len(_ARCHIVE_CHAINS)]
            slugs = [d.slug for d in decoders] if view == 0 else []
            if view == 1 and held_out is not None and isinstance(source, Shot):
                slugs = [held_out.slug]
            planned += [(source, view, chain, slug) for slug in (CAMERA, *slugs)]
    numbers = np.random.default_rng([seed, 1]).permutation(len(planned))
    families = {d.slug: d.family for d in (*DECODERS, HELD_OUT)}
    jobs: dict[tuple[str, int], _Job] = {}
    rows: list[TruthRow] = []
    for number, (source, view, chain, slug) in zip(numbers, planned, strict=True):
        desk = ("city-desk", "culture", "wire")[number % 3]
        path = Path("archive", desk, f"item-{number + 1:03d}{_SUFFIX[chain.codec]}")
        note = "a decoder that nobody enrolled" if held_out is not None and slug == held_out.slug else ""
        label, generator = (CAMERA, "") if slug == CAMERA else (PROCESSED, slug)
        page = f"{source.name}-{view}"
        rows.append(
            TruthRow(path.as_posix(), label, generator, families.get(slug, ""), source.name, page, chain.name, note)
        )
        job = jobs.setdefault((source.name, view), _Job(source, view, plan.frames, seed, chain))
        jobs[(source.name, view)] = _Job(source, view, plan.frames, seed, chain, (*job.targets, (slug, folder / path)))
    return list(jobs.values()), sorted(rows, key=lambda row: row.path)


def _run(jobs: Sequence[_Job], workers: int, report: Progress) -> None:
    """Makes all files, the costliest jobs first; the first error ends the whole run."""
    ordered = sorted(jobs, key=lambda job: -len(job.targets))
    total = sum(len(job.targets) for job in jobs)
    done = 0
    for job in _finished(ordered, workers):
        done += len(job.targets)
        report(done, total, job.source.name)


def _finished(jobs: Sequence[_Job], workers: int) -> Iterator[_Job]:
    if workers <= 1:
        for job in jobs:
            _make(job)
            yield job
        return
    # Spawned, not forked: the networks' OpenMP runtimes do not survive a fork.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures: dict[Future[None], _Job] = {pool.submit(_make, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _make(job: _Job) -> None:
    """All files of one view; the frames are made once."""
    frames = job.source.frames(job.view, job.frames, job.seed)
    for slug, path in job.targets:
        shown: Iterator[Rgb] = iter(frames) if slug == CAMERA else map(load(slug), frames)
        write_video(path, shown, fps=FPS, chain=job.chain)


def _add_troublemakers(
    folder: Path, rows: Sequence[TruthRow], plan: DemoPlan, seed: int
) -> tuple[list[TruthRow], list[BadFile]]:
    """What every archive has: a duplicate, a cut-off file, files that are no video, a GIF."""
    inbox = folder / "archive" / "inbox"
    inbox.mkdir(parents=True)
    camera = [row for row in rows if row.label == CAMERA]
    twin = next(row for row in camera if row.path.endswith(".mp4"))
    shutil.copyfile(folder / twin.path, inbox / "again.mp4")
    whole = (folder / twin.path).read_bytes()
    (inbox / "cut-off.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    (inbox / "letter.mp4").write_text("Dear archive,\nthis is a letter and not a film.\n" * 60, encoding="utf-8")
    (inbox / "nothing.mkv").write_bytes(b"")
    time = np.arange(2 * 44100) / 44100
    write_audio(inbox / "interview.mp4", (np.sin(2 * np.pi * 440 * time) * 8000).astype(np.int16))
    source = next(s for s in ARCHIVE if s.name in plan.archive)
    write_gif(inbox / "loop.gif", source.frames(0, min(plan.frames, 24), seed), fps=FPS / 2)

    def at(name: str) -> str:
        return f"archive/inbox/{name}"

    extra = [
        TruthRow(
            at("again.mp4"), CAMERA, "", "", twin.source, twin.same_page, twin.codec, f"same bytes as {twin.path}"
        ),
        TruthRow(at("loop.gif"), CAMERA, "", "", source.name, f"{source.name}-0", "gif", "256 colours"),
    ]
    bad = [
        BadFile(at("cut-off.mp4"), ("damaged", "not_a_video"), "the first 60 % of an MP4, whose index came last"),
        BadFile(at("letter.mp4"), ("not_a_video", "no_video_stream"), "text named as video"),
        BadFile(at("nothing.mkv"), ("empty_file",), "no bytes"),
        BadFile(at("interview.mp4"), ("no_video_stream",), "sound without a picture"),
    ]
    return extra, bad


def _write_tables(truth: DemoTruth) -> None:
    with (truth.folder / "truth.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(TruthRow.__slots__)
        writer.writerows([getattr(row, name) for name in TruthRow.__slots__] for row in truth.archive)
    with (truth.folder / "bad-files.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "reasons", "notes"))
        writer.writerows((bad.path, " ".join(bad.reasons), bad.notes) for bad in truth.bad)
