"""The command line. Every verb builds the settings, opens the home, calls one job, shows what it returned."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer
from sqlalchemy.exc import SQLAlchemyError

from cluster.executor import WorkersUnavailableError
from cluster.outcome import FailureError, Policy
from fingerprint_db.catalogue import CatalogueError
from fingerprint_db.errors import FingerprintDbError
from jobs.cli import archive_verbs, bench_verbs, knowledge_verbs, record_verbs, snapshot_verbs, upkeep_verbs
from jobs.cli.options import (
    BAD_USAGE,
    DONE,
    SYSTEM_FAILED,
    Config,
    Db,
    Decoder,
    Executor,
    Home,
    RayAddress,
    Workers,
)
from jobs.errors import BadUsageError, HomeError
from jobs.settings import SettingsError

app = typer.Typer(
    name="makersmark",
    help="Which generator made this video? Sweeps archives, fingerprints decoders, answers with evidence.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.add_typer(archive_verbs.app)
app.add_typer(knowledge_verbs.app)
app.add_typer(record_verbs.app)
app.add_typer(record_verbs.quarantine_app, name="quarantine")
app.add_typer(snapshot_verbs.app, name="snapshots")
app.add_typer(upkeep_verbs.app)
app.add_typer(bench_verbs.bench_app, name="bench")
app.add_typer(bench_verbs.train_app, name="train")


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
    except (HomeError, FingerprintDbError, WorkersUnavailableError) as error:
        # Before FailureError, which StoreError also is: a file that the home has lost is never the caller's mistake.
        _stop(str(error), SYSTEM_FAILED)
    except FailureError as error:
        known = error.failure.policy is Policy.SKIP
        _stop(error.failure.message, BAD_USAGE if known else SYSTEM_FAILED)
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
