"""What VAE checkpoints gave back of contents, a row a checkpoint."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "reconstruction",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("checkpoint_id", sa.String(length=64), nullable=False),
        sa.Column("generator", sa.String(length=100), nullable=False),
        sa.Column("llr", sa.Double(), nullable=True),
        sa.Column("found", sa.JSON(), nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["asset.sha256"], name="fk_reconstruction_sha256"),
        sa.PrimaryKeyConstraint("sha256", "checkpoint_id", name="pk_reconstruction"),
    )
    op.create_index("ix_reconstruction_generator", "reconstruction", ["generator"], unique=False)
