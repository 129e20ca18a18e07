"""`python -m runtime forget-idempotency-keys`: those that are older than they are good for."""

from sqlalchemy import Engine, delete, func, select, tuple_

from runtime.platform import audit
from runtime.platform.idempotency import KEPT
from runtime.platform.models import IdempotencyKey

BATCH = 10_000

_KEY = tuple_(IdempotencyKey.principal_id, IdempotencyKey.key)
_EXPIRED = IdempotencyKey.created_at < func.now() - KEPT


def count_expired(engine: Engine) -> int:
    """How many keys would be deleted."""
    with engine.connect() as connection:
        return connection.execute(select(func.count()).where(_EXPIRED)).scalar_one()


def forget_expired(engine: Engine, *, batch: int = BATCH) -> int:
    """Delete the keys that are good for nothing, in short transactions with an audit entry each.

    It never touches a key that is still good: a caller could send the call again and have it carried out twice.

    Returns:
        How many were deleted.
    """
    oldest = (
        select(IdempotencyKey.principal_id, IdempotencyKey.key)
        .where(_EXPIRED)
        .order_by(IdempotencyKey.created_at)
        .limit(batch)
    )
    # The age once more: a call may have taken the key over while this waited for its row.
    statement = delete(IdempotencyKey).where(_KEY.in_(oldest), _EXPIRED)
    forgotten = 0
    while True:
        with engine.begin() as connection:
            deleted = connection.execute(statement).rowcount
            if deleted:
                audit.record(
                    connection,
                    action="idempotency_keys.delete",
                    kind="table",
                    ident=IdempotencyKey.__tablename__,
                    detail={"rows": deleted},
                )
        forgotten += deleted
        if not deleted:
            return forgotten
