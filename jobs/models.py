"""The tables of the jobs: what lies where, what was done about it, what was found. SQLite and PostgreSQL alike."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fingerprint_db.models import UtcDateTime

VERSION_TABLE = "jobs_version"


def utc_now() -> datetime:
    return datetime.now(UTC)


class LocationState(StrEnum):
    LISTED = "listed"  # seen in the archive, content not known yet
    IDENTIFIED = "identified"  # content known
    UNREADABLE = "unreadable"  # the bytes could not be had; failure columns say why
    GONE = "gone"  # was there once, no longer listed


class ItemState(StrEnum):
    """States of a work item. Every item ends in done, skipped or quarantined; failed ones are tried again."""

    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    QUARANTINED = "quarantined"


class Base(DeclarativeBase):
    # Constraints need names on every database, or a later migration cannot refer to them.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy reads it off the class)
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[Any]: JSON,
        str: String,
    }


class Asset(Base):
    """One content, by its SHA-256, under however many names. facts: VideoFacts as JSON once it was decoded."""

    __tablename__ = "asset"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    first_seen: Mapped[datetime] = mapped_column(default=utc_now)
    facts: Mapped[dict[str, Any] | None]


class Location(Base):
    """One name of a content in an archive, as last listed."""

    __tablename__ = "location"
    uri: Mapped[str] = mapped_column(Text, primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    etag: Mapped[str] = mapped_column(Text)
    modified: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(String(16))
    sha256: Mapped[str | None] = mapped_column(ForeignKey("asset.sha256"), index=True)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    failure_kind: Mapped[str | None] = mapped_column(String(32))
    failure_policy: Mapped[str | None] = mapped_column(String(16))
    failure_message: Mapped[str | None] = mapped_column(Text)
    first_seen: Mapped[datetime] = mapped_column(default=utc_now)
    last_listed: Mapped[datetime] = mapped_column(default=utc_now)
    sweep_id: Mapped[str | None] = mapped_column(String(32), index=True)


class Spec(Base):
    """A fingerprint specification, so that an id in any row can be read back."""

    __tablename__ = "spec"
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    body: Mapped[dict[str, Any]]
    first_used: Mapped[datetime] = mapped_column(default=utc_now)


class Sweep(Base):
    """One run of the main job. summary: the closing table as JSON."""

    __tablename__ = "sweep"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    archive: Mapped[str] = mapped_column(Text)
    spec_id: Mapped[str] = mapped_column(String(16))
    snapshot_id: Mapped[str | None] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    host: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(default=utc_now)
    alive_at: Mapped[datetime] = mapped_column(default=utc_now)
    finished_at: Mapped[datetime | None]
    summary: Mapped[dict[str, Any] | None]


class WorkItem(Base):
    """The ledger: one content under one spec, who holds it, how it ended. part_id: where its fingerprints lie."""

    __tablename__ = "work_item"
    sha256: Mapped[str] = mapped_column(ForeignKey("asset.sha256"), primary_key=True)
    spec_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    owner: Mapped[str | None] = mapped_column(String(32), index=True)
    lease_until: Mapped[datetime | None]
    failure_kind: Mapped[str | None] = mapped_column(String(32))
    failure_policy: Mapped[str | None] = mapped_column(String(16))
    failure_message: Mapped[str | None] = mapped_column(Text)
    part_id: Mapped[str | None] = mapped_column(ForeignKey("result_part.id"), index=True)
    wall_s: Mapped[float | None]
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)


class ResultPart(Base):
    """One committed Parquet part. Readers trust these rows, never a directory listing."""

    __tablename__ = "result_part"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(Text, unique=True)
    rows: Mapped[int]
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    schema_version: Mapped[int]
    spec_id: Mapped[str] = mapped_column(String(16))
    sweep_id: Mapped[str | None] = mapped_column(String(32))
    committed_at: Mapped[datetime] = mapped_column(default=utc_now)


class RetiredPart(Base):
    """A part that readers of an older manifest may still have open; its file goes when the grace period is over."""

    __tablename__ = "retired_part"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    reason: Mapped[str] = mapped_column(String(16))
    retired_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)


class VerdictRow(Base):
    """What one snapshot says about one content under one spec; unique, so a commit repeated changes nothing."""

    __tablename__ = "verdict"
    __table_args__ = (UniqueConstraint("sha256", "spec_id", "snapshot_id"),)
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("asset.sha256"))
    spec_id: Mapped[str] = mapped_column(String(16))
    snapshot_id: Mapped[str] = mapped_column(String(64), index=True)
    part_id: Mapped[str] = mapped_column(ForeignKey("result_part.id"), index=True)
    sweep_id: Mapped[str | None] = mapped_column(String(32))
    verdict: Mapped[str] = mapped_column(String(24), index=True)
    reason: Mapped[str] = mapped_column(Text)
    family: Mapped[str | None] = mapped_column(String(100))
    generator: Mapped[str | None] = mapped_column(String(100), index=True)
    llr: Mapped[float | None]
    p_value: Mapped[float | None]
    margin: Mapped[float | None]
    coverage: Mapped[float]
    duration_s: Mapped[float]
    nearest: Mapped[list[Any]]
    cues: Mapped[dict[str, Any]]
    evidence: Mapped[dict[str, Any] | None]
    decided_at: Mapped[datetime] = mapped_column(default=utc_now)


class SegmentMatch(Base):
    """Seconds of a file that carry a verdict."""

    __tablename__ = "segment_match"
    verdict_id: Mapped[int] = mapped_column(ForeignKey("verdict.id", ondelete="CASCADE"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    start_s: Mapped[float]
    end_s: Mapped[float]
    verdict: Mapped[str] = mapped_column(String(24))
    family: Mapped[str | None] = mapped_column(String(100))
    generator: Mapped[str | None] = mapped_column(String(100))
    llr: Mapped[float]


class Reconstruction(Base):
    """What one VAE checkpoint gave back of one content; measured again, the row is replaced. found: plain JSON."""

    __tablename__ = "reconstruction"
    sha256: Mapped[str] = mapped_column(ForeignKey("asset.sha256"), primary_key=True)
    checkpoint_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    generator: Mapped[str] = mapped_column(String(100), index=True)
    llr: Mapped[float | None]
    found: Mapped[dict[str, Any]]
    measured_at: Mapped[datetime] = mapped_column(default=utc_now)


class AuditEvent(Base):
    """Who did what: sweeps, enrollments, publications, releases, upkeep. Triggers refuse to change or delete a row."""

    __tablename__ = "audit_event"
    __table_args__ = (Index("ix_audit_event_at", "at"),)
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: Mapped[datetime] = mapped_column(default=utc_now)
    action: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(Text)
    detail: Mapped[dict[str, Any]]
