"""The database's figures against the sources' thresholds, and what PostgreSQL says itself."""

import asyncio
import datetime as dt
from collections import defaultdict
from collections.abc import Awaitable

import asyncpg
from pydantic import TypeAdapter
from sqlalchemy import Integer, bindparam, text

from runtime.db.pool import Executor
from runtime.db.query import Query
from runtime.observability.histogram import Histogram, merged
from runtime.observability.meters import SLOW
from runtime.observability.published import CATALOGUE
from runtime.observability.publishing import Publication, Publisher
from runtime.observability.snapshot import Instance, Performed, Worker
from runtime.platform import monitoring_schemas as schemas
from runtime.platform.monitoring_schemas import Order, State

POOL_PERCENT = 90.0
P95_SECONDS = 0.2
SLOW_PERCENT = 5.0
# What PostgreSQL says is worth this long: the figures come without it too.
SERVER_SECONDS = 2.0

_CONNECTIONS = Query(
    text("""
        SELECT to_json(found) FROM (
            SELECT count(*) AS total,
                   count(*) FILTER (WHERE state = 'active') AS active,
                   count(*) FILTER (WHERE state = 'idle') AS idle,
                   count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS idle_in_transaction,
                   count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting_for_lock,
                   extract(epoch FROM max(clock_timestamp() - xact_start))::float8 AS longest_transaction_seconds,
                   current_setting('max_connections')::int AS max_connections
            FROM pg_stat_activity
            WHERE usename = current_user AND datname = current_database()
        ) AS found
    """)
)
# Its own statements alone: others' may have secrets in their text.
_STATEMENTS = Query(
    text("""
        SELECT coalesce(json_agg(found), '[]') FROM (
            SELECT queryid::text AS query_id, query AS sql, calls, rows,
                   total_exec_time AS total_ms, mean_exec_time AS mean_ms, max_exec_time AS max_ms
            FROM pg_stat_statements
            WHERE userid = current_user::regrole::oid
              AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND queryid IS NOT NULL AND query IS NOT NULL
            ORDER BY total_exec_time DESC
            LIMIT :limit
        ) AS found
    """).bindparams(bindparam("limit", type_=Integer))
)
_SERVER_STATEMENTS = TypeAdapter(list[schemas.ServerStatement])

_ORDERED_BY = {
    Order.TOTAL: lambda row: row.total_ms,
    Order.MEAN: lambda row: row.mean_ms,
    Order.P95: lambda row: row.p95_ms,
    Order.CALLS: lambda row: row.calls,
    Order.ERRORS: lambda row: row.errors,
    Order.SLOW: lambda row: row.slow,
}


async def pool_report(instance: Instance, db: Executor) -> schemas.PoolReport:
    """The connections of the instance, and what the server says of them."""
    pools = [worker.pool for worker in instance.workers]
    in_use, most = sum(pool.in_use for pool in pools), sum(pool.largest for pool in pools)
    size = sum(pool.size for pool in pools)
    busiest = max(map(_percent_in_use, instance.workers))
    server, detail = await _server_connections(db)
    return schemas.PoolReport(
        status=_state(busiest, POOL_PERCENT),
        workers=len(pools),
        size=size,
        min=sum(pool.smallest for pool in pools),
        max=most,
        in_use=in_use,
        idle=max(0, size - in_use),
        waiting=sum(pool.waiting for pool in pools),
        utilisation=in_use / most,
        utilisation_percent=_percent(in_use, most),
        busiest_worker_percent=busiest,
        most_in_use=sum(pool.most_in_use for pool in pools),
        most_in_use_last_minute=sum(pool.most_in_use_lately for pool in pools),
        wait_p95_ms=_ms(instance.totals.waits.quantile(0.95)),
        timeouts=instance.totals.timeouts,
        thresholds=schemas.PoolThresholds(utilisation_percent=POOL_PERCENT),
        server=server,
        server_detail=detail,
    )


async def query_report(instance: Instance, db: Executor, *, limit: int, order: Order) -> schemas.QueryReport:
    """The instance's statements, those with the most of `order` first, and what the server says of its own."""
    by_statement: defaultdict[str, list[Performed]] = defaultdict(list)
    for performed in instance.totals.performed:
        if performed.durations.count:
            by_statement[performed.digest].append(performed)
    rows = sorted(map(_statement_report, by_statement.values()), key=_ORDERED_BY[order], reverse=True)
    overall = merged(performed.durations for performed in instance.totals.performed)
    p95, slow_percent = overall.quantile(0.95), _percent(overall.above(SLOW), overall.count)
    p95_status, slow_status = _state(p95 or 0, P95_SECONDS), _state(slow_percent, SLOW_PERCENT)
    server, detail = await _server_statements(db, limit)
    return schemas.QueryReport(
        status="alert" if "alert" in (p95_status, slow_status) else "ok",
        p95_status=p95_status,
        slow_status=slow_status,
        since=dt.datetime.fromtimestamp(instance.totals.since, dt.UTC),
        calls=overall.count,
        errors=sum(row.errors for row in rows),
        p50_ms=_ms(overall.quantile(0.5)),
        p95_ms=_ms(p95),
        p99_ms=_ms(overall.quantile(0.99)),
        slow=overall.above(SLOW),
        slow_percent=slow_percent,
        thresholds=schemas.QueryThresholds(slow_ms=SLOW * 1000, p95_ms=P95_SECONDS * 1000, slow_percent=SLOW_PERCENT),
        queries=rows[:limit],
        count=len(rows[:limit]),
        pg_stat_statements=server,
        pg_stat_statements_detail=detail,
    )


def publication_report(publisher: Publisher, publication: Publication, *, is_new: bool) -> schemas.PublicationReport:
    """What was written to Cloud Monitoring."""
    series = [
        schemas.PublishedSeries(metric_type=one.metric_type, unit=CATALOGUE[one.metric_type].unit, value=one.value)
        for one in publication.readings
    ]
    return schemas.PublicationReport(
        published_at=dt.datetime.fromtimestamp(publication.counted.at, dt.UTC),
        is_new=is_new,
        interval_seconds=round(publication.seconds, 3),
        resource=dict(publisher.place.labels),
        series=series,
        count=len(series),
    )


def _statement_report(outcomes: list[Performed]) -> schemas.StatementReport:
    of, durations = outcomes[0], merged(outcome.durations for outcome in outcomes)
    calls, slow = durations.count, durations.above(SLOW)
    return schemas.StatementReport(
        summary=of.summary,
        query_hash=of.digest,
        sql=of.sql,
        calls=calls,
        errors=sum(outcome.durations.count for outcome in outcomes if outcome.error_type),
        total_ms=_rounded(durations.total),
        mean_ms=_rounded(durations.total / calls),
        p50_ms=_quantile(durations, 0.5),
        p95_ms=_quantile(durations, 0.95),
        p99_ms=_quantile(durations, 0.99),
        max_ms=_rounded(durations.longest),
        slow=slow,
        slow_percent=_percent(slow, calls),
    )


async def _server_connections(db: Executor) -> tuple[schemas.ServerConnections | None, str | None]:
    answer, problem = await _asked(db.value(_CONNECTIONS))
    return (None, problem) if answer is None else (schemas.ServerConnections.model_validate_json(answer), None)


async def _server_statements(db: Executor, limit: int) -> tuple[list[schemas.ServerStatement] | None, str | None]:
    answer, problem = await _asked(db.value(_STATEMENTS, limit=limit))
    return (None, problem) if answer is None else (_SERVER_STATEMENTS.validate_json(answer), None)


async def _asked(answer: Awaitable[bytes]) -> tuple[bytes | None, str | None]:
    try:
        async with asyncio.timeout(SERVER_SECONDS):
            return await answer, None
    except asyncpg.UndefinedTableError:
        return None, "the extension is not installed: python -m runtime migrate"
    except asyncpg.ObjectNotInPrerequisiteStateError:
        return None, "the server does not load it: add it to shared_preload_libraries"
    except asyncpg.InsufficientPrivilegeError:
        return None, "the API's login may not read it"
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        return None, f"the database does not answer ({type(error).__name__})"


def _percent_in_use(worker: Worker) -> float:
    return _percent(worker.pool.in_use, worker.pool.largest)


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def _state(value: float, threshold: float) -> State:
    return "alert" if value > threshold else "ok"


def _quantile(durations: Histogram, share: float) -> float:
    return _rounded(durations.quantile(share) or 0.0)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else _rounded(seconds)


def _rounded(seconds: float) -> float:
    """Milliseconds, to the microsecond."""
    return round(seconds * 1000, 3)
