"""The API's connections: one asyncpg pool a worker, with deadlines, recycling and bounded retries."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import asyncpg
import structlog
from asyncpg.connection import LoggedQuery

from runtime.db.connections import Connection, Connections
from runtime.db.query import Copy, Query
from runtime.db.retry import LOST, ROLLED_BACK, may_repeat, retrying
from runtime.observability.meters import DatabaseMeter
from runtime.settings import Settings

if TYPE_CHECKING:
    from runtime.db.cloud import CloudSql

log = structlog.get_logger()

Result = TypeVar("Result")


class Executor(Protocol):
    """What a service needs to read: the pool, or a transaction under way."""

    async def row(self, query: Query, **parameters: Any) -> asyncpg.Record | None:
        """First row of the answer, if any."""

    async def value(self, query: Query, **parameters: Any) -> Any:
        """First column of the first row, or None."""


class Transaction:
    """A transaction under way; services write through it and never commit."""

    __slots__ = ("_connection", "_meter")

    def __init__(self, connection: asyncpg.Connection, meter: DatabaseMeter) -> None:
        self._connection = connection
        self._meter = meter

    async def row(self, query: Query, **parameters: Any) -> asyncpg.Record | None:
        """First row of the answer, if any."""
        return await self._meter.timed(query, self._connection.fetchrow(query.sql, *query.arguments(parameters)))

    async def value(self, query: Query, **parameters: Any) -> Any:
        """First column of the first row, or None."""
        return await self._meter.timed(query, self._connection.fetchval(query.sql, *query.arguments(parameters)))

    async def copy(self, statement: Copy, records: Iterable[tuple[Any, ...]]) -> None:
        """Store rows, all or none."""
        work = self._connection.copy_records_to_table(statement.table, columns=statement.columns, records=records)
        await self._meter.timed(statement, work)


class Database:
    """The pool of one worker.

    It opens at the first use that succeeds, so that an API starts while its database is down.
    """

    def __init__(self, settings: Settings, *, application_name: str, workers: int = 1) -> None:
        self._settings = settings
        self._application_name = application_name
        # Sizes are an instance's; each worker takes its part.
        self.max_size = max(1, settings.db_pool_max // workers)
        self.min_size = min(math.ceil(settings.db_pool_min / workers), self.max_size)
        self._connections: Connections | None = None
        self._opening = asyncio.Lock()
        self._cloud_sql: CloudSql | None = None
        self.meter = DatabaseMeter()

    @property
    def size(self) -> int:
        """Connections that are open."""
        return self._connections.size if self._connections else 0

    @property
    def waiting(self) -> int:
        """Who waits for a connection."""
        return self._connections.waiting if self._connections else 0

    async def open(self) -> Connections:
        """The connections, opened if they are not yet."""
        if self._connections is None:
            async with self._opening:
                if self._connections is None:
                    self._connections = Connections(
                        await self._connect(),
                        timeout=self._settings.db_pool_timeout,
                        recycle=self._settings.db_pool_recycle,
                    )
        return self._connections

    async def close(self) -> None:
        """Give the connections back."""
        if self._connections is not None:
            await self._connections.close()
            self._connections = None
        if self._cloud_sql is not None:
            await self._cloud_sql.close()
            self._cloud_sql = None

    async def row(self, query: Query, **parameters: Any) -> asyncpg.Record | None:
        """First row of a read, if any."""
        arguments = query.arguments(parameters)
        return await self._read(lambda connection: self.meter.timed(query, connection.fetchrow(query.sql, *arguments)))

    async def value(self, query: Query, **parameters: Any) -> Any:
        """First column of a read's first row, or None."""
        arguments = query.arguments(parameters)
        return await self._read(lambda connection: self.meter.timed(query, connection.fetchval(query.sql, *arguments)))

    async def write(self, work: Callable[[Transaction], Awaitable[Result]], *, idempotent: bool = False) -> Result:
        """Run `work` in a transaction and commit it.

        After a serialization failure or a deadlock it runs again; after a lost connection only if `idempotent`,
        since the commit may have taken effect.
        """
        async for attempt in retrying(idempotent=idempotent):
            with attempt:
                return await self._use(partial(self._in_transaction, work))
        raise AssertionError  # pragma: no cover  # retrying() returns or raises

    async def _read(self, fetch: Callable[[asyncpg.Connection], Awaitable[Result]]) -> Result:
        # Most reads succeed at once, and pay nothing for the machinery of those that do not.
        try:
            return await self._use(fetch)
        except (*ROLLED_BACK, *LOST) as error:
            if not may_repeat(error):
                raise
        async for attempt in retrying(idempotent=True):
            with attempt:
                return await self._use(fetch)
        raise AssertionError  # pragma: no cover  # retrying() returns or raises

    async def _use(self, work: Callable[[asyncpg.Connection], Awaitable[Result]]) -> Result:
        connections = self._connections or await self.open()
        meter = self.meter
        began = perf_counter()
        try:
            connection = await connections.take()
        except (TimeoutError, asyncio.CancelledError):
            # Whose request ended at its deadline waited in vain too.
            meter.timeouts += 1
            raise
        meter.took(perf_counter() - began)
        try:
            # It has the connection's methods.
            result = await work(cast("asyncpg.Connection", connection))
        except BaseException:
            await connections.release(connection)
            raise
        finally:
            meter.in_use -= 1
        await connections.keep(connection)
        return result

    async def _in_transaction(
        self, work: Callable[[Transaction], Awaitable[Result]], connection: asyncpg.Connection
    ) -> Result:
        async with connection.transaction():
            return await work(Transaction(connection, self.meter))

    async def _prepare(self, connection: asyncpg.Connection) -> None:
        # JSON passes through as bytes, both ways; jsonb on the wire has a version byte before it.
        await connection.set_type_codec("json", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary")
        await connection.set_type_codec(
            "jsonb",
            schema="pg_catalog",
            encoder=lambda text: b"\x01" + text,
            decoder=lambda data: data[1:],
            format="binary",
        )
        if self._settings.debug:
            connection.add_query_logger(_log_statement)

    async def _connect(self) -> asyncpg.Pool:
        settings = self._settings
        options: dict[str, Any] = {
            "min_size": self.min_size,
            "max_size": self.max_size,
            "init": self._prepare,
            "reset": _leave_as_it_is,
            "connection_class": Connection,
            "command_timeout": settings.request_timeout,
            "statement_cache_size": 512,
            "max_cached_statement_lifetime": 0,
            "server_settings": {
                "application_name": self._application_name,
                "timezone": "UTC",
                # The server gives up when the caller has.
                "statement_timeout": str(int(settings.request_timeout * 1000)),
                "idle_in_transaction_session_timeout": str(int(settings.request_timeout * 1000)),
                "jit": "off",
            },
        }
        if settings.gcp_sql_instance is None:
            dsn = settings.url.render_as_string(hide_password=False)
            options |= {"dsn": dsn, "timeout": settings.db_pool_timeout}
            return await asyncpg.create_pool(**options)
        if self._cloud_sql is None:
            # Its libraries take a while to import, which nobody else should wait for.
            from runtime.db.cloud import CloudSql  # noqa: PLC0415

            # One, however often the opening fails: it holds sessions and keys.
            self._cloud_sql = CloudSql(settings)
        return await asyncpg.create_pool(connect=self._cloud_sql.connect, **options)


async def _leave_as_it_is(_connection: asyncpg.Connection) -> None:
    # Nothing here changes a session beyond its transaction, so asyncpg's RESET ALL would be a round trip for nothing.
    return


def _log_statement(record: LoggedQuery) -> None:
    # Without its values: they are users' data.
    error = type(record.exception).__name__ if record.exception else None
    log.debug("statement", sql=record.query, ms=round(record.elapsed * 1000, 2), error=error)
