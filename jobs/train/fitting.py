"""Trains one small VAE on crops of camera footage: L1 on pixels and on their gradients, no adversary, no sampling."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from jobs.bench.cuts import CUT_FRAMES, Cut
from jobs.bench.gate import RoundTrip, round_trip
from jobs.encode import Rgb
from jobs.train.classes import Autoencoder, Prototype

_WARM_UP = 0.03  # share of the training in which the learning rate rises
_BRANCH_GAIN = 0.1


@dataclass(frozen=True, slots=True)
class FitPlan:
    """How an instance is trained. minutes or steps: which ends it; with steps the same seed gives the same weights.

    side: of the square crops, pixels. frames_batch: pictures a step for 2-D classes. batch: cuts a step for 3-D ones,
    each of at most ``frames`` frames, but of one temporal stride at least.
    """

    minutes: float
    steps: int | None = None
    side: int = 48
    frames_batch: int = 4
    batch: int = 1
    frames: int = 5
    learning_rate: float = 1e-3
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a training did. losses: the first tenth's and the last tenth's mean loss."""

    steps: int
    seconds: float
    losses: tuple[float, float]


def fit(
    model: Autoencoder, one: Prototype, crops: Sequence[Cut], plan: FitPlan, seed: int, on_step: Callable[[], None]
) -> Fitted:
    """Trains in place; crops are drawn by the seed. bf16 where the device has it, Adam, a cosine to a twentieth."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 1])
    device = torch.device(plan.device)
    model.to(device).train()
    _calm_branches(model)
    optimiser = torch.optim.Adam(model.parameters(), lr=plan.learning_rate, betas=(0.9, 0.99))
    losses: list[float] = []
    started = time.monotonic()
    while True:
        spent = time.monotonic() - started
        done = len(losses) / plan.steps if plan.steps is not None else spent / (plan.minutes * 60)
        if done >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = plan.learning_rate * _schedule(done)
        video = _draw(crops, one, plan, rng).to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            out = model(video)
        loss = reconstruction_loss(out.float(), video)
        total = loss if model.commitment is None else loss + model.commitment.float().mean()
        optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        on_step()
    tenth = max(1, len(losses) // 10)
    means = (float(np.mean(losses[:tenth])), float(np.mean(losses[-tenth:]))) if losses else (0.0, 0.0)
    return Fitted(len(losses), time.monotonic() - started, means)


def reconstruction_loss(out: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute error of pixels plus that of their differences down and across; (..., H, W) in -1..1."""
    down = (out.diff(dim=-2) - wanted.diff(dim=-2)).abs().mean()
    across = (out.diff(dim=-1) - wanted.diff(dim=-1)).abs().mean()
    return (out - wanted).abs().mean() + 0.5 * (down + across)


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


def _calm_branches(model: nn.Module) -> None:
    """Residual branches start at a tenth: a short training begins near the plain chain of samplers."""
    for module in model.modules():
        second = getattr(module, "conv2", None)
        if hasattr(module, "conv1") and isinstance(second, nn.Module):
            with torch.no_grad():
                for weights in second.parameters():
                    weights.mul_(_BRANCH_GAIN)


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
