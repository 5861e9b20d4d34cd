"""The `diffusers` VAE classes at small width: native strides and upsamplers, latents wide enough to come out sharp.

Widths and latent channels are ours; strides, upsamplers, causality and the way of calling each class are the library's.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from jobs.errors import BadUsageError

# How a class is called: which attribute of the encoder's answer is the latent, and what the decoder wants to know.
Calling = Literal["distribution", "latents", "latent", "frames_as_batch", "parts"]


@dataclass(frozen=True, slots=True)
class Prototype:
    """One small configuration. stride: (space, time). frames: (k, r): the class takes k*n + r frames; (1, 0): any."""

    name: str
    diffusers_class: str
    config: Mapping[str, Any]
    stride: tuple[int, int]
    frames: tuple[int, int]
    calling: Calling = "distribution"

    @property
    def volumetric(self) -> bool:
        """Whether the class takes (B, C, T, H, W); otherwise every frame is a picture of its own."""
        return self.frames != (1, 0)


def _pictures(blocks: int, **rest: Any) -> dict[str, Any]:
    down, up = ["DownEncoderBlock2D"] * blocks, ["UpDecoderBlock2D"] * blocks
    common = {"layers_per_block": 1, "norm_num_groups": 8, "mid_block_add_attention": False}
    return {"down_block_types": down, "up_block_types": up, **common, **rest}


def _unit(channels: int) -> dict[str, Any]:
    return {"latents_mean": [0.0] * channels, "latents_std": [1.0] * channels}


_WIDTHS = {f"{part}block_out_channels" for part in ("", "encoder_", "decoder_", "decode_")}
_CUBES: dict[str, Any] = {"layers_per_block": 1, "norm_num_groups": 8, "block_out_channels": [8, 16, 16, 16]}
_DC_BLOCKS = ["ResBlock"] * 3 + ["EfficientViTBlock"] * 2
_DC_WIDTHS = [16, 16, 32, 32, 64]

PROTOTYPES: tuple[Prototype, ...] = (
    Prototype(
        "tiny",
        "AutoencoderTiny",
        {
            "latent_channels": 48,
            "encoder_block_out_channels": [32] * 4,
            "decoder_block_out_channels": [32] * 4,
            "num_encoder_blocks": [1, 1, 1, 1],
            "num_decoder_blocks": [1, 1, 1, 1],
        },
        (8, 1),
        (1, 0),
        "latents",
    ),
    Prototype(
        "kl",
        "AutoencoderKL",
        _pictures(4, block_out_channels=[16, 24, 32, 32], latent_channels=64),
        (8, 1),
        (1, 0),
    ),
    Prototype(
        "wan",
        "AutoencoderKLWan",
        {"base_dim": 8, "z_dim": 64, "dim_mult": [1, 2, 2, 3], "num_res_blocks": 1, **_unit(64)},
        (8, 4),
        (4, 1),
    ),
    Prototype(
        "hunyuan",
        "AutoencoderKLHunyuanVideo",
        {**_CUBES, "latent_channels": 64, "mid_block_add_attention": False},
        (8, 4),
        (4, 1),
    ),
    Prototype(
        "cogvideox",
        "AutoencoderKLCogVideoX",
        {**_CUBES, "latent_channels": 64, "sample_height": 256, "sample_width": 256},
        (8, 4),
        (8, 1),
    ),
    Prototype("magvit", "AutoencoderKLMagvit", {**_CUBES, "latent_channels": 64}, (8, 4), (4, 1)),
    Prototype(
        "vq",
        "VQModel",
        _pictures(3, block_out_channels=[16, 24, 32], latent_channels=4, num_vq_embeddings=1024, vq_embed_dim=4),
        (4, 1),
        (1, 0),
        "latents",
    ),
    Prototype(
        "svd",
        "AutoencoderKLTemporalDecoder",
        {
            "down_block_types": ["DownEncoderBlock2D"] * 4,
            # The class has 32 groups in every norm: at 32 channels each would lose its mean, and the picture its light.
            "block_out_channels": [64, 64, 64, 64],
            "layers_per_block": 1,
            "latent_channels": 48,
        },
        (8, 1),
        (1, 0),
        "frames_as_batch",
    ),
    Prototype(
        "mochi",
        "AutoencoderKLMochi",
        {
            "latent_channels": 48,
            "encoder_block_out_channels": [32, 32, 32, 32],
            "decoder_block_out_channels": [32, 32, 32, 32],
            "layers_per_block": [1] * 5,
        },
        (8, 6),
        (6, 1),
    ),
    Prototype(
        "cosmos",
        "AutoencoderKLCosmos",
        {
            "latent_channels": 64,
            "encoder_block_out_channels": [24, 24, 32, 32],
            "decode_block_out_channels": [24, 24, 32, 32],
            "num_layers": 1,
        },
        (8, 8),
        (8, 1),
    ),
    Prototype("allegro", "AutoencoderKLAllegro", {**_CUBES, "latent_channels": 32}, (8, 4), (4, 0), "parts"),
    Prototype(
        "dc",
        "AutoencoderDC",
        {
            "latent_channels": 64,
            "encoder_block_types": _DC_BLOCKS,
            "decoder_block_types": _DC_BLOCKS,
            "encoder_block_out_channels": _DC_WIDTHS,
            "decoder_block_out_channels": _DC_WIDTHS,
            "encoder_layers_per_block": [1] * 5,
            "decoder_layers_per_block": [1] * 5,
            "attention_head_dim": 16,
        },
        (16, 1),
        (1, 0),
        "latent",
    ),
    Prototype(
        "ltx",
        "AutoencoderKLLTXVideo",
        {
            "latent_channels": 128,
            "block_out_channels": [16, 16, 24, 32],
            "decoder_block_out_channels": [16, 16, 24, 32],
            "layers_per_block": [1] * 5,
            "decoder_layers_per_block": [1] * 5,
        },
        (32, 8),
        (8, 1),
    ),
)
# What is trained unless classes are named: LTX-Video's stride of 32 stays blurred at this width.
DEFAULT = tuple(one.name for one in PROTOTYPES if one.name != "ltx")
# Trained with several seeds: does an architecture show across its trainings?
SEVERAL_SEEDS = ("tiny", "kl", "wan", "hunyuan", "cogvideox", "magvit")


# How a checkpoint of these classes is called, where that differs from a KL autoencoder of pictures.
_CALLING: dict[str, Calling] = {
    "AutoencoderTiny": "latents",
    "VQModel": "latents",
    "AutoencoderDC": "latent",
    "AutoencoderKLTemporalDecoder": "frames_as_batch",
    "AutoencoderKLAllegro": "parts",
}
_FRAMES = {one.diffusers_class: one.frames for one in PROTOTYPES} | {"AutoencoderKLHunyuanVideo15": (4, 1)}


def calling_of(class_name: str) -> tuple[tuple[int, int], Calling]:
    """Frame numbers (k*n + r as (k, r)) and way of calling of a `diffusers` class, pictures with a distribution unless
    known otherwise.
    """
    return _FRAMES.get(class_name, (1, 0)), _CALLING.get(class_name, "distribution")


def prototype(name: str) -> Prototype:
    """The configuration of that name. Raises BadUsageError with the names there are."""
    for one in PROTOTYPES:
        if one.name == name:
            return one
    raise BadUsageError(f"no decoder class is called {name!r}; there are {', '.join(p.name for p in PROTOTYPES)}")


def widened(one: Prototype, factor: int) -> Prototype:
    """The same class with every channel width multiplied; strides, latents and blocks stay."""
    wider: dict[str, Any] = dict(one.config)
    for name in _WIDTHS & wider.keys():
        wider[name] = [factor * width for width in wider[name]]
    for name in ("base_dim", "decoder_base_dim"):
        if name in wider:
            wider[name] *= factor
    return replace(one, config=wider)


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


def build(one: Prototype, seed: int) -> Autoencoder:
    """The prototype with fresh weights of that seed, on the CPU."""
    torch.manual_seed(seed)
    made = diffusers_class(one.diffusers_class)(**one.config)
    return Autoencoder(made, one.stride, one.frames, one.calling)
