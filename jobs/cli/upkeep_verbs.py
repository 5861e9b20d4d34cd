"""Verbs that keep a home in order: compact, audit, backup."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from jobs.cli.options import SOME_UNREADABLE, AsJson, Db, Home, name_failures, open_home, progress_console

if TYPE_CHECKING:
    from jobs.audit import AuditReport

app = typer.Typer()


@app.command()
def compact(
    context: typer.Context,
    home: Home = None,
    db: Db = None,
    target_mb: Annotated[int, typer.Option("--target-mb", min=1, help="Merge parts up to this size (MiB).")] = 256,
    grace_min: Annotated[
        float, typer.Option("--grace", min=0, metavar="MINUTES", help="Keep what went out of use so long.")
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Merge small Parquet parts into large ones and remove files that nothing names. Sweeps and readers may go on."""
    from jobs.compact import compact as run

    opened = open_home(context, home, db)
    summary = run(opened, console=progress_console(), target_bytes=target_mb << 20, grace_s=grace_min * 60)
    if as_json:
        print(json.dumps(summary.as_dict()))
    else:
        merged = f"{summary.merged} parts merged into {summary.written}" if summary.merged else "no parts to merge"
        superseded = f" ({summary.superseded_rows} repeated rows left out)" if summary.superseded_rows else ""
        removed = f"{summary.deleted} replaced parts and {summary.orphans} unnamed files removed"
        Console().print(f"{merged}{superseded}; {removed}", highlight=False)
        if summary.snapshots:
            Console().print(f"{summary.snapshots} snapshots that were never published removed", highlight=False)
    name_failures({name: f"{wrong}; makersmark audit tells more" for name, wrong in summary.damaged.items()})


@app.command()
def audit(
    context: typer.Context,
    home: Home = None,
    db: Db = None,
    quick: Annotated[bool, typer.Option("--quick", help="Compare sizes, read no part.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended without guessing.")] = False,
    events: Annotated[
        int | None, typer.Option("--events", metavar="N", min=1, help="Show the last N entries of the log instead.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that parts, snapshots, ledger and verdicts exist and agree. Exit code 1 when something is wrong."""
    from jobs.audit import audit as run
    from jobs.audit import events as last_events

    opened = open_home(context, home, db)
    if events is not None:
        _show_events(last_events(opened, events), as_json)
        return
    report = run(opened, console=progress_console(), quick=quick)
    if repair and report.findings:
        from jobs.repair import repair as mend

        mend(opened, report)
    if as_json:
        print(json.dumps(report.as_dict()))
    else:
        _show_report(report)
    for finding in report.findings:
        if not finding.repaired:
            print(f"makersmark: {finding.fault}: {finding.message}", file=sys.stderr)
    if not report.clean:
        raise typer.Exit(SOME_UNREADABLE)


@app.command()
def backup(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="DIR|URI", help="Where the copy goes; it is a home itself.")],
    home: Home = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Copy the home, whole at one moment, while sweeps go on; what an earlier backup left there is not copied again."""
    from jobs.backup import backup as run

    summary = run(open_home(context, home, db), target, console=progress_console())
    if as_json:
        print(json.dumps(summary.as_dict()))
    else:
        size = f"{summary.copied_bytes / 2**20:.1f} MiB"
        print(f"{summary.copied} files copied ({size}), {summary.present} were there; {summary.target}")
        if not summary.database:
            print("the database is not on SQLite: its dump, taken before this, belongs to the backup")
    name_failures(dict(summary.unusable))


def _show_events(events: list[dict[str, Any]], as_json: bool) -> None:
    for event in events:
        if as_json:
            print(json.dumps(event))
            continue
        detail = {name: value for name, value in event.items() if name not in ("at", "action", "subject")}
        line = f"{event['at']}  {event['action']:<17} {event['subject']}  {json.dumps(detail, sort_keys=True)}"
        Console(soft_wrap=True).print(escape(line), highlight=False)


def _show_report(report: AuditReport) -> None:
    console = Console(soft_wrap=True)
    for finding in report.findings:
        mark = "repaired" if finding.repaired else "open"
        remedy = f" ({finding.remedy})" if finding.remedy else ""
        console.print(escape(f"{mark:<9} {finding.fault:<18} {finding.message}{remedy}"), highlight=False)
    counts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in sorted(report.counts.items()))
    console.print(f"{counts}", highlight=False)
    if not report.findings:
        how = "sizes agree" if report.quick else "checksums, rows and verdicts agree"
        console.print(f"nothing is wrong: {how}", highlight=False)
