"""Verbs that measure and teach: bench (speed, and decoders as ground truth), train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from jobs import show
from jobs.cli.options import AsJson, Workers, hand_over, progress_console, settings_of


class SpeedByDefault(TyperGroup):
    """`makersmark bench [FILE]...` measures speed, as it always did; a word that names a command runs that."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["speed", *args]
        return super().parse_args(ctx, args)


bench_app = typer.Typer(cls=SpeedByDefault, help="Measure speed (default), or make ground truth with known decoders.")
train_app = typer.Typer(no_args_is_help=True, help="Learn from camera footage.")

FootageOption = Annotated[
    Path | None,
    typer.Option("--footage", metavar="FOLDER|MANIFEST.csv", help="Camera footage; default: the demo's packages."),
]


@bench_app.command()
def speed(
    context: typer.Context,
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="Default: a clip made here.")] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Paired repetitions.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Measure decoding and fingerprinting on this machine: medians, and ratios of what was paired in one run."""
    from jobs.bench.speed import measure

    show.bench(
        Console(), measure(files or [], settings_of(context), rounds=rounds, console=progress_console()), as_json
    )


@bench_app.command()
def decoders(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where members, clips and manifest.csv go.")],
    footage: FootageOption = None,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    names: Annotated[
        list[str] | None,
        typer.Option("--decoders", metavar="A|B|C|D|NAME", help="Only these kinds or decoders; may be repeated."),
    ] = None,
    vae: Annotated[Path | None, typer.Option("--vae", metavar="DIR", help="A VAE checkpoint, kind B.")] = None,
    instances: Annotated[
        Path | None, typer.Option("--instances", metavar="DIR", help="Trained instances, kind C.")
    ] = None,
    chains: Annotated[
        list[str] | None,
        typer.Option("--chain", metavar="random|random-2|x264-crf23|...", help="A codec chain; may be repeated."),
    ] = None,
    contents: Annotated[int, typer.Option("--limit", min=1, help="How many contents.")] = 40,
    crop: Annotated[
        int, typer.Option("--crop", min=128, help="Pixels a side that decoders see; 32 less is kept.")
    ] = 320,
    frames: Annotated[int, typer.Option("--frames", min=1, help="Frames of a content.")] = 16,
    simulated: Annotated[int, typer.Option("--simulated", min=0, help="How many simulated decoders there are.")] = 64,
    each: Annotated[int, typer.Option("--simulated-each", min=0, help="How many of them a content goes through.")] = 8,
    trainings: Annotated[int, typer.Option("--trainings", min=1, help="Weights a simulated structure comes with.")] = 1,
    splits: Annotated[
        list[str] | None, typer.Option("--split", metavar="train|validation|test", help="Only these; may be repeated.")
    ] = None,
    negatives: Annotated[bool, typer.Option("--negatives/--no-negatives", help="Blurred, resampled, ... too.")] = True,
    as_json: AsJson = False,
) -> None:
    """Make aligned ground truth: camera footage untouched and through known decoders, then one codec chain for all."""
    from jobs.bench.decoders import BenchPlan, bench_decoders
    from jobs.bench.table import show_summaries

    plan = BenchPlan(
        seed=seed,
        crop=crop,
        frames=frames,
        contents=contents,
        chains=tuple(chains or ("random",)),
        decoders=tuple(names or ()),
        vae=vae,
        instances=instances,
        simulated=simulated,
        simulated_each=each,
        trainings=trainings,
        splits=tuple(splits or BenchPlan().splits),
        negatives=negatives,
    )
    show_summaries(Console(), bench_decoders(footage, out, plan, progress_console()), as_json=as_json)


@bench_app.command()
def score(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A bench that `bench decoders` made.")],
    chains: Annotated[
        list[str] | None, typer.Option("--chain", metavar="x264-crf23|...", help="Only these; may be repeated.")
    ] = None,
    embedding: Annotated[
        str | None,
        typer.Option("--embedding", metavar="FILE.npz|shipped", help="Weights that `train fingerprint` made, or ours."),
    ] = None,
    learn_with: Annotated[
        Path | None,
        typer.Option(
            "--learn-with",
            metavar="MANIFEST.csv",
            help="Published clips that detection learns from as well.",
        ),
    ] = None,
    lessons_alone: Annotated[
        bool, typer.Option("--lessons-alone", help="Learn detection from those clips and no decoder of the bench.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Deals sources and decoders to folds.")] = 0,
    workers: Workers = None,
    as_json: AsJson = False,
    markdown: Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="Also write a page.")] = None,
) -> None:
    """What the fingerprint is worth on a bench: unseen decoders, closed sets, hard negatives, enrollment, seeds."""
    from jobs.bench.score import score_bench

    settings = settings_of(context, workers=workers)
    report = score_bench(
        folder,
        settings,
        chains=chains or (),
        embedding=embedding,
        learn_with=learn_with,
        lessons_alone=lessons_alone,
        seed=seed,
        console=progress_console(),
    )
    hand_over(report, as_json=as_json, markdown=markdown)


@train_app.command("decoders")
def train_decoders_verb(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where weights and provenance go.")],
    footage: FootageOption = None,
    device: Annotated[str, typer.Option("--device", metavar="cpu|cuda")] = "cpu",
    minutes: Annotated[float, typer.Option("--minutes", min=0.01, help="For everything together.")] = 45.0,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    classes: Annotated[
        list[str] | None, typer.Option("--classes", metavar="NAME", help="Only these; may be repeated.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Trainings of the classes that get several.")] = 2,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Steps an instance, instead of minutes.")] = None,
    width: Annotated[int, typer.Option("--width", min=1, help="Multiplies every channel width.")] = 1,
) -> None:
    """Train small instances of published VAE classes; architecture prototypes, nobody's signature."""
    from jobs.train.decoders import TrainPlan, train_decoders

    plan = TrainPlan(
        classes=tuple(classes or TrainPlan().classes),
        seeds=seeds,
        seed=seed,
        minutes=minutes,
        steps=steps,
        device=device,
        width=width,
    )
    for instance in train_decoders(footage, out, plan, progress_console()):
        held_out = instance.provenance["held_out"]
        print(f"{instance.name}\t{held_out['psnr_db']} dB\tsharp {str(held_out['sharp']).lower()}")


@train_app.command("variants")
def train_variants_verb(
    vae: Annotated[Path, typer.Option("--vae", metavar="DIR", help="The tiny VAE's two files.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the variants' folders go.")],
    footage: FootageOption = None,
) -> None:
    """Make rival checkpoints of the tiny VAE to measure with: knocked about by a seed, fine-tuned; no signatures."""
    from jobs.train.variants import make_variants

    for folder in make_variants(vae, footage, out, progress_console()):
        held_out = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["held_out"]
        print(f"{folder.name}\t{held_out['psnr_db']:.2f} dB\tsharp {str(held_out['sharp']).lower()}")


@train_app.command("fingerprint")
def train_fingerprint_verb(
    benches: Annotated[list[Path], typer.Argument(metavar="BENCH...", help="Benches that `bench decoders` made.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.npz", help="Where the weights go.")],
    device: Annotated[str, typer.Option("--device", metavar="cpu|cuda")] = "cpu",
    minutes: Annotated[float, typer.Option("--minutes", min=0.01)] = 30.0,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="In place of minutes; reproducible.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    chains: Annotated[
        list[str] | None, typer.Option("--chain", metavar="x264-crf23|...", help="Only these; may be repeated.")
    ] = None,
) -> None:
    """Train the learned decoder fingerprint on a bench: contrastive over decoders, content and codec shared."""
    from jobs.train.fingerprint import FingerprintPlan, train_fingerprint

    plan = FingerprintPlan(minutes=minutes, steps=steps, device=device, seed=seed, chains=tuple(chains or ()))
    print(json.dumps(train_fingerprint(benches, out, plan, progress_console())))
