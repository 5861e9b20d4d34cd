"""A simulated temporal decoder that restarts: chunks in time, joined with or without a blend.

No published video VAE has weights that can be had here, so what such a decoder does at a restart is imitated. A round
trip through it loses 32 to 36 dB, as published VAEs do (the one at hand: 34.8). Up to half of the loss is fine detail
that latents four times sparser in time cannot follow (the lowest cosines of the chunk's own frames are kept); the rest
is texture of the decoder's own, as strong as the detail around it, which the chunk's latents fix for the chunk. And
normalisation over the chunk moves contrast and level a little, as GroupNorm over a batch of frames does. It is a model
of the effect, not of any named generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.encode import Rgb

Video = NDArray[np.float32]  # (T, H, W, 3)
_STRIDE = 4  # frames a latent


@dataclass(frozen=True, slots=True)
class _Decoder:
    """gain, offset: how far the normalisation of a chunk strays (ratio, 8-bit levels). loss: of a round trip, mean
    squared levels. own: share of the loss that is texture of its own."""

    gain: float
    offset: float
    loss: float
    own: float


def draw_decoder(seed: int) -> _Decoder:
    rng = np.random.default_rng([seed, 21])
    return _Decoder(
        gain=float(rng.uniform(0.001, 0.004)),
        offset=float(rng.uniform(0.1, 0.5)),
        loss=float(255**2 / 10 ** (rng.uniform(32, 36) / 10)),
        own=float(rng.uniform(0.5, 0.8)),
    )


def chunked(
    frames: Sequence[Rgb], *, size: int, stride: int, blend: int, seed: int
) -> tuple[list[Rgb], tuple[int, ...]]:
    """Decodes ``size`` frames every ``stride``; ``blend`` of them are faded from one chunk to the next, 0 for a hard
    join. The first chunk lost its first frames, as many as the seed draws, as in a film that was trimmed. Returns the
    frames and the numbers of those that begin a new chunk (the first of a fade).

    Raises ValueError where chunks do not reach each other.
    """
    if not 0 < stride <= size or blend > size - stride:
        raise ValueError(f"chunks of {size} every {stride} frames cannot be blended over {blend}")
    trimmed = int(np.random.default_rng([seed, 24]).integers(stride))
    # The lost frames are held copies of the first: only what the chunk makes of the others matters.
    video = np.stack([frames[0]] * trimmed + list(frames)).astype(np.float32)
    total = len(video)
    out = np.zeros_like(video)
    joins: list[int] = []
    decoder = draw_decoder(seed)
    for number, start in enumerate(range(0, total, stride)):
        made = _decode(video[start : start + size], decoder, [seed, 22, number])
        # A chunk takes over where the one before it ends its own stride, after the part they share.
        shared = min(size - stride, len(made)) if number else 0
        fade = min(blend, shared)
        if number and shared >= len(made) and start + shared >= total:
            break
        for position, frame in enumerate(made):
            at = start + position
            weight = 1.0
            if number and position < shared:
                weight = (position + 1) / (fade + 1) if position < fade else (1.0 if fade else 0.0)
            out[at] = weight * frame + (1 - weight) * out[at]
        first = start if fade else start + shared
        if number and trimmed < first < total:
            joins.append(first - trimmed)
    return [np.clip(np.round(frame), 0, 255).astype(np.uint8) for frame in out[trimmed:]], tuple(joins)


def _decode(chunk: Video, decoder: _Decoder, seed: Sequence[int]) -> Video:
    """One chunk through the decoder: (T, H, W, 3) float32 levels in and out."""
    rng = np.random.default_rng(seed)
    coarse = _smooth(chunk)
    fine = chunk - coarse
    lost = fine - _slow(fine)
    share = min(1.0, np.sqrt((1 - decoder.own) * decoder.loss / (float((lost**2).mean()) + 1e-6)))
    noise = rng.normal(size=(1, *chunk.shape[1:3], 1)).astype(np.float32)
    pattern = noise - _smooth(_smooth(noise))  # wavelengths up to about eight pixels, what a latent does not carry
    activity = _smooth(np.abs(fine).mean(axis=(0, 3), keepdims=True))
    texture = pattern * np.clip(activity / (activity.mean() + 1e-3), 0.3, 2.0)
    left = decoder.loss - share**2 * float((lost**2).mean())
    texture *= np.sqrt(left / float((texture**2).mean()))
    mean = coarse.mean()
    level = (coarse - mean) * np.float32(1 + decoder.gain * rng.normal()) + mean + decoder.offset * rng.normal(size=3)
    made: Video = (level + fine - np.float32(share) * lost + texture).astype(np.float32)
    return made


def _slow(fine: Video) -> Video:
    """The lowest quarter of the chunk's own cosines in time."""
    count = len(fine)
    keep = max(1, -(-count // _STRIDE))
    k, n = np.mgrid[0:keep, 0:count]
    basis = np.cos(np.pi * (2 * n + 1) * k / (2 * count)).astype(np.float32) * np.float32(np.sqrt(2 / count))
    basis[0] /= np.float32(np.sqrt(2))
    flat = fine.reshape(count, -1)
    slow: Video = (basis.T @ (basis @ flat)).reshape(fine.shape)
    return slow


def _smooth(video: Video) -> Video:
    """5 x 5 binomial blur of rows and columns, edges held."""
    padded = np.pad(video, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    for _ in range(4):
        padded = padded[:, 1:] + padded[:, :-1]
    for _ in range(4):
        padded = padded[:, :, 1:] + padded[:, :, :-1]
    smoothed: Video = padded / np.float32(256)
    return smoothed
