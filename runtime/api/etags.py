"""Versions of rows over HTTP (RFC 9110): ETag, If-None-Match and If-Match.

A tag is the row's version; where an answer shows a second row too, `<version>.<version of the second>`. If-Match looks
at the first part alone: what is to be changed is the first row.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from fastapi import Request, Response

from runtime.api.context import database, header_lines, json_response
from runtime.db.documents import Document
from runtime.db.pool import Transaction
from runtime.problems import InvalidInput, PreconditionFailed, responses

Versions: TypeAlias = frozenset[int]

IF_MATCH, IF_NONE_MATCH = "If-Match", "If-None-Match"
NOT_MODIFIED = 304

_TAG = r'(?:W/)?"[!#-~\x80-\xff]*"'
# Empty members count for nothing.
_LIST = re.compile(rf"(?:[ \t]*(?:{_TAG}[ \t]*)?(?:,|\Z))+".encode("latin-1"))
_EACH = re.compile(_TAG.encode("latin-1"))
_STRONG = re.compile(rb'"(\d{1,10})(?:\.\d{1,10})?"')

_ETAG = {
    "description": "The version of what the answer shows, for If-Match and If-None-Match.",
    "schema": {"type": "string"},
    "example": '"1234"',
}


def header(*versions: int | None) -> tuple[bytes, bytes]:
    """The header ETag of an answer that shows rows with these versions, as a server writes it."""
    return (b"etag", f'"{".".join(map(str, versions))}"'.encode())


def response(request: Request, body: bytes, *shown: Document[Any]) -> Response:
    """The answer of a read that shows these rows, or 304 when the caller has it already."""
    etag = header(*[row.version for row in shown])
    given = header_lines(request, b"if-none-match")
    is_known = bool(given) and _knows(given, etag[1])
    answer = Response(status_code=NOT_MODIFIED) if is_known else json_response(body)
    answer.raw_headers.append(etag)
    return answer


def expected(request: Request) -> Versions | None:
    """The versions that If-Match names, of which what is to be changed must have one; None when any will do.

    Raises:
        InvalidInput: the header is not a list of tags.
    """
    given = header_lines(request, b"if-match")
    if not given:
        return None
    line = _one_line(given, IF_MATCH)
    if line == b"*":
        return None
    # Weak tags, and others that we did not give out, fit nothing.
    strong = (_STRONG.fullmatch(tag) for tag in _EACH.findall(line))
    return frozenset(int(tag[1]) for tag in strong if tag is not None)


async def change(
    request: Request, work: Callable[[Transaction, Versions | None], Awaitable[Document[Any]]]
) -> Response:
    """Run `work` in a transaction, with the versions that it may change, and answer with the row as it is then."""
    versions = expected(request)
    # Done twice, it would meet its own new version.
    changed = await database(request).write(lambda tx: work(tx, versions), idempotent=versions is None)
    answer = json_response(changed.json)
    answer.raw_headers.append(header(changed.version))
    return answer


def _knows(given: list[bytes], etag: bytes) -> bool:
    line = _one_line(given, IF_NONE_MATCH)
    return line == b"*" or etag in {tag.removeprefix(b"W/") for tag in _EACH.findall(line)}


def _one_line(given: list[bytes], name: str) -> bytes:
    line = b",".join(given).strip(b" \t")
    if line != b"*" and not (_EACH.search(line) and _LIST.fullmatch(line)):
        message = 'must be * or a list of tags in double quotes, such as "1234"'
        raise InvalidInput.of(field=name, message=message)
    return line


def of_read(answers: dict[int | str, dict[str, Any]]) -> dict[str, Any]:
    """A GET's options: its documented answers with their tag, and If-None-Match."""
    unchanged = {"description": "What the caller has is what there is.", "headers": {"ETag": _ETAG}}
    return {
        "responses": {**_tagged(answers), NOT_MODIFIED: unchanged},
        "openapi_extra": _parameter(
            IF_NONE_MATCH, "Tags of answers that you have, or `*`; if one is still right, the answer is 304."
        ),
    }


def of_change(answers: dict[int | str, dict[str, Any]]) -> dict[str, Any]:
    """A PATCH's options: its documented answers with their tag, 412, and If-Match."""
    return {
        "responses": {**_tagged(answers), **responses(PreconditionFailed)},
        "openapi_extra": _parameter(
            IF_MATCH,
            "Tags of answers that you have, or `*`; if it has changed since, nothing is done and the answer is 412. "
            "Weak tags fit nothing.",
        ),
    }


def of_creation(answers: dict[int | str, dict[str, Any]]) -> dict[str, Any]:
    """A POST's options: its documented answers with the tag of what was made."""
    return {"responses": _tagged(answers)}


def _tagged(answers: dict[int | str, dict[str, Any]]) -> dict[int | str, dict[str, Any]]:
    return {
        status: {**answer, "headers": {"ETag": _ETAG}} if str(status).startswith("2") else answer
        for status, answer in answers.items()
    }


def _parameter(name: str, description: str) -> dict[str, Any]:
    schema = {"type": "string"}
    parameter = {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": schema,
        "example": '"1234"',
    }
    return {"parameters": [parameter]}
