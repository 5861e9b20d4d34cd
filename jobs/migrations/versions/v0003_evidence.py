"""What else was found of a file, beside its verdict: how it was put together, cues out of range, reconstruction."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("verdict", sa.Column("evidence", sa.JSON(), nullable=True))
