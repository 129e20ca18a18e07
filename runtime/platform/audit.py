"""The audit log: an entry in the transaction of what it tells of."""

import json
import uuid
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, insert

from runtime.db.query import Query
from runtime.platform.models import AuditEntry

if TYPE_CHECKING:
    # The commands write entries too, without the API's pool and what it imports.
    from runtime.db.pool import Transaction

# The database user, for what no API caller asked for.
SYSTEM = "system"

# inline(): no RETURNING, for which the API's login would have to read the log.
_INSERT = Query(
    insert(AuditEntry)
    .inline()
    .values(
        {name: bindparam(name) for name in ("actor", "principal_id", "action", "object_type", "object_id", "detail")}
    )
)


def record(
    connection: Connection,
    *,
    action: str,
    kind: str,
    ident: str,
    actor: str = SYSTEM,
    detail: dict[str, Any] | None = None,
) -> None:
    """Write an entry from a command."""
    connection.execute(
        insert(AuditEntry).values(actor=actor, action=action, object_type=kind, object_id=ident, detail=detail)
    )


async def record_call(
    tx: "Transaction",
    *,
    actor: str,
    principal_id: uuid.UUID,
    action: str,
    kind: str,
    ident: str,
    detail: dict[str, Any] | None = None,
) -> None:
    """Write an entry from an API call."""
    await tx.value(
        _INSERT,
        actor=actor,
        principal_id=principal_id,
        action=action,
        object_type=kind,
        object_id=ident,
        detail=None if detail is None else json.dumps(detail).encode(),
    )
