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
# How long a server may take to end a statement that nobody waits for any more.
CANCEL_SECONDS = 0.5
# Of one worker: about what it answers in the second in which a caller is still glad of it. More are refused at once.
MOST_WAITING = 1000


class Connection(asyncpg.Connection):
    """One that knows when it was opened, and does not wait long for a server that does not answer."""

    __slots__ = ("opened_at",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.opened_at = time.monotonic()

    async def _cancel(self, *waiters: Any) -> None:
        # The driver would give a server that hangs as long for this as for the command itself: twice the deadline.
        giving_up = asyncio.get_running_loop().call_later(CANCEL_SECONDS, self.terminate)
        try:
            await super()._cancel(*waiters)  # type: ignore[misc]  # asyncpg's types leave it out
        finally:
            giving_up.cancel()


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

    @property
    def size(self) -> int:
        """How many are open."""
        return self._pool.get_size()

    async def take(self) -> PoolConnectionProxy:
        """A connection, when there is one.

        Raises:
            TimeoutError: none came free in time.
            asyncpg.TooManyConnectionsError: too many wait already.
        """
        while self._at_hand:
            connection = self._at_hand.pop()
            if _is_open(connection):
                return connection
            await self.release(connection)
        if self.waiting >= MOST_WAITING:
            message = f"{MOST_WAITING} wait for a connection already"
            raise asyncpg.TooManyConnectionsError(message)
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
