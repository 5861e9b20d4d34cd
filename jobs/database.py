"""Opening the SQL database: engine settings that each backend needs, migrations of both packages, clear refusals."""

from __future__ import annotations

import json
import math
import random
import sqlite3
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Table, create_engine, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from fingerprint_db.errors import SchemaError
from fingerprint_db.migrations import migrate as migrate_signatures
from jobs.errors import DatabaseError
from jobs.migrations import migrate as migrate_jobs
from jobs.models import utc_now

# A second sweep, a look-up and the heartbeat share the file; writers wait for each other instead of failing.
SQLITE_BUSY_S = 60
# A server that vanished without a word (power, network) is noticed after about a minute instead of never.
POSTGRES = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "application_name": "makersmark",
}
# A process frozen inside a transaction would hold its row locks for ever; the server ends it after so long.
IDLE_IN_TRANSACTION_MS = 300_000


def open_database(url: str, *, patience_s: float = 0.0) -> Engine:
    """An engine on a database whose schema is current; creates an SQLite file and its folder when absent.

    patience_s: how long later connections wait for a PostgreSQL server that is away (a restart, a failover). The first
    connection never waits: a server that is down at the start is a mistake to be told of at once.
    Raises DatabaseError when the URL is wrong, the server does not answer or the schema is newer than the code.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise DatabaseError(
            "the database URL cannot be parsed; it looks like sqlite:///FILE or postgresql://..."
        ) from error
    # Drivers also take passwords as query parameters, which render_as_string would show.
    shown = parsed.set(query={}).render_as_string(hide_password=True)
    options: dict[str, Any] = {"pool_pre_ping": True, "json_serializer": to_json}
    if parsed.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": SQLITE_BUSY_S}
        if parsed.database and parsed.database != ":memory:":
            try:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DatabaseError(f"the folder of {shown} cannot be made: {error.strerror}") from error
    elif parsed.get_backend_name() == "postgresql":
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        # The ledger's guards are written for this level, whatever the server's own default is.
        options["isolation_level"] = "READ COMMITTED"
        options["connect_args"] = {name: value for name, value in POSTGRES.items() if name not in parsed.query}
    try:
        return _prepared(parsed, options, patience_s)
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


def _prepared(url: URL, options: dict[str, Any], patience_s: float) -> Engine:
    engine = create_engine(url, **options)
    if engine.dialect.name == "postgresql":
        _prepare_postgres(engine)
    migrate_signatures(engine)
    migrate_jobs(engine)
    if engine.dialect.name == "sqlite":
        # After the migrations, which open their own exclusive transaction; fresh connections get the pragmas.
        engine.dispose()
        _prepare_sqlite(engine)
    elif patience_s > 0:
        _wait_for_server(engine, patience_s)
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


def _prepare_postgres(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: object) -> None:
        # A statement, not a start-up option: poolers such as PgBouncer refuse the latter.
        with connection.cursor() as cursor:
            cursor.execute(f"SET idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION_MS}")
        connection.commit()


def _wait_for_server(engine: Engine, patience_s: float) -> None:
    @event.listens_for(engine, "do_connect")
    def _connect(dialect: Any, _record: object, arguments: Any, named: Any) -> Any:
        deadline, pause = time.monotonic() + patience_s, 0.1
        while True:
            try:
                return dialect.connect(*arguments, **named)
            except dialect.loaded_dbapi.OperationalError:
                if time.monotonic() + pause > deadline:
                    raise
            time.sleep(random.uniform(0.1, 1.0) * pause)
            pause = min(pause * 2, 5.0)


def database_now(session: Session) -> datetime:
    """The time by which leases are given and judged: the server's where there is one.

    Machines that share a server disagree about the time; those that share an SQLite file are one machine.
    """
    if session.get_bind().dialect.name == "postgresql":
        moment: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
        return moment
    return utc_now()


def one_at_a_time(session: Session, name: str) -> None:
    """Keep other transactions that name the same thing waiting until this one ends.

    For transactions that change many rows in an order which is not theirs to choose: two of them would otherwise wait
    for each other's rows. On SQLite there is only ever one writer.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"makersmark {name}"))))


def to_json(value: Any) -> str:
    """JSON that every database takes: PostgreSQL refuses the NaN and Infinity that Python would write."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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


def insert_new_returning(session: Session, table: Table, row: dict[str, Any], column: Any) -> Any:
    """Insert one row and return a column of it; None when its primary or unique key is there already."""
    if session.get_bind().dialect.name == "sqlite":
        return session.execute(
            sqlite.insert(table).values(row).on_conflict_do_nothing().returning(column)
        ).scalar_one_or_none()
    return session.execute(
        postgresql.insert(table).values(row).on_conflict_do_nothing().returning(column)
    ).scalar_one_or_none()
