"""Whether what is in the cache may be believed: told by the database, where the writes are.

A write that cannot tell the cache tells the database, before it changes anything, that nobody may believe the cache
until a moment later than the write's end. Workers look once a lease. So the writer answers no sooner than a lease after
it told: by then every worker has looked. The moment is part of what entries are sealed with, so none from before it is
ever opened again, whichever server comes back with whatever memory. So are the database's identity and timeline: an
entry does not outlive a restore.
"""

import asyncio
import time
from typing import Any

import asyncpg
import structlog
from sqlalchemy import bindparam, func, text, update
from sqlalchemy.types import Double

from runtime.db.pool import Database, Transaction
from runtime.db.query import Query
from runtime.platform.models import CacheTrust

log = structlog.get_logger()

LEASE_SECONDS = 0.5
# What a cancelled write may still take in the database.
MARGIN_SECONDS = 5.0

_LOOK = Query(
    text("""
        SELECT distrusted_until <= clock_timestamp() AS trusted,
            concat_ws('/', (SELECT system_identifier FROM pg_control_system()),
                left(pg_walfile_name(pg_current_wal_lsn()), 8),
                (SELECT oid FROM pg_database WHERE datname = current_database()),
                extract(epoch FROM distrusted_until)) AS epoch
        FROM cache_trust
    """)
)
_SECONDS = func.make_interval(0, 0, 0, 0, 0, 0, bindparam("seconds", type_=Double))
_DISTRUST = Query(
    update(CacheTrust).values(
        distrusted_until=func.greatest(CacheTrust.distrusted_until, func.clock_timestamp() + _SECONDS)
    )
)


class Trust:
    """One worker's view of it.

    Args:
        database: which says so.
        longest_write: seconds between the beginning of a write and its end, at most.
    """

    def __init__(self, database: Database, *, longest_write: float) -> None:
        self._database = database
        self.longest_write = longest_write + MARGIN_SECONDS
        self._looking = asyncio.Lock()
        self._looked_at = -LEASE_SECONDS
        self._epoch: bytes | None = None
        self._telling = asyncio.Lock()
        self._told_until = 0.0
        self._known_at = 0.0

    async def epoch(self, began: float) -> bytes | None:
        """What entries are sealed with, or None while the cache is not to be believed.

        Args:
            began: when the request that asks did, by the monotonic clock.
        """
        if not self._is_fresh(began):
            async with self._looking:
                if not self._is_fresh(began):
                    await self._look()
        return self._epoch

    @property
    def is_distrusted(self) -> bool:
        """Whether this worker has said that nobody may, for longer than a write that begins now."""
        return self._told_until - time.monotonic() >= self.longest_write

    async def distrust(self) -> float:
        """See that nobody believes the cache until a write that begins now, or has just ended, is over.

        Returns:
            When every worker knows, by the monotonic clock: the write is answered no sooner.
        """
        async with self._telling:
            if not self.is_distrusted:
                now = time.monotonic()
                await self._database.write(self._tell, idempotent=True)
                if self._told_until < now:
                    # Else nobody can have believed it in between, and nobody needs to be waited for again.
                    self._known_at = time.monotonic() + LEASE_SECONDS
                self._told_until = now + 2 * self.longest_write
                log.warning("cache_distrusted", seconds=2 * self.longest_write)
        return self._known_at

    def _is_fresh(self, began: float) -> bool:
        return self._looked_at > began - LEASE_SECONDS

    async def _look(self) -> None:
        looked_at = time.monotonic()
        try:
            row = await self._database.row(_LOOK)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            # The read itself will say what is wrong with the database.
            log.info("cache_trust_unknown", error=type(error).__name__)
            row = None
        self._epoch = row["epoch"].encode() if row is not None and row["trusted"] else None
        self._looked_at = looked_at

    async def _tell(self, tx: Transaction) -> Any:
        return await tx.value(_DISTRUST, seconds=2 * self.longest_write)
