"""Hard negatives: camera footage that was blurred, resampled, sharpened, denoised or compressed twice, and not decoded.

Whoever takes softness for a decoder's trace calls these generated.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from jobs.encode import Codec, CodecChain, Rgb, read_frames, write_video


@dataclass(frozen=True, slots=True)
class Processed:
    """The frames, and what was done in words a table can hold."""

    frames: list[Rgb]
    parameters: str


def blur(frames: Sequence[Rgb], rng: np.random.Generator) -> Processed:
    """Gaussian blur, sigma 0.5 to 1.2 pixels."""
    sigma = float(rng.uniform(0.5, 1.2))
    return Processed([_to_8bit(_smooth(frame, sigma)) for frame in frames], f"gaussian sigma {sigma:.2f} px")


def resample(frames: Sequence[Rgb], rng: np.random.Generator) -> Processed:
    """Down to 0.5-0.85 of the size with antialiasing and up again, bicubic or bilinear."""
    factor = float(rng.uniform(0.5, 0.85))
    mode = ("bicubic", "bilinear")[int(rng.integers(2))]
    height, width = frames[0].shape[:2]
    small = (max(16, round(height * factor)), max(16, round(width * factor)))
    video = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float()
    low = functional.interpolate(video, size=small, mode=mode, antialias=True).clamp(0, 255)
    back = functional.interpolate(low, size=(height, width), mode=mode, antialias=True)
    out = back.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return Processed(list(out), f"{mode} to {small[1]}x{small[0]} and back")


def sharpen(frames: Sequence[Rgb], rng: np.random.Generator) -> Processed:
    """Unsharp mask: 0.4 to 1.5 times the difference to a blur of sigma 0.7-1.5 pixels is added."""
    sigma, amount = float(rng.uniform(0.7, 1.5)), float(rng.uniform(0.4, 1.5))
    out = [_to_8bit(frame + amount * (frame - _smooth(frame, sigma))) for frame in frames]
    return Processed(out, f"unsharp sigma {sigma:.2f} px, amount {amount:.2f}")


def denoise(frames: Sequence[Rgb], rng: np.random.Generator) -> Processed:
    """Lee's local filter (5x5 mean and variance, noise 3 to 8 grey levels), then a running mean over time.

    The running mean keeps 60-100 % of the new frame, and all of it where something moved.
    """
    noise, fresh = float(rng.uniform(3, 8)), float(rng.uniform(0.6, 1.0))
    out: list[Rgb] = []
    before: NDArray[np.float32] | None = None
    for frame in frames:
        picture = frame.astype(np.float32)
        mean = ndimage.uniform_filter(picture, size=(5, 5, 1))
        variance = np.maximum(ndimage.uniform_filter(picture**2, size=(5, 5, 1)) - mean**2, 0)
        kept = mean + (picture - mean) * np.maximum(variance - noise**2, 0) / np.maximum(variance, 1e-3)
        if before is not None:
            moved = np.abs(kept - before).mean(axis=2, keepdims=True) > 2 * noise
            kept = np.where(moved, kept, before + fresh * (kept - before))
        before = kept.astype(np.float32)
        out.append(_to_8bit(kept))
    return Processed(out, f"Lee 5x5, noise {noise:.1f}, running mean {fresh:.2f}")


def compress_twice(frames: Sequence[Rgb], rng: np.random.Generator) -> Processed:
    """One more generation of x264, x265 or VP9 at quality 18-30 before the chain that all members share."""
    codecs: tuple[Codec, ...] = ("x264", "x265", "vp9")
    chain = CodecChain(
        codecs[int(rng.integers(3))], int(rng.integers(18, 31)), preset="fast", gop=int(rng.choice([12, 24, 48]))
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "first.mkv")
        write_video(path, frames, fps=Fraction(25), chain=chain)
        return Processed(list(read_frames(path)), chain.name)


NEGATIVES: dict[str, Callable[[Sequence[Rgb], np.random.Generator], Processed]] = {
    "blur": blur,
    "resample": resample,
    "sharpen": sharpen,
    "denoise": denoise,
    "double": compress_twice,
}


def _smooth(frame: Rgb, sigma: float) -> NDArray[np.float32]:
    smooth: NDArray[np.float32] = ndimage.gaussian_filter(frame.astype(np.float32), sigma=(sigma, sigma, 0))
    return smooth


def _to_8bit(picture: NDArray[np.floating]) -> Rgb:
    rounded: Rgb = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return rounded
