"""A request's body, on its way to the disk or into memory."""

import base64
import binascii
from collections.abc import Mapping

from anyio.to_thread import run_sync
from starlette.requests import Request

from runbooks.sandbox.storage.blobs import CHUNK, Blobs, Writer
from runbooks.sandbox.storage.errors import Code, StorageError
from runbooks.sandbox.storage.store import Content

# 10,000 parts, generously written.
DOCUMENT_LIMIT = 4 << 20


async def save(request: Request, blobs: Blobs) -> Content:
    """Write the body to a file, a piece at a time.

    Raises:
        StorageError: its checksum is another than the client says.
    """
    expected = _expected_md5(request.headers)
    writer = await run_sync(blobs.create)
    finished = False
    try:
        waiting = bytearray()
        async for piece in request.stream():
            waiting += piece
            if len(waiting) >= CHUNK:
                await run_sync(writer.write, bytes(waiting))
                waiting.clear()
        await run_sync(_finish, writer, bytes(waiting), expected)
        finished = True
    finally:
        if not finished:
            writer.discard()
    return Content(writer.file, writer.size, writer.md5)


async def read(request: Request) -> bytes:
    """Read a document.

    Raises:
        StorageError: it is longer than any that makes sense.
    """
    document = bytearray()
    async for piece in request.stream():
        document += piece
        if len(document) > DOCUMENT_LIMIT:
            raise StorageError(Code.INVALID_ARGUMENT, f"the document has more than {DOCUMENT_LIMIT} bytes")
    return bytes(document)


def _finish(writer: Writer, rest: bytes, expected: list[bytes]) -> None:
    writer.write(rest)
    if any(bytes.fromhex(writer.md5) != md5 for md5 in expected):
        raise StorageError(Code.BAD_DIGEST)
    writer.finish()


def _expected_md5(headers: Mapping[str, str]) -> list[bytes]:
    told = [headers["content-md5"]] if "content-md5" in headers else []
    for item in headers.get("x-goog-hash", "").split(","):
        kind, _, value = item.strip().partition("=")
        if kind == "md5":
            told.append(value)
        elif kind:
            raise StorageError(Code.NOT_IMPLEMENTED, f"x-goog-hash: {kind}")
    try:
        return [base64.b64decode(value, validate=True) for value in told]
    except binascii.Error:
        raise StorageError(Code.INVALID_ARGUMENT, "an MD5 is written in Base64") from None
