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

from runtime.db.base import Base, Moment, Now, Subject, UuidKey


class Principal(Base):
    """A person or a program, as its issuer names it. The subject is what other tables store as the user."""

    __tablename__ = "principals"

    id: Mapped[UuidKey]
    issuer: Mapped[str] = mapped_column(String(255))
    subject: Mapped[Subject]
    created_at: Mapped[Now]

    __table_args__ = (UniqueConstraint("issuer", "subject", name="uq_principals_issuer_subject"),)


class ApiKey(Base):
    """A key that speaks for a principal. What is stored cannot be used as a key."""

    __tablename__ = "api_keys"

    id: Mapped[UuidKey]
    principal_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("principals.id"))
    prefix: Mapped[str] = mapped_column(String(16))
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String(50)))
    created_at: Mapped[Now]
    expires_at: Mapped[Moment | None]
    revoked_at: Mapped[Moment | None]
    last_used_at: Mapped[Moment | None]

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
