"""Verbs about what is known and how well: enroll, generators, evaluate, bench."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from jobs import show, show_enrollment
from jobs.cli.options import (
    BAD_USAGE,
    SOME_UNREADABLE,
    AsJson,
    Db,
    Home,
    Workers,
    hand_over,
    name_failures,
    open_home,
    progress_console,
    settings_of,
)
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell how the signatures would stand apart; store and publish nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Publish without asking; without a terminal nothing ever asks.")
    ] = False,
    as_json: AsJson = False,
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
    vae: Annotated[
        Path | None, typer.Option("--vae", metavar="DIR", help="In place of files: the generator's VAE checkpoint.")
    ] = None,
    footage: Annotated[
        Path | None,
        typer.Option("--footage", metavar="FOLDER|MANIFEST.csv", help="With --vae: camera clips; default: the demo's."),
    ] = None,
    contents: Annotated[int, typer.Option("--contents", min=0, help="With --vae: how many camera clips.")] = 0,
) -> None:
    """Add signatures from clips whose maker is known, and publish the snapshot that knows them.

    Says first how they stand apart from what is known. Fewer than three usable clips in all are refused.

    `makersmark enroll hunyuanvideo clips/*.mp4` · `makersmark enroll camera footage/*.mp4` ·
    `makersmark enroll --manifest labelled.csv` · `makersmark enroll hunyuanvideo --vae checkpoint/`
    """
    from jobs.enroll import clips_of_files, clips_of_manifest
    from jobs.enrollment import carry_out, propose
    from jobs.home import Home as OpenHome

    if vae is not None and (generator is None or files or manifest is not None):
        raise BadUsageError("with --vae give a generator's name, and neither files nor --manifest")
    if vae is None and footage is not None:
        raise BadUsageError("--footage goes with --vae: it is what the checkpoint is calibrated on")
    if vae is None and (manifest is None) == (generator is None or not files):
        raise BadUsageError("give a generator and its files, or --manifest, and not both")
    settings = settings_of(context, home=home, db=db, workers=workers)
    checkpoint = None
    with tempfile.TemporaryDirectory(prefix="makersmark-enroll-") as passing:
        if vae is not None:
            from jobs.reconstruct.enroll import keep_vae, prepare_vae

            prepared = prepare_vae(
                generator or "",
                vae,
                Path(passing),
                family=family,
                footage=footage,
                contents=contents,
                seed=0,
                device=settings.device,
                console=progress_console(),
            )
            wanted = prepared.wanted
        elif manifest is not None:
            wanted = clips_of_manifest(settings, manifest, chain=chain, cache=cache or Path(passing))
        else:
            wanted = clips_of_files(generator or "", files or [], source=source, family=family, kind=kind)
        if dry_run and not OpenHome.exists(settings):
            settings = replace(settings, home=str(Path(passing) / "home"))  # a look leaves no home behind
        opened = OpenHome(settings)
        proposed = propose(opened, wanted, console=progress_console())
        if not as_json:
            show_enrollment.proposal(Console(), proposed)
        asks = sys.stdin.isatty() and not (yes or dry_run or as_json)
        agreed = not dry_run and (not asks or proposed.built is None or typer.confirm("Publish?", default=True))
        snapshot = carry_out(opened, proposed) if agreed else None
        if vae is not None and snapshot is not None:
            checkpoint, calibrated = keep_vae(opened, prepared, console=progress_console())
            if not as_json:
                show_enrollment.checkpoint(Console(), checkpoint, prepared.fidelity, calibrated.auc)
        opened.close()
    if as_json:
        done: dict[str, Any] = {"published": snapshot is not None, "snapshot": snapshot.id if snapshot else None}
        if vae is not None:
            done["checkpoint"] = checkpoint.id if checkpoint is not None else None
        print(json.dumps(done | proposed.as_dict()))
    else:
        show_enrollment.outcome(Console(), proposed, snapshot, dry_run=dry_run)
    for sentence in proposed.refused.values():
        print(f"makersmark: {sentence}", file=sys.stderr)
    name_failures(dict(proposed.unusable))
    if proposed.refused:
        raise typer.Exit(SOME_UNREADABLE if proposed.built is not None else BAD_USAGE)


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
    """The generators and processors of the catalogue, what is enrolled of each, and how well it is known."""
    from jobs.generators import describe_generator, list_generators

    settings = settings_of(context, home=home, db=db)
    if name is not None:
        show.facts(Console(), describe_generator(name, settings), as_json=as_json)
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
    learn_with: Annotated[
        list[Path] | None,
        typer.Option("--learn-with", metavar="MANIFEST.csv", help="Folds also learn from these clips, source apart."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option("--cache", metavar="DIR", help="Keep re-encoded clips here; default: in the home.")
    ] = None,
    grid: Annotated[
        bool, typer.Option("--grid", help="Also judge copies through x264 and x265, CRF 18-33, scale 1-0.5.")
    ] = False,
    grid_chains: Annotated[
        list[str] | None, typer.Option("--grid-chain", metavar="CHAIN", help="A chain of the grid, in place of these.")
    ] = None,
    evidence: Annotated[
        str | None,
        typer.Option(
            "--evidence", metavar="assembly|cues|declared|layout|reconstruction", help="Measure this kind alone."
        ),
    ] = None,
    checkpoints: Annotated[
        list[Path] | None,
        typer.Option("--vae", metavar="DIR", help="With --evidence layout or reconstruction: a checkpoint."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="With --evidence: at most so many clips.")] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="With --evidence: of all that is drawn.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="With --evidence: write its shipped tables here.")
    ] = None,
    as_json: AsJson = False,
    markdown: Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="Also write a page.")] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Also write a page with plots.")] = None,
) -> None:
    """Accuracy of the whole path on labelled clips, split by source, with the nulls beside it."""
    from jobs.evaluate.page import to_html
    from jobs.evaluation import DEFAULT_GRID, evaluate_evidence, run_evaluation

    settings = settings_of(context, home=home, db=db, workers=workers)
    if evidence is not None:
        measured = evaluate_evidence(
            evidence,
            manifest,
            settings,
            cache=cache,
            limit=limit,
            seed=seed,
            checkpoints=checkpoints or (),
            out=out,
            console=progress_console(),
        )
        hand_over(measured, as_json=as_json, markdown=markdown)
        return
    if checkpoints or limit or out is not None:
        raise BadUsageError("--vae, --limit and --out go with --evidence KIND")
    report = run_evaluation(
        manifest,
        settings,
        protocol=protocol,
        chain=chain,
        learn_from=learn_from or (),
        learn_with=learn_with or (),
        grid=grid_chains or (DEFAULT_GRID if grid else ()),
        cache=cache,
        console=progress_console(),
    )
    if html is not None:
        html.write_text(to_html(report), encoding="utf-8")
    hand_over(report, as_json=as_json, markdown=markdown)
    unreadable = [left for left in report.left_out if left.kind not in ("duplicate", "contradictory", "enrolled")]
    name_failures({left.name: f"{left.kind}: {left.message}" for left in unreadable})
