"""Calls that were sent with a key: each is carried out once, and its answer kept for a day.

The answer is recorded in the transaction of what it tells of, so that a call was done if and only if it is known.
"""

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, String, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import insert

from runtime.db.query import Query
from runtime.platform.models import IdempotencyKey
from runtime.problems import IdempotencyConflict, IdempotencyMismatch

if TYPE_CHECKING:
    # The job that forgets keys needs neither the API's pool nor what it imports.
    from runtime.db.pool import Transaction

HEADER = "Idempotency-Key"
KEPT = dt.timedelta(hours=24)

_PRINCIPAL = bindparam("principal_id", type_=IdempotencyKey.principal_id.type)
_KEY = bindparam("key", type_=IdempotencyKey.key.type)

# Whoever does not get it is not first. It ends with the transaction, or with a session that is lost.
_LOCK = Query(
    select(
        func.pg_try_advisory_xact_lock(
            func.hashtextextended(cast(_PRINCIPAL, String).op("||")(_KEY), 0, type_=BigInteger)
        )
    )
)
_FIND = Query(
    select(IdempotencyKey.fingerprint, IdempotencyKey.status, IdempotencyKey.answer, IdempotencyKey.version).where(
        IdempotencyKey.principal_id == _PRINCIPAL,
        IdempotencyKey.key == _KEY,
        IdempotencyKey.created_at > func.now() - KEPT,
    )
)
_insert = insert(IdempotencyKey).values(
    {name: bindparam(name) for name in ("principal_id", "key", "fingerprint", "status", "answer", "version")}
)
# What is there already is older than it is good for: `find` has looked, under the lock.
_RECORD = Query(
    _insert.on_conflict_do_update(
        constraint="pk_idempotency_keys",
        set_={
            **{name: _insert.excluded[name] for name in ("fingerprint", "status", "answer", "version")},
            "created_at": func.now(),
        },
    )
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call with a key.

    Args:
        principal_id: whose key it is.
        key: as the caller chose it.
        fingerprint: SHA-256 of what is asked for.
    """

    principal_id: uuid.UUID
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """The answer of a call that was carried out before."""

    status: int
    answer: bytes
    version: int | None


async def find(tx: "Transaction", call: Call) -> Kept | None:
    """The answer, if the call was carried out before; else the key is the transaction's until it ends.

    Raises:
        IdempotencyConflict: another transaction has the key.
        IdempotencyMismatch: the key belongs to another request.
    """
    # Two statements: a row that the lock's last holder committed is seen only by one that begins after.
    if not await tx.value(_LOCK, principal_id=call.principal_id, key=call.key):
        message = f"a call with this {HEADER} is under way; send it again in a moment for its answer"
        raise IdempotencyConflict(message)
    row = await tx.row(_FIND, principal_id=call.principal_id, key=call.key)
    if row is None:
        return None
    if row["fingerprint"] != call.fingerprint:
        message = "belongs to a call with another path or body; take a new key for a new call"
        raise IdempotencyMismatch.of(field=HEADER, message=message)
    return Kept(row["status"], row["answer"], row["version"])


async def record(tx: "Transaction", call: Call, kept: Kept) -> None:
    """Keep the answer; it is there when what it tells of is."""
    await tx.value(
        _RECORD,
        principal_id=call.principal_id,
        key=call.key,
        fingerprint=call.fingerprint,
        status=kept.status,
        answer=kept.answer,
        version=kept.version,
    )
