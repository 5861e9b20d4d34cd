"""`makersmark enroll GENERATOR --vae DIR`: signatures of what a checkpoint makes of camera footage, calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from jobs.bench.chain import shared_chain
from jobs.bench.contents import Content
from jobs.bench.gate import RoundTrip, round_trip
from jobs.encode import write_video
from jobs.enroll import Clip, Wanted, maker_of
from jobs.errors import BadUsageError
from jobs.home import Home
from jobs.progress import Meter
from jobs.reconstruct.calibrate import CONTENTS, Calibrated, calibrate, footage_for
from jobs.reconstruct.network import Network, Source, find_source, open_network
from jobs.reconstruct.registry import Checkpoint, checkpoint_id, keep
from jobs.reconstruct.trials import round_trip as through
from jobs.snapshots import CAMERA

# One encoder for all, its lattice where a generator's own file has it (jobs.bench.chain).
CHAIN = "x264-crf23-aligned"
SIGNATURE_FRAMES = 16


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A checkpoint that was looked at, before anything is stored. fidelity: of its round trips of the footage."""

    source: Source
    network: Network
    generator: str
    family: str | None
    contents: tuple[Content, ...]
    wanted: Wanted
    fidelity: RoundTrip


def prepare_vae(
    name: str,
    folder: Path,
    clips: Path,
    *,
    family: str | None,
    footage: Path | None,
    contents: int,
    seed: int,
    device: str,
    console: Console,
) -> Prepared:
    """Load a checkpoint, pass camera footage through it, and lay the clips below ``clips`` for their signatures.

    Raises BadUsageError for a folder without a VAE, files that are something else, or too little camera footage.
    """
    maker = maker_of(name, family=family, kind="generator")
    if maker.slug == CAMERA:
        raise BadUsageError("camera footage has no VAE; --vae goes with the name of a generator")
    torch.set_num_threads(1)  # one thread gives the same numbers on any machine size
    source = find_source(folder)
    network = open_network(source, device=device)
    chosen = footage_for(footage, contents or CONTENTS, seed, frames=SIGNATURE_FRAMES)
    before, after, made = [], [], []
    with Meter(console, f"round trips of {maker.slug}", len(chosen)) as meter:
        for content in chosen:
            frames = content.read()
            passed = through(network, frames)
            step = max(16, network.stride[0])
            kept = [np.ascontiguousarray(frame[step:-step, step:-step]) for frame in passed]
            height, width = kept[0].shape[:2]
            chain = shared_chain(CHAIN, content.id, seed, height, width, content.clip.fps)
            path = clips / f"{content.id}.mp4"
            write_video(path, kept, fps=chain.fps, chain=chain.codec)
            made.append(Clip(str(path), maker.slug, content.clip.source))
            before.append(frames[0][step:-step, step:-step])
            after.append(kept[0])
            meter.advance()
    fidelity = _fidelity(before, after)
    wanted = Wanted(tuple(made), {maker.slug: maker}, one_chain=True)
    return Prepared(source, network, maker.slug, maker.family, tuple(chosen), wanted, fidelity)


def keep_vae(home: Home, prepared: Prepared, *, console: Console) -> tuple[Checkpoint, Calibrated]:
    """Calibrate the checkpoint on the camera footage it was prepared with and keep both in the home."""
    files = checkpoint_id(prepared.source.sha256())
    calibrated = calibrate(prepared.generator, files, prepared.network, prepared.contents, cache=None, console=console)
    kept = keep(home, prepared.source, prepared.network, prepared.generator, prepared.family, calibrated.model)
    return kept, calibrated


def _fidelity(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> RoundTrip:
    """Over all first frames; contents of other sizes weigh by their pixels."""
    trips = [(round_trip([old], [new]), old.size) for old, new in zip(before, after, strict=True)]
    weight = sum(size for _, size in trips)
    error = sum(size * 10 ** (-trip.psnr_db / 10) for trip, size in trips) / weight
    gradient = sum(size * trip.gradient_ratio for trip, size in trips) / weight
    return RoundTrip(-10 * float(np.log10(error)), gradient)
