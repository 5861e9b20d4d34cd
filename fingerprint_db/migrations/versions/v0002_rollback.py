"""What a snapshot was built from, and signatures that were withdrawn by going back to an earlier one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("signature", sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "snapshot_signature",
        sa.Column("snapshot_id", sa.String(64), nullable=False),
        sa.Column("signature_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("snapshot_id", "signature_id", name="pk_snapshot_signature"),
        sa.ForeignKeyConstraint(
            ["snapshot_id"], ["snapshot.id"], name="fk_snapshot_signature_snapshot_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["signature_id"], ["signature.id"], name="fk_snapshot_signature_signature_id", ondelete="CASCADE"
        ),
    )
    # A signature that is forgotten takes its memberships with it; without this that reads the whole table.
    op.create_index("ix_snapshot_signature_signature_id", "snapshot_signature", ["signature_id"])
