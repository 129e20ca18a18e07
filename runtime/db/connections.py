"""Connections at hand: a layer over asyncpg's pool that makes taking one, and giving it back, cost next to nothing.

asyncpg's pool puts a task and several timers around each use, which is a sixth of a read by key. So a connection that
was used without trouble stays here for the next who asks; the pool opens connections, ends them, and lets those wait
for whom there is none.
"""

import asyncio
import time
from typing import Any, cast

import asyncpg
from asyncpg.pool import Pool, PoolConnectionProxy

CLOSE_SECONDS = 5


class Connection(asyncpg.Connection):
    """One that knows when it was opened."""

    __slots__ = ("opened_at",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.opened_at = time.monotonic()


class Connections:
    """The connections of a pool.

    Args:
        pool: where they come from; its connections are of the class `Connection`.
        timeout: seconds to wait for one.
        recycle: seconds after which one is replaced.
    """

    def __init__(self, pool: Pool, *, timeout: float, recycle: float) -> None:  # a setting, not a call's deadline
        self._pool = pool
        self._timeout = timeout
        self._recycle = recycle
        # The last one used comes first: its caches are warm, at both ends.
        self._at_hand: list[PoolConnectionProxy] = []
        self.waiting = 0

    async def take(self) -> PoolConnectionProxy:
        """A connection, when there is one.

        Raises:
            TimeoutError: none came free in time.
        """
        while self._at_hand:
            connection = self._at_hand.pop()
            if _is_open(connection):
                return connection
            await self.release(connection)
        self.waiting += 1
        try:
            return await self._pool.acquire(timeout=self._timeout)
        finally:
            self.waiting -= 1

    async def keep(self, connection: PoolConnectionProxy) -> None:
        """Give back a connection whose last use ended well."""
        if time.monotonic() - cast("Connection", connection).opened_at > self._recycle:
            # The pool opens another when it is next needed.
            await connection.close()
            await self.release(connection)
        elif self.waiting:
            await self.release(connection)
        else:
            self._at_hand.append(connection)

    async def release(self, connection: PoolConnectionProxy) -> None:
        """Give back a connection whose state is not known: the pool ends what is still under way on it."""
        await self._pool.release(connection)

    async def close(self) -> None:
        """End all; those still busy after five seconds are cut off."""
        while self._at_hand:
            await self.release(self._at_hand.pop())
        try:
            await asyncio.wait_for(self._pool.close(), timeout=CLOSE_SECONDS)
        except TimeoutError:
            self._pool.terminate()


def _is_open(connection: PoolConnectionProxy) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        # It was lost meanwhile, and the pool has put it aside.
        return False
