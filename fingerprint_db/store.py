"""Enrolled signatures and published snapshots, in SQL (SQLite or PostgreSQL). Touches no file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import Engine, Table, delete, distinct, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from fingerprint_db.errors import FingerprintDbError, UnknownGeneratorError
from fingerprint_db.models import (
    Base,
    DecoderFamilyRow,
    GeneratorRow,
    SignatureRow,
    SnapshotRow,
    SnapshotSignatureRow,
)
from fingerprint_db.signature import SignatureRecord, arrays_from_bytes
from fingerprint_db.window import Quality

GeneratorKind = Literal["generator", "processor", "camera"]


@dataclass(frozen=True, slots=True)
class GeneratorEntry:
    """One known maker of video. family: slug of the decoder family, None when unknown."""

    slug: str
    name: str
    kind: str
    family: str | None
    origin: str


@dataclass(frozen=True, slots=True)
class ClassCount:
    """How much evidence stands behind a generator: enrolled clips, and the independent sources they came from."""

    clips: int
    sources: int


@dataclass(frozen=True, slots=True)
class SnapshotEntry:
    """What SQL knows of a snapshot; times in UTC."""

    id: str
    spec_id: str
    created_at: datetime
    published_at: datetime | None
    notes: str
    counts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Restored:
    """What going back to a snapshot did. withdrawn, reinstated: signatures put out of use, and back into use.

    forgotten: signatures that the snapshot was built from and that were removed since, so they cannot come back.
    """

    withdrawn: int
    reinstated: int
    forgotten: int


class SignatureStore:
    """Reads and writes the tables of fingerprint_db.models; the schema must be migrated (migrations.migrate).

    Every method is one transaction and every write an upsert by natural key, so repeating a call changes nothing.
    Signatures that were withdrawn (see ``restore_snapshot``) are in no count and no list.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def register_catalogue(self, families: Mapping[str, str], generators: Iterable[GeneratorEntry]) -> None:
        """Add many families and generators, or bring their facts up to date, in one transaction: all or none.

        families: slug to name, every family that a generator names among them. The generators' own ``origin`` is
        written, so what was enrolled before the catalogue knew of it becomes the catalogue's.
        """
        # In one order everywhere, so that two jobs that open a new home together wait for each other one way only.
        named = [{"slug": slug, "name": name} for slug, name in sorted(families.items())]
        makers = [asdict(entry) for entry in sorted(generators, key=lambda entry: entry.slug)]
        with Session(self._engine) as session, session.begin():
            self._upsert(session, DecoderFamilyRow, named, key=("slug",))
            self._upsert(session, GeneratorRow, makers, key=("slug",))

    def register_generator(
        self, slug: str, *, name: str, kind: GeneratorKind = "generator", family: str | None = None, origin: str
    ) -> None:
        """Add a generator, or bring its facts up to date. origin: ``catalogue`` or ``enrolled``.

        An unknown family is added under its slug. A generator of the catalogue stays one when it is enrolled again.
        """
        if kind not in ("generator", "processor", "camera"):
            raise ValueError(f"A generator is a generator, a processor or a camera, not {kind!r}.")
        with Session(self._engine) as session, session.begin():
            if family is not None and session.get(DecoderFamilyRow, family) is None:
                self._upsert(session, DecoderFamilyRow, [{"slug": family, "name": family}], key=("slug",))
            standing = session.get(GeneratorRow, slug)
            if standing is not None and standing.origin == "catalogue":
                origin = "catalogue"
            values = {"slug": slug, "name": name, "kind": kind, "family": family, "origin": origin}
            self._upsert(session, GeneratorRow, [values], key=("slug",))

    def generators(self) -> list[GeneratorEntry]:
        """All known generators, by slug."""
        with Session(self._engine) as session:
            rows = session.scalars(select(GeneratorRow).order_by(GeneratorRow.slug))
            return [GeneratorEntry(row.slug, row.name, row.kind, row.family, row.origin) for row in rows]

    def add_signature(self, record: SignatureRecord) -> bool:
        """Enroll a clip; False when the same clip stood under this generator and spec (it is brought up to date).

        A clip whose signature was withdrawn is put back into use, and counts as new.
        Raises UnknownGeneratorError when the generator is not registered.
        """
        return self.add_signatures([record]) == 1

    def add_signatures(self, records: Iterable[SignatureRecord]) -> int:
        """Enroll clips, all or none; how many of them are new. Errors as add_signature."""
        now = datetime.now(UTC)
        with Session(self._engine) as session, session.begin():
            before = self._total(session)
            for record in records:
                if session.get(GeneratorRow, record.generator) is None:
                    raise UnknownGeneratorError(
                        f"Generator {record.generator!r} is not registered; register it before its clips are enrolled."
                    )
                values = {
                    "sha256": record.sha256,
                    "generator": record.generator,
                    "source": record.source,
                    "spec_id": record.spec_id,
                    "enrolled_at": now,
                    "origin": record.origin,
                    "quality": record.quality.as_dict(),
                    "windows": record.windows_blob(),
                    "withdrawn_at": None,
                }
                self._upsert(
                    session, SignatureRow, [values], key=("sha256", "generator", "spec_id"), keep=("enrolled_at",)
                )
            return self._total(session) - before

    def signatures(self, spec_id: str) -> list[SignatureRecord]:
        """All signatures of a spec, ordered by (generator, sha256), so that building is reproducible."""
        query = (
            select(SignatureRow)
            .where(SignatureRow.spec_id == spec_id, SignatureRow.withdrawn_at.is_(None))
            .order_by(SignatureRow.generator, SignatureRow.sha256)
        )
        with Session(self._engine) as session:
            return [_record(row) for row in session.scalars(query)]

    def counts(self, spec_id: str) -> dict[str, ClassCount]:
        """Clips and sources of every generator that has signatures of this spec."""
        query = (
            select(SignatureRow.generator, func.count(), func.count(distinct(SignatureRow.source)))
            .where(SignatureRow.spec_id == spec_id, SignatureRow.withdrawn_at.is_(None))
            .group_by(SignatureRow.generator)
            .order_by(SignatureRow.generator)
        )
        with Session(self._engine) as session:
            return {slug: ClassCount(clips, sources) for slug, clips, sources in session.execute(query)}

    def remove(self, *, generator: str, sha256: str | None = None, spec_id: str | None = None) -> int:
        """Forget a generator's signatures (all, or those of one clip or one spec); how many were removed."""
        chosen = [SignatureRow.generator == generator]
        if sha256 is not None:
            chosen.append(SignatureRow.sha256 == sha256)
        if spec_id is not None:
            chosen.append(SignatureRow.spec_id == spec_id)
        with Session(self._engine) as session, session.begin():
            removed = session.scalar(select(func.count(SignatureRow.id)).where(*chosen)) or 0
            gone = select(SignatureRow.id).where(*chosen).scalar_subquery()
            session.execute(delete(SnapshotSignatureRow).where(SnapshotSignatureRow.signature_id.in_(gone)))
            session.execute(delete(SignatureRow).where(*chosen))
            return removed

    def publish_snapshot(
        self,
        snapshot_id: str,
        *,
        spec_id: str,
        counts: Mapping[str, Any],
        notes: str = "",
        built_from: Iterable[SignatureRecord] = (),
        first_only: bool = False,
    ) -> bool:
        """Make a snapshot the current one of its spec; its files must already lie where readers look for them.

        built_from: the signatures it was built from, remembered for ``restore_snapshot``.
        first_only: leave things as they are, and return False, when the spec has a published snapshot already.
        """
        standing = select(SnapshotRow.id).where(SnapshotRow.spec_id == spec_id, SnapshotRow.published).limit(1)
        with Session(self._engine) as session, session.begin():
            if first_only and session.scalar(standing) is not None:
                return False
            self._make_current(session, snapshot_id, spec_id=spec_id, counts=counts, notes=notes)
            known = self._members(session, snapshot_id)
            ids = _ids_by_key(session, spec_id)
            keys = {(record.sha256, record.generator) for record in built_from}
            fresh = sorted({ids[key] for key in keys if key in ids} - known)
            if fresh:
                session.execute(
                    insert(SnapshotSignatureRow), [{"snapshot_id": snapshot_id, "signature_id": one} for one in fresh]
                )
            return True

    def restore_snapshot(self, snapshot_id: str) -> Restored:
        """Go back to a published snapshot: it is current again, with exactly the signatures that it was built from.

        Signatures of its spec that it was not built from are withdrawn, not deleted; what it was built from and an
        earlier call withdrew is reinstated. Raises FingerprintDbError when it was never published here.
        """
        now = datetime.now(UTC)
        with Session(self._engine) as session, session.begin():
            row = session.get(SnapshotRow, snapshot_id)
            if row is None or not row.published:
                raise FingerprintDbError(f"No snapshot {snapshot_id} was ever published here.")
            members = self._members(session, snapshot_id)
            expected = sum(int(count.get("clips", 0)) for count in row.counts.values() if isinstance(count, dict))
            if not members and expected:
                # Published before memberships were recorded; then nothing was ever withdrawn, so time tells.
                then = SignatureRow.spec_id == row.spec_id, SignatureRow.enrolled_at <= row.created_at
                members = set(session.scalars(select(SignatureRow.id).where(*then)))
            query = select(SignatureRow.id, SignatureRow.withdrawn_at).where(SignatureRow.spec_id == row.spec_id)
            standing = {found.id: found.withdrawn_at for found in session.execute(query)}
            out = [one for one, withdrawn in standing.items() if withdrawn is None and one not in members]
            back = [one for one, withdrawn in standing.items() if withdrawn is not None and one in members]
            for chosen, value in ((out, now), (back, None)):
                for start in range(0, len(chosen), 500):
                    session.execute(
                        update(SignatureRow)
                        .where(SignatureRow.id.in_(chosen[start : start + 500]))
                        .values(withdrawn_at=value)
                    )
            self._make_current(session, snapshot_id, spec_id=row.spec_id, counts=row.counts, notes=row.notes)
            return Restored(len(out), len(back), max(0, expected - len(members)))

    def signatures_of(self, snapshot_id: str) -> list[SignatureRecord]:
        """The signatures that a snapshot was built from, withdrawn ones included, as far as they were not removed.

        Empty for a snapshot of no signature of this database, and for one published before this was recorded.
        """
        query = (
            select(SignatureRow)
            .join(SnapshotSignatureRow, SnapshotSignatureRow.signature_id == SignatureRow.id)
            .where(SnapshotSignatureRow.snapshot_id == snapshot_id)
            .order_by(SignatureRow.generator, SignatureRow.sha256)
        )
        with Session(self._engine) as session:
            return [_record(row) for row in session.scalars(query)]

    def current_snapshot(self, spec_id: str) -> SnapshotEntry | None:
        """The snapshot of this spec that was published last, or None."""
        query = (
            select(SnapshotRow)
            .where(SnapshotRow.spec_id == spec_id, SnapshotRow.published)
            .order_by(SnapshotRow.published_at.desc(), SnapshotRow.id)
            .limit(1)
        )
        with Session(self._engine) as session:
            row = session.scalars(query).first()
            return _entry(row) if row is not None else None

    def snapshots(self) -> list[SnapshotEntry]:
        """Every snapshot, newest publication first."""
        query = select(SnapshotRow).order_by(SnapshotRow.published_at.desc(), SnapshotRow.id)
        with Session(self._engine) as session:
            return [_entry(row) for row in session.scalars(query)]

    def _make_current(
        self, session: Session, snapshot_id: str, *, spec_id: str, counts: Mapping[str, Any], notes: str
    ) -> None:
        now = datetime.now(UTC)
        latest = session.scalar(
            select(func.max(SnapshotRow.published_at)).where(
                SnapshotRow.spec_id == spec_id, SnapshotRow.id != snapshot_id
            )
        )
        # Published last means current, even when an earlier publication had a clock that was ahead.
        if latest is not None and latest >= now:
            now = latest + timedelta(microseconds=1)
        values = {
            "id": snapshot_id,
            "spec_id": spec_id,
            "created_at": now,
            "published": True,
            "published_at": now,
            "notes": notes,
            "counts": dict(counts),
        }
        self._upsert(session, SnapshotRow, [values], key=("id",), keep=("created_at",))

    @staticmethod
    def _members(session: Session, snapshot_id: str) -> set[int]:
        query = select(SnapshotSignatureRow.signature_id).where(SnapshotSignatureRow.snapshot_id == snapshot_id)
        return set(session.scalars(query))

    def _upsert(
        self,
        session: Session,
        table: type[Base],
        rows: Sequence[Mapping[str, Any]],
        *,
        key: tuple[str, ...],
        keep: tuple[str, ...] = (),
    ) -> None:
        """Insert rows of the same columns, or where the key is there set everything but the key and what to keep."""
        if not rows:
            return
        dialect = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        statement = dialect(cast(Table, table.__table__))
        changes = {name: statement.excluded[name] for name in rows[0] if name not in (*key, *keep)}
        try:
            session.execute(
                statement.on_conflict_do_update(index_elements=list(key), set_=changes), [dict(row) for row in rows]
            )
        except IntegrityError as error:
            raise FingerprintDbError(f"The database refused a row of table {table.__tablename__}.") from error

    @staticmethod
    def _total(session: Session) -> int:
        """Signatures in use."""
        return session.scalar(select(func.count(SignatureRow.id)).where(SignatureRow.withdrawn_at.is_(None))) or 0


def _ids_by_key(session: Session, spec_id: str) -> dict[tuple[str, str], int]:
    query = select(SignatureRow.id, SignatureRow.sha256, SignatureRow.generator).where(SignatureRow.spec_id == spec_id)
    return {(sha256, generator): one for one, sha256, generator in session.execute(query)}


def _record(row: SignatureRow) -> SignatureRecord:
    arrays = arrays_from_bytes(row.windows)
    return SignatureRecord(
        sha256=row.sha256,
        generator=row.generator,
        source=row.source,
        spec_id=row.spec_id,
        quality=Quality(**row.quality),
        decoder=arrays["decoder"],
        texture=arrays["texture"],
        burst=arrays["burst"],
        crop=arrays["crop"],
        origin=row.origin,
    )


def _entry(row: SnapshotRow) -> SnapshotEntry:
    return SnapshotEntry(row.id, row.spec_id, row.created_at, row.published_at, row.notes, row.counts)
