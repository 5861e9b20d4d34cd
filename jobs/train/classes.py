"""Every VAE class of `diffusers` behind one call: how it is asked, and which frame numbers it takes."""

from __future__ import annotations

import importlib
import warnings
from typing import Any, Literal

import torch
from torch import Tensor, nn

from jobs.errors import BadUsageError

# How a class is called: which attribute of the encoder's answer is the latent, and what the decoder wants to know.
Calling = Literal["distribution", "latents", "latent", "frames_as_batch", "parts"]

# How a checkpoint of these classes is called, where that differs from a KL autoencoder of pictures.
_CALLING: dict[str, Calling] = {
    "AutoencoderTiny": "latents",
    "VQModel": "latents",
    "AutoencoderDC": "latent",
    "AutoencoderKLTemporalDecoder": "frames_as_batch",
    "AutoencoderKLAllegro": "parts",
}
# Frame numbers that a class takes with its native stride in time, k*n + r as (k, r); pictures where it is not named.
_FRAMES = {
    "AutoencoderKLWan": (4, 1),
    "AutoencoderKLHunyuanVideo": (4, 1),
    "AutoencoderKLHunyuanVideo15": (4, 1),
    "AutoencoderKLCogVideoX": (8, 1),
    "AutoencoderKLMagvit": (4, 1),
    "AutoencoderKLMochi": (6, 1),
    "AutoencoderKLCosmos": (8, 1),
    "AutoencoderKLAllegro": (4, 0),
    "AutoencoderKLLTXVideo": (8, 1),
}


def calling_of(class_name: str) -> tuple[tuple[int, int], Calling]:
    """Frame numbers (k*n + r as (k, r)) and way of calling of a `diffusers` class, pictures with a distribution unless
    known otherwise.
    """
    return _FRAMES.get(class_name, (1, 0)), _CALLING.get(class_name, "distribution")


def diffusers_class(name: str) -> Any:
    """A class of `diffusers` by its name. Raises BadUsageError where the library or the class is missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            library = importlib.import_module("diffusers")
    except ImportError:
        raise BadUsageError(
            "decoders of diffusers' classes need the package diffusers; install it with: pip install 'makersmark[vae]'"
        ) from None
    try:
        return getattr(library, name)
    except AttributeError:
        raise BadUsageError(f"this release of diffusers has no class {name}; it is {library.__version__}") from None


class Autoencoder(nn.Module):
    """A VAE class behind one call: frames in, the same number of frames out.

    Takes (B, T, 3, H, W) in -1..1 with sides that are multiples of the stride. Frames that a temporal stride needs
    beyond T are repeats of the last one and cut off again. Means are taken, nothing is sampled.
    """

    def __init__(self, net: nn.Module, stride: tuple[int, int], frames: tuple[int, int], calling: Calling) -> None:
        super().__init__()
        self.net = net
        self.stride, self.frames, self.calling = stride, frames, calling
        self.commitment: Tensor | None = None  # what a vector-quantising class adds to its training loss

    def forward(self, video: Tensor) -> Tensor:
        return self.decode(self.encode(video), video.shape[1])

    def encode(self, video: Tensor) -> Tensor:
        """The mean latent: of every frame a picture's, (B*T, ...), for 2-D classes, else (B, C, t, h, w) or Allegro's
        (B, C, t, h, w) of frames; only ``decode`` of the same object reads it.
        """
        net: Any = self.net
        if self.frames == (1, 0):
            answer = net.encode(video.flatten(0, 1))
            if self.calling == "latents":
                return torch.as_tensor(answer.latents)
            if self.calling == "latent":
                return torch.as_tensor(answer.latent)
            return torch.as_tensor(answer.latent_dist.mode())
        step, rest = self.frames
        missing = (rest - video.shape[1]) % step
        if missing:
            video = torch.cat([video, video[:, -1:].expand(-1, missing, -1, -1, -1)], dim=1)
        cube = video.transpose(1, 2)
        if self.calling == "parts":  # Allegro's own decode() refuses anything but its full tiles
            moments = net.encoder(cube)
            moments = net.quant_conv(moments.transpose(1, 2).flatten(0, 1)).unflatten(0, (cube.shape[0], -1))
            return torch.as_tensor(moments.chunk(2, dim=2)[0])
        return torch.as_tensor(net.encode(cube).latent_dist.mode())

    def decode(self, latent: Tensor, count: int) -> Tensor:
        """(B, count, 3, H, W) in -1..1 of a latent that ``encode`` gave for ``count`` frames."""
        net: Any = self.net
        if self.frames == (1, 0):
            if self.calling == "frames_as_batch":
                out = net.decode(latent, num_frames=count).sample
            else:
                decoded = net.decode(latent)
                out, self.commitment = decoded.sample, getattr(decoded, "commit_loss", None)
            return torch.as_tensor(out).reshape(-1, count, *out.shape[1:])
        if self.calling == "parts":
            batch = latent.shape[0]
            latent = net.post_quant_conv(latent.flatten(0, 1)).unflatten(0, (batch, -1)).transpose(1, 2)
            out = net.decoder(latent)
        else:
            out = net.decode(latent).sample
        return torch.as_tensor(out).transpose(1, 2)[:, :count]
