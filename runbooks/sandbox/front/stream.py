"""A connection as the front reads and writes it."""

import asyncio
import socket
import ssl
from typing import Self

from runbooks.local.ports import HOST

# Bytes that wait in one direction before its sender has to.
CHUNK = 65_536
FAREWELL_SECONDS = 2.0


class Stream:
    """A reader, a writer, and their end."""

    def __init__(
        self, transport: asyncio.Transport, protocol: asyncio.StreamReaderProtocol, reader: asyncio.StreamReader
    ) -> None:
        self.reader = reader
        self.writer = asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
        # To end at once goes below TLS: that layer of Python 3.11.2 fails when it was closed before.
        layer = getattr(transport, "_ssl_protocol", None)
        self._below: asyncio.Transport = transport if layer is None else layer._transport  # noqa: SLF001  # no public way
        tls = transport.get_extra_info("ssl_object")
        self.is_encrypted = tls is not None
        self.certificate: bytes | None = tls.getpeercert(binary_form=True) if tls else None

    @classmethod
    async def accepted(cls, client: socket.socket, context: ssl.SSLContext | None = None) -> Self:
        """Take over a client's socket, from which nothing was read too much.

        Args:
            client: An accepted socket; it is the stream's from now on.
            context: For TLS, whose handshake is then made.

        Raises:
            OSError: the handshake failed.
        """
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=CHUNK, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, client, ssl=context, ssl_shutdown_timeout=FAREWELL_SECONDS if context else None
        )
        return cls(transport, protocol, reader)

    @classmethod
    async def opened(cls, port: int) -> Self:
        """Connect to a cluster.

        Raises:
            OSError: it does not listen.
        """
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=CHUNK, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_connection(lambda: protocol, HOST, port)
        return cls(transport, protocol, reader)

    async def send(self, data: bytes) -> None:
        """Write, and wait while too much is under way."""
        self.writer.write(data)
        await self.writer.drain()

    def end_writing(self) -> None:
        """Tell the other side that no more comes, where that can be told without closing."""
        if self.writer.can_write_eof():
            self.writer.write_eof()

    async def close(self) -> None:
        """Let what was written arrive, for a moment, and end."""
        self.writer.close()
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self.writer.wait_closed()
        except OSError:
            self.abort()

    def abort(self) -> None:
        """End at once."""
        if not self.writer.is_closing():
            self.writer.close()
        self._below.abort()
