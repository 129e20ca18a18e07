"""A socket of this process, behind which connections are carried to a Cloud SQL instance as its connectors do it.

An instance that enforces connectors lets in only who comes to port 3307 with a certificate that the Admin API gave. The
connector's library does that for drivers that take a socket from their caller. psycopg2 takes none: libpq connects by
itself, so it is given the address of this socket, as it would be given the Auth Proxy's. It is a Unix socket, which
nobody else may enter; or a port of this machine, for programs that want one.
"""

import asyncio
import shutil
import struct
import tempfile
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
from google.cloud.sql.connector.enums import IPTypes

from runtime.db.dial import FAREWELL_SECONDS, NoWayError, Opener, Stream, Way
from runtime.db.engine import CONNECTOR_PORT
from runtime.errors import ConfigurationError, first_line
from runtime.settings import IpType

# libpq makes the socket's name of its folder and its port.
LOCAL_PORT = 5432
LOOPBACK = "127.0.0.1"
HELLO_SECONDS = 60.0
CHUNK = 65_536

_FIRST = struct.Struct("!ii")
# PostgreSQL's limit.
_LONGEST_STARTUP = 10_000
_CANCEL_REQUEST = 80877102
# PostgreSQL's code: no connection could be made.
_NO_CONNECTION = "08001"

_Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]
_Listen = Callable[[_Accept], Coroutine[Any, Any, asyncio.Server]]


@dataclass(frozen=True)
class _Startup:
    """A connection's first packet."""

    packet: bytes
    is_cancel_request: bool


class Carried(psycopg2.extensions.connection):
    """A connection through a gateway of this process.

    psycopg2 waits for the end of a cancel request without letting other threads run; the gateway's could then never
    carry it. So the server is asked on a connection of its own.
    """

    def __init__(self, dsn: str, *others: Any, **named: Any) -> None:
        super().__init__(dsn, *others, **named)
        # `dsn` of the connection itself has no password.
        self._address = dsn

    def cancel(self) -> None:
        """End what runs on the connection, from any thread."""
        with closing(psycopg2.connect(self._address)) as other, other.cursor() as cursor:
            cursor.execute("SELECT pg_cancel_backend(%s)", (self.info.backend_pid,))


class Gateway:
    """The way to one instance. Its connections share a certificate, which is renewed when one needs it."""

    def __init__(
        self,
        instance: str,
        *,
        endpoint: str | None = None,
        ip_type: IpType = "private",
        silence_seconds: int = 60,
        opener: Opener | None = None,
        port: int | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            instance: PROJECT:REGION:INSTANCE.
            endpoint: of the Admin API, if it is not Google's.
            ip_type: which of the instance's addresses.
            silence_seconds: after which an instance that answers nothing counts as gone.
            opener: how the instance is reached, if not directly: by a proxy, for one.
            port: of this machine, to listen at; None for a Unix socket.
        """
        self._instance = instance
        self._endpoint = endpoint
        self._ip_type = ip_type
        self._silence = silence_seconds
        self._opener = opener
        self._port = port
        self._lock = threading.Lock()
        self._open: _Open | None = None

    def place(self) -> dict[str, Any]:
        """Where the socket is, in psycopg2's words. It listens from the first call on, until `close`.

        Raises:
            ConfigurationError: there is no place for a socket.
        """
        with self._lock:
            if self._open is None:
                self._open = self._opened()
            host, port = self._open.host, self._open.port
        # The way from here on is encrypted by the gateway.
        return {"host": host, "port": port, "sslmode": "disable", "connection_factory": Carried}

    def close(self) -> None:
        """End what is open. A later `place` opens it anew."""
        with self._lock:
            ending, self._open = self._open, None
        if ending is not None:
            ending.close()

    def _opened(self) -> "_Open":
        way = Way(self._instance, self._endpoint, IPTypes[self._ip_type.upper()], self._silence, self._opener)
        try:
            return _Open(way, self._port)
        except OSError as error:
            mend = "let TMPDIR name a folder with a short name" if self._port is None else "free the port"
            message = f"the connector's socket has no place: {error}; {mend}"
            raise ConfigurationError(message) from None


class _Open:
    """A socket that listens, and the thread that carries its connections."""

    def __init__(self, way: Way, port: int | None) -> None:
        self._remove: Callable[[], object] = _nothing
        if port is None:
            folder = Path(tempfile.mkdtemp(prefix="holdfast-"))
            # Also at the end of a process that never closes it.
            self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self.host, self.port = str(folder), LOCAL_PORT
            listen: _Listen = partial(asyncio.start_unix_server, path=folder / f".s.PGSQL.{LOCAL_PORT}")
        else:
            self.host, self.port = LOOPBACK, port
            listen = partial(asyncio.start_server, host=LOOPBACK, port=port)
        begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=_run, args=(way, listen, begun), name="cloud-sql-gateway", daemon=True)
        self._thread.start()
        self._loop, self._ending = begun.result()

    def close(self) -> None:
        """Give what is under way a moment, and end all."""
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self._remove()


def _nothing() -> None:
    """A port leaves nothing behind."""


def _run(way: Way, listen: _Listen, begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    try:
        asyncio.run(_serve(way, listen, begun))
    except OSError as error:
        if begun.done():
            raise
        begun.set_exception(error)


async def _serve(way: Way, listen: _Listen, begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    tunnels: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnel = asyncio.create_task(_Tunnel(way, Stream(reader, writer)).carry())
        tunnels.add(tunnel)
        tunnel.add_done_callback(tunnels.discard)

    ending = asyncio.Event()
    server = await listen(accept)
    begun.set_result((asyncio.get_running_loop(), ending))
    await ending.wait()
    server.close()
    if tunnels:
        await asyncio.wait(tunnels, timeout=FAREWELL_SECONDS)
    for tunnel in tunnels:
        tunnel.cancel()
    await asyncio.gather(*tunnels, return_exceptions=True)
    await way.close()


class _Tunnel:
    """One client's connection, from its first byte to the instance, and back."""

    def __init__(self, way: Way, near: Stream) -> None:
        self._way = way
        self._near = near

    async def carry(self) -> None:
        """Carry it until either side ends. As for PostgreSQL itself, a client that ends its side wants no more."""
        startup = _Startup(b"", is_cancel_request=False)
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                startup = await _read_startup(self._near.reader)
            far = await self._way.dial()
            try:
                await self._exchange(startup, far)
            finally:
                await far.close()
        except NoWayError as error:
            # Nobody listens for an answer to a cancel request.
            if not startup.is_cancel_request:
                text = " ".join(str(error).split())
                self._near.writer.write(_fatal(f"{self._way.instance}: {text}"))
        except (OSError, EOFError):
            # Either side has gone.
            pass
        finally:
            await self._near.close()

    async def _exchange(self, startup: _Startup, far: Stream) -> None:
        far.writer.write(startup.packet)
        inward = asyncio.create_task(_pump(self._near.reader, far))
        outward = asyncio.create_task(self._answer(startup, far))
        try:
            await asyncio.wait((inward, outward), return_when=asyncio.FIRST_COMPLETED)
            if outward.done():
                await outward
        finally:
            for task in (inward, outward):
                task.cancel()
            await asyncio.gather(inward, outward, return_exceptions=True)

    async def _answer(self, startup: _Startup, far: Stream) -> None:
        first, why = b"", "it ends the connection"
        try:
            first = await far.reader.read(CHUNK)
        except OSError as error:
            # With TLS 1.3 a server refuses a client's certificate after the handshake.
            why = first_line(error)
        if not first and not startup.is_cancel_request:
            await self._way.forget()
            message = f"port {CONNECTOR_PORT} lets nobody in: {why}"
            raise NoWayError(message)
        await self._near.send(first)
        await _pump(far.reader, self._near)


async def _read_startup(reader: asyncio.StreamReader) -> _Startup:
    first = await reader.readexactly(_FIRST.size)
    length, code = _FIRST.unpack(first)
    if not _FIRST.size <= length <= _LONGEST_STARTUP:
        raise EOFError
    return _Startup(first + await reader.readexactly(length - _FIRST.size), code == _CANCEL_REQUEST)


async def _pump(source: asyncio.StreamReader, target: Stream) -> None:
    while data := await source.read(CHUNK):
        await target.send(data)


def _fatal(text: str) -> bytes:
    """PostgreSQL's answer to whom it sends away."""
    fields = {"S": "FATAL", "V": "FATAL", "C": _NO_CONNECTION, "M": text}
    body = b"".join(f"{name}{value}".encode() + b"\0" for name, value in fields.items()) + b"\0"
    return b"E" + struct.pack("!i", 4 + len(body)) + body
