"""The verbs ``snapshots list | show | rollback``."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from jobs import show_snapshots
from jobs.cli.options import AsJson, Db, Home, open_home

app = typer.Typer(
    help="Published snapshots: which there are, what one learned, going back to one.", no_args_is_help=True
)

Id = Annotated[str, typer.Argument(metavar="ID", help="A snapshot's id, or as much of it as tells it apart.")]


@app.command("list")
def list_(context: typer.Context, home: Home = None, db: Db = None, as_json: AsJson = False) -> None:
    """Every published snapshot, the one published last first; `*` marks the one that judges now."""
    from jobs.rollback import list_snapshots

    found = list_snapshots(open_home(context, home, db))
    if as_json:
        for one in found:
            print(json.dumps(one.as_dict()))
    else:
        show_snapshots.table(Console(), found)


@app.command()
def show(
    context: typer.Context,
    identity: Annotated[str | None, typer.Argument(metavar="[ID]", help="Default: the one that judges now.")] = None,
    home: Home = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """What a snapshot learned: its gates, its calibration by quality bucket, what its own rehearsal measured."""
    from jobs.rollback import show_snapshot

    found = show_snapshot(open_home(context, home, db), identity)
    if as_json:
        print(json.dumps(found))
    else:
        show_snapshots.one(Console(), found)


@app.command()
def rollback(context: typer.Context, identity: Id, home: Home = None, db: Db = None, as_json: AsJson = False) -> None:
    """Judge by this snapshot from now on, and build on the signatures it was built from.

    Nothing is deleted: signatures enrolled since are withdrawn, and going to a snapshot that has them brings them back.
    """
    from jobs.rollback import rollback as run

    summary = run(open_home(context, home, db), identity)
    if as_json:
        print(json.dumps(summary.as_dict()))
    else:
        show_snapshots.rolled_back(Console(), summary)
