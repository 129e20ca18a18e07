"""One worker's figures, collected when asked and published each second."""

import asyncio
import contextlib
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from runtime.db.pool import Database
from runtime.observability.meters import HttpMeter
from runtime.observability.snapshot import Instance, Performed, PoolState, Served, Snapshot, Totals, Worker
from runtime.observability.workers import Workers

log = structlog.get_logger()

PERIOD = 1.0
_PAGE = resource.getpagesize()
_STATM = Path("/proc/self/statm")


class Figures:
    """What a worker knows of itself, and of its instance.

    Args:
        http: counts the requests.
        database: counts statements and connections.
        cache: how often which family had which outcome.
        folder: where the instance's workers meet; None for a worker that is alone.
    """

    def __init__(
        self,
        http: HttpMeter,
        database: Database,
        cache: Callable[[], Mapping[tuple[str, str], int]],
        *,
        folder: Path | None = None,
    ) -> None:
        self._http = http
        self._database = database
        self._cache = cache
        self._since = time.time()
        self._workers = self._join(folder) if folder else None
        self._publishing = asyncio.create_task(self._publish_for_ever())

    async def instance(self) -> Instance:
        """The figures of all workers; the others' are at most about a second old."""
        own = self._snapshot()
        if self._workers is None:
            return Instance(own.totals, [own.worker])
        try:
            # What was told once is never less when another worker tells it.
            await asyncio.to_thread(self._workers.publish, own)
            return await asyncio.to_thread(self._workers.together_with, own)
        except OSError as error:
            log.warning("figures_of_other_workers_missing", error=type(error).__name__)
            return Instance(own.totals, [own.worker])

    async def close(self) -> None:
        """Publish for the last time."""
        self._publishing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._publishing
        if self._workers is not None:
            await self._publish(self._workers)
            self._workers.leave()

    def _join(self, folder: Path) -> Workers | None:
        try:
            return Workers(folder)
        except OSError as error:
            # The API answers without; its figures are then this worker's alone.
            log.warning("figures_not_shared", error=type(error).__name__, folder=str(folder))
            return None

    async def _publish_for_ever(self) -> None:
        while True:
            if self._workers is not None:
                await self._publish(self._workers)
            await asyncio.sleep(PERIOD)
            self._database.meter.tick()

    async def _publish(self, workers: Workers) -> None:
        try:
            await asyncio.to_thread(workers.publish, self._snapshot())
        except OSError as error:
            log.warning("figures_not_published", error=type(error).__name__)

    def _snapshot(self) -> Snapshot:
        meter = self._database.meter
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return Snapshot(
            Totals(
                since=self._since,
                served=[Served(*key, durations) for key, durations in self._http.served.items()],
                performed=[
                    Performed(of.digest, of.operation, of.summary, of.sql, error, durations)
                    for of, error, durations in meter.outcomes()
                ],
                waits=meter.waits,
                timeouts=meter.timeouts,
                cache=[(*key, number) for key, number in self._cache().items()],
            ),
            Worker(
                pid=os.getpid(),
                active=dict(self._http.active),
                pool=PoolState(
                    size=self._database.size,
                    smallest=self._database.min_size,
                    largest=self._database.max_size,
                    in_use=meter.in_use,
                    waiting=self._database.waiting,
                    most_in_use=meter.most_in_use,
                    most_in_use_lately=meter.most_in_use_lately,
                ),
                memory_bytes=_resident_bytes(usage),
                cpu_seconds=usage.ru_utime + usage.ru_stime,
            ),
        )


def _resident_bytes(usage: resource.struct_rusage) -> int:
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * _PAGE
    # Elsewhere only the most that it ever was; macOS says it in bytes.
    return usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * 1024
