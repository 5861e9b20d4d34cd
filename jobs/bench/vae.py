"""VAE checkpoints as decoders: the published tiny VAE and any folder in the `diffusers` layout (kind B)."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jobs.encode import Rgb
from jobs.errors import BadUsageError
from jobs.train.classes import Autoencoder, calling_of, diffusers_class
from jobs.train.fitting import reconstruct

TINY_ENCODER, TINY_DECODER = "taef2_encoder.pth", "taef2_decoder.pth"
_WIDTH, _LATENT = 64, 32
_AT_ONCE = 4  # frames a call of a 2-D network, so that memory stays small


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A VAE on disk. slug: its name in manifests; cls: the class or net it is of."""

    slug: str
    cls: str
    load: Callable[[], Callable[[Sequence[Rgb]], list[Rgb]]]


def find_checkpoints(folder: Path) -> list[Checkpoint]:
    """The tiny VAE's two files in the folder, or the `diffusers` checkpoint in it, in its ``vae`` or its sub-folders.

    Raises BadUsageError where there is neither.
    """
    found: list[Checkpoint] = []
    if (folder / TINY_ENCODER).is_file() and (folder / TINY_DECODER).is_file():
        found.append(Checkpoint("taef2", "TAESD for FLUX.2", lambda: load_tiny(folder)))
    for config in sorted([*folder.glob("config.json"), *folder.glob("*/config.json")]):
        name = class_of(config)
        if name is not None:
            slug = f"vae-{config.parent.resolve().name.lower()}"
            found.append(Checkpoint(slug, name, _loader(config.parent, name)))
    if not found:
        raise BadUsageError(
            f"{folder} holds no VAE: neither {TINY_ENCODER} and {TINY_DECODER} nor the config.json of a VAE class"
        )
    return found


def load_tiny(folder: Path) -> Callable[[Sequence[Rgb]], list[Rgb]]:
    """The tiny VAE of FLUX.2's latents: 32 channels, stride 8, nearest + convolution (architecture: TAESD, MIT).

    Raises BadUsageError where the files hold something else.
    """
    net = tiny_network(folder)

    def decode(frames: Sequence[Rgb]) -> list[Rgb]:
        out: list[Rgb] = []
        with torch.inference_mode():
            for start in range(0, len(frames), _AT_ONCE):
                video = torch.from_numpy(np.stack(frames[start : start + _AT_ONCE])).permute(0, 3, 1, 2).float() / 255
                pixels = (net(video) * 255).round().clamp(0, 255).to(torch.uint8)
                out += list(pixels.permute(0, 2, 3, 1).numpy())
        return out

    return decode


def tiny_network(folder: Path) -> TinyVae:
    """The tiny VAE with the weights of a folder. Raises BadUsageError where the files hold something else."""
    net = TinyVae()
    try:
        for part, file in ((net.encoder, TINY_ENCODER), (net.decoder, TINY_DECODER)):
            part.load_state_dict(torch.load(folder / file, map_location="cpu", weights_only=True))
    except (RuntimeError, OSError, ValueError, KeyError, pickle.UnpicklingError, EOFError, AttributeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadUsageError(f"{folder} does not hold the tiny VAE's weights: {reason}") from error
    return net.eval()


class TinyVae(nn.Module):
    """(B, 3, H, W) in 0..1 through encoder and decoder; sides are multiples of 8."""

    def __init__(self) -> None:
        super().__init__()
        down: list[nn.Module] = [_conv(3, _WIDTH), _Block()]
        for stage in range(3):
            down += [nn.Conv2d(_WIDTH, _WIDTH, 3, 2, 1, bias=False), *(_Block(pooled=stage == 2) for _ in range(3))]
        up: list[nn.Module] = [_Squash(), _conv(_LATENT, _WIDTH), nn.ReLU(), *(_Block(pooled=True) for _ in range(3))]
        for stage in range(3):
            up += [nn.Upsample(scale_factor=2), nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, bias=False)]
            up += [_Block() for _ in range(3 if stage < 2 else 1)]
        self.encoder = nn.Sequential(*down, _conv(_WIDTH, _LATENT))
        self.decoder = nn.Sequential(*up, _conv(_WIDTH, 3))

    def forward(self, video: Tensor) -> Tensor:
        out: Tensor = self.decoder(self.encoder(video))
        return out


class _Squash(nn.Module):
    def forward(self, latent: Tensor) -> Tensor:
        return torch.tanh(latent / 3) * 3


class _Block(nn.Module):
    """Three convolutions beside an identity; with ``pooled`` a 1x1 bottleneck with GroupNorm comes first."""

    def __init__(self, pooled: bool = False) -> None:
        super().__init__()
        layers = [_conv(_WIDTH, _WIDTH), nn.ReLU(), _conv(_WIDTH, _WIDTH), nn.ReLU(), _conv(_WIDTH, _WIDTH)]
        self.conv = nn.Sequential(*layers)
        self.pool: nn.Module | None = None
        if pooled:
            wide = 4 * _WIDTH
            before, after = (nn.Conv2d(a, b, 1, bias=False) for a, b in ((_WIDTH, wide), (wide, _WIDTH)))
            self.pool = nn.Sequential(before, nn.GroupNorm(4, wide), nn.ReLU(), after)

    def forward(self, picture: Tensor) -> Tensor:
        if self.pool is not None:
            picture = picture + self.pool(picture)
        return torch.relu(self.conv(picture) + picture)


def _conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)


def class_of(config: Path) -> str | None:
    """The VAE class that a checkpoint's config names; None for another kind of model."""
    try:
        name = json.loads(config.read_text(encoding="utf-8")).get("_class_name")
    except (OSError, ValueError, AttributeError):
        return None
    known = isinstance(name, str) and (name.startswith(("Autoencoder", "AsymmetricAutoencoder")) or name == "VQModel")
    return name if known else None


def _loader(folder: Path, name: str) -> Callable[[], Callable[[Sequence[Rgb]], list[Rgb]]]:
    def load() -> Callable[[Sequence[Rgb]], list[Rgb]]:
        return as_decoder(load_network(folder, name))

    return load


def load_network(folder: Path, name: str) -> Autoencoder:
    """A `diffusers` checkpoint of the class called ``name``. Raises BadUsageError where it cannot be read as that."""
    cls: Any = diffusers_class(name)
    try:
        net = cls.from_pretrained(folder, local_files_only=True, low_cpu_mem_usage=False, torch_dtype=torch.float32)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadUsageError(f"{folder} cannot be read as a {name}: {reason}") from error
    frames, calling = calling_of(name)
    return Autoencoder(net, (8, 1), frames, calling)


def as_decoder(model: Autoencoder) -> Callable[[Sequence[Rgb]], list[Rgb]]:
    """A round trip of frames whose sides are multiples of 32; 3-D classes see the whole stretch at once."""

    def decode(frames: Sequence[Rgb]) -> list[Rgb]:
        if model.frames != (1, 0) or model.calling == "frames_as_batch":
            return reconstruct(model, frames)
        out: list[Rgb] = []
        for start in range(0, len(frames), _AT_ONCE):
            out += reconstruct(model, frames[start : start + _AT_ONCE])
        return out

    return decode
