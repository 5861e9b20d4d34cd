"""Verbs about what is known and how well: enroll, generators, evaluate, bench."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from jobs import show
from jobs.cli.options import AsJson, Db, Home, Workers, name_failures, open_home, progress_console, settings_of
from jobs.errors import BadUsageError

app = typer.Typer()


@app.command()
def enroll(
    context: typer.Context,
    generator: Annotated[str | None, typer.Argument(help="Name or slug; `camera` for camera footage.")] = None,
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE...", help="Clips it is known to have made.")
    ] = None,
    home: Home = None,
    db: Db = None,
    workers: Workers = None,
    source: Annotated[
        str | None, typer.Option("--source", help="Page, repository or camera; default: each file's folder.")
    ] = None,
    family: Annotated[
        str | None, typer.Option("--family", help="Decoder family of a generator new to the catalogue.")
    ] = None,
    kind: Annotated[
        str, typer.Option("--kind", metavar="generator|processor|camera", help="What it is, when new.")
    ] = "generator",
    manifest: Annotated[
        Path | None,
        typer.Option("--manifest", metavar="CSV", help="Enroll every row: path, label, generator, source."),
    ] = None,
    chain: Annotated[
        str, typer.Option("--chain", metavar="none|x264-crf23|...", help="With --manifest: enroll re-encoded copies.")
    ] = "none",
    cache: Annotated[
        Path | None, typer.Option("--cache", metavar="DIR", help="Keep those copies here, as evaluate does.")
    ] = None,
) -> None:
    """Add signatures from clips whose maker is known, and publish the snapshot that knows them.

    `makersmark enroll hunyuanvideo clips/*.mp4` · `makersmark enroll camera footage/*.mp4` ·
    `makersmark enroll --manifest labelled.csv`
    """
    from jobs.enroll import clips_of_files, clips_of_manifest
    from jobs.enroll import enroll as run
    from jobs.home import Home as OpenHome

    if (manifest is None) == (generator is None or not files):
        raise BadUsageError("give a generator and its files, or --manifest, and not both")
    opened = OpenHome(settings_of(context, home=home, db=db, workers=workers))
    with tempfile.TemporaryDirectory(prefix="makersmark-enroll-") as passing:
        if manifest is not None:
            clips, failed = clips_of_manifest(opened, manifest, chain=chain, cache=cache or Path(passing))
        else:
            clips, failed = (
                clips_of_files(opened, generator or "", files or [], source=source, family=family, kind=kind),
                {},
            )
        summary = run(opened, clips, console=progress_console())
    summary.unusable |= failed
    show.enroll_summary(Console(), summary)
    name_failures(summary.unusable)


@app.command()
def pack(
    context: typer.Context,
    target: Annotated[
        Path, typer.Argument(metavar="FOLDER|FILE.npz", help="Where to write; with --load, what to read.")
    ],
    name: Annotated[str, typer.Option("--name", help="Becomes the origin of the signatures.")] = "pack",
    load: Annotated[bool, typer.Option("--load", help="Add the pack's signatures to this home and publish.")] = False,
    home: Home = None,
    db: Db = None,
) -> None:
    """Write the home's signatures and snapshot as files that can travel, or load such a pack: vectors, no pixels."""
    from jobs.home import Home as OpenHome
    from jobs.packs import export_pack, import_pack

    if load:
        summary = import_pack(OpenHome(settings_of(context, home=home, db=db)), target)
    else:
        summary = export_pack(open_home(context, home, db), target, name=name)
    total, makers = sum(summary.clips.values()), len(summary.clips)
    done = "read" if load else "written"
    size = f"{summary.bytes / 1e6:.1f} MB, snapshot {summary.snapshot.id[:16]}"
    Console().print(f"{total} signatures of {makers} makers {done}, {size}", highlight=False)


@app.command()
def generators(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Show one in full, with the sources of its facts.")] = None,
    home: Home = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """The generators and processors of the catalogue, and how many signatures of each are enrolled."""
    from jobs.generators import describe_generator, list_generators

    settings = settings_of(context, home=home, db=db)
    if name is not None:
        show.facts(Console(), describe_generator(name), as_json=as_json)
    else:
        show.generator_table(Console(), list_generators(settings), as_json=as_json)


@app.command()
def evaluate(
    context: typer.Context,
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST.csv", help="path,label,generator,decoder_family,source")
    ],
    home: Home = None,
    db: Db = None,
    workers: Workers = None,
    protocol: Annotated[
        str, typer.Option("--protocol", metavar="auto|leave-one-source-out|snapshot", help="What judges the clips.")
    ] = "auto",
    chain: Annotated[
        str, typer.Option("--chain", metavar="x264-crf23|none|...", help="One re-encoding for every clip alike.")
    ] = "x264-crf23",
    learn_from: Annotated[
        list[str] | None,
        typer.Option("--learn-from", metavar="CHAIN", help="Folds also learn from copies through it."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option("--cache", metavar="DIR", help="Keep re-encoded clips here; default: in the home.")
    ] = None,
    as_json: AsJson = False,
    markdown: Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="Also write a page.")] = None,
) -> None:
    """Accuracy of the whole path on labelled clips, split by source, with the nulls beside it."""
    from jobs.evaluation import run_evaluation

    settings = settings_of(context, home=home, db=db, workers=workers)
    report = run_evaluation(
        manifest,
        settings,
        protocol=protocol,
        chain=chain,
        learn_from=learn_from or (),
        cache=cache,
        console=progress_console(),
    )
    if markdown is not None:
        markdown.write_text(report.to_markdown(), encoding="utf-8")
    if as_json:
        print(json.dumps(report.to_json()))
    else:
        report.print(Console())
    unreadable = [left for left in report.left_out if left.kind not in ("duplicate", "contradictory", "enrolled")]
    name_failures({left.name: f"{left.kind}: {left.message}" for left in unreadable})
