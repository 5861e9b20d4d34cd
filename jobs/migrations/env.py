"""Alembic's entry point: runs the revisions on the connection that migrate() hands over."""

from __future__ import annotations

from alembic import context

from jobs.models import VERSION_TABLE, Base


def _is_ours(name: str | None, kind: str, parents: object) -> bool:
    """Other packages keep their tables in the same database; those are none of this package's business."""
    return kind != "table" or name in Base.metadata.tables


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
    include_name=_is_ours,
)
with context.begin_transaction():
    context.run_migrations()
