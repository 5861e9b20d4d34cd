"""Camera footage that the bench starts from, and the split of its sources into training, validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

import numpy as np

from cluster.outcome import FailureError
from jobs.archive import file_sha256
from jobs.decode.thumbnail import read_packaging
from jobs.demo.footage import ARCHIVE, FPS, KNOWN, Photograph, Shot
from jobs.demo.packages import DemoPackageMissing
from jobs.encode import Rgb, read_frames
from jobs.errors import BadUsageError
from jobs.evaluate.manifest import Label, ManifestError, load_manifest

SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".y4m"))
# Sides of every cut are multiples of this, so that each decoder's own stride fits without padding.
SIDE_STEP = 32
MIN_SIDE = 128
# No content reaches further into a film: some ways of reading decode everything before the first frame wanted.
REACH_FRAMES = 240
_TRAIN, _VALIDATION = 0.6, 0.15


class Split(StrEnum):
    """What a source may be used for; decoders are trained on ``train`` alone."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


def split_of(source: str) -> Split:
    """The split of a source, by a hash of its name: the same on every machine, whatever else is in the footage."""
    digest = hashlib.sha256(b"makersmark bench 1|" + source.encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    if share < _TRAIN:
        return Split.TRAIN
    return Split.VALIDATION if share < _TRAIN + _VALIDATION else Split.TEST


@dataclass(frozen=True, slots=True)
class FirstCompression:
    """How the footage itself was coded before anything here touched it. kbps: of the video packets; 0 unknown."""

    codec: str
    kbps: float
    encoder: str


@dataclass(frozen=True, slots=True)
class Footage:
    """One camera clip. name: unique among the footage; source: where it was published, never split.

    height, width: luma pixels; frames: how many may be read. origin: a file, or a shot of a package with its view.
    """

    name: str
    source: str
    height: int
    width: int
    frames: int
    fps: Fraction
    first: FirstCompression
    sha256: str
    origin: Path | tuple[Shot | Photograph, int]

    @property
    def split(self) -> Split:
        return split_of(self.source)

    def read(self, start: int, count: int, box: tuple[int, int, int, int]) -> list[Rgb]:
        """``count`` consecutive (height, width, 3) frames of a box (top, left, height, width) at native resolution.

        Fewer where the film ends earlier. Raises FailureError for a file that cannot be read.
        """
        top, left, height, width = box
        if isinstance(self.origin, Path):
            film = read_frames(self.origin, start=start, count=count)
            return [np.ascontiguousarray(frame[top : top + height, left : left + width]) for frame in film]
        shot, view = self.origin
        packaged = shot.frames(view, start + count, 7)[start:]
        return [np.ascontiguousarray(frame[top : top + height, left : left + width]) for frame in packaged]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A clip that the bench cannot use, and one sentence why."""

    name: str
    reason: str


def load_footage(where: Path | None, *, frames: int) -> tuple[list[Footage], list[LeftOut]]:
    """The usable camera clips of a manifest (rows labelled camera), a folder, or the demo's packages (None).

    frames: the fewest a clip must have. In a folder the first sub-folder names the source, a file beside them is its
    own. Left out with a reason: GIFs (256 colours), unreadable, short and small clips.
    Raises BadUsageError where nothing is left.
    """
    if where is None:
        found, left = _packaged(), list[LeftOut]()
    elif where.is_dir():
        found, left = _probe(_in_folder(where))
    elif where.suffix.lower() == ".csv":
        found, left = _probe(_in_manifest(where))
    else:
        raise BadUsageError(f"{where} is neither a folder of camera clips nor a manifest ending in .csv")
    usable = []
    for clip in found:
        if clip.frames < frames:
            left.append(LeftOut(clip.name, f"{clip.frames} frames, {frames} are needed"))
        elif min(clip.height, clip.width) < MIN_SIDE:
            left.append(LeftOut(clip.name, f"{clip.width}x{clip.height} pixels, each side needs {MIN_SIDE}"))
        else:
            usable.append(clip)
    if not usable:
        why = f": {left[0].name}, {left[0].reason}" if left else ""
        raise BadUsageError(f"no camera footage to start from in {where or 'the demo packages'}{why}")
    return sorted(usable, key=lambda clip: clip.name), left


def cut_sides(clip: Footage, side: int) -> tuple[int, int]:
    """Height and width of a cut of at most ``side``: multiples of SIDE_STEP that fit into the clip."""
    fit = [min(side, n) // SIDE_STEP * SIDE_STEP for n in (clip.height, clip.width)]
    return fit[0], fit[1]


def _in_folder(folder: Path) -> list[tuple[str, str, Path]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not any(path.suffix.lower() in SUFFIXES for path in files):
        raise BadUsageError(f"{folder} holds no video file ({', '.join(sorted(SUFFIXES))})")
    rows = []
    for path in files:
        inside = path.relative_to(folder)
        if path.suffix.lower() in SUFFIXES:
            rows.append((inside.as_posix(), inside.parts[0] if len(inside.parts) > 1 else inside.stem, path))
    return rows


def _in_manifest(path: Path) -> list[tuple[str, str, Path]]:
    try:
        manifest = load_manifest(path)
    except ManifestError as error:
        raise BadUsageError(str(error)) from error
    return [(clip.name, clip.source, clip.path) for clip in manifest.clips if clip.label is Label.CAMERA]


def _probe(rows: Sequence[tuple[str, str, Path]]) -> tuple[list[Footage], list[LeftOut]]:
    found: list[Footage] = []
    left: list[LeftOut] = []
    for name, source, path in rows:
        if path.suffix.lower() == ".gif":
            left.append(LeftOut(name, "a GIF has 256 colours and no camera's noise"))
            continue
        try:
            packed = read_packaging(path)
            first = next(read_frames(path), None)
        except FailureError as error:
            left.append(LeftOut(name, error.failure.message))
            continue
        if first is None:
            left.append(LeftOut(name, "not a frame of it could be decoded"))
            continue
        height, width = first.shape[:2]
        fps = Fraction(packed.fps).limit_denominator(1001) if 1 <= packed.fps <= 240 else Fraction(25)
        coded = FirstCompression(packed.codec, round(packed.bit_rate / 1000, 1), packed.encoder)
        frames = min(packed.frames, REACH_FRAMES)
        digest = file_sha256(path)
        found.append(Footage(name, source, height, width, frames, fps, coded, digest, path))
    return found, left


def _packaged() -> list[Footage]:
    """Footage and filmed photographs of the demo's packages, as far as they are installed."""
    found = []
    missing: DemoPackageMissing | None = None
    for shot in (*KNOWN, *ARCHIVE):
        for view in range(len(shot.views)):
            height, width = shot.views[view][-2:]
            frames = shot.length if isinstance(shot, Shot) else 64
            coded = FirstCompression("package" if isinstance(shot, Shot) else "photograph", 0.0, shot.file)
            try:
                shot.frames(view, 1, 7)
            except DemoPackageMissing as error:
                missing = error
                continue
            name = f"{shot.name}-{view}"
            digest = hashlib.sha256(f"{shot.package}|{shot.file}|{name}".encode()).hexdigest()
            found.append(Footage(name, shot.film, height, width, frames, FPS, coded, digest, (shot, view)))
    if not found and missing is not None:
        raise BadUsageError(f"name camera footage with --footage; {missing}")
    return found
