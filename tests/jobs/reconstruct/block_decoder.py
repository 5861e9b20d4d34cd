"""A real lattice decoder that needs no training: 8 x 8 cosine blocks with few coefficients kept; a projection."""

from __future__ import annotations

import numpy as np
import torch
from scipy.fft import dctn, idctn
from torch import Tensor

from jobs.reconstruct.network import Network

STRIDE = 8


def block_network(kept: int = 4) -> Network:
    """Keeps kept x kept low coefficients of every block and channel; given back at its own lattice, nothing is lost."""

    def encode(frames: Tensor) -> Tensor:
        values = frames.double().numpy()
        count, channels, height, width = values.shape
        blocks = values.reshape(count, channels, height // STRIDE, STRIDE, width // STRIDE, STRIDE)
        low = dctn(blocks, axes=(3, 5), norm="ortho")[:, :, :, :kept, :, :kept]
        latent = low.transpose(0, 1, 3, 5, 2, 4).reshape(
            count, channels * kept * kept, height // STRIDE, width // STRIDE
        )
        return torch.from_numpy(latent.astype(np.float32))

    def decode(latent: Tensor, count: int) -> Tensor:
        rows, cols = latent.shape[-2:]
        low = latent.double().numpy().reshape(count, 3, kept, kept, rows, cols)
        full = np.zeros((count, 3, rows, STRIDE, cols, STRIDE))
        full[:, :, :, :kept, :, :kept] = low.transpose(0, 1, 4, 2, 5, 3)
        made = idctn(full, axes=(3, 5), norm="ortho").reshape(count, 3, rows * STRIDE, cols * STRIDE)
        return torch.from_numpy(made.astype(np.float32)).clamp(0, 1)

    return Network("cosine blocks", (STRIDE, 1), (1, 0), encode, decode, "float32")
