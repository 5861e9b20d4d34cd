"""Verbs about what was found: lookup, quarantine."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from rich.console import Console

from jobs import show
from jobs.cli.options import SOME_UNREADABLE, AsJson, Db, Home, open_home
from jobs.errors import BadUsageError
from jobs.uris import safe_uri

app = typer.Typer()
quarantine_app = typer.Typer(no_args_is_help=True, help="What was set aside, and why; let it try again.")


@app.command()
def lookup(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="SHA256|URI|FILE")],
    home: Home = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """What is known of one file: every verdict, newest last, with its evidence."""
    from jobs.lookup import UnknownTargetError, look_up

    try:
        found = look_up(open_home(context, home, db), target)
    except UnknownTargetError as error:
        if as_json:
            print(
                json.dumps(
                    {"target": safe_uri(target), "verdicts": [], "error": {"class": "unknown", "message": str(error)}}
                )
            )
        print(f"makersmark: {error}", file=sys.stderr)
        raise typer.Exit(SOME_UNREADABLE) from error
    if as_json:
        print(json.dumps(found))
    else:
        show.lookup(Console(), found)


@quarantine_app.command("list")
def quarantine_list(
    context: typer.Context,
    home: Home = None,
    db: Db = None,
    skipped: Annotated[bool, typer.Option("--all", help="Also files that are no video at all.")] = False,
    as_json: AsJson = False,
) -> None:
    """Files without a verdict: damaged, unreadable, or given up after several attempts."""
    from jobs.quarantine import set_aside

    show.set_aside(Console(), set_aside(open_home(context, home, db).engine, skipped=skipped), as_json=as_json)


@quarantine_app.command("show")
def quarantine_show(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="SHA256|URI|FILE")],
    home: Home = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Everything known of one set-aside file: its names, attempts, class, the decoder's last words, what to do next."""
    from jobs.quarantine import find

    entries = find(open_home(context, home, db).engine, target)
    if not entries:
        print(f"makersmark: {safe_uri(target)} is not set aside; `makersmark lookup` tells its state", file=sys.stderr)
        raise typer.Exit(SOME_UNREADABLE)
    for entry in entries:
        if as_json:
            print(json.dumps(entry.as_full_dict()))
        else:
            show.set_aside_entry(Console(), entry)


@quarantine_app.command("retry")
def quarantine_retry(
    context: typer.Context,
    targets: Annotated[list[str] | None, typer.Argument(metavar="[SHA256|URI|FILE]...")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="Release all of it.")] = False,
    home: Home = None,
    db: Db = None,
) -> None:
    """Give set-aside files fresh attempts; the next sweep opens them."""
    from jobs.quarantine import let_retry

    if bool(targets) == everything:
        raise BadUsageError("name what to retry, or pass --everything")
    opened = open_home(context, home, db)
    released = let_retry(opened.engine, targets or None)
    for entry in released:
        opened.ledger.audit("quarantine-retry", entry.uri or entry.sha256 or "", was=entry.kind)
    Console().print(f"{len(released)} released; the next sweep of their archive opens them", highlight=False)
    if targets and not released:
        raise typer.Exit(SOME_UNREADABLE)
