"""What the cues and the series of a window both need, taken once: smaller pictures, and what changes between frames."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from fingerprint_db.residual import Planes, halve


class Intermediates:
    """Of one window's planes, each taken when it is first asked for.

    Sums over many small squares are taken over rows first: on one core ``avg_pool2d`` and means over two of five axes
    cost five times as much.
    """

    def __init__(self, planes: Planes) -> None:
        self.planes = planes

    @cached_property
    def eighth(self) -> Tensor:
        """Luma at an eighth of the size, (T, H // 8, W // 8)."""
        return halve(halve(self.planes.half))

    @cached_property
    def difference(self) -> Tensor:
        """Change of luma at half size from each frame to the next: (T - 1, H // 2, W // 2)."""
        return self.planes.half[1:] - self.planes.half[:-1]

    @cached_property
    def step(self) -> Tensor:
        """Its absolute value."""
        return self.difference.abs()

    @cached_property
    def change(self) -> Tensor:
        """Its mean size over the picture: (T - 1,)."""
        return self.step.mean(dim=(1, 2))

    @cached_property
    def level(self) -> Tensor:
        """Mean luma: (T,)."""
        return self.planes.half.mean(dim=(1, 2))


def squares(x: Tensor, side: int) -> Tensor:
    """Means over whole squares of ``side`` pixels, (..., H, W) to (..., H // side, W // side)."""
    rows, columns = x.shape[-2] // side, x.shape[-1] // side
    lines = x[..., : rows * side, :].reshape(*x.shape[:-2], rows, side, x.shape[-1]).sum(dim=-2)
    return lines[..., : columns * side].reshape(*lines.shape[:-1], columns, side).sum(dim=-1) / (side * side)


def power(x: Tensor) -> Tensor:
    """Mean square of each picture of (T, H, W): (T,)."""
    return torch.stack([torch.dot(each, each) for each in x.flatten(1)]) / x[0].numel()
