"""Options that every verb shares, and what the verbs make of them."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer
from rich.console import Console

from cluster.outcome import Failure
from jobs.errors import BadUsageError
from jobs.settings import Settings, load_settings
from jobs.uris import safe_uri

if TYPE_CHECKING:
    from jobs.home import Home as OpenHome

DONE, SOME_UNREADABLE, BAD_USAGE, SYSTEM_FAILED = 0, 1, 2, 3

Home = Annotated[str | None, typer.Option("--home", metavar="DIR|URI", help="Where everything is kept.")]
Db = Annotated[str | None, typer.Option("--db", metavar="URL", help="SQL database; default: SQLite in the home.")]
Workers = Annotated[int | None, typer.Option("--workers", "-j", min=0, help="Parallel workers; 0: one a core.")]
Executor = Annotated[str | None, typer.Option("--executor", metavar="local|ray", help="Where the work runs.")]
RayAddress = Annotated[str | None, typer.Option("--ray-address", help="A running Ray cluster; implies ray.")]
Decoder = Annotated[str | None, typer.Option("--decoder", metavar="pyav|decord", help="Which library decodes.")]
Config = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Settings file (TOML).")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line, for other tools.")]


class Report(Protocol):
    """What a measuring verb comes back with."""

    def to_json(self) -> dict[str, Any]: ...
    def to_markdown(self) -> str: ...
    def print(self, console: Console) -> None: ...


def hand_over(report: Report, *, as_json: bool, markdown: Path | None) -> None:
    """A report on standard output, for people or as one JSON object, and as a page where one is asked for."""
    if markdown is not None:
        markdown.write_text(report.to_markdown(), encoding="utf-8")
    if as_json:
        print(json.dumps(report.to_json()))
    else:
        report.print(Console())


def settings_of(context: typer.Context, **flags: Any) -> Settings:
    """Options are understood before and after the verb; the later one wins."""
    merged = {**context.obj, **{name: value for name, value in flags.items() if value is not None}}
    config = merged.pop("config")
    if merged.get("ray_address") and not merged.get("executor"):
        merged["executor"] = "ray"
    return load_settings(merged, config=config)


def open_home(context: typer.Context, home: str | None, db: str | None) -> OpenHome:
    """A home that must exist: a look-up never leaves an empty one behind."""
    from jobs.home import Home as OpenHome

    settings = settings_of(context, home=home, db=db)
    if not OpenHome.exists(settings):
        raise BadUsageError(f"there is no home at {settings.home} yet; a sweep or an enrollment makes one")
    return OpenHome(settings)


def iso_date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadUsageError(f"--since {text!r} is no ISO date such as 2026-05-31") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def name_failures(failures: dict[str, Any]) -> None:
    """Every file that could not be read, on stderr, and the exit code that says so."""
    for uri in sorted(failures):
        failure = failures[uri]
        said = f"{failure.kind}: {failure.message}" if isinstance(failure, Failure) else str(failure)
        print(f"makersmark: {safe_uri(uri)}: {said}", file=sys.stderr)
    if failures:
        raise typer.Exit(SOME_UNREADABLE)


def progress_console() -> Console:
    """Progress and remarks go to stderr, so that what is printed for other tools stays clean."""
    return Console(stderr=True)
