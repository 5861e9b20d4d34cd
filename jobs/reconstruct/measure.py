"""One checkpoint against one picture: refined reconstruction, once and again through the picture's own compression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fingerprint_db.reconstruction import BANDS, Losses, measure_losses, pooled_losses, refined_loss
from jobs.reconstruct.frames import Picture
from jobs.reconstruct.network import Network
from jobs.reconstruct.recompress import Compression, compression_of, recompressed

# Squares that are looked at: about so many pixels a side, at most so many of a file.
SIDE, PARTS = 256, 4
MIN_SIDE = 64
_MACROBLOCK = 16
_LATTICE = 32  # tiles begin on its multiples, so that strides up to it have one phase in all of them


@dataclass(frozen=True, slots=True)
class Grid:
    """Where a decoder's lattice lies in a frame. down, across: its first line and column, pixels of the file.

    scale: pixels of the file for one of the decoder's; a generator's own files have Grid(0, 0, 1.0).
    """

    down: int = 0
    across: int = 0
    scale: float = 1.0


NATIVE = Grid()


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A square of a picture that is looked at. box: (top, left, height, width) within the picture, multiples of 16."""

    picture: Picture
    box: tuple[int, int, int, int]

    def rgb(self) -> Tensor:
        top, left, height, width = self.box
        return self.picture.rgb[..., top : top + height, left : left + width]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What a checkpoint gave back of a part. quality: the quality number of the part's compression."""

    losses: Losses
    quality: float
    compression: Compression


def parts_of(pictures: Sequence[Picture], *, count: int, side: int = SIDE) -> list[Part]:
    """At most ``count`` squares of about ``side`` over all pictures, taken in turn, the most detailed of each first.

    A picture is laid out in equal tiles that begin on multiples of 32, so that no pixel is looked at twice.
    """
    places = []
    for picture in pictures:
        detail = detail_of(picture.rgb)
        found = []
        for top, high in _tiles(picture.rgb.shape[-2], side):
            for left, wide in _tiles(picture.rgb.shape[-1], side):
                if min(high, wide) >= MIN_SIDE:
                    box = (top, left, high, wide)
                    fine = float(detail[top : top + high - 1, left : left + wide - 1].mean())
                    found.append((-fine, box, Part(picture, box)))
        places.append([part for _, _, part in sorted(found, key=lambda one: one[:2])])
    longest = max((len(found) for found in places), default=0)
    return [found[turn] for turn in range(longest) for found in places if turn < len(found)][:count]


def detail_of(rgb: Tensor) -> NDArray[np.float32]:
    """(T, 3, H, W) in 0..1 to (H - 1, W - 1) logarithms of the squared step to the next pixel down and across."""
    step = rgb[..., 1:, 1:] - rgb[..., :-1, :-1]
    return np.asarray(step.square().mean(dim=(0, 1)).add(1e-5).log().numpy(), dtype=np.float32)


def _tiles(length: int, side: int) -> list[tuple[int, int]]:
    """(start, size) of equal tiles along one side: as many as come nearest to ``side``, whole multiples of 16."""
    count = max(1, round(length / side))
    if count == 1:
        return [(0, length // _MACROBLOCK * _MACROBLOCK)]
    size = length // count // _LATTICE * _LATTICE
    return [(number * size, size) for number in range(count)]


def refined(network: Network, rgb: Tensor) -> tuple[Tensor, Tensor]:
    """(plain, refined) reconstructions of (T, 3, H, W) in 0..1, sides multiples of the stride.

    Refined: one fixed-point step on the latent, so that the encoder sees the reconstruction as it sees the picture.
    """
    wanted = network.encode(rgb)
    plain = network.decode(wanted, len(rgb))
    return plain, network.decode(wanted + (wanted - network.encode(plain)), len(rgb))


def inner_box(part: Part, grid: Grid, stride: int, *, room: bool = False) -> tuple[int, int, int, int]:
    """What of a part the network is given at a grid: (top, left, height, width) in pixels of the file, within the part.

    Begins on the lattice and is whole steps of it. room: one step is left for other phases, so that all of a scale have
    equally many pixels; a grid other than the native one always leaves it. Raises ValueError where nothing is left.
    """
    step = stride * grid.scale
    top, left, height, width = part.box
    origin = (part.picture.top + top, part.picture.left + left)
    shift = round(step)
    offset = ((grid.down - origin[0]) % shift, (grid.across - origin[1]) % shift)
    if grid != NATIVE or offset != (0, 0) or room:
        height, width = height - shift, width - shift
    sides = [whole_steps(side, stride, grid.scale) for side in (height, width)]
    if min(sides) < 3 * step:
        raise ValueError(f"a part of {part.box[2]}x{part.box[3]} pixels is too small for a lattice of {step:g}")
    return offset[0], offset[1], sides[0], sides[1]


def whole_steps(side: int, stride: int, scale: float) -> int:
    """The largest number of file pixels up to ``side`` that is a whole number of lattice steps and of pixels."""
    steps = int(side / (stride * scale) + 1e-9)
    while steps and abs(steps * stride * scale - round(steps * stride * scale)) > 1e-6:
        steps -= 1
    return round(steps * stride * scale)


def measure(network: Network, part: Part, codec: str, grid: Grid = NATIVE) -> Measured:
    """The losses of a part under a checkpoint at a grid. codec: FFmpeg's name of the file's codec.

    The reconstruction is put back in its place before it is compressed, so that the codec's blocks lie against the
    decoder's lattice as they did. A border of one lattice step, where the network misses what lay beyond, is left out.
    """
    stride = network.stride[0]
    inner = inner_box(part, grid, stride)
    compression = compression_of(part.picture, codec, part.box)
    source = part.rgb()
    native = to_native(cut(source, inner), grid, stride)
    plain, better = refined(network, native)
    again = source.clone()
    top, left, height, width = inner
    again[..., top : top + height, left : left + width] = to_file(better, (height, width), grid)
    coded, _ = recompressed(again, compression, (0, 0, *part.box[2:]))
    second = to_native(cut(coded, inner), grid, stride)
    _, better_again = refined(network, second)
    residuals = (native - plain, native - better, second - better_again)
    before, once, twice = (inside(one, stride) for one in residuals)
    return Measured(measure_losses(before, once, twice), compression.quality, compression)


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """A file under one checkpoint at one grid. losses: of all parts. quality: median quality number of the parts."""

    grid: Grid
    losses: Losses
    quality: float
    parts: int

    @property
    def excess(self) -> float:
        """The statistic; low for what the decoder made."""
        return self.losses.excess

    @property
    def drop(self) -> float:
        return self.losses.drop

    @property
    def gain(self) -> float:
        return self.losses.gain

    @property
    def bands(self) -> dict[str, float]:
        """The drop by band."""
        return {name: float(value) for name, value in zip(BANDS, self.losses.drops, strict=True)}

    def to_json(self) -> dict[str, Any]:
        losses = self.losses
        return {
            "grid": asdict(self.grid),
            "plain": losses.plain.tolist(),
            "first": losses.first.tolist(),
            "second": losses.second.tolist(),
            "blocks": losses.blocks,
            "quality": self.quality,
            "parts": self.parts,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Finding:
        """The inverse of to_json. Raises KeyError, TypeError or ValueError for something else."""
        bands = [np.array(raw[name], dtype=np.float64) for name in ("plain", "first", "second")]
        losses = Losses(bands[0], bands[1], bands[2], int(raw["blocks"]))
        return cls(Grid(**raw["grid"]), losses, float(raw["quality"]), int(raw["parts"]))


def pooled(measured: Sequence[Measured], grid: Grid) -> Finding:
    """Parts of one file as one finding. Raises ValueError without any."""
    losses = pooled_losses([one.losses for one in measured])
    quality = sorted(one.quality for one in measured)[len(measured) // 2]
    return Finding(grid, losses, quality, len(measured))


def loss_at(network: Network, native: Tensor) -> float:
    """What grids are compared by: how little a refined reconstruction of (T, 3, H, W) in 0..1 loses (refined_loss)."""
    plain, better = refined(network, native)
    margin = network.stride[0]
    return refined_loss(inside(native - plain, margin), inside(native - better, margin))


def inside(residual: Tensor, margin: int) -> NDArray[np.float32]:
    """(T, 3, H, W) in 0..1 as grey levels (0..255) without a margin, where enough is left without it."""
    height, width = residual.shape[-2:]
    if min(height, width) >= 2 * margin + MIN_SIDE // 2:
        residual = residual[..., margin : height - margin, margin : width - margin]
    return np.asarray((residual * 255).numpy(), dtype=np.float32)


def cut(rgb: Tensor, box: tuple[int, int, int, int]) -> Tensor:
    top, left, height, width = box
    return rgb[..., top : top + height, left : left + width]


def to_native(rgb: Tensor, grid: Grid, stride: int) -> Tensor:
    """File pixels at the decoder's own size; untouched at scale 1."""
    if grid.scale == 1.0:
        return rgb
    size = [round(side / (stride * grid.scale)) * stride for side in rgb.shape[-2:]]
    return _resized(rgb, (size[0], size[1]))


def to_file(rgb: Tensor, size: tuple[int, int], grid: Grid) -> Tensor:
    return rgb if grid.scale == 1.0 else _resized(rgb, size)


def _resized(rgb: Tensor, size: tuple[int, int]) -> Tensor:
    resized = functional.interpolate(rgb, size=size, mode="bicubic", align_corners=False, antialias=True)
    return torch.as_tensor(resized).clamp(0, 1)
