"""`makersmark bench decoders`: camera footage untouched and through every decoder, then one codec chain for all.

Layout of the folder: ``raw/CONTENT/MEMBER.mkv`` (lossless, with a JSON of what was measured), ``coded/CHAIN/CONTENT/*``
and ``manifest.csv``. Members of a content differ in the decoder alone: same frames, same cut, same chain.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from cluster.outcome import FailureError
from jobs.bench.chain import check_chain, shared_chain
from jobs.bench.contents import TRIM, Content, plan_contents, trimmed
from jobs.bench.cuts import CUT_FRAMES, gather_cuts
from jobs.bench.footage import Footage, Split, load_footage
from jobs.bench.gate import round_trip
from jobs.bench.negatives import NEGATIVES
from jobs.bench.roster import BenchDecoder, Decode, choose
from jobs.bench.table import Row, Summary, summarise, write_labelled, write_table
from jobs.encode import Rgb, reencode, write_lossless
from jobs.errors import BadUsageError
from jobs.progress import Meter

CAMERA = "camera"
NEGATIVE = "hard_negative"
BENCH_VERSION = 1
_PLAN = "plan.json"
_CUTS_A_CLIP = 1
_LOADED = 160  # decoders kept ready: to make a simulated one again takes seconds, and it is small


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """What is made. crop: pixels of the cut that decoders see; what is kept is 2 x TRIM smaller. frames: of a content.

    contents: how many; chains: ``random``, ``random-2``, ``x264-crf23`` and so on, besides the lossless members.
    decoders: kinds and slugs, empty for all. simulated: structures of kind D, each with ``trainings`` sets of weights;
    simulated_each: how many of kind D a content goes through. negatives: whether hard negatives are made.
    """

    seed: int = 0
    crop: int = 320
    frames: int = 16
    contents: int = 40
    chains: tuple[str, ...] = ("random",)
    decoders: tuple[str, ...] = ()
    vae: Path | None = None
    instances: Path | None = None
    simulated: int = 64
    simulated_each: int = 8
    trainings: int = 1
    splits: tuple[str, ...] = field(default_factory=lambda: tuple(split.value for split in Split))
    negatives: bool = True


@dataclass(frozen=True, slots=True)
class Member:
    """One version of a content. kind: camera, hard_negative, A, B, C or D; cls, seed: as of its decoder."""

    slug: str
    kind: str
    cls: str
    seed: str


def bench_decoders(footage: Path | None, out: Path, plan: BenchPlan, console: Console) -> list[Summary]:
    """Makes what is missing in ``out``, writes its manifest.csv and returns how faithful each decoder was.

    The same seed and footage give the same contents, chains and members. Interrupted at any moment, the next call goes
    on; the manifest is renewed after every content. Raises BadUsageError for footage, names or a folder that will not
    do.
    """
    torch.set_num_threads(1)
    for name in plan.chains:
        check_chain(name)
    clips, left = load_footage(footage, frames=max(plan.frames, CUT_FRAMES))
    _claim(out, plan)
    for one in left:
        console.print(f"left out: {one.name}: {one.reason}", highlight=False, markup=False)
    sample = [cut[:8] for cut in gather_cuts(_one_a_source(clips), Split.TRAIN, plan.seed, _CUTS_A_CLIP)]
    decoders, remarks = choose(plan.decoders, plan.vae, plan.instances, plan.simulated, plan.trainings, sample)
    for remark in remarks:
        console.print(remark, highlight=False, markup=False)
    wanted = [clip for clip in clips if clip.split.value in plan.splits]
    contents = plan_contents(wanted, plan.contents, plan.crop, plan.frames, plan.seed)
    if not contents:
        raise BadUsageError(f"no camera clip is of the split {', '.join(plan.splits)}; bring footage of more sources")
    workshop = _Workshop(out, plan, decoders)
    rows: list[Row] = []
    with Meter(console, "bench decoders", len(contents)) as meter:
        for content in contents:
            try:
                rows += workshop.make(content, meter)
            except FailureError as error:
                console.print(f"left out: {content.clip.name}: {error.failure.message}", highlight=False, markup=False)
            write_table(out / "manifest.csv", rows)
            write_labelled(out / "labelled.csv", rows)
            meter.advance(note=content.id)
    return summarise(rows)


class _Workshop:
    """Makes all members and codings of one content after the other."""

    def __init__(self, out: Path, plan: BenchPlan, decoders: Sequence[BenchDecoder]) -> None:
        self._out, self._plan = out, plan
        self._decoders = {decoder.slug: decoder for decoder in decoders}
        self._ready: dict[str, Decode] = {}

    def make(self, content: Content, meter: Meter) -> list[Row]:
        """The rows of one content; what lies in the folder is not made again."""
        folder = self._out / "raw" / content.id
        frames: list[Rgb] = []
        rows: list[Row] = []
        for member in self._members(content):
            path = folder / f"{member.slug}.mkv"
            facts = _read_facts(path)
            if facts is None:
                frames = frames or content.read()
                facts = self._make_member(content, member, frames, path)
                meter.advance(0, note=member.slug, files=0)
            rows += self._code(content, member, path, facts)
        return rows

    def _members(self, content: Content) -> Iterator[Member]:
        yield Member(CAMERA, CAMERA, "", "")
        if self._plan.negatives:
            for name in NEGATIVES:
                yield Member(name, NEGATIVE, name, "")
        simulated = [d for d in self._decoders.values() if d.kind == "D"]
        rng = _generator(self._plan.seed, content.id, "simulated")
        each = min(len(simulated), self._plan.simulated_each)
        drawn = {simulated[i].slug for i in rng.permutation(len(simulated))[:each]} if each else set[str]()
        for decoder in self._decoders.values():
            if decoder.kind != "D" or decoder.slug in drawn:
                yield Member(decoder.slug, decoder.kind, decoder.cls, decoder.seed)

    def _make_member(self, content: Content, member: Member, frames: list[Rgb], path: Path) -> dict[str, Any]:
        made, parameters, spent = frames, "", 0.0
        if member.kind == NEGATIVE:
            rng = _generator(self._plan.seed, content.id, member.slug)
            done = NEGATIVES[member.slug](frames, rng)
            made, parameters = done.frames, done.parameters
        elif member.kind != CAMERA:
            decode = self._load(member.slug)
            started = time.process_time()
            made = decode(frames)
            spent = (time.process_time() - started) / len(frames)
        trip = round_trip(trimmed(frames), trimmed(made))
        write_lossless(path, trimmed(made), fps=content.clip.fps)
        facts = {
            "psnr_db": round(trip.psnr_db, 3),
            "gradient_ratio": round(trip.gradient_ratio, 4),
            "sharp": trip.sharp,
            "ms_a_frame": round(1000 * spent, 1),
            "parameters": parameters,
            "frames": len(made),
            "height": made[0].shape[0] - 2 * TRIM,
            "width": made[0].shape[1] - 2 * TRIM,
        }
        _write_text(path.with_suffix(".json"), json.dumps(facts))
        return facts

    def _load(self, slug: str) -> Decode:
        if slug not in self._ready:
            while len(self._ready) >= _LOADED:
                self._ready.pop(next(iter(self._ready)))
            self._ready[slug] = self._decoders[slug].load()
        return self._ready[slug]

    def _code(self, content: Content, member: Member, raw: Path, facts: dict[str, Any]) -> list[Row]:
        seen = facts | {"content": content, "member": member}
        rows = [Row(file=raw.relative_to(self._out).as_posix(), chain=None, **seen)]
        for name in self._plan.chains:
            chain = shared_chain(name, content.id, self._plan.seed, facts["height"], facts["width"], content.clip.fps)
            path = self._out / "coded" / name / content.id / f"{member.slug}{chain.suffix}"
            if not path.is_file():
                reencode(raw, path, chain.codec, fps=chain.fps)
            rows.append(Row(file=path.relative_to(self._out).as_posix(), chain=chain, **seen))
        return rows


def _claim(out: Path, plan: BenchPlan) -> None:
    """The folder is empty, or holds a bench whose contents were cut alike."""
    key = {name: value for name, value in asdict(plan).items() if name in ("seed", "crop", "frames")}
    key |= {"version": BENCH_VERSION}
    known = out / _PLAN
    if known.is_file():
        if json.loads(known.read_text(encoding="utf-8")) != key:
            raise BadUsageError(f"{out} holds a bench of another seed, crop or number of frames; name a new folder")
        return
    if out.exists() and any(out.iterdir()):
        raise BadUsageError(f"{out} holds other files; name an empty or a new folder")
    out.mkdir(parents=True, exist_ok=True)
    _write_text(known, json.dumps(key))


def _read_facts(path: Path) -> dict[str, Any] | None:
    """What was measured of a finished member, None where it has to be made."""
    try:
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if path.is_file() and isinstance(facts, dict) else None


def _one_a_source(clips: Sequence[Footage]) -> list[Footage]:
    """Two clips a source at most: one large source must not set the statistics."""
    taken: dict[str, int] = {}
    chosen = []
    for clip in clips:
        if taken.setdefault(clip.source, 0) < 2:
            taken[clip.source] += 1
            chosen.append(clip)
    return chosen


def _generator(seed: int, content: str, what: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}|{content}|{what}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _write_text(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
