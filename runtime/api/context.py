"""What a route finds in its request."""

from typing import Any, cast

import asyncpg
from fastapi import Request, Response

from runtime.api.auth import Caller
from runtime.api.cursors import Cursors
from runtime.db.lists import Key, Page
from runtime.db.pool import Database, Transaction
from runtime.platform import audit

CREATED = 201
JSON_MEDIA_TYPE = "application/json"


def database(request: Request) -> Database:
    """The worker's pool."""
    return cast("Database", request.app.state.database)


def caller(request: Request) -> Caller:
    """Who is calling; guarded routes have one."""
    return cast("Caller", request.state.caller)


def cursors(request: Request) -> Cursors:
    """Reads and writes the cursors of lists."""
    return cast("Cursors", request.app.state.cursors)


def header_lines(request: Request, name: bytes) -> list[bytes]:
    """The values of a header, a line each; its name in small letters."""
    return [value for given, value in request.scope["headers"] if given == name]


def json_response(body: bytes, status: int = 200) -> Response:
    """An answer of bytes that are JSON already."""
    return Response(body, status, media_type=JSON_MEDIA_TYPE)


def unpaged_response(found: asyncpg.Record, *, items: str, extra: bytes = b"") -> Response:
    """A short list under the name `items`, with its count."""
    return json_response(b'{"%b":%b,"count":%d%b}' % (items.encode(), found["rows"], found["count"], extra))


async def audited(
    request: Request, tx: Transaction, *, action: str, kind: str, ident: str, detail: dict[str, Any] | None = None
) -> None:
    """Leave an entry in the audit log, in the transaction of what the caller did."""
    who = caller(request)
    await audit.record_call(
        tx, actor=who.subject, principal_id=who.principal_id, action=action, kind=kind, ident=ident, detail=detail
    )


class ListCall:
    """One call of a list: opens the caller's cursor, and writes the next one.

    Args:
        request: the call.
        name: of the list; a cursor is good for one list and one set of filters.
        filters: the filters in force.
    """

    def __init__(self, request: Request, name: str, cursor: str | None, **filters: object) -> None:
        self._cursors = cursors(request)
        self._purpose = f"{name}:{sorted((key, str(value)) for key, value in filters.items() if value is not None)}"
        self.after: Key | None = self._cursors.read(self._purpose, cursor) if cursor else None

    def response(self, page: Page[Any], *, items: str, extra: bytes = b"") -> Response:
        """The page under the name `items`, with its count and the cursor of the next one."""
        following = b"null"
        if page.next_key is not None:
            following = b'"' + self._cursors.write(self._purpose, page.next_key) + b'"'
        return json_response(
            b'{"%b":%b,"count":%d,"next_cursor":%b%b,"status":"success"}'
            % (items.encode(), page.rows, page.count, following, extra)
        )
