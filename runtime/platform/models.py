"""The platform's own tables: who may do what, and what was done."""

import uuid
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from runtime.db.base import Base, Moment, Now, Subject, UuidKey, one_of


class Principal(Base):
    """A person or a program, as its issuer names it. The subject is what other tables store as the user."""

    __tablename__ = "principals"

    id: Mapped[UuidKey]
    issuer: Mapped[str] = mapped_column(String(255), doc="Who vouches for the subject.")
    subject: Mapped[Subject]
    created_at: Mapped[Now]

    __table_args__ = (
        UniqueConstraint("issuer", "subject", name="uq_principals_issuer_subject"),
        # Two issuers never share a subject: what one's user wrote would be the other's.
        UniqueConstraint("subject", name="uq_principals_subject"),
    )


class ApiKey(Base):
    """A key that speaks for a principal. What is stored cannot be used as a key."""

    __tablename__ = "api_keys"

    id: Mapped[UuidKey]
    principal_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("principals.id"))
    prefix: Mapped[str] = mapped_column(String(16), doc="The part of the key by which it is found.")
    digest: Mapped[bytes] = mapped_column(LargeBinary, doc="HMAC-SHA-256 of the key under the platform's secret.")
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String(50)))
    created_at: Mapped[Now]
    expires_at: Mapped[Moment | None]
    revoked_at: Mapped[Moment | None]
    last_used_at: Mapped[Moment | None] = mapped_column(doc="To the minute.")

    __table_args__ = (
        UniqueConstraint("prefix", name="uq_api_keys_prefix"),
        CheckConstraint("octet_length(digest) = 32", name="digest"),
        CheckConstraint("cardinality(scopes) > 0", name="scopes"),
        Index("idx_api_keys_principal", "principal_id"),
    )


class CacheTrust(Base):
    """Until when the cache is not to be believed. One row; writes that cannot tell the cache change it."""

    __tablename__ = "cache_trust"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, server_default=text("1"))
    distrusted_until: Mapped[Now]

    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)


class IdempotencyKey(Base):
    """A POST that was sent with a key, and how it was answered."""

    __tablename__ = "idempotency_keys"

    # Without a reference to the principal: the row is gone in a day, and each call would lock the principal's.
    principal_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int] = mapped_column(BigInteger)
    answer: Mapped[bytes] = mapped_column(LargeBinary)
    version: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[Now]

    __table_args__ = (
        CheckConstraint("octet_length(fingerprint) = 32", name="fingerprint"),
        Index("idx_idempotency_keys_created_at", "created_at"),
    )


class AuditEntry(Base):
    """Who did what to which object, and when. No role may change or remove an entry."""

    __tablename__ = "audit_log"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[Now]
    actor: Mapped[Subject]
    principal_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    action: Mapped[str] = mapped_column(String(100))
    object_type: Mapped[str] = mapped_column(String(50))
    object_id: Mapped[str] = mapped_column(String(255))
    detail: Mapped[dict[str, Any] | None] = mapped_column(JSONB)

    __table_args__ = (
        Index("idx_audit_log_at", "at"),
        Index("idx_audit_log_object", "object_type", "object_id"),
    )


class RecoveryMarker(Base):
    """A mark of a minute. After a recovery to a moment the last one before it is there, and none after it."""

    __tablename__ = "recovery_markers"

    id: Mapped[UuidKey]
    written_at: Mapped[Now]

    __table_args__ = (Index("idx_recovery_markers_written_at", "written_at"),)


class BackupVerification(Base):
    """One verification of a backup: which, when, and what came out."""

    __tablename__ = "backup_verifications"

    id: Mapped[UuidKey]
    instance: Mapped[str] = mapped_column(String(255))
    backup_run_id: Mapped[int | None] = mapped_column(BigInteger, doc="None when there was no backup.")
    backup_ended_at: Mapped[Moment | None]
    started_at: Mapped[Moment]
    ended_at: Mapped[Now]
    verdict: Mapped[str] = mapped_column(String(20), doc="Incomplete: a check could not be made, and none failed.")
    codes: Mapped[list[str]] = mapped_column(ARRAY(String(50)), doc="What failed.")
    measures: Mapped[dict[str, Any]] = mapped_column(JSONB, doc="Rows by table, and the seconds that recovery took.")
    verified_by: Mapped[str] = mapped_column(String(255), doc="An operator's login; `system` for the scheduled job.")

    __table_args__ = (
        one_of("verdict", ("passed", "failed", "incomplete")),
        CheckConstraint("verdict <> 'failed' OR cardinality(codes) > 0", name="failed_by_code"),
        CheckConstraint("ended_at >= started_at", name="times"),
        Index("idx_backup_verifications_instance", "instance", "ended_at"),
    )
