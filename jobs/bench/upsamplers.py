"""What a simulated decoder adds to a picture: the error of random up-samplers and small random networks, seeded.

A trace takes colour planes (T, 3, H, W) and returns what would be added to them; its size is set by the caller.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Trace = Callable[[Tensor], Tensor]


def draw_trace(name: str, rng: np.random.Generator) -> Trace:
    """A trace of the named kind with weights from the generator."""
    return TRACES[name](rng)


def _interpolated(low: Tensor, factor: int) -> Tensor:
    return functional.interpolate(low, scale_factor=factor, mode="bicubic", align_corners=False)


def _nearest(rng: np.random.Generator) -> Trace:
    """Nearest neighbour and a random 3x3 convolution, at factor 2 twice or once (the upsampler of most VAEs)."""
    kernels = [_near_binomial(rng) for _ in range(int(rng.integers(1, 3)))]

    def trace(planes: Tensor) -> Tensor:
        factor = 2 ** len(kernels)
        low = functional.avg_pool2d(planes, factor)
        up = low
        for kernel in kernels:
            up = _convolved(functional.interpolate(up, scale_factor=2, mode="nearest"), kernel)
        return up - _interpolated(low, factor)

    return trace


def _bilinear(rng: np.random.Generator) -> Trace:
    """Bilinear resize by 2 or 4 and a random 3x3 convolution."""
    factor, kernel = int(rng.choice([2, 4])), _near_binomial(rng)

    def trace(planes: Tensor) -> Tensor:
        low = functional.avg_pool2d(planes, factor)
        up = functional.interpolate(low, scale_factor=factor, mode="bilinear", align_corners=False)
        return _convolved(up, kernel) - _interpolated(low, factor)

    return trace


def _shuffle(rng: np.random.Generator) -> Trace:
    """Pixel shuffle whose phases were not trained quite alike: each phase mixes its neighbours a little differently."""
    factor = int(rng.choice([2, 4, 8]))
    phases = factor * factor
    mixing = torch.from_numpy(rng.normal(size=(phases, phases, 1, 1)) / np.sqrt(phases)).float()
    if rng.integers(2):
        # Locality: a phase borrows from its neighbours more than from the far corner of the cell.
        place = np.arange(phases)
        rows, columns = place // factor, place % factor
        distance = np.abs(rows[:, None] - rows) + np.abs(columns[:, None] - columns)
        mixing *= torch.from_numpy(np.exp(-distance / 1.5)[..., None, None]).float()
    # Rows of sum 0 leave flat areas alone, as training makes a shuffle do.
    mixing -= mixing.mean(dim=1, keepdim=True)

    def trace(planes: Tensor) -> Tensor:
        count, channels, height, width = planes.shape
        cells = functional.pixel_unshuffle(planes.reshape(count * channels, 1, height, width), factor)
        mixed = functional.conv2d(cells, mixing)
        return functional.pixel_shuffle(mixed, factor).reshape(planes.shape)

    return trace


def _transposed(rng: np.random.Generator) -> Trace:
    """A transposed convolution whose kernel is no multiple of its stride: uneven overlap, the checkerboard."""
    stride = int(rng.choice([2, 2, 4]))
    side = stride * 2 - 1 if stride == 2 else int(rng.choice([5, 6, 7]))
    along = np.hanning(side + 2)[1:-1]
    kernel = np.outer(along, along) * (1 + 0.15 * rng.normal(size=(side, side)))
    for row in range(stride):
        for column in range(stride):
            # Every phase passes a flat area unchanged, as training makes it: what is left shows where detail is.
            kernel[row::stride, column::stride] /= kernel[row::stride, column::stride].sum()
    weights = torch.from_numpy(kernel).float()[None, None]

    def trace(planes: Tensor) -> Tensor:
        count, channels, height, width = planes.shape
        low = functional.avg_pool2d(planes, stride)
        flat = low.reshape(count * channels, 1, height // stride, width // stride)
        up = functional.conv_transpose2d(flat, weights, stride=stride)
        extra = up.shape[-1] - width
        up = up[..., extra // 2 : extra // 2 + height, extra // 2 : extra // 2 + width]
        up = functional.pad(up, (0, width - up.shape[-1], 0, height - up.shape[-2]), mode="replicate")
        return up.reshape(planes.shape) - _interpolated(low, stride)

    return trace


def _refiner(rng: np.random.Generator) -> Trace:
    """Three random convolutions at full or half size, normalised over tiles in space and chunks in time, blended."""
    half = bool(rng.integers(2))
    width = int(rng.choice([8, 12, 16]))
    ends = 12 if half else 3
    shapes = ((width, ends, 3, 3), (width, width, 3, 3), (ends, width, 3, 3))
    kernels = [torch.from_numpy(rng.normal(size=s) / np.sqrt(np.prod(s[1:]))).float() for s in shapes]
    activation = (functional.silu, functional.relu, functional.gelu)[int(rng.integers(3))]
    tile = int(rng.choice([0, 96, 128]))
    chunk = int(rng.choice([0, 4, 8]))

    def network(planes: Tensor) -> Tensor:
        hidden = functional.pixel_unshuffle(planes - 0.5, 2) if half else planes - 0.5
        for kernel in kernels[:-1]:
            hidden = _padded_conv(hidden, kernel)
            spread, mean = torch.std_mean(hidden, dim=(0, 2, 3), keepdim=True)
            hidden = activation((hidden - mean) / (spread + 1e-5))
        out = _padded_conv(hidden, kernels[-1])
        return functional.pixel_shuffle(out, 2) if half else out

    def trace(planes: Tensor) -> Tensor:
        parts = torch.split(planes, chunk) if chunk else (planes,)
        added = torch.cat([_tiled(network, part, tile) if tile else network(part) for part in parts])
        return added * _detail(planes)

    return trace


def _tiled(network: Trace, planes: Tensor, tile: int) -> Tensor:
    """Tiles overlapping by a quarter, blended linearly, as VAEs decode large pictures."""
    step = tile * 3 // 4
    height, width = planes.shape[-2:]
    total, weight = torch.zeros_like(planes), torch.zeros(1, 1, height, width)
    for top in range(0, max(1, height - (tile - step)), step):
        for left in range(0, max(1, width - (tile - step)), step):
            area = planes[..., top : top + tile, left : left + tile]
            rows, columns = (_ramp(n, tile - step) for n in area.shape[-2:])
            blend = rows[:, None] * columns
            total[..., top : top + tile, left : left + tile] += network(area) * blend
            weight[..., top : top + tile, left : left + tile] += blend
    return total / weight


def _detail(planes: Tensor) -> Tensor:
    """Local strength of luma's detail, (T, 1, H, W): what a network adds is, like its errors, where detail is."""
    luma = planes[:, :1]
    fine = luma - functional.avg_pool2d(luma, 5, stride=1, padding=2, count_include_pad=False)
    return functional.avg_pool2d(fine.square(), 9, stride=1, padding=4, count_include_pad=False).sqrt()


def _ramp(size: int, overlap: int) -> Tensor:
    place = torch.arange(1, size + 1, dtype=torch.float32)
    return torch.minimum(place, size + 1 - place).clamp(max=overlap) / overlap


def _near_binomial(rng: np.random.Generator) -> Tensor:
    """A 3x3 kernel of sum 1 near the binomial one."""
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16 + 0.08 * rng.normal(size=(3, 3))
    return torch.from_numpy(kernel / kernel.sum()).float()


def _convolved(planes: Tensor, kernel: Tensor) -> Tensor:
    return _padded_conv(planes, kernel.expand(planes.shape[1], 1, 3, 3), groups=planes.shape[1])


def _padded_conv(planes: Tensor, kernel: Tensor, groups: int = 1) -> Tensor:
    return functional.conv2d(functional.pad(planes, (1, 1, 1, 1), mode="replicate"), kernel, groups=groups)


TRACES: dict[str, Callable[[np.random.Generator], Trace]] = {
    "nearest": _nearest,
    "bilinear": _bilinear,
    "shuffle": _shuffle,
    "transposed": _transposed,
    "refiner": _refiner,
}
