"""A worker's figures at a moment, as the others read them, and the sum of them."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter

from runtime.observability.histogram import Histogram


@dataclass(slots=True, frozen=True)
class Served:
    """Requests of one method, route and status."""

    method: str
    route: str
    status: int
    durations: Histogram


@dataclass(slots=True, frozen=True)
class Performed:
    """Executions of one statement that ended in one way."""

    digest: str
    operation: str
    summary: str
    sql: str
    error_type: str
    durations: Histogram


@dataclass(slots=True, frozen=True)
class Totals:
    """What only grows; it outlives the worker that counted it."""

    since: float
    served: list[Served] = field(default_factory=list)
    performed: list[Performed] = field(default_factory=list)
    waits: Histogram = field(default_factory=Histogram)
    timeouts: int = 0
    # Family, outcome, how often.
    cache: list[tuple[str, str, int]] = field(default_factory=list)


@dataclass(slots=True, frozen=True)
class PoolState:
    """Connections of one worker."""

    size: int
    smallest: int
    largest: int
    in_use: int
    waiting: int
    most_in_use: int
    most_in_use_lately: int


@dataclass(slots=True, frozen=True)
class Worker:
    """What is only true of a worker that lives."""

    pid: int
    active: dict[str, int]
    pool: PoolState
    memory_bytes: int
    cpu_seconds: float


@dataclass(slots=True, frozen=True)
class Snapshot:
    """One worker's figures."""

    totals: Totals
    worker: Worker


@dataclass(slots=True, frozen=True)
class Instance:
    """The figures of all workers, those that ended included; and the workers that live."""

    totals: Totals
    workers: list[Worker]


SNAPSHOT = TypeAdapter(Snapshot)
TOTALS = TypeAdapter(Totals)


def merged(parts: Iterable[Totals]) -> Totals:
    """All of them as one."""
    parts = list(parts)
    served: dict[tuple[str, str, int], Served] = {}
    performed: dict[tuple[str, str], Performed] = {}
    cache: dict[tuple[str, str], int] = {}
    waits = Histogram()
    for part in parts:
        waits.merge(part.waits)
        for row in part.served:
            to = served.setdefault((row.method, row.route, row.status), replace(row, durations=Histogram()))
            to.durations.merge(row.durations)
        for done in part.performed:
            into = performed.setdefault((done.digest, done.error_type), replace(done, durations=Histogram()))
            into.durations.merge(done.durations)
        for family, outcome, number in part.cache:
            cache[family, outcome] = cache.get((family, outcome), 0) + number
    return Totals(
        since=min(part.since for part in parts),
        served=list(served.values()),
        performed=list(performed.values()),
        waits=waits,
        timeouts=sum(part.timeouts for part in parts),
        cache=[(*key, number) for key, number in cache.items()],
    )
