"""utxoIQ's metrics: one row or thousands in, recent or aggregated out."""

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import DateTime, Float, bindparam, func, literal_column, select

from runtime.db.documents import Document
from runtime.db.lists import Key, Page
from runtime.db.pool import Executor, Transaction
from runtime.db.query import Copy, Query, json_page
from runtime.db.writes import Writes
from runtime.fields import utc_now
from runtime.systems.utxoiq import schemas, views
from runtime.systems.utxoiq.models import SystemMetric
from runtime.systems.utxoiq.vocabulary import Interval

_WRITES = Writes(SystemMetric, views.METRIC)
_COPY = Copy(
    SystemMetric,
    [
        SystemMetric.service_name,
        SystemMetric.metric_type,
        SystemMetric.metric_value,
        SystemMetric.unit,
        SystemMetric.timestamp,
        SystemMetric.metric_metadata,
    ],
)

_MOMENT = DateTime(timezone=True)
_IN_WINDOW = (
    SystemMetric.timestamp >= bindparam("start", type_=_MOMENT),
    SystemMetric.timestamp < bindparam("end", type_=_MOMENT),
)
_OF_TYPE = SystemMetric.metric_type == bindparam("metric_type", type_=SystemMetric.metric_type.type)
_OF_SERVICE = SystemMetric.service_name == bindparam("service_name", type_=SystemMetric.service_name.type)


def _aggregate(interval: Interval) -> Query:
    # The session's time zone is UTC, and so are the buckets.
    bucket = func.date_trunc(literal_column(f"'{interval}'"), SystemMetric.timestamp).label(interval.value)
    value = SystemMetric.metric_value
    rows = (
        select(
            bucket,
            func.avg(value).label("avg_value"),
            func.min(value).label("min_value"),
            func.max(value).label("max_value"),
            func.count().label("count"),
        )
        .where(_OF_SERVICE, _OF_TYPE, *_IN_WINDOW)
        .group_by(bucket)
        .order_by(bucket)
    )
    return Query(json_page(rows))


_AGGREGATES = {interval: _aggregate(interval) for interval in Interval}
_average = func.avg(SystemMetric.metric_value)
_SERVICES = Query(
    json_page(
        select(SystemMetric.service_name, _average.label("avg_value"))
        .where(_OF_TYPE, *_IN_WINDOW)
        .group_by(SystemMetric.service_name)
        .having(_average > bindparam("above", type_=Float))
        .order_by(_average.desc(), SystemMetric.service_name),
    )
)


async def record_metric(tx: Transaction, metric: schemas.MetricInput) -> Document[schemas.Metric]:
    """Store one measurement; without a timestamp, as of now."""
    values: dict[str, Any] = {**metric}
    return Document(await tx.value(_WRITES.insert(frozenset(values)), **values), schemas.Metric)


async def record_metrics(tx: Transaction, metrics: Sequence[schemas.MetricInput]) -> int:
    """Store measurements by COPY, all or none.

    Returns:
        How many.
    """
    now = utc_now()
    await tx.copy(
        _COPY,
        (
            (
                metric["service_name"],
                metric["metric_type"],
                metric["metric_value"],
                metric["unit"],
                metric.get("timestamp", now),
                _json(metric.get("metric_metadata")),
            )
            for metric in metrics
        ),
    )
    return len(metrics)


def _json(value: dict[str, Any] | None) -> bytes | None:
    return None if value is None else json.dumps(value, ensure_ascii=False).encode()


async def get_metrics(
    db: Executor, *, limit: int = 100, after: Key | None = None, **filters: Any
) -> Page[schemas.Metric]:
    """A page of measurements, newest first; filters: service_name, metric_type, start, end."""
    return await views.METRICS.page(db, limit=limit, after=after, **filters)


async def aggregate(
    db: Executor,
    *,
    service_name: str,
    metric_type: str,
    start: dt.datetime,
    end: dt.datetime,
    interval: Interval = Interval.HOUR,
) -> Any:
    """Mean, least and greatest of each hour or day (UTC), oldest first: a row of `rows` (JSON) and `count`."""
    return await db.row(
        _AGGREGATES[Interval(interval)], service_name=service_name, metric_type=metric_type, start=start, end=end
    )


async def get_services_above(
    db: Executor, *, metric_type: str, above: float, start: dt.datetime, end: dt.datetime
) -> Any:
    """Services whose average is above a threshold, highest first: a row of `rows` (JSON) and `count`."""
    return await db.row(_SERVICES, metric_type=metric_type, above=above, start=start, end=end)
