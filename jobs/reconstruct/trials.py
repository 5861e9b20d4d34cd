"""Camera footage untouched, processed and through checkpoints, compressed alike, and measured under checkpoints.

A calibration and an evaluation are made of the same trials, so that neither sees another kind of file than the other.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from jobs.bench.contents import TRIM, Content, plan_contents
from jobs.bench.footage import Footage
from jobs.bench.negatives import NEGATIVES
from jobs.encode import CodecChain, Rgb, write_video
from jobs.errors import BadUsageError
from jobs.reconstruct.frames import own_keyframes, to_bytes
from jobs.reconstruct.measure import NATIVE, PARTS, Finding, measure, parts_of, pooled
from jobs.reconstruct.network import Network

CRFS = (18, 23, 28)
CAMERA = "camera"
FRAMES = 8  # a keyframe and what follows it: the encoder looks ahead, the measurement at the keyframe alone
# Sides of contents with their border: one square to look at, or as many as a file is ever asked about.
CROP, WIDE = 288, 544
# Raised whenever a finding would come out differently, so that kept ones are made again.
MEASURE_VERSION = 2


@dataclass(frozen=True, slots=True)
class Trial:
    """One clip under one checkpoint. member: CAMERA, the checkpoint that made it, or what was done to camera footage
    (of NEGATIVES). judge: the checkpoint asked.

    crop: pixels cut off above and at the left, unknown to the judge; None leaves the lattice where it was. trim: frames
    cut off in front.
    """

    content: str
    source: str
    member: str
    judge: str
    crf: int
    crop: tuple[int, int] | None = None
    trim: int = 0

    @property
    def key(self) -> str:
        crop = "" if self.crop is None else f"-crop{self.crop[0]}.{self.crop[1]}-trim{self.trim}"
        return f"{self.content}|{self.member}|{self.judge}|{self.crf}{crop}"


Search = Callable[[Network, Path], Finding]


class Trials:
    """Makes members and coded clips of contents on demand and measures them; findings are kept in a file.

    networks: by slug, in order. cache: a folder for findings, one JSON line each, and decoded members; None keeps none.
    Raises BadUsageError for a checkpoint named as camera footage or what is done to it.
    """

    def __init__(self, networks: dict[str, tuple[str, Network]], cache: Path | None) -> None:
        taken = {CAMERA, *NEGATIVES} & set(networks)
        if taken:
            raise BadUsageError(f"a checkpoint cannot be named {sorted(taken)[0]}, as a kind of camera footage is")
        self._networks = networks
        self._cache = cache
        self._known: dict[str, Finding] = {}
        self._members: dict[tuple[str, tuple[int, int, int, int], str], list[Rgb]] = {}
        if cache is not None:
            cache.mkdir(parents=True, exist_ok=True)
            self._known = _read(self._file)

    def run(self, content: Content, trial: Trial, search: Search | None = None) -> Finding:
        """The finding of one trial. search: finds the grid of a cropped clip; without it the native one holds."""
        size = "x".join(str(side) for side in content.box[2:])
        by = self._made_by(trial)
        name = f"v{MEASURE_VERSION}|{self._networks[trial.judge][0][:12]}|{by}|{size}|{trial.key}"
        if name not in self._known:
            with tempfile.TemporaryDirectory(prefix="makersmark-trial-") as folder:
                path = Path(folder) / "clip.mp4"
                self._write(path, content, trial)
                network = self._networks[trial.judge][1]
                self._known[name] = native_finding(network, path) if search is None else search(network, path)
            if self._cache is not None:
                with open(self._file, "a", encoding="utf-8") as file:
                    file.write(json.dumps({"name": name, "finding": self._known[name].to_json()}) + "\n")
        return self._known[name]

    @property
    def _file(self) -> Path:
        assert self._cache is not None
        return self._cache / "findings.jsonl"

    def _made_by(self, trial: Trial) -> str:
        return "" if trial.member == CAMERA or trial.member in NEGATIVES else self._networks[trial.member][0][:12]

    def _write(self, path: Path, content: Content, trial: Trial) -> None:
        frames = self._member(content, trial.member)[trial.trim :]
        height, width = frames[0].shape[:2]
        top, left = trial.crop or (0, 0)
        box = (top, left, (height - top) // 2 * 2, (width - left) // 2 * 2)
        write_video(path, frames, fps=content.clip.fps, chain=CodecChain("x264", trial.crf, crop=box))

    def _member(self, content: Content, member: str) -> list[Rgb]:
        content = replace(content, count=min(content.count, FRAMES))
        key = (content.id, content.box, member)
        if key not in self._members:
            if len(self._members) > 2 * len(self._networks) + 2:
                self._members.clear()
            if member == CAMERA:
                frames = content.read()
            elif member in NEGATIVES:
                frames = _processed(content, member)
            else:
                frames = self._decoded(content, member)
            # The border, where a network misses what lay beyond, would give it away; whole lattice steps go.
            step = max(TRIM, *(net.stride[0] for _, net in self._networks.values()))
            self._members[key] = [np.ascontiguousarray(frame[step:-step, step:-step]) for frame in frames]
        return self._members[key]

    def _decoded(self, content: Content, member: str) -> list[Rgb]:
        """A content through a checkpoint, which takes longer than to judge it: kept in the cache."""
        checkpoint, network = self._networks[member]
        if self._cache is None:
            return round_trip(network, content.read())
        size = "x".join(str(side) for side in content.box[2:])
        kept = self._cache / "members" / f"{content.id}-{size}-{content.count}-{checkpoint[:12]}.npy"
        if kept.is_file():
            return list(np.load(kept))
        frames = round_trip(network, content.read())
        kept.parent.mkdir(exist_ok=True)
        part = kept.with_suffix(".part.npy")
        np.save(part, np.stack(frames))
        part.replace(kept)
        return frames


def _processed(content: Content, kind: str) -> list[Rgb]:
    """Camera footage blurred, denoised and so on; how strongly is drawn by content and kind."""
    digest = hashlib.sha256(f"{content.id}|{kind}".encode()).digest()
    drawn = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    return NEGATIVES[kind](content.read(), drawn).frames


def native_finding(network: Network, path: Path) -> Finding:
    """A clip of our own making, its lattice where a generator's own file has it."""
    pictures, facts = own_keyframes(path, 1)
    chosen = parts_of(pictures, count=PARTS)
    return pooled([measure(network, part, facts.codec) for part in chosen], NATIVE)


def round_trip(network: Network, frames: Sequence[Rgb]) -> list[Rgb]:
    """(H, W, 3) frames through a network as its generator would put them out: eight bits, nothing refined."""
    video = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255
    return to_bytes(network.decode(network.encode(video), len(frames)))


def chosen_contents(
    clips: Sequence[Footage], number: int, seed: int, *, frames: int = FRAMES, side: int = CROP
) -> list[Content]:
    """``number`` contents (0: one of every source), of every source one before any gives a second.

    Clips smaller than ``side`` give what they have, in multiples of 32; below 128 none.
    """
    by_source: dict[str, list[Footage]] = {}
    for clip in sorted(clips, key=lambda clip: hashlib.sha256(f"{seed}|{clip.sha256}".encode()).hexdigest()):
        by_source.setdefault(clip.source, []).append(clip)
    wanted = number or len(by_source)
    rounds = max((len(found) for found in by_source.values()), default=0)
    order = [by_source[s][turn] for turn in range(rounds) for s in sorted(by_source) if turn < len(by_source[s])]
    return [plan_contents([clip], 1, side, frames, seed)[0] for clip in order[:wanted]]


def all_trials(
    contents: Sequence[Content], members: Sequence[str], judges: Sequence[str], crfs: Sequence[int] = CRFS
) -> Iterator[tuple[Content, Trial]]:
    """Every member of every content under every judge, a content's together so that it is decoded once."""
    for content in contents:
        for member in (CAMERA, *members):
            for judge in judges:
                for crf in crfs:
                    yield content, Trial(content.id, content.clip.source, member, judge, crf)


def cropped(trial: Trial, seed: int) -> Trial:
    """The trial with some pixels cut off above and at the left and some frames in front, drawn, never none at all."""
    digest = hashlib.sha256(f"{seed}|{trial.content}|crop".encode()).digest()
    draw = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    down, across = (int(2 * n) for n in draw.integers(0, 8, size=2))
    trim = int(draw.integers(0, 4))
    return replace(trial, crop=(down, across) if (down, across) != (0, 0) else (2, 6), trim=trim)


def _read(path: Path) -> dict[str, Finding]:
    known: dict[str, Finding] = {}
    if not path.is_file():
        return known
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            raw = json.loads(line)
            known[raw["name"]] = Finding.from_json(raw["finding"])
        except (ValueError, KeyError, TypeError):
            continue  # a line cut off when the process was stopped
    return known
