"""Files whose assembly is known: camera clips through jobs.bench.assembled, encoded, and read as a scan does."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from fingerprint_db.spec import WindowPlan
from fingerprint_db.window import FrameWindow, Predecessors, WindowFingerprint
from jobs.bench.assembled import RECIPES, Assembled
from jobs.decode.protocol import DecodeRequest
from jobs.decode.service import serve
from jobs.encode import CodecChain, Rgb, read_frames, write_video

FRAMES = 64  # of a clip, at most
SIDES = (384, 512)  # centre crop, height and width: two windows a burst
# Raise when the traces of the same pixels change, so that no kept ones are used.
TRACES_VERSION = 2


@dataclass(frozen=True, slots=True)
class Source:
    """A camera clip. name: in the manifest; page: where it was published, the unit that is never split."""

    name: str
    page: str
    path: Path
    fps: Fraction


@dataclass(frozen=True, slots=True)
class Plan:
    """Recipes with the codec chains they go through. pages: so many clips, one of every source first; 0 for all."""

    recipes: tuple[str, ...]
    chains: tuple[CodecChain, ...]
    pages: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Specimen:
    """One file. truth: the recipe's, frames left out, with ``fps`` and ``n`` frames; windows: series only."""

    source: Source
    recipe: str
    chain: str
    truth: dict[str, Any]
    windows: tuple[WindowFingerprint, ...]

    @property
    def fps(self) -> float:
        return float(self.truth["fps"])


def chain_name(chain: CodecChain) -> str:
    """``crf23``, then what is not x264's default of one keyframe in 250 frames and adaptive B-frames."""
    parts = [f"crf{chain.crf}"]
    parts += [f"gop{chain.gop}"] if chain.gop != 250 else []
    parts += [f"b{chain.bframes}"] if chain.bframes is not None else []
    return "-".join(parts)


def chosen(sources: Sequence[Source], pages: int) -> list[Source]:
    """One clip of every source, then a second of every source, and so on; the first ``pages`` of them (0: all)."""
    by_page: dict[str, list[Source]] = {}
    for source in sources:
        by_page.setdefault(source.page, []).append(source)
    deepest = max((len(each) for each in by_page.values()), default=0)
    order = [each[turn] for turn in range(deepest) for each in by_page.values() if turn < len(each)]
    return order[:pages] if pages else order


def specimens(sources: Sequence[Source], plans: Iterable[Plan], folder: Path) -> Iterator[Specimen]:
    """Every file of the plans, made where the folder does not hold it yet; series are kept beside the files.

    Raises FailureError for a clip that cannot be read.
    """
    for plan in plans:
        for source in chosen(sources, plan.pages):
            yield from _of_source(source, plan, folder)


def _of_source(source: Source, plan: Plan, folder: Path) -> Iterator[Specimen]:
    seed = zlib.crc32(source.name.encode())
    frames: list[Rgb] | None = None
    for recipe in plan.recipes:
        made: Assembled | None = None
        for chain in plan.chains:
            path = folder / f"{seed:08x}-{recipe}-{chain_name(chain)}.mp4"
            beside = path.with_suffix(".json")
            if not (path.is_file() and beside.is_file()):
                frames = frames or _cropped(source.path)
                made = made or RECIPES[recipe](frames, source.fps, seed)
                write_video(path, made.frames, fps=made.fps, chain=chain)
                beside.write_text(json.dumps(_truth(made)))
            truth = json.loads(beside.read_text())
            yield Specimen(source, recipe, chain_name(chain), truth, tuple(series(path)))


def series(path: Path, folder: Path | None = None) -> list[WindowFingerprint]:
    """The windows of a file with their series a frame, as ``scan`` keeps them; vectors and cues are left empty.

    folder: where they are kept, beside the file by default.
    """
    digest = zlib.crc32(str(path).encode())
    home = path if folder is None else folder / f"{digest:08x}"
    kept = home.with_suffix(f".traces{TRACES_VERSION}.npz")
    if not kept.is_file():
        earlier = Predecessors(WindowPlan().bursts)
        _keep(kept, [_measured(window, earlier.of(window)) for window in _windows(path)])
    return _kept(kept)


def _windows(path: Path) -> Iterator[FrameWindow]:
    for reply in serve(DecodeRequest(str(path), WindowPlan())):
        if isinstance(reply, FrameWindow):
            yield reply


def _measured(window: FrameWindow, before: FrameWindow | None) -> WindowFingerprint:
    import torch

    from fingerprint_db.residual import load_luma, load_planes
    from fingerprint_db.traces import measure_traces

    torch.set_num_threads(1)
    with torch.inference_mode():
        planes = load_planes(window)
        traces = measure_traces(planes, window, None if before is None else load_luma(before))
    return WindowFingerprint.of(window, traces=traces)


def _keep(path: Path, windows: Sequence[WindowFingerprint]) -> None:
    heads = [[w.burst, w.crop, w.top, w.left, w.height, w.width, w.start_s, w.end_s, w.picture_types] for w in windows]
    arrays = {f"{number}|{name}": trace for number, w in enumerate(windows) for name, trace in w.traces.items()}
    part = path.with_name(f".{path.name}")
    with part.open("wb") as stream:
        np.savez_compressed(stream, heads=np.array(json.dumps(heads)), **arrays)  # type: ignore[arg-type]
    part.replace(path)


def _kept(path: Path) -> list[WindowFingerprint]:
    none = np.zeros(0, np.float32)
    with np.load(path) as found:
        heads = json.loads(str(found["heads"]))
        traces: list[dict[str, np.ndarray[Any, np.dtype[np.float32]]]] = [{} for _ in heads]
        for key in found.files:
            number, _, name = key.partition("|")
            if name:
                traces[int(number)][name] = found[key]
    return [
        WindowFingerprint(b, c, top, left, high, wide, start, end, none, none, {}, trace, types)
        for (b, c, top, left, high, wide, start, end, types), trace in zip(heads, traces, strict=True)
    ]


def _cropped(path: Path) -> list[Rgb]:
    frames = list(read_frames(path, count=FRAMES))
    height, width = (min(have, most) // 2 * 2 for have, most in zip(frames[0].shape[:2], SIDES, strict=True))
    top, left = ((have - used) // 4 * 2 for have, used in zip(frames[0].shape[:2], (height, width), strict=True))
    return [np.ascontiguousarray(frame[top : top + height, left : left + width]) for frame in frames]


def _truth(made: Assembled) -> dict[str, Any]:
    return {
        "fps": float(made.fps),
        "n": len(made.frames),
        "kind": made.kind,
        "period": made.period,
        "made": list(made.made),
        "seams": list(made.seams),
        "cuts": list(made.cuts),
    }
