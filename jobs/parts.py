"""What upkeep does with committed parts: verify one, write one in pieces, put one in the place of others."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Engine, delete, exists, select, update
from sqlalchemy.orm import Session

from cluster.outcome import FailureError
from jobs.archive import Folder, file_sha256
from jobs.errors import FailureKind
from jobs.ledger import refuse_stale
from jobs.models import ResultPart, RetiredPart, VerdictRow, WorkItem, utc_now
from jobs.results import part_name
from jobs.schemas import FINGERPRINTS, PROVENANCE, SCHEMA_VERSION

SCHEMAS = {"fingerprints": FINGERPRINTS, "provenance": PROVENANCE}
# A row group is what a reader and a merge hold at once; whichever limit is met first.
GROUP_ROWS, GROUP_BYTES = 8192, 32 << 20
READ_ROWS = 1024


class PartsTakenError(RuntimeError):
    """Another compaction or repair has replaced these parts meanwhile; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Part:
    """A row of the manifest, detached from its session. day: the sweep date in its name."""

    id: str
    kind: str
    name: str
    rows: int
    bytes: int
    sha256: str
    schema_version: int
    spec_id: str
    sweep_id: str | None

    @property
    def day(self) -> str:
        return self.name.partition("sweep_date=")[2].partition("/")[0]


def committed_parts(session: Session) -> list[Part]:
    """The whole manifest, oldest first."""
    query = select(
        ResultPart.id,
        ResultPart.kind,
        ResultPart.name,
        ResultPart.rows,
        ResultPart.bytes,
        ResultPart.sha256,
        ResultPart.schema_version,
        ResultPart.spec_id,
        ResultPart.sweep_id,
    ).order_by(ResultPart.committed_at, ResultPart.id)
    return [Part(*row) for row in session.execute(query)]


def damage(part: Part, path: Path) -> str | None:
    """What is wrong with a part's bytes, as the end of a sentence; None when they are what was committed."""
    size = path.stat().st_size
    if size != part.bytes:
        return f"has {size} bytes instead of {part.bytes}"
    if file_sha256(path) != part.sha256:
        return "does not have the checksum with which it was committed"
    try:
        with pq.ParquetFile(path) as opened:
            rows = opened.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        return f"cannot be read as Parquet ({type(error).__name__})"
    return None if rows == part.rows else f"has {rows} rows instead of {part.rows}"


def is_absent(error: FailureError) -> bool:
    return error.failure.kind == FailureKind.NOT_FOUND


def write_part(
    home: Folder, kind: str, batches: Iterable[pa.RecordBatch], *, day: str, spec_id: str, sweep_id: str | None
) -> ResultPart:
    """Write a part of any size, holding one row group in memory; it counts once ``replace_parts`` has committed it."""
    identity = uuid.uuid4().hex
    name = part_name(kind, day, identity)
    rows = 0
    with home.writing(name) as path:
        with pq.ParquetWriter(path, SCHEMAS[kind], compression="zstd") as writer:
            for table in _groups(batches, SCHEMAS[kind]):
                writer.write_table(table, row_group_size=GROUP_ROWS)
                rows += table.num_rows
        size, checksum = path.stat().st_size, file_sha256(path)
    return ResultPart(
        id=identity,
        kind=kind,
        name=name,
        rows=rows,
        bytes=size,
        sha256=checksum,
        schema_version=SCHEMA_VERSION,
        spec_id=spec_id,
        sweep_id=sweep_id,
        committed_at=utc_now(),
    )


def _groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        held.append(conform(batch, schema))
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            yield pa.Table.from_batches(held, schema)
            held, rows, size = [], 0, 0
    if rows:
        yield pa.Table.from_batches(held, schema)


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch in today's schema: columns that its part is too old to have are null."""
    if batch.schema.equals(schema):
        return batch
    columns = [
        batch.column(field.name).cast(field.type)
        if field.name in batch.schema.names
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def replace_parts(
    engine: Engine,
    old: Sequence[str],
    new: ResultPart | None,
    *,
    reason: str,
    also: Callable[[Session], None] | None = None,
) -> None:
    """One transaction: whatever pointed to the old parts points to the new one, and the old ones are retired.

    new: None when nothing points to them any more once ``also`` has run. also: what else has to change with it.
    Raises, having changed nothing, PartsTakenError when an old part is no longer in the manifest (another compaction
    was faster) or is still pointed to, and StalePartError when the new part was written too long ago.
    """
    now = utc_now()
    with Session(engine) as session, session.begin():
        if new is not None:
            refuse_stale([new], now)
        # The lock makes a second compaction wait here; what it then finds is gone, and it gives up.
        held = select(ResultPart.id, ResultPart.name).where(ResultPart.id.in_(old)).order_by(ResultPart.id)
        names = {row.id: row.name for row in session.execute(held.with_for_update())}
        if set(names) != set(old):
            raise PartsTakenError("these parts were replaced by another compaction")
        if also is not None:
            also(session)
        if new is not None:
            session.add(new)
            session.flush()
            for model in (WorkItem, VerdictRow):
                session.execute(
                    update(model)
                    .where(model.part_id.in_(old))
                    .values(part_id=new.id)
                    .execution_options(synchronize_session=False)
                )
        elif any(session.scalar(select(exists().where(model.part_id.in_(old)))) for model in (WorkItem, VerdictRow)):
            raise PartsTakenError("these parts are still in use")
        session.add_all(RetiredPart(id=i, name=names[i], reason=reason, retired_at=now) for i in sorted(names))
        session.execute(delete(ResultPart).where(ResultPart.id.in_(old)))
