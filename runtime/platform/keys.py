"""API keys as an operator handles them: create, list, revoke, rotate. Each leaves an audit entry."""

import datetime as dt
import hmac
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from runtime.errors import HoldfastError
from runtime.platform import audit, tokens
from runtime.platform.models import ApiKey, Principal
from runtime.platform.scopes import ALL_SCOPES
from runtime.platform.subjects import SUBJECT_LENGTH, is_subject

# Principals that this platform names itself; an OIDC issuer's are under its URL.
LOCAL_ISSUER = "holdfast"


class KeyManagementError(HoldfastError):
    """The key cannot be made or found."""


@dataclass(frozen=True)
class IssuedKey:
    """A new key. Its text exists nowhere else."""

    id: uuid.UUID
    key: str
    prefix: str
    subject: str
    scopes: tuple[str, ...]
    expires_at: dt.datetime | None


def create_key(
    connection: Connection,
    *,
    secret: str,
    subject: str,
    scopes: Sequence[str],
    expires_at: dt.datetime | None = None,
) -> IssuedKey:
    """Make a key for a subject, and the subject's principal if it is new. The caller commits.

    Raises:
        KeyManagementError: an unknown scope, none at all, or a subject that columns cannot hold or an OIDC issuer has.
    """
    if not is_subject(subject):
        message = f"subject: 1 to {SUBJECT_LENGTH} printable characters"
        raise KeyManagementError(message)
    wanted = tuple(dict.fromkeys(scopes))
    if unknown := [scope for scope in wanted if scope not in ALL_SCOPES]:
        message = f"scopes: unknown {', '.join(unknown)}; there are {', '.join(ALL_SCOPES)}"
        raise KeyManagementError(message)
    if not wanted:
        message = f"scopes: none given; there are {', '.join(ALL_SCOPES)}"
        raise KeyManagementError(message)
    principal = _ensure_principal(connection, subject)
    issued = _insert(
        connection, secret=secret, principal=principal, subject=subject, scopes=wanted, expires_at=expires_at
    )
    audit.record(
        connection,
        action="key.create",
        kind="api_key",
        ident=issued.prefix,
        detail={"subject": subject, "scopes": wanted},
    )
    return issued


def list_keys(connection: Connection) -> Sequence[Row[*tuple[Any, ...]]]:
    """All keys, newest first, without anything that could be used as one."""
    return connection.execute(
        select(
            ApiKey.prefix,
            Principal.subject,
            ApiKey.scopes,
            ApiKey.created_at,
            ApiKey.expires_at,
            ApiKey.revoked_at,
            ApiKey.last_used_at,
        )
        .join(Principal, Principal.id == ApiKey.principal_id)
        .order_by(ApiKey.created_at.desc(), ApiKey.id.desc())
    ).all()


def find_key(connection: Connection, *, secret: str, key: str) -> bool:
    """Whether the text is a key that works now."""
    token = tokens.parse(key)
    if token is None:
        return False
    stored = connection.execute(
        select(ApiKey.digest).where(
            ApiKey.prefix == token.prefix,
            ApiKey.revoked_at.is_(None),
            (ApiKey.expires_at.is_(None)) | (ApiKey.expires_at > func.now()),
        )
    ).scalar_one_or_none()
    return stored is not None and hmac.compare_digest(stored, tokens.digest(token.text, secret=secret))


def revoke_key(connection: Connection, *, key: str) -> bool:
    """End a key now, named by its prefix or its full text. The caller commits.

    Returns:
        False when it had ended before.

    Raises:
        KeyManagementError: there is no such key.
    """
    prefix = _prefix(key)
    ended = connection.execute(
        update(ApiKey).where(ApiKey.prefix == prefix, ApiKey.revoked_at.is_(None)).values(revoked_at=func.now())
    ).rowcount
    if ended:
        audit.record(connection, action="key.revoke", kind="api_key", ident=prefix)
        return True
    if connection.execute(select(ApiKey.id).where(ApiKey.prefix == prefix)).first() is None:
        message = f"key: none has the prefix {prefix!r}; `holdfast keys list` shows them"
        raise KeyManagementError(message)
    return False


def rotate_key(connection: Connection, *, secret: str, key: str, overlap: dt.timedelta) -> IssuedKey:
    """Make a key like the given one, which goes on working for the overlap. The caller commits.

    Raises:
        KeyManagementError: there is no such key, or it has ended.
    """
    prefix = _prefix(key)
    old = connection.execute(
        select(ApiKey.id, ApiKey.principal_id, ApiKey.scopes, ApiKey.expires_at, Principal.subject)
        .join(Principal, Principal.id == ApiKey.principal_id)
        .where(
            ApiKey.prefix == prefix,
            ApiKey.revoked_at.is_(None),
            (ApiKey.expires_at.is_(None)) | (ApiKey.expires_at > func.now()),
        )
        .with_for_update(of=ApiKey)
    ).one_or_none()
    if old is None:
        message = f"key: none that works has the prefix {prefix!r}; `holdfast keys list` shows them"
        raise KeyManagementError(message)
    issued = _insert(
        connection,
        secret=secret,
        principal=old.principal_id,
        subject=old.subject,
        scopes=tuple(old.scopes),
        expires_at=old.expires_at,
    )
    connection.execute(
        update(ApiKey)
        .where(ApiKey.id == old.id)
        # least() ignores null: a key that ends sooner anyway still does.
        .values(expires_at=func.least(ApiKey.expires_at, func.now() + overlap))
    )
    audit.record(connection, action="key.rotate", kind="api_key", ident=prefix, detail={"to": issued.prefix})
    return issued


def _prefix(key: str) -> str:
    token = tokens.parse(key)
    if token is None and key.startswith("hf_"):
        # Not repeated: all but one of its characters may be right.
        message = "key: mistyped, its checksum does not fit; or name it by its prefix, which `holdfast keys list` shows"
        raise KeyManagementError(message)
    return token.prefix if token else key


def _ensure_principal(connection: Connection, subject: str) -> uuid.UUID:
    connection.execute(insert(Principal).values(issuer=LOCAL_ISSUER, subject=subject).on_conflict_do_nothing())
    found = connection.execute(
        select(Principal.id).where(Principal.issuer == LOCAL_ISSUER, Principal.subject == subject)
    ).scalar_one_or_none()
    if found is None:
        message = f"subject: {subject!r} is a user of an OIDC issuer; choose another"
        raise KeyManagementError(message)
    return found


def _insert(
    connection: Connection,
    *,
    secret: str,
    principal: uuid.UUID,
    subject: str,
    scopes: tuple[str, ...],
    expires_at: dt.datetime | None,
) -> IssuedKey:
    token = tokens.new_token()
    ident = connection.execute(
        insert(ApiKey)
        .values(
            principal_id=principal,
            prefix=token.prefix,
            digest=tokens.digest(token.text, secret=secret),
            scopes=list(scopes),
            expires_at=expires_at,
        )
        .returning(ApiKey.id)
    ).scalar_one()
    return IssuedKey(ident, token.text, token.prefix, subject, scopes, expires_at)
