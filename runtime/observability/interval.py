"""What an instance did since it was last published: its counters only grow, and a p95 of last week helps nobody."""

from dataclasses import dataclass, field

from runtime.observability import published
from runtime.observability.histogram import Histogram, merged
from runtime.observability.meters import SLOW
from runtime.observability.published import Reading, reading
from runtime.observability.snapshot import Instance, Worker

_MS = 1000


@dataclass(slots=True, frozen=True)
class Counters:
    """What only grows, as it was at a moment."""

    statements: Histogram = field(default_factory=Histogram)
    cache_hits: int = 0
    cache_reads: int = 0


@dataclass(slots=True, frozen=True)
class Counted:
    """What was told of an instance, from which the next interval goes on.

    Attributes:
        began_at: from when on `calls` and `slow` are counted, in seconds since 1970.
        at: when, in seconds since 1970.
    """

    began_at: float
    at: float
    counters: Counters
    calls: int
    slow: int


def counted(instance: Instance, at: float, last: Counted | None) -> tuple[Counted, list[Reading]]:
    """An instance's figures at a moment.

    Args:
        instance: its counters since it began, and its connections now.
        at: the moment, in seconds since 1970.
        last: what was told before; None for the first time.

    Returns:
        What to go on from, and the figures. What nothing was measured for is left out.
    """
    now = _counters(instance)
    before = last.counters if last else Counters()
    statements = now.statements.since(before.statements)
    reads = now.cache_reads - before.cache_reads
    hits = now.cache_hits - before.cache_hits
    calls, slow = statements.count, statements.above(SLOW)
    told = Counted(
        # A series' start never moves, whatever is later found that began earlier.
        last.began_at if last else instance.totals.since,
        at,
        now,
        calls + (last.calls if last else 0),
        slow + (last.slow if last else 0),
    )
    readings = [
        reading(published.POOL_UTILIZATION, max(map(_used, instance.workers), default=0.0)),
        reading(published.POOL_WAITING, sum(worker.pool.waiting for worker in instance.workers)),
        reading(published.QUERY_COUNT, told.calls),
        reading(published.QUERY_SLOW_COUNT, told.slow),
    ]
    for metric, share in (
        (published.QUERY_P50, 0.5),
        (published.QUERY_P95, 0.95),
        (published.QUERY_P99, 0.99),
    ):
        seconds = statements.quantile(share)
        if seconds is not None:
            readings.append(reading(metric, round(seconds * _MS, 3)))
    if calls:
        readings.append(reading(published.QUERY_SLOW_RATIO, slow / calls))
    if reads > 0:
        readings.append(reading(published.CACHE_HIT_RATIO, max(0, hits) / reads))
    return told, readings


def _counters(instance: Instance) -> Counters:
    cache = instance.totals.cache
    return Counters(
        merged(performed.durations for performed in instance.totals.performed),
        sum(number for _, outcome, number in cache if outcome == "hit"),
        sum(number for _, _, number in cache),
    )


def _used(worker: Worker) -> float:
    return worker.pool.in_use / worker.pool.largest
