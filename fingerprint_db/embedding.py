"""The learned decoder fingerprint (E1): a small network over content-normalised residuals, one unit vector a window.

It is measured beside the fingerprint that needs no training (``makersmark bench score --embedding shipped``) and is no
part of a ``FingerprintSpec`` yet: trained on one core it does not better that one where it matters (docs/bench.md). The
weights that ship (``learned/weights.npz``, provenance inside) are made by ``makersmark train fingerprint``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fingerprint_db.residual import Planes, equalise
from fingerprint_db.signature import arrays_from_bytes, arrays_to_bytes

EMBEDDING_DIM = 128
CHANNELS = 5
FORMAT = 1
_WIDTHS = (48, 80, 112, 144)
_COUNTERS = ("num_batches_tracked",)  # of no use to a network that has been trained
_MOMENTUM = 0.02  # of running statistics: a batch holds few contents


class EmbeddingNet(nn.Module):
    """(N, CHANNELS, H, W), sides even and at least 64, to (N, EMBEDDING_DIM) unit vectors.

    Nothing is resampled before the first convolution: 2 x 2 pixels become channels, so that a trace of period two is
    seen whole. Statistics over all places are a mean and a spread, since a trace is everywhere and content is not.

    Normalisation is over the batch: over a picture's own groups it takes out what differs between pictures, and without
    any before the last layer the small differences drown in what all pictures share. Both were tried, and learned
    nothing in a thousand steps.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.PixelUnshuffle(2)]
        before = 4 * CHANNELS
        for number, width in enumerate(_WIDTHS):
            stride = 1 if number == 0 else 2
            layers += [
                nn.Conv2d(before, width, 3, stride, 1, bias=False),
                nn.BatchNorm2d(width, momentum=_MOMENTUM),
                nn.SiLU(),
            ]
            before = width
        layers += [_Residual(before), _Residual(before)]
        self.body = nn.Sequential(*layers)
        self.norm = nn.BatchNorm1d(2 * before, momentum=_MOMENTUM)
        self.head = nn.Linear(2 * before, EMBEDDING_DIM)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.pooled(self.body(pictures))

    def pooled(self, maps: Tensor) -> Tensor:
        """What forward does after the convolutions; it wants single precision, traces are small differences."""
        statistics = torch.cat([maps.mean(dim=(2, 3)), maps.std(dim=(2, 3), correction=0)], dim=1)
        return nn.functional.normalize(self.head(self.norm(statistics)), dim=1)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width, momentum=_MOMENTUM),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width, momentum=_MOMENTUM),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return nn.functional.silu(maps + self.inner(maps))


def embedding_input(planes: Planes) -> Tensor:
    """(CHANNELS, H, W) of a window, H and W even: what the network sees of it, each in units of its own local strength.

    The mean over time of the luma residual, the middle frame's, its change to the next frame, and the middle frame's
    colour residuals at luma size (zero where there is no colour). Dividing by the local strength takes out most of the
    content, which otherwise is what a network learns.
    """
    fine = planes.fine_luma
    middle = fine.shape[0] // 2
    after = min(middle + 1, fine.shape[0] - 1)
    luma = [
        equalise(fine.mean(dim=0, keepdim=True))[0],
        equalise(fine[middle : middle + 1])[0],
        equalise(fine[after : after + 1] - fine[middle : middle + 1])[0],
    ]
    height, width = fine.shape[-2] // 2 * 2, fine.shape[-1] // 2 * 2
    picture = torch.zeros((CHANNELS, height, width), device=fine.device)
    for channel, plane in enumerate(luma):
        picture[channel] = plane[:height, :width]
    if planes.fine_chroma is not None:
        colour = equalise(planes.fine_chroma[:, middle : middle + 1])[:, 0]
        large = colour.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
        rows, columns = min(height, large.shape[1]), min(width, large.shape[2])
        # Colour residuals lose four pixels of their own: they begin two luma pixels further in than the luma's.
        picture[3:, 2:rows, 2:columns] = large[:, : rows - 2, : columns - 2]
    return picture


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """A network with its weights. id: 16 hex digits of the SHA-256 of the weights; provenance: how they were made."""

    net: EmbeddingNet
    id: str
    provenance: Mapping[str, Any]

    def embed(self, planes: Planes) -> NDArray[np.float32]:
        """(EMBEDDING_DIM,) of a window; deterministic on one machine with one thread, CPU or CUDA."""
        with torch.inference_mode():
            device = next(self.net.parameters()).device
            picture = embedding_input(planes).to(device)[None].contiguous(memory_format=torch.channels_last)
            vector: NDArray[np.float32] = self.net(picture)[0].float().cpu().numpy()
        return vector


def shipped_embedding(device: torch.device | str = "cpu") -> Embedding:
    """The network whose weights ship with the package, on ``device``."""
    return embedding_from_bytes(resources.files("fingerprint_db").joinpath("learned/weights.npz").read_bytes(), device)


def embedding_to_bytes(net: EmbeddingNet, provenance: Mapping[str, Any]) -> bytes:
    """A file of weights and provenance; equal weights give equal bytes. Matrices go in half precision."""
    arrays: dict[str, NDArray[Any]] = {
        f"w.{name}": value.detach().cpu().to(torch.float16 if value.ndim > 1 else torch.float32).contiguous().numpy()
        for name, value in net.state_dict().items()
        if name.rpartition(".")[2] not in _COUNTERS
    }
    said = {"format": FORMAT, **provenance}
    arrays["provenance"] = np.frombuffer(json.dumps(said, sort_keys=True).encode(), np.uint8)
    return arrays_to_bytes(arrays, compress=False)


def embedding_from_bytes(data: bytes, device: torch.device | str = "cpu") -> Embedding:
    """The inverse of embedding_to_bytes. Raises ValueError, one sentence, for anything else."""
    try:
        arrays = arrays_from_bytes(data)
        provenance: dict[str, Any] = json.loads(arrays.pop("provenance").tobytes().decode())
        weights = {
            name.removeprefix("w."): torch.from_numpy(value.astype(np.float32)) for name, value in arrays.items()
        }
        net = EmbeddingNet()
        lacking, foreign = net.load_state_dict(weights, strict=False)
        if foreign or any(name.rpartition(".")[2] not in _COUNTERS for name in lacking):
            raise ValueError(f"lacking {lacking}, foreign {foreign}")
    except (ValueError, KeyError, RuntimeError, TypeError) as error:
        raise ValueError("this file holds no weights of a learned fingerprint; train them again") from error
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(arrays[name].tobytes())
    # Channels last: on one core of a CPU the convolutions take a quarter of the time.
    net = net.to(device).eval()
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Embedding(net, digest.hexdigest()[:16], provenance)
