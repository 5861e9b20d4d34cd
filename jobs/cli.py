"""The command line. Every verb builds the settings, opens the home, calls one job, shows what it returned."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from cluster.executor import WorkersUnavailableError
from cluster.outcome import Failure, FailureError, Policy
from fingerprint_db.catalogue import CatalogueError
from fingerprint_db.errors import FingerprintDbError
from jobs import show
from jobs.errors import BadUsageError, DatabaseError
from jobs.settings import Settings, SettingsError, load_settings

DONE, SOME_UNREADABLE, BAD_USAGE, SYSTEM_FAILED = 0, 1, 2, 3

app = typer.Typer(
    name="makersmark",
    help="Which generator made this video? Sweeps archives, fingerprints decoders, answers with evidence.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
quarantine_app = typer.Typer(no_args_is_help=True, help="What was set aside, and why; let it try again.")
app.add_typer(quarantine_app, name="quarantine")

Home = Annotated[str | None, typer.Option("--home", metavar="DIR|URI", help="Where everything is kept.")]
Db = Annotated[str | None, typer.Option("--db", metavar="URL", help="SQL database; default: SQLite in the home.")]
Workers = Annotated[int | None, typer.Option("--workers", "-j", min=0, help="Parallel workers; 0: one a core.")]
Executor = Annotated[str | None, typer.Option("--executor", metavar="local|ray", help="Where the work runs.")]
RayAddress = Annotated[str | None, typer.Option("--ray-address", help="A running Ray cluster; implies ray.")]
Decoder = Annotated[str | None, typer.Option("--decoder", metavar="pyav|decord", help="Which library decodes.")]
Config = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Settings file (TOML).")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line, for other tools.")]


def main() -> None:
    """Run a verb and turn what went wrong into one sentence and the contract's exit code."""
    try:
        # Outside its standalone mode the parser hands an Exit's code back instead of leaving.
        code = app(prog_name="makersmark", standalone_mode=False)
    except typer.Abort:
        _stop("interrupted; what was finished is committed, start again to go on", 130)
    except KeyboardInterrupt:
        _stop("interrupted; what was finished is committed, start again to go on", 130)
    except (SettingsError, BadUsageError, CatalogueError) as error:
        _stop(str(error), BAD_USAGE)
    except FailureError as error:
        known = error.failure.policy is Policy.SKIP
        _stop(error.failure.message, BAD_USAGE if known else SYSTEM_FAILED)
    except (DatabaseError, FingerprintDbError, WorkersUnavailableError) as error:
        _stop(str(error), SYSTEM_FAILED)
    except SQLAlchemyError as error:
        origin = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        _stop(f"the database failed: {origin}", SYSTEM_FAILED)
    except OSError as error:
        _stop(f"{error.strerror or error} ({error.filename or 'no file named'})", SYSTEM_FAILED)
    except Exception as error:
        _click_error(error)
    else:
        sys.exit(code if isinstance(code, int) else DONE)


def _click_error(error: Exception) -> None:
    """Usage errors of the option parser show themselves; anything else is a bug and keeps its traceback."""
    shower: Callable[[], None] | None = getattr(error, "show", None)
    if shower is None or not hasattr(error, "exit_code"):
        raise error
    shower()
    sys.exit(BAD_USAGE)


def _stop(message: str, code: int) -> None:
    print(f"makersmark: {message}", file=sys.stderr)
    sys.exit(code)


def _console(as_json: bool = False) -> Console:
    return Console(stderr=True, quiet=as_json and not sys.stderr.isatty())


@app.callback()
def _global(
    context: typer.Context,
    home: Home = None,
    db: Db = None,
    workers: Workers = None,
    executor: Executor = None,
    ray_address: RayAddress = None,
    decoder: Decoder = None,
    config: Config = None,
) -> None:
    context.obj = {
        "home": home,
        "db": db,
        "workers": workers,
        "executor": executor,
        "ray_address": ray_address,
        "decoder": decoder,
        "config": config,
    }


def _settings(context: typer.Context, **flags: Any) -> Settings:
    """Options are understood before and after the verb; the later one wins."""
    merged = {**context.obj, **{name: value for name, value in flags.items() if value is not None}}
    config = merged.pop("config")
    if merged.get("ray_address") and not merged.get("executor"):
        merged["executor"] = "ray"
    return load_settings(merged, config=config)


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

    settings = _settings(context, home=home, db=db, workers=workers, executor=executor, ray_address=ray_address)
    opened = OpenHome(settings)
    console = _console(as_json)
    summary = run(opened, archive, console=console, limit=limit, since=_date(since), all_files=all_files)
    stale = stale_verdicts(opened.engine, summary.spec_id, summary.snapshot_id)
    if as_json:
        print(json.dumps({"sweep": summary.sweep_id, "stale_verdicts": stale, **summary.as_dict()}))
    else:
        show.sweep_summary(Console(), summary, stale)
    _name_failures(summary.failures)


@app.command()
def scan(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files, folders or URIs.")],
    home: Home = None,
    db: Db = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Verdicts now, nothing stored. Judges by the home's snapshot where there is a home, else by the starter pack."""
    from jobs.judge import scan_files

    settings = _settings(context, home=home, db=db, workers=workers)
    unreadable = False
    for record in scan_files(files, settings, console=_console(as_json)):
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
    opened = OpenHome(_settings(context, home=home, db=db, workers=workers))
    if manifest is not None:
        clips = clips_of_manifest(opened, manifest)
    else:
        clips = clips_of_files(opened, generator or "", files or [], source=source, family=family, kind=kind)
    summary = run(opened, clips, console=_console())
    show.enroll_summary(Console(), summary)
    _name_failures(summary.unusable)


@app.command()
def rematch(context: typer.Context, home: Home = None, db: Db = None, as_json: AsJson = False) -> None:
    """Judge everything again by the current snapshot, from stored fingerprints; no video is opened."""
    from jobs.rematch import rematch as run

    summary = run(_open(context, home, db), console=_console(as_json))
    if as_json:
        print(json.dumps(summary.as_dict()))
    else:
        show.rematch_summary(Console(), summary)


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
        found = look_up(_open(context, home, db), target)
    except UnknownTargetError as error:
        if as_json:
            print(json.dumps({"target": target, "verdicts": [], "error": {"class": "unknown", "message": str(error)}}))
        print(f"makersmark: {error}", file=sys.stderr)
        raise typer.Exit(SOME_UNREADABLE) from error
    if as_json:
        print(json.dumps(found))
    else:
        show.lookup(Console(), found)


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

    settings = _settings(context, home=home, db=db)
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
    cache: Annotated[
        Path | None, typer.Option("--cache", metavar="DIR", help="Keep re-encoded clips here; default: in the home.")
    ] = None,
    as_json: AsJson = False,
    markdown: Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="Also write a page.")] = None,
) -> None:
    """Accuracy of the whole path on labelled clips, split by source, with the nulls beside it."""
    from jobs.evaluation import run_evaluation

    settings = _settings(context, home=home, db=db, workers=workers)
    report = run_evaluation(manifest, settings, protocol=protocol, chain=chain, cache=cache, console=_console(as_json))
    if markdown is not None:
        markdown.write_text(report.to_markdown(), encoding="utf-8")
    if as_json:
        print(json.dumps(report.to_json()))
    else:
        report.print(Console())
    unreadable = [left for left in report.left_out if left.kind not in ("duplicate", "contradictory", "enrolled")]
    _name_failures({left.name: f"{left.kind}: {left.message}" for left in unreadable})


@app.command()
def bench(
    context: typer.Context,
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="Default: a clip made here.")] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Paired repetitions.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Measure decoding and fingerprinting on this machine: medians, and ratios of what was paired in one run."""
    from jobs.bench import measure

    show.bench(Console(), measure(files or [], _settings(context), rounds=rounds, console=_console(as_json)), as_json)


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

    show.set_aside(Console(), set_aside(_open(context, home, db).engine, skipped=skipped), as_json=as_json)


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
    opened = _open(context, home, db)
    released = let_retry(opened.engine, targets or None)
    for entry in released:
        opened.ledger.audit("quarantine-retry", entry.uri or entry.sha256 or "", was=entry.kind)
    Console().print(f"{len(released)} released; the next sweep of their archive opens them", highlight=False)
    if targets and not released:
        raise typer.Exit(SOME_UNREADABLE)


def _open(context: typer.Context, home: str | None, db: str | None) -> Any:
    """A home that must exist: a look-up never leaves an empty one behind."""
    from jobs.home import Home as OpenHome

    settings = _settings(context, home=home, db=db)
    if not OpenHome.exists(settings):
        raise BadUsageError(f"there is no home at {settings.home} yet; a sweep or an enrollment makes one")
    return OpenHome(settings)


def _date(text: str | None) -> Any:
    from datetime import UTC, datetime

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadUsageError(f"--since {text!r} is no ISO date such as 2026-05-31") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _name_failures(failures: dict[str, Any]) -> None:
    """Every file that could not be read, on stderr, and the exit code that says so."""
    for uri in sorted(failures):
        failure = failures[uri]
        said = f"{failure.kind}: {failure.message}" if isinstance(failure, Failure) else str(failure)
        print(f"makersmark: {uri}: {said}", file=sys.stderr)
    if failures:
        raise typer.Exit(SOME_UNREADABLE)
