"""Metrics: none is lost, a batch is whole or not there, and the aggregates are right."""

import datetime as dt
import json
import statistics
from collections import defaultdict
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from runtime.db.pool import Database
from runtime.systems.utxoiq import metrics_service as service
from runtime.systems.utxoiq import schemas
from runtime.systems.utxoiq.vocabulary import Interval
from tests.conftest import TestDatabase

NOON = dt.datetime(2026, 1, 15, 12, tzinfo=dt.UTC)
HOUR, DAY, INSTANT = dt.timedelta(hours=1), dt.timedelta(days=1), dt.timedelta(microseconds=1)
HOSTILE: dict[str, Any] = {"%s": ["'", '"', "\\", "ü", "🜚", 0.0, None, {}], "": ""}


def metric(value: float = 0.0, at: dt.datetime | None = None, service_name: str = "web-api", **fields: Any) -> Any:
    made = {"service_name": service_name, "metric_type": "cpu", "metric_value": value, "unit": "percent", **fields}
    return made if at is None else {**made, "timestamp": at}


async def record(db: Database, *metrics: Any) -> int:
    return await db.write(lambda tx: service.record_metrics(tx, metrics))


async def stored(db: Database, **filters: Any) -> list[schemas.Metric]:
    return list(await service.get_metrics(db, limit=1000, **filters))


async def test_one_measurement_comes_back_as_it_went_in(db: Database) -> None:
    given = metric(-0.0, NOON + INSTANT, metric_metadata=HOSTILE)
    made = (await db.write(lambda tx: service.record_metric(tx, given))).read()
    assert (made.metric_value, made.timestamp, made.metric_metadata) == (0.0, NOON + INSTANT, HOSTILE)
    assert await stored(db) == [made]


async def test_a_batch_stores_what_single_calls_would(db: Database) -> None:
    given = [
        metric(1.5, NOON, metric_metadata=HOSTILE),
        metric(1e308, NOON + HOUR, metric_metadata=None),
        metric(-5e-324, NOON + DAY, service_name="ü" * 100, unit="%" * 20, metric_type="'" * 50),
    ]
    assert await record(db, *given) == 3
    batch = await stored(db)
    for one in given:
        await db.write(lambda tx, one=one: service.record_metric(tx, one))
    both = await stored(db)
    assert len(both) == 6
    without_id = [row.model_dump(exclude={"id"}) for row in both]
    assert all(without_id.count(row.model_dump(exclude={"id"})) == 2 for row in batch)


async def test_without_a_timestamp_it_is_now(db: Database) -> None:
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=2)
    await db.write(lambda tx: service.record_metric(tx, metric()))
    await record(db, metric(), metric())
    after = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2)
    assert all(before <= row.timestamp <= after for row in await stored(db))


async def test_a_batch_with_one_row_that_is_refused_stores_none(db: Database) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="metric_value_finite"):
        await record(db, *[metric(float(n), NOON) for n in range(500)], metric(float("nan"), NOON))
    assert await stored(db) == []


async def test_a_month_without_a_partition_loses_nothing(db: Database, database: TestDatabase) -> None:
    months = [
        dt.datetime(year, month, 1, tzinfo=dt.UTC) - step
        for year, month in ((1970, 1), (2009, 1), (2024, 3), (2031, 12), (9999, 12))
        for step in (dt.timedelta(0), INSTANT)
    ]
    await record(db, *[metric(float(n), at) for n, at in enumerate(months)])
    found = {row.timestamp: row.metric_value for row in await stored(db)}
    assert found == {at: float(n) for n, at in enumerate(months)}
    engine = database.engine()
    with engine.connect() as connection:
        waiting = connection.scalar(text("SELECT count(*) FROM system_metrics_default"))
    engine.dispose()
    assert waiting == len(months)


async def test_a_window_includes_its_start_and_not_its_end(db: Database) -> None:
    await record(
        db, *[metric(float(n), at) for n, at in enumerate((NOON - INSTANT, NOON, NOON + HOUR - INSTANT, NOON + HOUR))]
    )
    found = await stored(db, start=NOON, end=NOON + HOUR)
    assert [row.metric_value for row in found] == [2.0, 1.0]
    assert [row.metric_value for row in await stored(db, start=NOON + HOUR)] == [3.0]
    assert [row.metric_value for row in await stored(db, end=NOON)] == [0.0]
    (bucket,) = await buckets(db, NOON, NOON + HOUR)
    assert (bucket["min_value"], bucket["max_value"], bucket["count"]) == (1.0, 2.0, 2)
    above = await db_services(db, above=1.49, start=NOON, end=NOON + HOUR)
    assert above == [{"service_name": "web-api", "avg_value": 1.5}]


async def buckets(db: Database, start: dt.datetime, end: dt.datetime, interval: str = "hour") -> list[dict[str, Any]]:
    found = await service.aggregate(
        db, service_name="web-api", metric_type="cpu", start=start, end=end, interval=Interval(interval)
    )
    rows: list[dict[str, Any]] = json.loads(found["rows"])
    assert found["count"] == len(rows)
    return rows


async def db_services(db: Database, *, above: float, start: dt.datetime, end: dt.datetime) -> list[dict[str, Any]]:
    found = await service.get_services_above(db, metric_type="cpu", above=above, start=start, end=end)
    rows: list[dict[str, Any]] = json.loads(found["rows"])
    assert found["count"] == len(rows)
    return rows


@pytest.mark.parametrize("interval", ["hour", "day"])
async def test_aggregates_are_those_of_the_rows(db: Database, interval: str) -> None:
    # Three days over the end of a month, irregular, from a clock two hours ahead; one hour has no rows.
    begin = dt.datetime(2026, 1, 30, 23, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    rows = [(begin + n * dt.timedelta(minutes=37), float((n * 7919) % 101) - 50) for n in range(110)]
    rows = [(at, value) for at, value in rows if at.astimezone(dt.UTC).hour != 4]
    await record(db, *[metric(value, at) for at, value in rows])
    await record(db, metric(1e6, NOON + 20 * DAY, service_name="other"), metric(1e6, rows[0][0], metric_type="memory"))

    expected: dict[dt.datetime, list[float]] = defaultdict(list)
    for at, value in rows:
        moment = at.astimezone(dt.UTC).replace(minute=0, second=0)
        expected[moment if interval == "hour" else moment.replace(hour=0)].append(value)
    found = await buckets(db, begin, begin + 4 * DAY, interval)
    assert [dt.datetime.fromisoformat(row[interval]) for row in found] == sorted(expected)
    for row in found:
        values = expected[dt.datetime.fromisoformat(row[interval])]
        assert row["avg_value"] == pytest.approx(statistics.fmean(values))
        assert (row["min_value"], row["max_value"], row["count"]) == (min(values), max(values), len(values))


async def test_services_are_those_whose_average_is_above_the_limit_highest_first(db: Database) -> None:
    values = {"busy": [90.0, 100.0], "at the limit": [70.0, 90.0], "idle": [0.0, 1.0], "hot": [99.0], "hot'": [99.0]}
    await record(db, *[metric(v, NOON, service_name=name) for name, vs in values.items() for v in vs])
    await record(
        db,
        metric(500.0, NOON - DAY, service_name="idle"),
        metric(500.0, NOON, service_name="idle", metric_type="memory"),
    )
    found = await db_services(db, above=80.0, start=NOON, end=NOON + HOUR)
    assert [(row["service_name"], row["avg_value"]) for row in found] == [("hot", 99.0), ("hot'", 99.0), ("busy", 95.0)]
    assert [row["service_name"] for row in await db_services(db, above=-1.0, start=NOON, end=NOON + HOUR)][-1] == "idle"


async def test_measurements_are_filtered_by_service_and_type(db: Database) -> None:
    await record(
        db,
        metric(1.0, NOON, service_name="a", metric_type="cpu"),
        metric(2.0, NOON, service_name="a", metric_type="memory"),
        metric(3.0, NOON, service_name="b", metric_type="cpu"),
    )
    assert {row.metric_value for row in await stored(db, service_name="a")} == {1.0, 2.0}
    assert {row.metric_value for row in await stored(db, metric_type="cpu")} == {1.0, 3.0}
    assert {row.metric_value for row in await stored(db, service_name="a", metric_type="cpu")} == {1.0}
    assert await stored(db, service_name="%") == []
