"""Simulated decoders, kind D: thousands of different traces from one seeded family, sharp by construction.

Each is a linear block codec (its latent cut, quantised or noised) whose picture then passes random up-samplers and a
small random network at a gain that makes the whole round trip reach a drawn PSNR on training footage. Nobody ships such
a decoder; a network that tells them apart has to look at traces and not at blur. The idea is that of Model Synthesis
and One-for-All detectors, which train on many small random decoders over real footage.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from jobs.bench.upsamplers import TRACES, Trace, draw_trace
from jobs.encode import Rgb

Basis = Literal["dct", "pca", "rotated"]
Loss = Literal["truncate", "quantise", "noise"]

# Raise when the same seed would give another decoder.
SIMULATED_VERSION = 2
_BISECTIONS = 14
# BT.601 luma and two chroma axes; the decoder's own mixing is a perturbation of it.
_COLOUR = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])


@dataclass(frozen=True, slots=True)
class SimulatedSpec:
    """What the seed drew. weights: which of its trainings, as it were: other kernels and basis in the same structure.
    stride, period: of the latent blocks, pixels and frames. psnr_db: aimed at on training
    footage; trace_share: the part of the squared error that the up-samplers make, the latent makes the rest.
    chroma: chroma is carried at half size. bf16: latents and output are rounded to bfloat16. soft: tanh near the ends.
    """

    seed: int
    weights: int
    stride: int
    period: int
    basis: Basis
    loss: Loss
    colour_mixing: float
    psnr_db: float
    trace_share: float
    traces: tuple[str, ...]
    chroma: Literal["full", "half_nearest", "half_bilinear"]
    bf16: bool
    soft: bool

    @property
    def name(self) -> str:
        return f"sim{SIMULATED_VERSION}-{self.seed:04d}" + (f"-w{self.weights}" if self.weights else "")

    @property
    def family(self) -> str:
        """Its architecture in a word: ``s8t4-pca-shuffle+refiner``."""
        return f"s{self.stride}t{self.period}-{self.basis}-{'+'.join(self.traces)}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def draw_spec(seed: int, weights: int = 0) -> SimulatedSpec:
    """The decoder of a seed: everything but its calibration."""
    rng = np.random.default_rng([seed, 4, SIMULATED_VERSION])
    bases: tuple[Basis, ...] = ("dct", "pca", "rotated")
    losses: tuple[Loss, ...] = ("truncate", "quantise", "noise")
    kinds: tuple[Literal["full", "half_nearest", "half_bilinear"], ...] = ("full", "half_nearest", "half_bilinear")
    names = rng.permutation(list(TRACES))[: int(rng.integers(1, 4))]
    return SimulatedSpec(
        seed=seed,
        weights=weights,
        stride=int(rng.choice([4, 8, 8, 16])),
        period=int(rng.choice([1, 1, 4, 8])),
        basis=bases[int(rng.integers(3))],
        loss=losses[int(rng.integers(3))],
        colour_mixing=float(rng.uniform(0, 0.05)),
        psnr_db=float(rng.uniform(31.5, 39.5)),
        trace_share=float(rng.uniform(0.3, 0.9)),
        traces=tuple(sorted(str(name) for name in names)),
        chroma=kinds[int(rng.choice(3, p=[0.6, 0.2, 0.2]))],
        bf16=bool(rng.integers(2)),
        soft=bool(rng.integers(2)),
    )


class SimulatedDecoder:
    """One calibrated decoder; call it with (H, W, 3) frames whose sides are multiples of 32."""

    def __init__(self, spec: SimulatedSpec, sample: Sequence[NDArray[np.uint8]]) -> None:
        """sample: cuts (T, H, W, 3) of training footage, sides multiples of 32; the statistics of its blocks make the
        basis, and its round trip sets the strengths. Raises ValueError for an empty sample.
        """
        if not sample:
            raise ValueError("a simulated decoder needs training footage to be calibrated on")
        self.spec = spec
        rng = np.random.default_rng([spec.seed, 5 + spec.weights, SIMULATED_VERSION])
        mixing = _COLOUR @ (np.eye(3) + spec.colour_mixing * rng.normal(size=(3, 3)))
        self._mix = torch.from_numpy(mixing).float()
        self._unmix = torch.linalg.inv(self._mix)
        cuts = [self._to_planes(torch.from_numpy(cut).permute(0, 3, 1, 2).float() / 255) for cut in sample]
        self._basis = _basis(spec, cuts, rng)
        self._time = _cosines(spec.period)
        self._spread = self._coefficient_spread(cuts)
        self._traces: list[Trace] = [draw_trace(name, rng) for name in spec.traces]
        shares = rng.dirichlet(np.full(len(self._traces), 2.0))
        self._gains = [0.0] * len(self._traces)
        # A trace may take detail away or give too much of it.
        self._signs = [float(sign) for sign in rng.choice([-1.0, 1.0], size=len(self._traces))]
        self._strength = self._softening = 0.0
        self._detail_kept = float(rng.uniform(0.9, 1.0))
        self._calibrate(cuts, shares)

    def __call__(self, frames: Sequence[Rgb]) -> list[Rgb]:
        video = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            planes = self._through_latent(self._to_planes(video), self._strength)
            planes = self._soften(planes + self._trace(planes))
            out = self._to_rgb(planes)
        return list((out * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy())

    def _calibrate(self, cuts: Sequence[Tensor], shares: NDArray[np.float64]) -> None:
        """Finds the latent's strength by bisection and the traces' gains by their own size on the sample."""
        aim = 10 ** (-self.spec.psnr_db / 10)
        with torch.inference_mode():
            low, high = 0.0, 1.0
            for _ in range(_BISECTIONS):
                middle = (low + high) / 2
                errors = [self._error(self._through_latent(cut, middle), cut) for cut in cuts]
                low, high = (middle, high) if np.mean(errors) < aim * (1 - self.spec.trace_share) else (low, middle)
            self._strength = low
            decoded = [self._through_latent(cut, low) for cut in cuts]
            for position, trace in enumerate(self._traces):
                size = float(np.mean([self._error(plane + trace(plane), plane) for plane in decoded]))
                share = aim * self.spec.trace_share * float(shares[position])
                self._gains[position] = self._signs[position] * float(np.sqrt(share / max(size, 1e-12)))

            low, high = -1.0, 1.0
            added = [plane + self._trace(plane) for plane in decoded[::3]]
            for _ in range(_BISECTIONS):
                self._softening = (low + high) / 2
                kept = sum(_gradients(self._soften(planes)) for planes in added)
                had = sum(_gradients(cut) for cut in cuts[::3])
                low, high = (self._softening, high) if kept > had * self._detail_kept else (low, self._softening)

    def _soften(self, planes: Tensor) -> Tensor:
        """Blends towards a 3x3 blur or away from it: errors add gradients, and training takes as many back."""
        kernel = torch.tensor([1.0, 2.0, 1.0])
        kernel = (kernel[:, None] * kernel / 16).expand(3, 1, 3, 3)
        blurred = functional.conv2d(functional.pad(planes, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
        return planes + self._softening * (blurred - planes)

    def _trace(self, planes: Tensor) -> Tensor:
        total = torch.zeros_like(planes)
        for gain, trace in zip(self._gains, self._traces, strict=True):
            total += gain * trace(planes)
        return total

    def _error(self, planes: Tensor, wanted: Tensor) -> float:
        """Mean squared error in RGB, 0..1 scale."""
        difference = torch.einsum("ij,tjhw->tihw", self._unmix, planes - wanted)
        return float(difference.square().mean())

    def _to_planes(self, video: Tensor) -> Tensor:
        return torch.einsum("ij,tjhw->tihw", self._mix, video)

    def _to_rgb(self, planes: Tensor) -> Tensor:
        out = torch.einsum("ij,tjhw->tihw", self._unmix, planes)
        if self.spec.soft:  # a tanh output layer: linear to within 3 % of the ends, then it gives way
            edge = 0.03
            inner = out.clamp(edge, 1 - edge)
            out = inner + edge * torch.tanh((out - inner) / edge)
        if self.spec.bf16:
            out = (out * 2 - 1).bfloat16().float().add(1).div(2)
        return out.clamp(0, 1)

    def _blocks(self, planes: Tensor) -> Tensor:
        """(T, 3, H, W) to coefficients (3, T/t, H/s, W/s, t, s*s); T and sides are multiples."""
        t, s = self.spec.period, self.spec.stride
        count, channels, height, width = planes.shape
        cubes = planes.permute(1, 0, 2, 3).reshape(channels, count // t, t, height // s, s, width // s, s)
        cubes = cubes.permute(0, 1, 3, 5, 2, 4, 6).reshape(channels, count // t, height // s, width // s, t, s * s)
        cubes = torch.einsum("cnhwtk,ut->cnhwuk", cubes, self._time)
        return torch.einsum("cnhwtk,cjk->cnhwtj", cubes, self._basis)

    def _unblock(self, coefficients: Tensor) -> Tensor:
        t, s = self.spec.period, self.spec.stride
        cubes = torch.einsum("cnhwtj,cjk->cnhwtk", coefficients, self._basis)
        cubes = torch.einsum("cnhwuk,ut->cnhwtk", cubes, self._time)
        channels, steps, rows, columns = cubes.shape[:4]
        cubes = cubes.reshape(channels, steps, rows, columns, t, s, s).permute(1, 4, 0, 2, 5, 3, 6)
        return cubes.reshape(steps * t, channels, rows * s, columns * s)

    def _coefficient_spread(self, cuts: Sequence[Tensor]) -> Tensor:
        """Standard deviation of every coefficient over the sample, (3, t, s*s)."""
        total = torch.stack([self._blocks(self._whole_periods(cut)).square().mean(dim=(1, 2, 3)) for cut in cuts])
        return total.mean(dim=0).sqrt()

    def _whole_periods(self, planes: Tensor) -> Tensor:
        missing = -planes.shape[0] % self.spec.period
        return torch.cat([planes, planes[-1:].expand(missing, -1, -1, -1)]) if missing else planes

    def _through_latent(self, planes: Tensor, strength: float) -> Tensor:
        count = planes.shape[0]
        latent = self._blocks(self._whole_periods(self._carry_chroma(planes)))
        spread = self._spread[:, None, None, None] * self._liveliness(latent)
        # The scale on which strength counts: at 1 everything but the coarsest is gone.
        step = 4 * strength**2
        match self.spec.loss:
            case "truncate":
                kept = self._spread[:, None, None, None] > step / 4
                latent = torch.where(kept, latent, torch.zeros(()))
            case "quantise":
                width = (step * spread.clamp(max=0.3).sqrt()).clamp(min=1e-6)
                latent = (latent / width).round() * width
            case "noise":
                # Drawn anew for every content: one fixed pattern would be a watermark and no decoder's trace.
                drawn = zlib.crc32(planes.numpy().tobytes(), self.spec.seed)
                generator = torch.Generator().manual_seed(drawn)
                latent = latent + step * spread.clamp(max=0.3) * torch.randn(latent.shape, generator=generator)
        if self.spec.bf16:
            latent = latent.bfloat16().float()
        return self._unblock(latent)[:count]

    def _liveliness(self, latent: Tensor) -> Tensor:
        """How much detail each block has against the sample's mean, (3, T/t, H/s, W/s, 1, 1).

        Trained decoders err where there is detail. An even error would drown the gradients of a smooth picture.
        """
        energy = latent.square().sum(dim=(-1, -2)) - latent[..., 0, 0].square()
        usual = self._spread.square().sum(dim=(-1, -2)) - self._spread[:, 0, 0].square()
        ratio = (energy / usual[:, None, None, None].clamp(min=1e-9)).sqrt().clamp(0.05, 2.0)
        return ratio[..., None, None]

    def _carry_chroma(self, planes: Tensor) -> Tensor:
        if self.spec.chroma == "full":
            return planes
        small = functional.avg_pool2d(planes[:, 1:], 2)
        mode = "nearest" if self.spec.chroma == "half_nearest" else "bilinear"
        return torch.cat([planes[:, :1], functional.interpolate(small, scale_factor=2, mode=mode)], dim=1)


def _basis(spec: SimulatedSpec, cuts: Sequence[Tensor], rng: np.random.Generator) -> Tensor:
    """(3, s*s, s*s), rows orthonormal: one basis of the spatial block for every colour plane."""
    s = spec.stride
    flat = np.kron(_cosines(s).numpy(), _cosines(s).numpy())
    if spec.basis == "dct":
        return torch.from_numpy(np.stack([flat] * 3)).float()
    if spec.basis == "rotated":
        # Coefficients of like frequency are mixed: an orthonormal basis that is neither the DCT's nor the PCA's.
        order = np.argsort(np.add.outer(np.arange(s), np.arange(s)).reshape(-1), kind="stable")
        turned = flat[order].copy()
        for first in range(1, s * s, 6):
            group = slice(first, min(first + 6, s * s))
            size = turned[group].shape[0]
            turned[group] = np.linalg.qr(rng.normal(size=(size, size)))[0] @ turned[group]
        return torch.from_numpy(np.stack([turned] * 3)).float()
    bases = []
    for channel in range(3):
        blocks = torch.cat([_tiles(cut[:, channel], s) for cut in cuts]).double().numpy()
        chosen = blocks[rng.integers(0, len(blocks), size=max(4 * s * s, 4000))]
        # The floor keeps the order of directions that the sample hardly shows from being chance.
        _, vectors = np.linalg.eigh(chosen.T @ chosen / len(chosen) + 1e-7 * np.eye(s * s))
        bases.append(vectors.T[::-1].copy())
    return torch.from_numpy(np.stack(bases)).float()


def _gradients(planes: Tensor) -> float:
    """Gradient energy of luma, over all frames."""
    luma = planes[:, 0]
    return float(luma.diff(dim=1).square().sum() + luma.diff(dim=2).square().sum())


def _tiles(plane: Tensor, side: int) -> Tensor:
    count, height, width = plane.shape
    cut = plane.reshape(count, height // side, side, width // side, side).permute(0, 1, 3, 2, 4)
    return cut.reshape(-1, side * side)


@cache
def _cosines(size: int) -> Tensor:
    """The orthonormal DCT-II matrix, (size, size), frequencies down."""
    k, n = np.mgrid[0:size, 0:size]
    matrix = np.cos(np.pi * (2 * n + 1) * k / (2 * size)) * np.sqrt(2 / size)
    matrix[0] /= np.sqrt(2)
    return torch.from_numpy(matrix).float()
