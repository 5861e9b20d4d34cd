"""The `diffusers` VAE classes at small width: native up-samplers and strides in space, latents that come out sharp.

Widths, latent channels and, where it is not the library's, the stride in time are ours: eight by four places in some 64
channels would come out blurred. Up-samplers, causality and the way of calling each class are the library's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from jobs.errors import BadUsageError
from jobs.train.classes import Autoencoder, Calling, diffusers_class


@dataclass(frozen=True, slots=True)
class Prototype:
    """One small configuration. stride: (space, time). frames: (k, r): the class takes k*n + r frames; (1, 0): any.

    solved: whether its weights start as a linear codec (``jobs.train.start``); shortcuts around samplers forbid it.
    """

    name: str
    diffusers_class: str
    config: Mapping[str, Any]
    stride: tuple[int, int]
    frames: tuple[int, int]
    calling: Calling = "distribution"
    solved: bool = True

    @property
    def volumetric(self) -> bool:
        """Whether the class takes (B, C, T, H, W); otherwise every frame is a picture of its own."""
        return self.frames != (1, 0)


def _pictures(blocks: int, **rest: Any) -> dict[str, Any]:
    down, up = ["DownEncoderBlock2D"] * blocks, ["UpDecoderBlock2D"] * blocks
    common = {"layers_per_block": 1, "norm_num_groups": 2, "mid_block_add_attention": False}
    return {"down_block_types": down, "up_block_types": up, **common, **rest}


def _both(**each: Any) -> dict[str, Any]:
    """The same for the encoder and the decoder."""
    return {f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in each.items()}


def _unit(channels: int) -> dict[str, Any]:
    return {"latents_mean": [0.0] * channels, "latents_std": [1.0] * channels}


_WIDTHS = {f"{part}block_out_channels" for part in ("", "encoder_", "decoder_", "decode_", "down_", "up_")}
_CUBES: dict[str, Any] = {
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "block_out_channels": [12, 32, 48, 64],
    "latent_channels": 64,
}
_STAGES = [12, 32, 48, 48]
_DC_BLOCKS = ["ResBlock"] * 3 + ["EfficientViTBlock"]
_DC_WIDTHS = [16, 32, 64, 64]

PROTOTYPES: tuple[Prototype, ...] = (
    Prototype(
        "tiny",
        "AutoencoderTiny",
        {
            "latent_channels": 32,
            **_both(block_out_channels=[32] * 4),
            "num_encoder_blocks": [1, 1, 1, 1],
            "num_decoder_blocks": [1, 1, 1, 1],
        },
        (8, 1),
        (1, 0),
        "latents",
    ),
    Prototype("kl", "AutoencoderKL", _pictures(4, block_out_channels=_STAGES, latent_channels=48), (8, 1), (1, 0)),
    Prototype(
        "asymmetric",
        "AsymmetricAutoencoderKL",
        {
            "down_block_types": ["DownEncoderBlock2D"] * 4,
            "up_block_types": ["UpDecoderBlock2D"] * 4,
            "down_block_out_channels": _STAGES,
            "up_block_out_channels": _STAGES,
            "layers_per_down_block": 1,
            "layers_per_up_block": 1,
            "latent_channels": 48,
            "norm_num_groups": 2,
        },
        (8, 1),
        (1, 0),
    ),
    Prototype(
        "wan",
        "AutoencoderKLWan",
        {
            "base_dim": 12,
            "z_dim": 64,
            "dim_mult": [1, 3, 4, 5],
            "num_res_blocks": 1,
            "temperal_downsample": [False, False, True],
            "scale_factor_temporal": 2,
            **_unit(64),
        },
        (8, 2),
        (4, 1),
    ),
    Prototype(
        "cogvideox",
        "AutoencoderKLCogVideoX",
        {**_CUBES, "temporal_compression_ratio": 2, "sample_height": 256, "sample_width": 256},
        (8, 2),
        (2, 1),
    ),
    Prototype(
        "magvit",
        "AutoencoderKLMagvit",
        {
            **_CUBES,
            "down_block_types": ["SpatialDownBlock3D"] * 2 + ["SpatialTemporalDownBlock3D"] * 2,
            "up_block_types": ["SpatialUpBlock3D"] * 2 + ["SpatialTemporalUpBlock3D"] * 2,
        },
        (8, 2),
        (4, 1),
    ),
    Prototype(
        "hunyuan",
        "AutoencoderKLHunyuanVideo",
        {
            **_CUBES,
            "block_out_channels": [12, 32, 64, 96],
            "latent_channels": 96,
            "mid_block_add_attention": False,
        },
        (8, 4),
        (4, 1),
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
            "latent_channels": 64,
            **_both(block_out_channels=[32, 32, 64, 64]),
            "layers_per_block": [1] * 5,
            "temporal_expansions": [1, 1, 2],
            "add_attention_block": [False] * 5,
        },
        (8, 2),
        (2, 1),
    ),
    Prototype(
        "allegro",
        "AutoencoderKLAllegro",
        {
            **_CUBES,
            "temporal_downsample_blocks": [False, False, True, False],
            "temporal_upsample_blocks": [False, True, False, False],
            "temporal_compression_ratio": 2,
        },
        (8, 2),
        (2, 0),
        "parts",
    ),
    Prototype(
        "cosmos",
        "AutoencoderKLCosmos",
        {
            "latent_channels": 128,
            "encoder_block_out_channels": [48, 48, 48, 48],
            "decode_block_out_channels": [48, 48, 48, 48],
            "num_layers": 1,
            "temporal_compression_ratio": 4,
        },
        (8, 4),
        (4, 1),
        solved=False,
    ),
    Prototype(
        "dc",
        "AutoencoderDC",
        {
            "latent_channels": 64,
            **_both(block_types=_DC_BLOCKS, block_out_channels=_DC_WIDTHS),
            **_both(layers_per_block=[1] * 4, qkv_multiscales=[[]] * 4),
            "attention_head_dim": 16,
        },
        (8, 1),
        (1, 0),
        "latent",
        solved=False,
    ),
    Prototype(
        "vq",
        "VQModel",
        _pictures(3, block_out_channels=[12, 32, 48], latent_channels=8, num_vq_embeddings=1024, vq_embed_dim=8),
        (4, 1),
        (1, 0),
        "latents",
        solved=False,
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
        solved=False,
    ),
)
# What is trained unless classes are named: at this width a codebook of 1,024 and a stride of 32 stay blurred.
DEFAULT = tuple(one.name for one in PROTOTYPES if one.name not in ("vq", "ltx"))
# Trained with several seeds: does an architecture show across its trainings?
SEVERAL_SEEDS = ("tiny", "kl", "asymmetric", "dc", "cosmos", "mochi")


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


def build(one: Prototype, seed: int) -> Autoencoder:
    """The prototype with fresh weights of that seed, on the CPU."""
    torch.manual_seed(seed)
    made = diffusers_class(one.diffusers_class)(**one.config)
    return Autoencoder(made, one.stride, one.frames, one.calling)
