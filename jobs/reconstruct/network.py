"""A VAE checkpoint ready for round trips: frames in, latent, frames out, whatever class it is of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from jobs.archive import file_sha256
from jobs.bench.vae import TINY_DECODER, TINY_ENCODER, class_of, load_network, tiny_network
from jobs.errors import BadUsageError
from jobs.train.classes import Autoencoder

TINY_CLASS = "TAESD for FLUX.2"
# Sides of what a network is given are multiples of this times its stride's share; every class takes multiples of 32.
SIDE_STEP = 32
_PROBE_PX, _LARGEST_STRIDE = 64, 64
_PICTURES_AT_ONCE = 4
_WEIGHTS = (".safetensors", ".bin", ".pth", ".pt")


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A VAE that can be asked. cls: the class or net. stride: a latent's step in pixels and in frames.

    frames: (k, r): stretches of k*n + r frames are what the class was made for; (1, 0): single pictures.
    encode: (T, 3, H, W) in 0..1 to a latent. decode: a latent and T to (T, 3, H, W) in 0..1. precision: of the
    arithmetic, part of what a calibration holds for.
    """

    cls: str
    stride: tuple[int, int]
    frames: tuple[int, int]
    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor, int], Tensor]
    precision: str

    @property
    def volumetric(self) -> bool:
        return self.frames != (1, 0)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a checkpoint lies: its folder, the class its files are of, and the files that make it up."""

    folder: Path
    cls: str
    files: tuple[str, ...]

    def sha256(self) -> dict[str, str]:
        """Of every file, by name."""
        return {name: file_sha256(self.folder / name) for name in self.files}


def find_source(folder: Path) -> Source:
    """The one checkpoint of a folder: the tiny VAE's two files, or config.json and weights, there or in ``vae``.

    Raises BadUsageError where there is none, or its config names no VAE class.
    """
    if not folder.is_dir():
        raise BadUsageError(f"{folder} is not a folder with a VAE checkpoint")
    if (folder / TINY_ENCODER).is_file() and (folder / TINY_DECODER).is_file():
        return Source(folder, TINY_CLASS, (TINY_DECODER, TINY_ENCODER))
    for place in (folder, folder / "vae"):
        if not (place / "config.json").is_file():
            continue
        name = class_of(place / "config.json")
        if name is None:
            raise BadUsageError(f"{place}/config.json does not name a VAE class (such as AutoencoderKL)")
        weights = sorted(p.name for p in place.iterdir() if p.is_file() and p.suffix in _WEIGHTS)
        if not weights:
            raise BadUsageError(f"{place} has a config.json and no weights beside it ({', '.join(_WEIGHTS)})")
        index = sorted(p.name for p in place.glob("*.index.json"))
        return Source(place, name, ("config.json", *index, *weights))
    raise BadUsageError(
        f"{folder} holds no VAE: neither {TINY_ENCODER} and {TINY_DECODER} nor the config.json of a VAE class"
    )


def open_network(source: Source, *, device: str = "cpu") -> Network:
    """Loads a checkpoint. Raises BadUsageError where its files are not what they are called, or no device is there."""
    if device != "cpu" and not torch.cuda.is_available():
        raise BadUsageError("this machine has no CUDA device that torch can use; leave the device at cpu")
    if source.cls == TINY_CLASS:
        return network_of(tiny_network(source.folder), source.cls, device=device)
    return network_of(load_network(source.folder, source.cls), source.cls, device=device)


def network_of(model: torch.nn.Module, cls: str, *, device: str = "cpu") -> Network:
    """A network from a module: an Autoencoder of `diffusers`' classes, or one with ``encoder`` and ``decoder``.

    Pictures are computed in bfloat16 where the processor multiplies it, but for the last layer of a plain decoder,
    whose rounding would be a grey level; 3-D classes in float32.
    """
    model = model.eval().to(device)
    low = _fast_bf16(device) and not (isinstance(model, Autoencoder) and model.frames != (1, 0))
    precision = "bfloat16" if low else "float32"

    def narrow() -> torch.autocast:
        return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=low)

    if isinstance(model, Autoencoder):
        whole = model.frames != (1, 0) or model.calling == "frames_as_batch"

        def encode_class(frames: Tensor) -> Tensor:
            with torch.inference_mode(), narrow():
                video = frames.to(device)[None] * 2 - 1
                parts = [video] if whole else torch.split(video, _PICTURES_AT_ONCE, dim=1)
                return torch.cat([model.encode(part).float() for part in parts]).cpu()

        def decode_class(latent: Tensor, count: int) -> Tensor:
            with torch.inference_mode(), narrow():
                parts = [latent] if whole else torch.split(latent, _PICTURES_AT_ONCE)
                made = [model.decode(part.to(device), count if whole else len(part)).flatten(0, 1) for part in parts]
                return ((torch.cat(made).float() + 1) / 2).clamp(0, 1).cpu()

        stride = _stride(encode_class, model.frames)
        return Network(cls, stride, model.frames, encode_class, decode_class, precision)
    encoder, decoder = model.encoder, model.decoder
    assert isinstance(encoder, torch.nn.Sequential)
    assert isinstance(decoder, torch.nn.Sequential)
    body, last = decoder[:-1], decoder[-1]

    def encode(frames: Tensor) -> Tensor:
        with torch.inference_mode(), narrow():
            parts = torch.split(frames.to(device), _PICTURES_AT_ONCE)
            return (
                torch.cat([encoder(part.contiguous(memory_format=torch.channels_last)) for part in parts]).float().cpu()
            )

    def decode(latent: Tensor, count: int) -> Tensor:
        made = []
        with torch.inference_mode():
            for part in torch.split(latent.to(device), _PICTURES_AT_ONCE):
                with narrow():
                    hidden = body(part)
                made.append(last(hidden.float()))
        return torch.cat(made).clamp(0, 1).cpu()

    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Network(cls, _stride(encode, (1, 0)), (1, 0), encode, decode, precision)


def _fast_bf16(device: str) -> bool:
    if device != "cpu":
        return bool(torch.cuda.is_bf16_supported())
    capability = torch.backends.cpu.get_cpu_capability()
    return "AVX512" in capability and bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


def _stride(encode: Callable[[Tensor], Tensor], frames: tuple[int, int]) -> tuple[int, int]:
    """Measured on a grey stretch: how many pixels and frames one step of the latent stands for."""
    step, rest = frames
    short, long = (1, 1) if frames == (1, 0) else (rest or step, 2 * step + rest + (0 if rest else step))
    side = encode(torch.full((short, 3, _PROBE_PX, _PROBE_PX), 0.5)).shape[-1]
    space = _PROBE_PX // max(1, side)
    if frames == (1, 0):
        return space, 1
    times = [encode(torch.full((count, 3, _PROBE_PX, _PROBE_PX), 0.5)) for count in (short, long)]
    # Allegro's latents have their channels before or after time, whichever part of the class made them.
    longer = [after - before for before, after in zip(times[0].shape, times[1].shape, strict=True) if after > before]
    return space, (long - short) // max(1, longer[0] if longer else 1)
