"""A reconstructed picture through the same kind of compression as the file it is compared with."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from jobs.bench.chain import SUFFIX
from jobs.encode import Codec, CodecChain, write_lossless, write_video
from jobs.reconstruct.frames import Picture, own_keyframes, to_bytes

_ENCODERS: dict[str, Codec] = {"h264": "x264", "hevc": "x265", "vp9": "vp9", "av1": "av1"}
LOSSLESS = frozenset(("ffv1", "ffvhuff", "huffyuv", "utvideo", "magicyuv", "rawvideo", "png", "apng", "qtrle"))
# x264 codes a keyframe some five quantiser steps below its CRF; only where the search begins.
_KEYFRAME_GAIN = 5.0
_CLOSE, _TRIES = 0.25, 3
_CRF_RANGE: dict[Codec, tuple[int, int]] = {"x264": (1, 51), "x265": (1, 51), "vp9": (2, 63), "av1": (2, 63)}


@dataclass(frozen=True, slots=True)
class Compression:
    """How a picture was coded, as far as our encoders can do it again.

    codec: of our encoders, None for lossless. quantiser: H.264's mean over the part looked at, to be met; None where it
    is not known and ``crf`` was found by the size of the coded frame. how: one phrase for the record.
    """

    codec: Codec | None
    quantiser: float | None
    crf: float
    how: str

    @property
    def quality(self) -> float:
        """One number for calibration buckets, on the scale of H.264's keyframe quantisers; 0 for lossless."""
        if self.codec is None:
            return 0.0
        return self.quantiser if self.quantiser is not None else self.crf - _KEYFRAME_GAIN


def compression_of(picture: Picture, codec: str, box: tuple[int, int, int, int]) -> Compression:
    """How the box (top, left, height, width) of a keyframe was coded. codec: FFmpeg's name of the file's.

    By the quantiser that an H.264 file states; else by the CRF at which the whole frame, coded once more, takes as many
    bytes. Codecs without an encoder here are stood in for by x264.
    """
    if codec in LOSSLESS:
        return Compression(None, None, 0.0, "lossless")
    if codec == "h264" and (stated := picture.mean_quantiser(box)) is not None:
        return Compression("x264", stated, stated + _KEYFRAME_GAIN, "quantiser")
    encoder = _ENCODERS.get(codec, "x264")
    if not picture.packet_bytes:
        return Compression(encoder, None, 23.0, "assumed: the size of the coded frame is not known")
    low, high = _CRF_RANGE[encoder]
    while low < high:  # the smallest CRF whose frame is no larger than the file's
        middle = (low + high) // 2
        coded = _coded(picture.rgb, CodecChain(encoder, middle))
        if coded.packet_bytes > picture.packet_bytes:
            low = middle + 1
        else:
            high = middle
    return Compression(encoder, None, float(low), "size of the coded frame")


def recompressed(rgb: Tensor, as_was: Compression, box: tuple[int, int, int, int]) -> tuple[Tensor, Compression]:
    """(1, 3, H, W) through the compression, and how it came out; a stated quantiser is met over the box."""
    if as_was.codec is None:
        return _lossless(rgb), as_was
    crf = as_was.crf
    low, high = _CRF_RANGE[as_was.codec]
    for attempt in range(_TRIES):
        coded = _coded(rgb, CodecChain(as_was.codec, crf))
        came_out = coded.mean_quantiser(box) if as_was.quantiser is not None else None
        off = as_was.quantiser - came_out if as_was.quantiser is not None and came_out is not None else 0.0
        if abs(off) <= _CLOSE or attempt == _TRIES - 1:
            break
        crf = min(max(crf + off, low), high)
    return coded.rgb, Compression(as_was.codec, came_out, crf, as_was.how)


def _coded(rgb: Tensor, chain: CodecChain) -> Picture:
    with tempfile.TemporaryDirectory(prefix="makersmark-again-") as folder:
        path = Path(folder) / f"again{SUFFIX[chain.codec]}"
        write_video(path, to_bytes(rgb), fps=Fraction(25), chain=chain)
        (picture,), _ = own_keyframes(path, 1)
        return picture


def _lossless(rgb: Tensor) -> Tensor:
    with tempfile.TemporaryDirectory(prefix="makersmark-again-") as folder:
        path = Path(folder) / "again.mkv"
        write_lossless(path, to_bytes(rgb), fps=Fraction(25))
        pictures, _ = own_keyframes(path, len(rgb))
        return torch.cat([picture.rgb for picture in pictures])
