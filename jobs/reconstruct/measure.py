"""One checkpoint against one picture: refined reconstruction, once and again through the picture's own compression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from fingerprint_db.reconstruction import Loss, band_drops, drop, measure_loss
from fingerprint_db.spec import WindowPlan
from jobs.decode.plan import plan_crops
from jobs.reconstruct.frames import Picture
from jobs.reconstruct.network import Network
from jobs.reconstruct.recompress import Compression, compression_of, recompressed

SIDE = 256
MIN_SIDE = 64
_MACROBLOCK = 16


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
    """What a checkpoint gave back of a part. plain: the loss of the very first reconstruction, before it is refined.

    first, second: losses of the refined reconstruction of the part and of that reconstruction, compressed likewise.
    quality: the quality number of the part's compression.
    """

    plain: Loss
    first: Loss
    second: Loss
    quality: float
    compression: Compression


def parts_of(pictures: Sequence[Picture], *, count: int, side: int = SIDE) -> list[Part]:
    """At most ``count`` squares over all pictures, taken in turn, at fixed places that lie on multiples of 32."""
    places = []
    for picture in pictures:
        height, width = picture.rgb.shape[-2:]
        crops = plan_crops(width, height, WindowPlan(crops=max(1, -(-count // len(pictures))), crop_px=side))
        places.append([Part(picture, (one.top, one.left, one.height, one.width)) for one in crops])
    longest = max((len(found) for found in places), default=0)
    turns = [found[turn] for turn in range(longest) for found in places if turn < len(found)]
    return [part for part in turns if min(part.box[2:]) >= MIN_SIDE][:count]


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
    return Measured(
        loss_of(native - plain, stride),
        loss_of(native - better, stride),
        loss_of(second - better_again, stride),
        compression.quality,
        compression,
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """A file under one checkpoint at one grid. bands: log of the first loss over the second by band, mean over parts.

    gain: log of the plain over the refined loss, block by block; a null of the statistic, as it needs no codec.
    blocks: the statistic's rival, log of the first over the second loss block by block. quality: median quality number.
    """

    grid: Grid
    bands: dict[str, float]
    blocks: float
    gain: float
    quality: float
    parts: int

    @property
    def drop(self) -> float:
        return drop(self.bands)


def pooled(measured: Sequence[Measured], grid: Grid) -> Finding:
    """Parts of one file as one finding. Raises ValueError without any."""
    if not measured:
        raise ValueError("no part of a picture was reconstructed")
    by_band = [band_drops(one.first, one.second) for one in measured]
    count = len(measured)
    return Finding(
        grid,
        {name: sum(each[name] for each in by_band) / count for name in by_band[0]},
        sum(one.first.blocks - one.second.blocks for one in measured) / count,
        sum(one.plain.blocks - one.first.blocks for one in measured) / count,
        sorted(one.quality for one in measured)[count // 2],
        count,
    )


def loss_of(residual: Tensor, margin: int) -> Loss:
    """The loss of (T, 3, H, W) in 0..1 without a margin, where enough is left without it."""
    height, width = residual.shape[-2:]
    if min(height, width) >= 2 * margin + MIN_SIDE // 2:
        residual = residual[..., margin : height - margin, margin : width - margin]
    return measure_loss((residual * 255).numpy())


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
