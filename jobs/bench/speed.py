"""What decoding and fingerprinting cost on this machine: alternating rounds in one run, medians and paired ratios."""

from __future__ import annotations

import functools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from fingerprint_db.fingerprint import fingerprint_window, measure_beside
from fingerprint_db.residual import load_planes
from fingerprint_db.spec import WindowPlan
from fingerprint_db.window import FrameWindow, Predecessors
from jobs.decode.protocol import DecodeRequest, DecoderName
from jobs.decode.service import serve
from jobs.encode import CodecChain, write_video
from jobs.progress import Meter
from jobs.settings import Settings

CLIP_FRAMES, CLIP_FPS, CLIP_SIZE = 600, 30, (1280, 720)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure over all rounds. unit: ``s`` a file or ``ms`` a window. ratio: to the baseline, median of pairs."""

    name: str
    unit: str
    median: float
    low: float
    high: float
    baseline: str = ""
    ratio: float | None = None


def measure(files: Sequence[str], settings: Settings, *, rounds: int, console: Console) -> list[Measurement]:
    """Decode and fingerprint each file ``rounds`` times, the variants taking turns so that drift hits them alike.

    files: none makes a 20 s clip of 720p noise and motion first. One thread, in this process, warm file cache.
    """
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if not files:
            console.print("making a 20 s clip of 1280x720 H.264", highlight=False)
            files = [str(_make_clip(Path(folder) / "bench.mp4"))]
        return _measure(list(files), settings, rounds, console)


def _measure(files: list[str], settings: Settings, rounds: int, console: Console) -> list[Measurement]:
    plan = WindowPlan()
    every = WindowPlan(bursts=10_000, crops=plan.crops)
    decoding: dict[str, Callable[[str], object]] = {
        "decode planned windows, pyav": lambda path: _decode(path, plan, "pyav"),
        "decode planned windows, decord": lambda path: _decode(path, plan, "decord"),
        "decode every frame, pyav": lambda path: _decode(path, every, "pyav"),
    }
    taken: dict[str, list[float]] = {name: [] for name in decoding}
    cueing: list[float] = []
    per_window: list[float] = []
    with Meter(console, "bench", rounds * len(files)) as meter:
        for _ in range(rounds):
            for path in files:
                for name, run in decoding.items():
                    taken[name].append(_timed(functools.partial(run, path)))
                windows = _decode(path, plan, settings.decoder)
                cueing.append(_beside_s(windows, time.perf_counter))
                for window in windows:
                    per_window.append(1000 * _timed(functools.partial(fingerprint_window, window)))
                meter.advance()
    base = "decode planned windows, pyav"
    found = [_summarise(name, "s", values, base, taken[base]) for name, values in taken.items()]
    found.append(_summarise("cues and series of the planned windows", "s", cueing, base, taken[base]))
    if per_window:
        found.append(_summarise("fingerprint a window (decoder + texture)", "ms", per_window, "", per_window))
    return found


def cue_shares(path: str, settings: Settings, *, rounds: int) -> list[float]:
    """What a file's cues, series and profiles cost over decoding its windows, in CPU time, paired within each round.

    One thread, in this process, warm file cache. Loading the planes and taking their residuals is not counted: the
    vectors need them anyway. Empty where no window can be decoded.
    """
    import torch

    torch.set_num_threads(1)
    shares = []
    for _ in range(rounds):
        started = time.process_time()
        windows = _decode(path, WindowPlan(), settings.decoder)
        decoding = time.process_time() - started
        if windows:
            shares.append(_beside_s(windows, time.process_time) / decoding)
    return shares


def _beside_s(windows: Sequence[FrameWindow], clock: Callable[[], float]) -> float:
    """Seconds by ``clock`` that the cues, series and profiles of a file's windows take, their planes loaded before."""
    import torch

    total = 0.0
    earlier = Predecessors(WindowPlan().bursts)
    with torch.inference_mode():
        for window in windows:
            planes = load_planes(window)
            before = earlier.of(window)
            started = clock()
            measure_beside(planes, window, before)
            total += clock() - started
    return total


def _decode(path: str, plan: WindowPlan, decoder: DecoderName) -> list[FrameWindow]:
    return [reply for reply in serve(DecodeRequest(path, plan, decoder)) if isinstance(reply, FrameWindow)]


def _timed(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _summarise(name: str, unit: str, values: list[float], base: str, of: list[float]) -> Measurement:
    ratio = statistics.median(a / b for a, b in zip(values, of, strict=True)) if base and base != name else None
    return Measurement(
        name, unit, statistics.median(values), min(values), max(values), base if ratio is not None else "", ratio
    )


def _make_clip(path: Path) -> Path:
    """Noise over drifting texture: costs a decoder about what camera footage does."""
    width, height = CLIP_SIZE
    rng = np.random.default_rng(0)
    texture = np.kron(rng.normal(size=(height // 8 + 64, width // 8 + 64)), np.ones((8, 8)))

    def frames() -> Iterator[NDArray[np.uint8]]:
        for number in range(CLIP_FRAMES):
            view = texture[number % 256 : number % 256 + height, number % 384 : number % 384 + width]
            grey = 120 + 30 * view + rng.normal(0, 3, view.shape)
            yield np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)

    write_video(path, frames(), fps=Fraction(CLIP_FPS), chain=CodecChain("x264", 23, preset="veryfast"))
    os.sync()
    return path
