"""Assets, locations, the ledger, results, audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "asset",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("sha256", name="pk_asset"),
    )
    op.create_table(
        "audit_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_event"),
    )
    op.create_index("ix_audit_event_at", "audit_event", ["at"], unique=False)

    op.create_table(
        "result_part",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("spec_id", sa.String(length=16), nullable=False),
        sa.Column("sweep_id", sa.String(length=32), nullable=True),
        sa.Column("committed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_result_part"),
        sa.UniqueConstraint("name", name="uq_result_part_name"),
    )
    op.create_table(
        "spec",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("first_used", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_spec"),
    )
    op.create_table(
        "sweep",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("archive", sa.Text(), nullable=False),
        sa.Column("spec_id", sa.String(length=16), nullable=False),
        sa.Column("snapshot_id", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("alive_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("summary", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_sweep"),
    )
    op.create_table(
        "location",
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("modified", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failure_kind", sa.String(length=32), nullable=True),
        sa.Column("failure_policy", sa.String(length=16), nullable=True),
        sa.Column("failure_message", sa.Text(), nullable=True),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_listed", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sweep_id", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["sha256"], ["asset.sha256"], name="fk_location_sha256"),
        sa.PrimaryKeyConstraint("uri", name="pk_location"),
    )
    op.create_index("ix_location_sha256", "location", ["sha256"], unique=False)
    op.create_index("ix_location_sweep_id", "location", ["sweep_id"], unique=False)

    op.create_table(
        "verdict",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("spec_id", sa.String(length=16), nullable=False),
        sa.Column("snapshot_id", sa.String(length=64), nullable=False),
        sa.Column("part_id", sa.String(length=32), nullable=False),
        sa.Column("sweep_id", sa.String(length=32), nullable=True),
        sa.Column("verdict", sa.String(length=24), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("family", sa.String(length=100), nullable=True),
        sa.Column("generator", sa.String(length=100), nullable=True),
        sa.Column("llr", sa.Double(), nullable=True),
        sa.Column("p_value", sa.Double(), nullable=True),
        sa.Column("margin", sa.Double(), nullable=True),
        sa.Column("coverage", sa.Double(), nullable=False),
        sa.Column("duration_s", sa.Double(), nullable=False),
        sa.Column("nearest", sa.JSON(), nullable=False),
        sa.Column("cues", sa.JSON(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["part_id"], ["result_part.id"], name="fk_verdict_part_id"),
        sa.ForeignKeyConstraint(["sha256"], ["asset.sha256"], name="fk_verdict_sha256"),
        sa.PrimaryKeyConstraint("id", name="pk_verdict"),
        sa.UniqueConstraint("sha256", "spec_id", "snapshot_id", name="uq_verdict_sha256_spec_id_snapshot_id"),
    )
    op.create_index("ix_verdict_generator", "verdict", ["generator"], unique=False)
    op.create_index("ix_verdict_snapshot_id", "verdict", ["snapshot_id"], unique=False)
    op.create_index("ix_verdict_verdict", "verdict", ["verdict"], unique=False)

    op.create_table(
        "work_item",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("spec_id", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=32), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failure_kind", sa.String(length=32), nullable=True),
        sa.Column("failure_policy", sa.String(length=16), nullable=True),
        sa.Column("failure_message", sa.Text(), nullable=True),
        sa.Column("part_id", sa.String(length=32), nullable=True),
        sa.Column("wall_s", sa.Double(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["part_id"], ["result_part.id"], name="fk_work_item_part_id"),
        sa.ForeignKeyConstraint(["sha256"], ["asset.sha256"], name="fk_work_item_sha256"),
        sa.PrimaryKeyConstraint("sha256", "spec_id", name="pk_work_item"),
    )
    op.create_index("ix_work_item_owner", "work_item", ["owner"], unique=False)
    op.create_index("ix_work_item_part_id", "work_item", ["part_id"], unique=False)
    op.create_index("ix_work_item_state", "work_item", ["state"], unique=False)

    op.create_table(
        "segment_match",
        sa.Column("verdict_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("start_s", sa.Double(), nullable=False),
        sa.Column("end_s", sa.Double(), nullable=False),
        sa.Column("verdict", sa.String(length=24), nullable=False),
        sa.Column("family", sa.String(length=100), nullable=True),
        sa.Column("generator", sa.String(length=100), nullable=True),
        sa.Column("llr", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["verdict_id"], ["verdict.id"], name="fk_segment_match_verdict_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("verdict_id", "ordinal", name="pk_segment_match"),
    )
