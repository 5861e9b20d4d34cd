"""Trains one small VAE on crops of camera footage: pixels, their gradients and the energy of fine detail; no sampling.

Weights start as a linear codec (``jobs.train.start``). Matrices are trained by Muon (Jordan et al. 2024; PyTorch's
own), with which 336 steps led to 29.7 dB and 457 of Adam's to 28.0, everything else by Adam.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jobs.bench.cuts import CUT_FRAMES, Cut
from jobs.bench.gate import RoundTrip, round_trip
from jobs.encode import Rgb
from jobs.train.classes import Autoencoder
from jobs.train.prototypes import Prototype
from jobs.train.start import start

_WARM_UP = 0.03  # share of the training in which the learning rate rises
_ADAM_RATE = 1e-3  # of biases, norms and what else is no matrix
# Without an adversary a network leaves out what it cannot place; this much weight on the energy of fine detail keeps
# the gradient energy of its pictures near that of the footage.
_DETAIL_WEIGHT, _DETAIL_PX = 1.5, 8
_START_PIXELS = 64 * 64 * 64  # footage that the starting weights are solved on


@dataclass(frozen=True, slots=True)
class FitPlan:
    """How an instance is trained. minutes or steps: which ends it; with steps the same seed gives the same weights.

    side: of the square crops, pixels. frames_batch: pictures a step for 2-D classes. batch: cuts a step for 3-D ones,
    each of at most ``frames`` frames, but of one temporal stride at least. learning_rate: of the matrices.
    """

    minutes: float
    steps: int | None = None
    side: int = 64
    frames_batch: int = 6
    batch: int = 2
    frames: int = 5
    learning_rate: float = 4e-3
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a training did. losses: the first tenth's and the last tenth's mean loss. silent: branches left at zero.

    left_out: of the steps, those whose gradient overflowed.
    """

    steps: int
    seconds: float
    losses: tuple[float, float]
    silent: tuple[str, ...] = ()
    left_out: int = 0


def fit(
    model: Autoencoder, one: Prototype, crops: Sequence[Cut], plan: FitPlan, seed: int, on_step: Callable[[], None]
) -> Fitted:
    """Trains in place; crops are drawn by the seed. bf16 where the device has it, a cosine to a twentieth."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 1])
    started = time.monotonic()
    silent: list[str] = []
    if one.solved:
        pictures = max(8, _START_PIXELS // plan.side**2)
        silent = start(model, _draw(crops, one, replace(plan, batch=pictures // 2, frames_batch=pictures), rng), seed)
    device = torch.device(plan.device)
    model.to(device).train()
    for name in silent:
        model.net.get_submodule(name).requires_grad_(False)
    optimisers = _optimisers(model, plan.learning_rate)
    losses: list[float] = []
    left_out = 0
    while True:
        spent = time.monotonic() - started
        done = len(losses) / plan.steps if plan.steps is not None else spent / (plan.minutes * 60)
        if done >= 1:
            break
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["initial_lr"] * _schedule(done)
        video = _draw(crops, one, plan, rng).to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            out = model(video)
        loss = reconstruction_loss(out.float(), video) + _DETAIL_WEIGHT * detail_loss(out.float(), video)
        total = loss if model.commitment is None else loss + model.commitment.float().mean()
        model.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        steep = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        # One step along a gradient that overflowed leaves no weight a number: Allegro's class had such.
        if torch.isfinite(steep):
            for optimiser in optimisers:
                optimiser.step()
        else:
            left_out += 1
        losses.append(float(loss.detach()))
        on_step()
    told = [loss for loss in losses if np.isfinite(loss)]
    tenth = max(1, len(told) // 10)
    means = (float(np.mean(told[:tenth])), float(np.mean(told[-tenth:]))) if told else (0.0, 0.0)
    return Fitted(len(losses), time.monotonic() - started, means, tuple(silent), left_out)


def reconstruction_loss(out: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute error of pixels plus that of their differences down and across; (..., H, W) in -1..1."""
    down = (out.diff(dim=-2) - wanted.diff(dim=-2)).abs().mean()
    across = (out.diff(dim=-1) - wanted.diff(dim=-1)).abs().mean()
    return (out - wanted).abs().mean() + 0.5 * (down + across)


def detail_loss(out: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute error of the root of gradient energy, cell by cell; (..., 3, H, W) in -1..1."""
    return (_detail(out) - _detail(wanted)).abs().mean()


def _detail(video: Tensor) -> Tensor:
    grey = video.flatten(0, -4).mean(dim=1, keepdim=True)
    energy = grey.diff(dim=-2)[..., :-1].square() + grey.diff(dim=-1)[..., :-1, :].square()
    return (F.avg_pool2d(energy, _DETAIL_PX, _DETAIL_PX // 2) + 1e-5).sqrt()


class _Matrices(torch.optim.Muon):
    """Muon over weights of any shape: it takes matrices only, so each is shown to it as one, in the same memory."""

    def __init__(self, weights: Sequence[nn.Parameter], rate: float) -> None:
        self._weights = weights
        super().__init__([nn.Parameter(w.data.view(w.shape[0], -1)) for w in weights], lr=rate, weight_decay=0.0)

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for weight, matrix in zip(self._weights, self.param_groups[0]["params"], strict=True):
            matrix.grad = None if weight.grad is None else weight.grad.reshape(matrix.shape)
        super().step()  # type: ignore[no-untyped-call]


def _optimisers(model: nn.Module, rate: float) -> list[torch.optim.Optimizer]:
    trained = [weights for weights in model.parameters() if weights.requires_grad]
    matrices = [weights for weights in trained if weights.ndim >= 2 and weights[0].numel() > 1]
    chosen = {id(weights) for weights in matrices}
    rest = [weights for weights in trained if id(weights) not in chosen]
    made: list[torch.optim.Optimizer] = [_Matrices(matrices, rate), torch.optim.Adam(rest, _ADAM_RATE, (0.9, 0.99))]
    for optimiser in made:
        for group in optimiser.param_groups:
            group["initial_lr"] = group["lr"]
    return made


def reconstruct(model: Autoencoder, frames: Sequence[Rgb]) -> list[Rgb]:
    """A round trip of (H, W, 3) frames through the model in float32, sides multiples of its stride."""
    model.eval()
    device = next(model.parameters()).device
    video = torch.from_numpy(np.stack(frames)).to(device).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
    with torch.inference_mode():
        out = model(video)[0]
    pixels = ((out.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return list(pixels)


def held_out_round_trip(model: Autoencoder, crops: Sequence[Cut]) -> RoundTrip:
    """PSNR and gradient energy over all crops together."""
    before: list[Rgb] = []
    after: list[Rgb] = []
    for crop in crops:
        before += list(crop)
        after += reconstruct(model, list(crop))
    return round_trip(before, after)


def _schedule(done: float) -> float:
    if done < _WARM_UP:
        return 0.1 + 0.9 * done / _WARM_UP
    return 0.05 + 0.95 * 0.5 * (1 + float(np.cos(np.pi * (done - _WARM_UP) / (1 - _WARM_UP))))


def _draw(crops: Sequence[Cut], one: Prototype, plan: FitPlan, rng: np.random.Generator) -> Tensor:
    """(B, T, 3, side, side) in -1..1: whole cuts for 3-D classes, single frames of several cuts for 2-D ones."""
    step, rest = one.frames
    length = max(1, (plan.frames - rest) // step) * step + rest if one.volumetric else 2
    count = plan.batch if one.volumetric else max(1, plan.frames_batch // length)
    side = plan.side // one.stride[0] * one.stride[0] or one.stride[0]
    cuts = []
    for _ in range(count):
        crop = crops[int(rng.integers(len(crops)))]
        first = int(rng.integers(CUT_FRAMES - length + 1))
        top = int(rng.integers(crop.shape[1] - side + 1))
        left = int(rng.integers(crop.shape[2] - side + 1))
        cut = crop[first : first + length, top : top + side, left : left + side]
        cuts.append(cut[:, :, ::-1] if rng.integers(2) else cut)
    video = torch.from_numpy(np.ascontiguousarray(np.stack(cuts)))
    return video.permute(0, 1, 4, 2, 3).float() / 127.5 - 1
