"""Other sharp checkpoints from one: the tiny VAE knocked about by a seed and trained back towards its own output.

Trained towards the footage instead they come out blurred (measured: gradient energy x0.69 and x0.74 against x1.12 of
the published one), and blur is no fingerprint.

Several checkpoints are needed to see whether the right one is told from others, and only one sharp one is published.
Variants are instances of one architecture, which is harder than different ones; none is the signature of a generator.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from jobs.bench.cuts import Cut, gather_cuts
from jobs.bench.footage import Split, load_footage
from jobs.bench.gate import round_trip
from jobs.bench.vae import TINY_DECODER, TINY_ENCODER, TinyVae, load_tiny, tiny_network
from jobs.errors import BadUsageError
from jobs.progress import Meter
from jobs.train.fitting import reconstruction_loss
from jobs.train.weights import LABEL

_SIDE, _BATCH, _WARM = 64, 4, 20


@dataclass(frozen=True, slots=True)
class Variant:
    """How one is made. knock: noise on every weight, in standard deviations of its layer. loss: edges is L1 of pixels
    and of their differences, squared the mean squared error. encoder: whether that is knocked and trained too.
    """

    seed: int
    knock: float = 0.1
    loss: str = "edges"
    encoder: bool = False
    steps: int = 120
    learning_rate: float = 3e-4


VARIANTS = (Variant(1), Variant(2, loss="squared"), Variant(3, encoder=True))


def make_variants(
    vae: Path, footage: Path | None, out: Path, console: Console, variants: tuple[Variant, ...] = VARIANTS
) -> list[Path]:
    """Makes what is not in ``out`` yet, a folder each with the tiny VAE's two files and what was done as JSON.

    Trained on the train split of the footage, checked on the validation split. Raises BadUsageError without footage.
    """
    torch.set_num_threads(1)
    clips, _ = load_footage(footage, frames=9)
    crops, held_out = gather_cuts(clips, Split.TRAIN, 0, 4), gather_cuts(clips, Split.VALIDATION, 0, 1)
    if not crops or not held_out:
        raise BadUsageError("variants need camera footage of the train and the validation split; bring more sources")
    made = []
    with Meter(console, "train variants", len(variants)) as meter:
        for variant in variants:
            folder = out / f"variant-{variant.seed}"
            made.append(folder)
            if not (folder / "provenance.json").is_file():
                _make(variant, vae, crops, held_out, folder, lambda: meter.advance(0, files=0))
            meter.advance(note=folder.name)
    return made


def _make(
    variant: Variant, vae: Path, crops: list[Cut], held_out: list[Cut], folder: Path, on_step: Callable[[], None]
) -> None:
    net = tiny_network(vae)
    _knock(net, variant)
    _fit(net, tiny_network(vae), variant, crops, on_step)
    folder.mkdir(parents=True, exist_ok=True)
    for part, name in ((net.encoder, TINY_ENCODER), (net.decoder, TINY_DECODER)):
        torch.save({key: value.contiguous() for key, value in part.state_dict().items()}, folder / name)
    trip = load_tiny(folder)
    before = [cut[0] for cut in held_out[:12]]
    found = round_trip(before, [trip([frame])[0] for frame in before])
    facts = {
        "label": LABEL,
        "variant": asdict(variant),
        "held_out": {"psnr_db": found.psnr_db, "gradient_ratio": found.gradient_ratio, "sharp": found.sharp},
    }
    (folder / "provenance.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _knock(net: TinyVae, variant: Variant) -> None:
    draw = torch.Generator().manual_seed(variant.seed)
    parts = [net.decoder, *([net.encoder] if variant.encoder else [])]
    with torch.no_grad():
        for part in parts:
            for weights in part.parameters():
                if weights.dim() > 1:
                    noise = torch.randn(weights.shape, generator=draw)
                    weights.add_(noise * weights.std() * variant.knock)


def _fit(net: TinyVae, teacher: TinyVae, variant: Variant, crops: list[Cut], on_step: Callable[[], None]) -> None:
    rng = np.random.default_rng(variant.seed)
    net.train()
    net.encoder.requires_grad_(variant.encoder)
    trained = [weights for weights in net.parameters() if weights.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=variant.learning_rate, betas=(0.9, 0.99))
    for step in range(variant.steps):
        done = step / variant.steps
        rate = min(1.0, (step + 1) / _WARM) * (0.05 + 0.95 * 0.5 * (1 + float(np.cos(np.pi * done))))
        for group in optimiser.param_groups:
            group["lr"] = variant.learning_rate * rate
        frames = _draw(crops, rng)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.no_grad():
                wanted = teacher(frames).float()
            out = net(frames)
        loss = _loss(out.float(), wanted, variant.loss)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        on_step()
    net.eval()


def _loss(out: Tensor, wanted: Tensor, kind: str) -> Tensor:
    if kind == "squared":
        return 10 * (out - wanted).square().mean()
    return reconstruction_loss(out, wanted)


def _draw(crops: list[Cut], rng: np.random.Generator) -> Tensor:
    found = []
    for _ in range(_BATCH):
        cut = crops[int(rng.integers(len(crops)))]
        frame = cut[int(rng.integers(len(cut)))]
        top, left = (int(rng.integers(side - _SIDE + 1)) for side in frame.shape[:2])
        found.append(frame[top : top + _SIDE, left : left + _SIDE])
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).float() / 255
