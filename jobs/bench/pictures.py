"""The coded clips of a bench as pictures for the learned fingerprint: decoded once, normalised, held in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from fingerprint_db.embedding import embedding_input
from fingerprint_db.residual import Planes, load_planes
from fingerprint_db.spec import WindowPlan
from fingerprint_db.window import FrameWindow
from jobs.bench.windows import chosen_rows, sharp_decoders
from jobs.decode.protocol import DecodeRequest
from jobs.decode.service import serve
from jobs.progress import Meter


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One window. place: which window of its file; pixels: (C, H, W) float16 of fingerprint_db.embedding_input."""

    content: str
    source: str
    split: str
    decoder: str
    kind: str
    chain: str
    sharp: bool
    place: int
    pixels: NDArray[np.float16]


def load_pictures(folder: Path, *, chains: Sequence[str], console: Console) -> list[Picture]:
    """Every window of the coded files, in the manifest's order. chains: as in ``jobs.bench.windows.load_windows``.

    The files are the bench's own, so they are decoded in this process. About 0.6 MB a window.
    Raises BadUsageError where the folder holds no bench or none of these chains.
    """
    rows = chosen_rows(folder, chains)
    sharp = sharp_decoders(folder)
    found = []
    with Meter(console, "reading the bench", len(rows)) as meter:
        for row in rows:
            for place, planes in enumerate(windows_of(folder / row["file"])):
                with torch.inference_mode():
                    pixels = embedding_input(planes).numpy().astype(np.float16)
                found.append(
                    Picture(
                        content=row["content"],
                        source=row["source"],
                        split=row["split"],
                        decoder=row["decoder"],
                        kind=row["kind"],
                        chain=row["chain"],
                        sharp=row["decoder"] in sharp,
                        place=place,
                        pixels=pixels,
                    )
                )
            meter.advance()
    return found


def windows_of(path: Path) -> Iterator[Planes]:
    """The planned windows of a file of our own making."""
    for reply in serve(DecodeRequest(str(path), WindowPlan())):
        if isinstance(reply, FrameWindow):
            yield load_planes(reply)
