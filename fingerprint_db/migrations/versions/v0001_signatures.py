"""Families, generators, signatures and snapshots."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "decoder_family",
        sa.Column("slug", sa.String(100), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("slug", name="pk_decoder_family"),
    )
    op.create_table(
        "generator",
        sa.Column("slug", sa.String(100), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("family", sa.String(100), nullable=True),
        sa.Column("origin", sa.String(20), nullable=False),
        sa.PrimaryKeyConstraint("slug", name="pk_generator"),
        sa.ForeignKeyConstraint(["family"], ["decoder_family.slug"], name="fk_generator_family"),
    )
    op.create_index("ix_generator_family", "generator", ["family"])
    op.create_table(
        "signature",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("generator", sa.String(100), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("spec_id", sa.String(32), nullable=False),
        sa.Column("enrolled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("origin", sa.String(100), nullable=False),
        sa.Column("quality", sa.JSON(), nullable=False),
        sa.Column("windows", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_signature"),
        sa.ForeignKeyConstraint(["generator"], ["generator.slug"], name="fk_signature_generator"),
        sa.UniqueConstraint("sha256", "generator", "spec_id", name="uq_signature_sha256_generator_spec_id"),
    )
    op.create_index("ix_signature_spec_id_generator", "signature", ["spec_id", "generator"])
    op.create_table(
        "snapshot",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("spec_id", sa.String(32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published", sa.Boolean(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_snapshot"),
    )
    op.create_index("ix_snapshot_spec_id_published_at", "snapshot", ["spec_id", "published_at"])
