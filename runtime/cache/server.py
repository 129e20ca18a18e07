"""The cache server: few connections, a deadline on every call, and a breaker for when it does not answer."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

log = structlog.get_logger()

# A slow cache costs a read this much, connecting included, and a few reads at that: then the breaker is open.
READ_SECONDS = 0.1
# A write waits a little longer: to go on without the cache shuts it for everybody.
WRITE_SECONDS = 0.25
FAILURES = 3
OPEN_SECONDS = 1.0
MOST_CONNECTIONS = 32


class CacheError(Exception):
    """The cache cannot answer now; why is in the log, once."""


@dataclass(slots=True)
class _Link:
    """A connection, and which start of the server is at its other end."""

    connection: Connection
    run: bytes


class Server:
    """One worker's connections to Valkey or Redis. redis-py speaks; how long and how often it may is decided here.

    Args:
        url: redis:// or, with TLS, rediss://; certificates are verified unless the URL's query says otherwise.
    """

    def __init__(self, url: str) -> None:
        self._factory = ConnectionPool.from_url(
            url,
            protocol=2,
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        self._idle: list[_Link] = []
        self._slots = asyncio.Semaphore(MOST_CONNECTIONS)
        self._breaker = Breaker()

    async def call(self, *command: str | bytes | int, within: float, insisting: bool = False) -> tuple[bytes, Any]:
        """Send a command that may be sent twice.

        Args:
            command: its words.
            within: seconds.
            insisting: ask although the breaker is open.

        Returns:
            The id of the server's run, and its answer.

        Raises:
            CacheError: it did not answer in time, refused, or the breaker is open.
        """
        if not insisting and not self._breaker.admits():
            raise CacheError
        try:
            async with asyncio.timeout(within):
                answer = await self._send(command)
        except (RedisError, OSError, TimeoutError) as error:
            if isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE"):
                # Somebody else's value under our key, which says nothing of the server.
                self._breaker.succeeded()
            else:
                self._breaker.failed(error)
            raise CacheError from error
        except BaseException:
            self._breaker.abandoned()
            raise
        self._breaker.succeeded()
        return answer

    async def ping(self, within: float) -> None:
        """Ask for a sign of life, whatever the breaker says.

        Raises:
            RedisError, OSError, TimeoutError: there is none.
        """
        async with asyncio.timeout(within):
            await self._send(("PING",))

    async def close(self) -> None:
        """Give the connections back."""
        while self._idle:
            await self._idle.pop().connection.disconnect(nowait=True)

    async def _send(self, command: tuple[str | bytes | int, ...]) -> tuple[bytes, Any]:
        async with self._slots:
            if self._idle:
                try:
                    return await self._exchange(self._idle.pop(), command)
                except LostError:
                    # It ended while nobody used it, as in a restart; so have the others.
                    await self.close()
            return await self._exchange(await self._connect(), command)

    async def _connect(self) -> _Link:
        link = _Link(self._factory.make_connection(), b"")  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        try:
            await link.connection.connect()  # type: ignore[no-untyped-call]  # the same
            await link.connection.send_command("INFO", "server", check_health=False)
            told = await link.connection.read_response()
            (link.run,) = [line[7:] for line in bytes(told).splitlines() if line.startswith(b"run_id:")]
        except (TypeError, ValueError) as error:
            await link.connection.disconnect(nowait=True)
            message = "it does not say which run of the server this is"
            raise LostError(message) from error
        except BaseException:
            await link.connection.disconnect(nowait=True)
            raise
        return link

    async def _exchange(self, link: _Link, command: tuple[str | bytes | int, ...]) -> tuple[bytes, Any]:
        connection = link.connection
        if not connection.is_connected:
            # redis-py would connect again by itself, and to another run of the server.
            raise LostError
        try:
            await connection.send_command(*command, check_health=False)
            answer = await connection.read_response()
        except ResponseError:
            self._idle.append(link)
            raise
        except BaseException:
            # Half an answer may be under way: whoever got this connection next would take it for theirs.
            await connection.disconnect(nowait=True)
            raise
        self._idle.append(link)
        return link.run, answer


class Breaker:
    """After a few failures in a row nobody asks for a moment; then one does, and the rest wait for what it hears."""

    def __init__(self) -> None:
        self._failures = 0
        self._open_until = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether the last calls failed, and none succeeded since."""
        return self._failures >= FAILURES

    def admits(self) -> bool:
        """Whether a call may be made now; each that may ends in one of the other three."""
        if self.is_open:
            if self._probing or time.monotonic() < self._open_until:
                return False
            self._probing = True
        return True

    def succeeded(self) -> None:
        """Count an answer."""
        if self.is_open:
            log.info("cache_answers_again")
        self._failures, self._probing = 0, False

    def failed(self, error: Exception) -> None:
        """Count a failure; the one that opens is logged, and no other until an answer came."""
        was_open = self.is_open
        self._failures, self._probing = self._failures + 1, False
        if self.is_open:
            self._open_until = time.monotonic() + OPEN_SECONDS
        if self.is_open and not was_open:
            # redis-py's words name host and port, never the password.
            log.warning("cache_bypassed", dependency="cache", error=type(error).__name__, detail=str(error))

    def abandoned(self) -> None:
        """Whoever asked has gone, and nothing is known."""
        self._probing = False
