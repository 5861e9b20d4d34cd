"""Decoding in tiles, as large pictures are: any decoder run over square after square, joined with or without a fade.

The joins are those of the `diffusers` VAEs: tiles begin at multiples of a step, and where one reaches into the next,
that one is faded in linearly; tiles that do not overlap meet at a hard line. A tile is decoded from what lies in it
alone, so that at its edges a decoder sees padding where the picture goes on, and normalises over the tile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from jobs.bench.upsamplers import draw_trace
from jobs.encode import Rgb

Decode = Callable[[Sequence[Rgb]], list[Rgb]]
_Video = NDArray[np.float32]  # (T, H, W, 3)


def decoded_in_tiles(decode: Decode, frames: Sequence[Rgb], *, tile: int, step: int) -> list[Rgb]:
    """The frames through ``decode``, tile by tile; ``tile - step`` pixels are faded over, 0 for hard lines.

    tile, step: pixels, both multiples of what the decoder asks of sides, as the frames' own sides are.
    Raises ValueError where tiles would leave gaps or a fade would reach over two of them.
    """
    if not 0 < step <= tile <= 2 * step:
        raise ValueError(f"tiles of {tile} px every {step} px cannot be joined")
    height, width = frames[0].shape[:2]
    rows = []
    for top in range(0, height, step):
        across = [
            np.stack(decode([frame[top : top + tile, left : left + tile] for frame in frames])).astype(np.float32)
            for left in range(0, width, step)
        ]
        rows.append(_joined(across, 2, step))
    whole = _joined(rows, 1, step)
    return list(whole.round().clip(0, 255).astype(np.uint8))


def joins(side: int, step: int) -> list[int]:
    """The first pixels of the tiles after the first, along a side of so many pixels."""
    return list(range(step, side, step))


def _joined(parts: Sequence[_Video], axis: int, step: int) -> _Video:
    """Parts that begin every ``step`` pixels along an axis, each faded in over what the one before reaches into it."""
    out = [parts[0]]
    for part in parts[1:]:
        before = np.moveaxis(out[-1], axis, 0)
        after = np.moveaxis(part, axis, 0).copy()
        overlap = min(len(before) - step, len(after))
        if overlap > 0:
            rise = (np.arange(overlap, dtype=np.float32) / overlap).reshape(-1, 1, 1, 1)
            after[:overlap] = (1 - rise) * before[step : step + overlap] + rise * after[:overlap]
        out[-1] = np.moveaxis(before[:step], 0, axis)
        out.append(np.moveaxis(after, 0, axis))
    return np.concatenate(out, axis=axis)


def model_decoder(seed: int, sample: Sequence[Rgb], psnr_db: float = 34.0) -> Decode:
    """A stand-in for a decoder whose weights cannot be had: what it adds comes from a random network that normalises
    over the picture it is given. On the sample it loses so many dB, as a published VAE does (the one at hand: 34.8).
    """
    trace = draw_trace("refiner", np.random.default_rng([seed, 31]))
    with torch.inference_mode():
        strength = float(trace(_planes(sample)).square().mean().sqrt()) + 1e-9

    def decode(frames: Sequence[Rgb]) -> list[Rgb]:
        with torch.inference_mode():
            video = _planes(frames)
            out = video + trace(video) * (10 ** (-psnr_db / 20) / strength)
            return list((out * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy())

    return decode


def _planes(frames: Sequence[Rgb]) -> torch.Tensor:
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255
