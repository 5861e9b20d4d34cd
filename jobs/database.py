"""Opening the SQL database: engine settings that each backend needs, migrations of both packages, clear refusals."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from fingerprint_db.errors import SchemaError
from fingerprint_db.migrations import migrate as migrate_signatures
from jobs.errors import DatabaseError
from jobs.migrations import migrate as migrate_jobs

# A second sweep, a look-up and the heartbeat share the file; writers wait for each other instead of failing.
SQLITE_BUSY_S = 60


def open_database(url: str) -> Engine:
    """An engine on a database whose schema is current; creates an SQLite file and its folder when absent.

    Raises DatabaseError when the URL is wrong, the server does not answer or the schema is newer than the code.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise DatabaseError(
            "the database URL cannot be parsed; it looks like sqlite:///FILE or postgresql://..."
        ) from error
    shown = parsed.render_as_string(hide_password=True)
    arguments: dict[str, Any] = {}
    if parsed.get_backend_name() == "sqlite":
        arguments["timeout"] = SQLITE_BUSY_S
        if parsed.database and parsed.database != ":memory:":
            try:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DatabaseError(f"the folder of {shown} cannot be made: {error.strerror}") from error
    elif parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    try:
        engine = create_engine(parsed, connect_args=arguments, pool_pre_ping=True)
        migrate_signatures(engine)
        migrate_jobs(engine)
        if engine.dialect.name == "sqlite":
            # After the migrations, which open their own exclusive transaction; fresh connections get the pragmas.
            engine.dispose()
            _prepare_sqlite(engine)
    except SchemaError as error:
        raise DatabaseError(f"{shown}: {error}") from error
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise DatabaseError(
            f"no driver for {shown} is installed; for PostgreSQL install makersmark[postgres]"
        ) from error
    except OperationalError as error:
        raise DatabaseError(f"the database {shown} cannot be opened: {_first_line(error)}") from error
    except SQLAlchemyError as error:
        raise DatabaseError(f"the database {shown} cannot be used: {_first_line(error)}") from error
    return engine


def _first_line(error: SQLAlchemyError) -> str:
    origin = getattr(error, "orig", None)
    return str(origin or error).strip().splitlines()[0]


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _pragmas(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's own transaction start is switched off so that BEGIN IMMEDIATE below is the only one:
        # a deferred transaction that turns into a writer half-way fails at once instead of waiting.
        connection.isolation_level = None
        cursor = connection.cursor()
        _enter_wal(cursor)
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        reads = connection.get_execution_options().get("reads_only", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _enter_wal(cursor: sqlite3.Cursor) -> None:
    """A change of the journal does not wait for others as statements do: two sweeps that open a new home would fail."""
    deadline = time.monotonic() + SQLITE_BUSY_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def for_reading(engine: Engine) -> Engine:
    """The same database for transactions that only read: on SQLite they hold up no writer and wait for none."""
    return engine.execution_options(reads_only=True)


def insert_new(session: Session, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows whose primary or unique key is not there yet; leave the others as they are."""
    if not rows:
        return
    if session.get_bind().dialect.name == "sqlite":
        session.execute(sqlite.insert(table).on_conflict_do_nothing(), rows)
    else:
        session.execute(postgresql.insert(table).on_conflict_do_nothing(), rows)
