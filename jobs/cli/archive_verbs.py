"""Verbs over an archive: sweep, scan, rematch."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from rich.console import Console

from jobs import show
from jobs.cli.options import (
    SOME_UNREADABLE,
    AsJson,
    Db,
    Executor,
    Home,
    RayAddress,
    Workers,
    iso_date,
    name_failures,
    open_home,
    progress_console,
    settings_of,
)

app = typer.Typer()


@app.command()
def sweep(
    context: typer.Context,
    archive: Annotated[str, typer.Argument(metavar="ARCHIVE_URI", help="Folder, file or bucket (s3://...).")],
    home: Home = None,
    db: Db = None,
    workers: Workers = None,
    executor: Executor = None,
    ray_address: RayAddress = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Open at most so many files.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DATE", help="Only files modified on or after (ISO date).")
    ] = None,
    all_files: Annotated[bool, typer.Option("--all-files", help="Open files of every suffix.")] = False,
    as_json: AsJson = False,
) -> None:
    """The main job: fingerprint and judge every new or changed file of an archive.

    Unchanged files are not opened again. A sweep that was stopped or killed goes on where it was.
    """
    from jobs.home import Home as OpenHome
    from jobs.rematch import stale_verdicts
    from jobs.sweep import sweep as run

    settings = settings_of(context, home=home, db=db, workers=workers, executor=executor, ray_address=ray_address)
    opened = OpenHome(settings)
    console = progress_console()
    summary = run(opened, archive, console=console, limit=limit, since=iso_date(since), all_files=all_files)
    stale = stale_verdicts(opened.engine, summary.spec_id, summary.snapshot_id)
    if as_json:
        print(json.dumps({"sweep": summary.sweep_id, "stale_verdicts": stale, **summary.as_dict()}))
    else:
        show.sweep_summary(Console(), summary, stale)
    name_failures(summary.failures)


@app.command()
def scan(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files, folders or URIs.")],
    home: Home = None,
    db: Db = None,
    workers: Workers = None,
    reconstruct: Annotated[
        bool, typer.Option("--reconstruct", help="Also ask the home's VAE checkpoints about shortlisted files.")
    ] = False,
    reconstruct_all: Annotated[
        bool, typer.Option("--reconstruct-all", help="Ask them about every file; takes seconds to minutes each.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Verdicts now, nothing stored. Judges by the home's snapshot where there is a home, else by the starter pack."""
    from jobs.judge import scan_files

    settings = settings_of(context, home=home, db=db, workers=workers)
    unreadable = False
    records = scan_files(files, settings, console=progress_console())
    if reconstruct or reconstruct_all:
        from jobs.reconstruct.scanning import with_reconstruction

        records = with_reconstruction(records, settings, everything=reconstruct_all)
    for record in records:
        unreadable |= record["error"] is not None
        if as_json:
            print(json.dumps(record), flush=True)
        else:
            show.file_verdict(Console(), record)
        if record["error"] is not None:
            print(f"makersmark: {record['uri']}: {record['error']['message']}", file=sys.stderr)
    if unreadable:
        raise typer.Exit(SOME_UNREADABLE)


@app.command()
def rematch(context: typer.Context, home: Home = None, db: Db = None, as_json: AsJson = False) -> None:
    """Judge everything again by the current snapshot, from stored fingerprints; no video is opened."""
    from jobs.rematch import rematch as run

    summary = run(open_home(context, home, db), console=progress_console())
    if as_json:
        print(json.dumps(summary.as_dict()))
    else:
        show.rematch_summary(Console(), summary)


@app.command()
def reconstruct(
    context: typer.Context,
    home: Home = None,
    db: Db = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every content, not only those whose verdict speaks of a decoder.")
    ] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many contents now.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the home's VAE checkpoints about swept contents: how well does each give the keyframes back?

    What is found is shown by `lookup` as evidence. Started again, it goes on where it was.
    """
    from jobs.reconstruct.run import reconstruct_home

    opened = open_home(context, home, db)
    summary = reconstruct_home(opened, everything=everything, limit=limit, console=progress_console())
    if as_json:
        print(json.dumps(summary.as_dict()))
    else:
        show.reconstruct_summary(Console(), summary)
    name_failures(dict(summary.failures))
