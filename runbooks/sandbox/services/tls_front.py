"""TLS before a server that has none: the installed Valkey is built without it."""

import asyncio
import contextlib
import ssl

from runbooks.local.ports import HOST
from runbooks.sandbox.front.thread import LoopThread

CHUNK = 65_536


class TlsFront:
    """A port that ends TLS and carries what comes to another port. Its methods are for threads other than the loop's.

    Args:
        thread: where connections are carried; started.
        context: the server's certificate.
        port: where clients come.
        target: where the server listens, on the same address.
    """

    def __init__(self, thread: LoopThread, context: ssl.SSLContext, *, port: int, target: int) -> None:
        self._thread = thread
        self._context = context
        self._port = port
        self._target = target
        self._listener: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        self._thread.run(self._start())

    def stop(self) -> None:
        """Listen no more, and end what is open."""
        self._thread.run(self._stop())

    async def _start(self) -> None:
        self._listener = await asyncio.start_server(self._serve, HOST, self._port, ssl=self._context)

    async def _stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
        ending = list(self._open)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine of start_server's is a task's
        self._open.add(task)
        writers = [writer]
        try:
            onward, back = await asyncio.open_connection(HOST, self._target)
            writers.append(back)
            ways = [asyncio.create_task(_carry(reader, back)), asyncio.create_task(_carry(onward, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
        except OSError:
            # The server is not there: the client sees its connection end.
            pass
        finally:
            for one in writers:
                one.close()
            self._open.discard(task)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
