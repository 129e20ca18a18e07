"""Every POST goes through here: with an Idempotency-Key it is carried out once, however often it is sent."""

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response

from runtime.api import etags
from runtime.api.caching import write
from runtime.api.context import caller, header_lines, json_response
from runtime.db.documents import Document
from runtime.db.pool import Transaction
from runtime.platform.idempotency import HEADER, Call, Kept, find, record
from runtime.problems import MEDIA_TYPE, IdempotencyConflict, IdempotencyMismatch, InvalidInput, responses

OK, NO_CONTENT = 200, 204
# OpenAPI's mark of a POST that takes no key: it changes nothing here.
KEYLESS = "x-without-idempotency-key"
REPLAYED = (b"idempotency-replayed", b"true")

# Printable ASCII; a server takes the spaces around a header away.
_PATTERN = "^[!-~]([ -~]{0,253}[!-~])?$"
_ACCEPTABLE = re.compile(_PATTERN.encode())
_PARAMETER: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": (
        "Any text that you choose for this one call, such as a UUID. Sent again with the same key, path and body "
        "within 24 hours, the call is not carried out again: it gets the first answer, with the header "
        "`Idempotency-Replayed: true`. A call that failed leaves nothing, so its key may be used again, also with a "
        "mended body."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": _PATTERN},
    "example": "019bc1f2-5b1c-7d52-9d4e-0a9c5c0f7a11",
}
_PROBLEMS = responses(IdempotencyConflict, IdempotencyMismatch)

Work = Callable[[Transaction], Awaitable[Document[Any] | None]]


async def post(request: Request, work: Work, *scopes: str, status: int = OK, idempotent: bool = False) -> Response:
    """Run `work` in a transaction, commit it and answer with the row that it made; 204 when it made none.

    Args:
        request: the call.
        work: what it asks for.
        scopes: what of the cache it ends.
        status: of an answer with a row.
        idempotent: doing it twice is the same as once, also without a key.
    """
    call = await _call(request)
    if call is None:
        return _response(_answer(await write(request, work, *scopes, idempotent=idempotent), status))

    async def once(tx: Transaction) -> tuple[Kept, bool]:
        kept = await find(tx, call)
        if kept is not None:
            return kept, True
        kept = _answer(await work(tx), status)
        await record(tx, call, kept)
        return kept, False

    # A commit of which nothing was heard is found by the next try.
    kept, is_replay = await write(request, once, *scopes, idempotent=True)
    response = _response(kept)
    if is_replay:
        response.raw_headers.append(REPLAYED)
    return response


def describe(operation: dict[str, Any]) -> None:
    """Add the header and its problems to OpenAPI's description of a POST."""
    if operation.get(KEYLESS):
        return
    operation.setdefault("parameters", []).append(_PARAMETER)
    for status, problem in _PROBLEMS.items():
        described = operation["responses"].setdefault(str(status), {"description": "", "content": {}})
        described["description"] += f"{'; ' if described['description'] else ''}{problem['description']}"
        content = described["content"].setdefault(
            MEDIA_TYPE, {"schema": {"$ref": "#/components/schemas/ProblemDocument"}, "examples": {}}
        )
        content["examples"] |= problem["content"][MEDIA_TYPE]["examples"]


async def _call(request: Request) -> Call | None:
    given = header_lines(request, b"idempotency-key")
    if not given:
        return None
    if len(given) > 1 or not _ACCEPTABLE.fullmatch(given[0]):
        message = "must be one value of 1 to 255 printable ASCII characters"
        raise InvalidInput.of(field=HEADER, message=message)
    # Quoted, the path has no line feed, so that no other path and body come to the same.
    asked = f"{request.method} {quote(request.scope['path'])}\n".encode()
    fingerprint = hashlib.sha256(asked + await request.body()).digest()
    return Call(caller(request).principal_id, given[0].decode(), fingerprint)


def _answer(made: Document[Any] | None, status: int) -> Kept:
    return Kept(NO_CONTENT, b"", None) if made is None else Kept(status, made.json, made.version)


def _response(kept: Kept) -> Response:
    if kept.status == NO_CONTENT:
        return Response(status_code=NO_CONTENT)
    response = json_response(kept.answer, kept.status)
    if kept.version is not None:
        response.raw_headers.append(etags.header(kept.version))
    return response
