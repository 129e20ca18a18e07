"""The principal behind a subject: found, or made at its first sight."""

import uuid

from sqlalchemy import Text, bindparam, func, select

from runtime.db.pool import Database
from runtime.db.query import Query
from runtime.platform.models import Principal
from runtime.problems import Forbidden

_FIND = Query(select(Principal.id, Principal.issuer).where(Principal.subject == bindparam("subject")))
# The API's login may not insert principals itself.
_ENSURE = Query(select(func.ensure_principal(bindparam("issuer", type_=Text), bindparam("subject", type_=Text))))


async def ensure_principal(db: Database, *, issuer: str, subject: str) -> uuid.UUID:
    """The id of the principal whom an OIDC issuer names, made if it is new.

    Raises:
        Forbidden: another issuer has the subject, and what is written under it.
    """
    row = await db.row(_FIND, subject=subject)
    if row is None:
        made: uuid.UUID | None = await db.write(
            lambda tx: tx.value(_ENSURE, issuer=issuer, subject=subject), idempotent=True
        )
    else:
        made = row["id"] if row["issuer"] == issuer else None
    if made is None:
        message = "the token is valid, but its subject is already a principal of another issuer here"
        raise Forbidden(message)
    return made
