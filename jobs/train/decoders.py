"""`makersmark train decoders`: small instances of published VAE classes, trained on camera footage of the train split.

They teach an extractor what decoders do; none of them is the signature of a named generator.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from jobs.bench.cuts import CUT_FRAMES, Cut, gather_cuts
from jobs.bench.footage import Split, load_footage
from jobs.errors import BadUsageError
from jobs.progress import Meter
from jobs.train.classes import diffusers_class
from jobs.train.fitting import FitPlan, fit, held_out_round_trip
from jobs.train.prototypes import DEFAULT, SEVERAL_SEEDS, Prototype, build, prototype, widened
from jobs.train.weights import Instance, find, load, save, versions

_CROPS_A_CLIP, _HELD_OUT_CLIPS = 6, 12


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """What to train. minutes: for everything together. steps: an instance, instead of minutes. seeds: of the classes in
    SEVERAL_SEEDS; the others get one. seed: shifts them all. width: multiplies the channels of every class.
    """

    classes: tuple[str, ...] = DEFAULT
    seeds: int = 2
    seed: int = 0
    minutes: float = 45.0
    steps: int | None = None
    device: str = "cpu"
    learning_rate: float = 4e-3
    width: int = 1


def train_decoders(footage: Path | None, out: Path, plan: TrainPlan, console: Console) -> list[Instance]:
    """Trains what is not in ``out`` yet and returns all instances of the plan, in its order.

    An interrupted run goes on with the first instance that has no weights. Raises BadUsageError for unknown classes, a
    missing library, device or footage of the train split.
    """
    torch.set_num_threads(1)
    jobs = instances_of(plan)
    diffusers_class("AutoencoderKL")
    if plan.device not in ("cpu", "cuda"):
        raise BadUsageError(f"decoders are trained on cpu or cuda, not on {plan.device!r}")
    if plan.device == "cuda" and not torch.cuda.is_available():
        raise BadUsageError("this machine has no CUDA device that torch can use; leave --device at cpu")
    finished = {instance.name: instance for instance in find(out)}
    todo = [job for job in jobs if job_name(*job) not in finished]
    if todo:
        clips, _ = load_footage(footage, frames=CUT_FRAMES)
        crops = gather_cuts(clips, Split.TRAIN, plan.seed, _CROPS_A_CLIP)
        held_out = gather_cuts(clips, Split.VALIDATION, plan.seed, 1)[:_HELD_OUT_CLIPS]
        if not crops or not held_out:
            raise BadUsageError(
                f"{len(clips)} camera clips give {len(crops)} cuts to train on and {len(held_out)} to check with; "
                f"bring footage of more sources"
            )
        used = sorted(clip.sha256 for clip in clips if clip.split is Split.TRAIN)
        _train(todo, crops, held_out, used, out, plan, console, finished)
    return [finished[job_name(*job)] for job in jobs]


def instances_of(plan: TrainPlan) -> list[tuple[Prototype, int]]:
    """(prototype, seed) in the order of training: the first seed of every class, then the second of those that have."""
    chosen = [widened(prototype(name), plan.width) for name in plan.classes]
    rounds = range(plan.seeds)
    return [(one, plan.seed + n) for n in rounds for one in chosen if n == 0 or one.name in SEVERAL_SEEDS]


def job_name(one: Prototype, seed: int) -> str:
    """Names the files of an instance: ``wan-s1``."""
    return f"{one.name}-s{seed}"


def _train(
    todo: Sequence[tuple[Prototype, int]],
    crops: Sequence[Cut],
    held_out: Sequence[Cut],
    used: Sequence[str],
    out: Path,
    plan: TrainPlan,
    console: Console,
    finished: dict[str, Instance],
) -> None:
    large = plan.device == "cuda"
    ends = time.monotonic() + plan.minutes * 60
    with Meter(console, "train decoders", len(todo)) as meter:
        for position, (one, seed) in enumerate(todo):
            share = max(0.05, (ends - time.monotonic()) / 60 / (len(todo) - position))
            schedule = FitPlan(
                minutes=share,
                steps=plan.steps,
                side=128 if large else (48 if one.volumetric else 64),
                frames_batch=32 if large else 6,
                batch=8 if large else 1,
                frames=CUT_FRAMES if large else 5,
                learning_rate=plan.learning_rate,
                device=plan.device,
            )
            model = build(one, seed)
            done = fit(model, one, crops, schedule, seed, lambda: meter.advance(0, files=0))
            facts = _facts(one, seed, schedule, plan) | {
                "footage": {"split": Split.TRAIN.value, "sha256": list(used), "cuts": len(crops)},
                "steps": done.steps,
                "seconds": round(done.seconds, 1),
                "steps_left_out": done.left_out,
                "loss_first_last": [round(loss, 5) for loss in done.losses],
            }
            name = job_name(one, seed)
            # Judged as it will be used: read back from the file, at half precision, in float32 on the CPU.
            with tempfile.TemporaryDirectory() as folder:
                trip = held_out_round_trip(load(save(model, Path(folder), name, facts)), held_out)
            facts |= {
                "held_out": {
                    "split": Split.VALIDATION.value,
                    "cuts": len(held_out),
                    "psnr_db": round(trip.psnr_db, 2),
                    "gradient_ratio": round(trip.gradient_ratio, 3),
                    "sharp": trip.sharp,
                }
            }
            finished[name] = save(model, out, name, facts)
            console.print(
                f"{name}: {trip.psnr_db:.1f} dB, gradient energy x{trip.gradient_ratio:.2f}, {done.steps} steps",
                highlight=False,
            )
            meter.advance(note=name)


def _facts(one: Prototype, seed: int, schedule: FitPlan, plan: TrainPlan) -> dict[str, Any]:
    return {
        "class": one.diffusers_class,
        "config": dict(one.config),
        "stride": list(one.stride),
        "frames": list(one.frames),
        "calling": one.calling,
        "seed": seed,
        "learning_rate": schedule.learning_rate,
        "crop_px": schedule.side,
        "loss": "L1 of pixels + 0.5 L1 of gradients + 1.5 L1 of local detail",
        "optimiser": "Muon for matrices, Adam 1e-3 for the rest",
        "start": "linear block codec" if one.solved else "random",
        "device": torch.cuda.get_device_name() if plan.device == "cuda" else "cpu, one thread, bf16 autocast",
        "versions": versions(),
    }
