"""An object's bytes on their way to the client, a piece at a time."""

import os
import re
import zlib
from collections.abc import AsyncIterator, Mapping

from anyio.to_thread import run_sync
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runbooks.sandbox.storage.blobs import CHUNK
from runbooks.sandbox.storage.entry import Entry
from runbooks.sandbox.storage.errors import Code, StorageError

RANGE = re.compile(r"bytes=(\d*)-(\d*)")
GZIP = 16 + zlib.MAX_WBITS


def read_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte that is asked for and the one after the last; nothing where the whole is.

    Raises:
        StorageError: the object has no such bytes.
    """
    asked = RANGE.fullmatch(header.replace(" ", "")) if header else None
    # As HTTP allows, what is not one range of bytes is answered with the whole.
    if not asked or not any(asked.groups()):
        return None
    first, last = (int(text) if text else None for text in asked.groups())
    if first is None:
        start, end = max(size - (last or 0), 0), size
    elif last is not None and last < first:
        return None
    else:
        start, end = first, size if last is None else min(last + 1, size)
    if start >= end:
        raise StorageError(Code.INVALID_RANGE, headers={"content-range": f"bytes */{size}"})
    return start, end


def is_gunzipped(entry: Entry, headers: Mapping[str, str]) -> bool:
    """Whether Cloud Storage unpacks the object for this client, who then learns no length and gets no range."""
    return (
        entry.headers.get("content-encoding") == "gzip"
        and "gzip" not in headers.get("accept-encoding", "")
        and "no-transform" not in entry.headers.get("cache-control", "")
    )


class Download(Response):
    """Part of a file, or all of it. The descriptor is closed whatever happens."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._start = self._end = 0
        self._gunzip = False

    def send(self, start: int, end: int, status: int, headers: dict[str, str]) -> None:
        """Answer with these bytes as they are stored."""
        self._start, self._end, self.status_code = start, end, status
        self.init_headers(headers | {"content-length": str(end - start)})

    def unpack(self, size: int, headers: dict[str, str]) -> None:
        """Answer with what the file unpacks to; its length is not known before."""
        self._end, self._gunzip = size, True
        self.init_headers(headers)
        del self.headers["content-length"]

    def close(self) -> None:
        """Nothing is to be sent."""
        os.close(self._descriptor)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  (an application's form)
        """Send it."""
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for piece in self._unpacked() if self._gunzip else self._stored():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self.close()

    async def _stored(self) -> AsyncIterator[bytes]:
        at = self._start
        while at < self._end:
            piece = await run_sync(os.pread, self._descriptor, min(CHUNK, self._end - at), at)
            if not piece:
                message = "the file is shorter than it was"
                raise OSError(message)
            at += len(piece)
            yield piece

    async def _unpacked(self) -> AsyncIterator[bytes]:
        unpacker = zlib.decompressobj(GZIP)
        async for packed in self._stored():
            rest = packed
            while rest:
                yield await run_sync(unpacker.decompress, rest, CHUNK)
                rest = unpacker.unconsumed_tail
        yield unpacker.flush()
