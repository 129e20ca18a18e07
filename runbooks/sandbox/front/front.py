"""The address of an instance: it stays the same, whichever cluster is behind it."""

import asyncio
import socket
from functools import partial
from typing import TYPE_CHECKING

from runbooks.sandbox.front.certificates import Certificates
from runbooks.sandbox.front.connection import Connection, Door
from runbooks.sandbox.front.logins import Logins
from runbooks.sandbox.front.state import HANDSHAKE_SECONDS, SslMode, State
from runbooks.sandbox.front.thread import LoopThread

if TYPE_CHECKING:
    from ssl import SSLContext

PORT = 5432
# Fixed in every connector.
CONNECTOR_PORT = 3307
BACKLOG = 128
# Before the next try, when no more connections can be open.
PAUSE = 0.1


class Front:
    """Two ports of one address, and what is behind them. Its methods are for threads other than the loop's."""

    def __init__(
        self,
        address: str,
        port: int,
        certificates: Certificates,
        *,
        thread: LoopThread,
        ssl_mode: SslMode = SslMode.ENCRYPTED_ONLY,
        connector_port: int | None = CONNECTOR_PORT,
        logins: Logins | None = None,
        handshake_seconds: float = HANDSHAKE_SECONDS,
    ) -> None:
        """Nothing listens yet.

        Args:
            address: The instance's own.
            port: PostgreSQL's.
            certificates: The instance's, created.
            thread: Where connections are carried; started.
            ssl_mode: Who may come in.
            connector_port: The connector's, or None where another instance has it.
            logins: The instance's IAM users; without it there are none.
            handshake_seconds: How long a client may take to say who it is.
        """
        self.address = address
        self.port = port
        self.connector_port = connector_port
        self._certificates = certificates
        self._thread = thread
        self._state = State(ssl_mode=ssl_mode, logins=logins, handshake_seconds=handshake_seconds)
        self._state.flow.set()
        # By whether it is the connector's port.
        self._tls: dict[bool, SSLContext] = {}
        self._accepting: list[asyncio.Task[None]] = []
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    def start(self) -> None:
        """Listen.

        Raises:
            OSError: a port is taken, or the address is not this machine's.
        """
        self._thread.run(self._start())

    def stop(self) -> None:
        """Listen no more, and end what is open."""
        self._thread.run(self._stop())

    def point_at(self, port: int | None) -> None:
        """Send connections that come from now on to another cluster.

        Args:
            port: Where it listens on 127.0.0.1; None while there is none, which clients are told.
        """
        self._state.target = port

    def ask_for(self, ssl_mode: SslMode, *, requires_connector: bool = False) -> None:
        """Ask clients that come from now on for this; who is in stays in.

        Args:
            ssl_mode: Who may come in at PostgreSQL's port.
            requires_connector: Nobody may.
        """
        self._state.ssl_mode = ssl_mode
        self._state.requires_connector = requires_connector

    def renew(self) -> None:
        """Take the certificates as they are now, for clients that come from now on; who is in stays in."""
        self._tls = {
            is_connectors: self._certificates.server_context(requires_client=is_connectors)
            for is_connectors in (False, True)
        }

    def cut(self) -> None:
        """End every open connection at once. Nothing more comes to a client from the cluster that it was at."""
        self._thread.run(self._cut())

    def cut_off(self, is_cut_off: bool) -> None:  # noqa: FBT001  # the fault's own switch
        """Let the network lose everything, or carry it again: nothing ends, nothing is refused, nothing arrives."""
        self._thread.run(self._cut_off(is_cut_off))

    def slow_down(self, seconds: float) -> None:
        """Let the network add so much to the way of each piece of data."""
        self._state.latency = seconds

    async def _start(self) -> None:
        listeners: list[tuple[socket.socket, bool]] = []
        self.renew()
        try:
            listeners.append((self._listen(self.port), False))
            if self.connector_port is not None:
                listeners.append((self._listen(self.connector_port), True))
        except BaseException:
            for listener, _ in listeners:
                listener.close()
            raise
        self._accepting = [asyncio.create_task(self._accept(*each)) for each in listeners]

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server((self.address, port), backlog=BACKLOG)
        listener.setblocking(False)
        return listener

    async def _accept(self, listener: socket.socket, is_connectors: bool) -> None:  # noqa: FBT001  # a fact of the port
        with listener:
            while True:
                await self._state.flow.wait()
                try:
                    client, _ = await asyncio.get_running_loop().sock_accept(listener)
                except OSError:
                    await asyncio.sleep(PAUSE)
                    continue
                door = Door(self._tls[is_connectors], is_connectors)
                connection = Connection(self._state, door, client)
                task = asyncio.create_task(connection.serve())
                self._connections.add(task)
                task.add_done_callback(self._connections.discard)
                # A task that is cancelled before it begins never comes to its own end.
                task.add_done_callback(partial(_let_go, connection))

    async def _stop(self) -> None:
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        self._accepting = []
        await self._cut()

    async def _cut(self) -> None:
        ending = list(self._connections)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def _cut_off(self, is_cut_off: bool) -> None:  # noqa: FBT001  # the fault's own switch
        if is_cut_off:
            self._state.flow.clear()
        else:
            self._state.flow.set()


def _let_go(connection: Connection, _task: asyncio.Task[None]) -> None:
    connection.close()
