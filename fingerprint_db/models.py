"""The SQL tables of this package: which generators are known, which clips were enrolled, which snapshots exist."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, ForeignKey, Index, LargeBinary, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

VERSION_TABLE = "fingerprint_db_version"


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC on every database; SQLite keeps no zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("Times are stored in UTC; a time without a zone cannot be placed.")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Constraint names are fixed, because SQLite can only alter what has a name."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class DecoderFamilyRow(Base):
    """Generators that share one VAE decoder."""

    __tablename__ = "decoder_family"

    slug: Mapped[str] = mapped_column(String(100), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))


class GeneratorRow(Base):
    """Whatever makes video. kind: generator | processor | camera. origin: catalogue | enrolled."""

    __tablename__ = "generator"

    slug: Mapped[str] = mapped_column(String(100), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(20))
    family: Mapped[str | None] = mapped_column(ForeignKey("decoder_family.slug"), index=True)
    origin: Mapped[str] = mapped_column(String(20))


class SignatureRow(Base):
    """One enrolled clip. windows: npz of its vectors, see SignatureRecord.

    withdrawn_at: set while the signature is out of use, because an earlier snapshot was gone back to; never deleted.
    """

    __tablename__ = "signature"
    __table_args__ = (
        UniqueConstraint("sha256", "generator", "spec_id"),
        Index(None, "spec_id", "generator"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    generator: Mapped[str] = mapped_column(ForeignKey("generator.slug"))
    source: Mapped[str] = mapped_column(Text)
    spec_id: Mapped[str] = mapped_column(String(32))
    enrolled_at: Mapped[datetime] = mapped_column(UtcDateTime())
    origin: Mapped[str] = mapped_column(String(100))
    quality: Mapped[dict[str, Any]] = mapped_column(JSON)
    windows: Mapped[bytes] = mapped_column(LargeBinary)
    withdrawn_at: Mapped[datetime | None] = mapped_column(UtcDateTime())


class SnapshotRow(Base):
    """A snapshot that was built; the newest published one of a spec is the current one. Its files lie elsewhere."""

    __tablename__ = "snapshot"
    __table_args__ = (Index(None, "spec_id", "published_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    spec_id: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())
    published: Mapped[bool]
    published_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    notes: Mapped[str] = mapped_column(Text)
    counts: Mapped[dict[str, Any]] = mapped_column(JSON)


class SnapshotSignatureRow(Base):
    """Which signatures a snapshot was built from, so that going back to it goes back to exactly these."""

    __tablename__ = "snapshot_signature"

    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshot.id", ondelete="CASCADE"), primary_key=True)
    signature_id: Mapped[int] = mapped_column(
        ForeignKey("signature.id", ondelete="CASCADE"), primary_key=True, index=True
    )
