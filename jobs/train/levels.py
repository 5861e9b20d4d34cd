"""What the places of a coarser level stand for: blocks of footage and their principal components."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

# Where a norm stands in the plain chain, channels get large offsets, those of a mirrored pair the same and pairs in
# turn the other sign: mean and scale then hardly depend on the picture, which would lose its light otherwise.
_OFFSET = 6.0
_MIRRORED = 3  # components with a mean of their own (light and colour) stand twice, with both signs
_SAMPLE = 40_000
_LEAST_SPREAD = 2e-3  # of -1..1: what spreads less is not blown up to unity


@dataclass(eq=False)
class Levels:
    """Footage, (B, T, 3, H, W) in -1..1, as each level of a network sees it. causal: a first frame stands for itself.

    count: how many of the videos are asked for.
    """

    video: Tensor
    causal: bool
    rng: torch.Generator
    count: int = 0
    _known: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    @property
    def height(self) -> int:
        """Pixels."""
        return self.video.shape[-2]

    def blocks(self, reach: int, frames: int) -> Tensor:
        """(count, frames, H / reach, W / reach, values): pixels of every block, colour innermost.

        A first frame that stands for itself, as causal classes have it, is repeated to a block's length.
        """
        return self._blocks(reach, frames)[: self.count]

    def components(self, reach: int, frames: int) -> Tensor:
        """The blocks' principal components in units of their own spread, the widest first."""
        key = (reach, frames)
        if key not in self._known:
            blocks = self._blocks(reach, frames)
            flat = blocks.flatten(0, 3)
            sample = flat[torch.randperm(len(flat), generator=self.rng)[:_SAMPLE]]
            mean = sample.mean(0)
            spread, axes = torch.linalg.eigh(torch.cov((sample - mean).T))
            spread = spread.flip(0).clamp_min(1e-8).sqrt() + _LEAST_SPREAD
            self._known[key] = ((blocks - mean) @ axes.flip(1)) / spread
        return self._known[key][: self.count]

    def _blocks(self, reach: int, frames: int) -> Tensor:
        had = self.video.shape[1]
        alone = self.causal and frames > 1 and (had - 1) % (frames - 1) == 0
        length = (had - 1) // (frames - 1) if alone else -(-had // frames)
        video = self.video
        if frames * length > had:
            video = torch.cat([video[:, :1].expand(-1, frames * length - had, -1, -1, -1), video], dim=1)
        batch, _, colours, height, width = video.shape
        split = (batch, frames, length, colours, height // reach, reach, width // reach, reach)
        return video[:, -frames * length :].reshape(split).permute(0, 1, 4, 6, 2, 5, 7, 3).flatten(4)


def lay_out(components: Tensor, channels: int) -> Tensor:
    """(..., channels): the leading components with offsets of alternating sign, the first few in both signs."""
    twice = components[..., :_MIRRORED]
    mirrored = torch.stack([twice, -twice], dim=-1).flatten(-2)
    rest = fill(components[..., _MIRRORED:], channels - 2 * _MIRRORED)
    offsets = torch.tensor([_OFFSET, _OFFSET, -_OFFSET, -_OFFSET]).repeat(channels // 4 + 1)[:channels]
    return torch.cat([mirrored, rest], dim=-1) + offsets


def fill(components: Tensor, channels: int) -> Tensor:
    """(..., channels): the leading components, and zeros where there are fewer."""
    return F.pad(components[..., :channels], (0, max(0, channels - components.shape[-1])))


def one_after_the_other(laid: Tensor, frames: int) -> Tensor:
    """(B, frames, H, W, n * channels) of (B, n * frames, H, W, channels): n frames in the channels of one."""
    batch, _, height, width, channels = laid.shape
    return laid.reshape(batch, frames, -1, height, width, channels).movedim(2, -2).flatten(-2)


def cells(laid: Tensor, frames: int, times: int) -> Tensor:
    """Depth to space undone: (B, frames, H / 2, W / 2, channels * times * 4) of (B, frames * times, H, W, channels)."""
    batch, _, height, width, channels = laid.shape
    split = laid.reshape(batch, frames, times, height // 2, 2, width // 2, 2, channels)
    return split.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(4)
