"""A convolution or linear layer as a regression: what it multiplies at every place, and the weights that fit best."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_RIDGE, _SCARCE = 1e-5, 100.0
_ROWS_AN_INPUT, _LEAST_ROWS = 4, 20_000


def rows_of(layer: Any, got: Tensor, count: int) -> Tensor:
    """(B, T, H, W, inputs): what the layer multiplies at every place of its output."""
    if isinstance(layer, nn.Linear):
        return got
    size, stride = layer.kernel_size, layer.stride
    got = F.pad(got, [side for pad in reversed(layer.padding) for side in (pad, pad)])
    for axis in range(len(size)):
        got = got.unfold(2 + axis, size[axis], stride[axis])
    places = len(size)
    rows = got.permute(0, *range(2, 2 + places), 1, *range(2 + places, 2 + 2 * places)).flatten(1 + places)
    return rows if places == 3 else rows.reshape(count, -1, *rows.shape[1:])


def rows_for(layer: Any) -> int:
    """How many places a layer is solved from, where there are so many."""
    return max(_LEAST_ROWS, _ROWS_AN_INPUT * int(layer.weight[0].numel()))


def regress(layer: Any, arrived: Tensor, wanted: Tensor, rng: torch.Generator) -> None:
    """Writes the weights that answer (N, outputs) ``wanted`` from (N, inputs) ``arrived``, from rows drawn by rng."""
    chosen = torch.randperm(len(arrived), generator=rng)[: rows_for(layer)]
    given, asked = arrived[chosen].double(), wanted[chosen].double()
    if layer.bias is not None:
        given = F.pad(given, (0, 1), value=1.0)
    gram = given.T @ given
    scale = torch.diag(gram)
    # Where a level gives hardly more rows than a layer has inputs, the ridge must be no formality.
    ridge = _RIDGE if len(given) > 2 * given.shape[1] else _SCARCE * _RIDGE
    gram += torch.diag(ridge * (scale + 1e-3 * scale.mean()))
    solved = torch.linalg.solve(gram, given.T @ asked).float()
    if layer.bias is not None:
        layer.bias.copy_(solved[-1])
        solved = solved[:-1]
    layer.weight.copy_(solved.T.reshape(layer.weight.shape))
