"""What the platform says of itself: figures and the monitoring of the database, on one application in this process."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client import parser
from prometheus_client.core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from sqlalchemy import literal_column, select

from runtime.api.app import create_app
from runtime.db.query import Query
from runtime.observability import trace
from runtime.observability.exposition import _DATABASE_BOUNDS, _HTTP_BOUNDS
from runtime.observability.histogram import BOUNDS, Histogram
from runtime.observability.meters import MOST_STATEMENTS, SLOW, DatabaseMeter
from tests.conftest import TestDatabase
from tests.runtime.api.contract import assert_problem
from tests.runtime.api.snapshots import execute
from tests.runtime.api.world import DATABASE, EXPERIMENTS, post

REQUESTS = "http_server_request_duration_seconds_count"
STATEMENTS = "db_client_operation_duration_seconds_count"
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

Series = dict[tuple[tuple[str, str], ...], float]


def series(families: Iterable[Metric], name: str) -> Series:
    """A metric's values by their labels."""
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


async def scraped(client: httpx.AsyncClient, name: str, **labels: str) -> float:
    """The sum of a metric's values that have these labels."""
    text = (await client.get("/metrics")).text
    found = series(parser.text_string_to_metric_families(text), name)
    return sum(value for key, value in found.items() if labels.items() <= dict(key).items())


@asynccontextmanager
async def serving(database: TestDatabase, key: str, **settings: object) -> AsyncIterator[httpx.AsyncClient]:
    """An application of its own in this process, and a client of it."""
    app = create_app(database.settings(db_pool_min=1, **settings))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://holdfast.test", headers={"X-API-Key": key}
        ) as client:
            yield client


def files_in(folder: Path) -> int:
    return len(list(folder.glob("*.json")))


async def eventually(condition: Callable[[], object], *, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # numbers have no event
            await asyncio.sleep(0.01)


async def test_requests_are_counted_by_template_and_callers_make_no_series(client: httpx.AsyncClient) -> None:
    await post(client, EXPERIMENTS, {"id": "e"})

    async def known() -> Series:
        return series(parser.text_string_to_metric_families((await client.get("/metrics")).text), REQUESTS)

    for _ in range(3):
        assert (await client.get(f"{EXPERIMENTS}/e")).status_code == 200
    template = {"http_request_method": "GET", "http_route": f"{EXPERIMENTS}/{{experiment_id}}"}
    assert await scraped(client, REQUESTS, **template, http_response_status_code="200") == 3
    before = await known()
    for number in range(100):
        await client.get(f"/{number}/%00%0A'\"{{}}")
        await client.get(f"{EXPERIMENTS}/{number}")
        await client.get(f"{EXPERIMENTS}/e/{number}")
        await client.request(f"HACK{number}", EXPERIMENTS)
    added = [dict(key) for key in (await known()).keys() - before.keys()]
    assert {(labels["http_route"], labels["http_request_method"]) for labels in added} == {
        ("", "GET"),
        (EXPERIMENTS, "_OTHER"),
        (f"{EXPERIMENTS}/{{experiment_id}}", "GET"),
    }
    assert len(added) == 3
    assert await scraped(client, REQUESTS, http_route="", http_response_status_code="404") == 200
    assert await scraped(client, "http_server_active_requests") == 1


async def test_both_formats_are_what_their_parsers_read_and_have_opentelemetrys_names(
    client: httpx.AsyncClient,
) -> None:
    await client.get(EXPERIMENTS)
    plain = await client.get("/metrics")
    wanted = await client.get("/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0,*/*;q=0.1"})
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert wanted.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    read = list(openmetrics.text_string_to_metric_families(wanted.text))
    assert {family.name for family in read} == {
        "http_server_request_duration_seconds",
        "http_server_active_requests",
        "db_client_operation_duration_seconds",
        "db_client_connection_count",
        "db_client_connection_max",
        "db_client_connection_pending_requests",
        "db_client_connection_wait_time_seconds",
        "db_client_connection_timeouts",
        "holdfast_cache_requests",
        "process_memory_usage_bytes",
        "process_cpu_time_seconds",
    }
    assert series(read, STATEMENTS) == series(parser.text_string_to_metric_families(plain.text), STATEMENTS)
    assert {
        "db_system_name": "postgresql",
        "db_operation_name": "SELECT",
        "db_query_summary": "SELECT experiments",
    } in ({name: value for name, value in key if name.startswith("db_")} for key in series(read, STATEMENTS))


async def test_figures_need_a_credential_that_may_read_the_platform(
    make_client: Callable[..., httpx.AsyncClient], make_key: Callable[..., str]
) -> None:
    assert_problem(await make_client().get("/metrics"), 401, "unauthenticated")
    refused = await make_client(make_key("ard:read", "utxoiq:admin", "platform:write")).get("/metrics")
    assert "platform:read" in assert_problem(refused, 403, "forbidden")["detail"]
    assert (await make_client(make_key("platform:read")).get("/metrics")).status_code == 200


async def test_applications_in_one_process_count_for_themselves(
    database: TestDatabase, make_key: Callable[..., str]
) -> None:
    key = make_key()
    async with serving(database, key) as one, serving(database, key) as other:
        await one.get(EXPERIMENTS)
        assert await scraped(one, REQUESTS, http_route=EXPERIMENTS) == 1
        assert await scraped(other, REQUESTS, http_route=EXPERIMENTS) == 0


async def test_workers_that_meet_in_a_folder_tell_the_same_and_what_one_counted_outlives_it(
    database: TestDatabase, make_key: Callable[..., str], tmp_path: Path
) -> None:
    key = make_key()
    async with serving(database, key, metrics_dir=tmp_path) as one:
        async with serving(database, key, metrics_dir=tmp_path) as other:
            for client, times in ((one, 2), (other, 3)):
                for _ in range(times):
                    await client.get(EXPERIMENTS)
            # What was told once is in its file, so that nobody tells less.
            assert await scraped(other, REQUESTS, http_route=EXPERIMENTS) >= 3
            assert await scraped(one, REQUESTS, http_route=EXPERIMENTS) == 5
            assert await scraped(one, "db_client_connection_max") == 60
            assert (await one.get(f"{DATABASE}/pool")).json()["workers"] == 2
        for _ in range(2):
            assert await scraped(one, REQUESTS, http_route=EXPERIMENTS) == 5
            assert await scraped(one, "db_client_connection_max") == 30
            # The next one to start adds up those that ended, and leaves one file of them.
            async with serving(database, key, metrics_dir=tmp_path) as third:
                assert await scraped(third, REQUESTS, http_route=EXPERIMENTS) == 5
                assert await scraped(third, "db_client_connection_max") == 60
                assert files_in(tmp_path) == 3


async def test_without_its_folder_a_worker_tells_its_own_figures(
    database: TestDatabase, make_key: Callable[..., str], tmp_path: Path
) -> None:
    folder = tmp_path / "figures"
    async with serving(database, make_key(), metrics_dir=folder) as client:
        await client.get(EXPERIMENTS)
        shutil.rmtree(folder)
        assert await scraped(client, REQUESTS, http_route=EXPERIMENTS) == 1


async def test_garbage_in_the_folder_is_not_counted(
    database: TestDatabase, make_key: Callable[..., str], tmp_path: Path
) -> None:
    for name in ("ended.json", "worker-1-aa.json", "worker-2-bb.json"):
        (tmp_path / name).write_bytes(b'{"totals": "\xff')
    (tmp_path / "worker-1-aa.alive").touch()
    async with serving(database, make_key(), metrics_dir=tmp_path) as client:
        await client.get(EXPERIMENTS)
        assert await scraped(client, REQUESTS, http_route=EXPERIMENTS) == 1


async def test_a_pool_that_is_all_in_use_is_an_alert_and_shows_who_waits(
    database: TestDatabase, make_key: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The key is looked up once, while there is a connection for it.
    monkeypatch.setattr("runtime.api.auth.CACHE_SECONDS", 60)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            serving(database, make_key(), db_pool_max=1, db_pool_timeout=1.5, request_timeout=20)
        )
        await post(client, EXPERIMENTS, {"id": "locked"})
        quiet = (await client.get(f"{DATABASE}/pool")).json()
        assert (quiet["status"], quiet["in_use"], quiet["most_in_use"]) == ("ok", 0, 1)
        assert (quiet["server"]["total"], quiet["server"]["active"], quiet["server_detail"]) == (1, 1, None)
        engine = database.engine()
        stack.callback(engine.dispose)
        with engine.connect() as connection:
            connection.exec_driver_sql("UPDATE experiments SET name = 'held' WHERE id = 'locked'")
            holder = asyncio.create_task(client.patch(f"{EXPERIMENTS}/locked", json={"result_value": 1.0}))
            # The holder's statement waits for the lock, and these for the holder's connection.
            pool = client._transport.app.state.database  # type: ignore[attr-defined]
            await eventually(lambda: pool.meter.in_use == 1)
            waiters = [asyncio.create_task(client.get(f"{EXPERIMENTS}/locked")) for _ in range(3)]
            await eventually(lambda: pool.waiting == 3)
            busy = (await client.get(f"{DATABASE}/pool")).json()
            assert (busy["status"], busy["in_use"], busy["idle"]) == ("alert", 1, 0)
            assert (busy["utilisation"], busy["busiest_worker_percent"]) == (1.0, 100.0)
            assert busy["waiting"] == 3
            # It has no connection for the question, and says so rather than wait.
            assert busy["server"] is None
            assert "TimeoutError" in busy["server_detail"]
            for waiter in waiters:
                assert_problem(await waiter, 503, "unavailable")
            connection.rollback()
        assert (await holder).status_code == 200
        after = (await client.get(f"{DATABASE}/pool")).json()
        assert (after["status"], after["in_use"], after["waiting"], after["timeouts"]) == ("ok", 0, 0, 4)
        assert after["wait_p95_ms"] is not None
        assert await scraped(client, "db_client_connection_timeouts_total") == 4
        slow = (await client.get(f"{DATABASE}/queries", params={"order": "slow", "limit": 1})).json()
        assert (slow["slow"], slow["slow_status"], slow["count"]) == (1, "alert", 1)
        assert (slow["queries"][0]["slow"], slow["queries"][0]["max_ms"] > 200) == (1, True)
        # The source's measures: in the overall figures and in /metrics alike.
        assert await scraped(client, STATEMENTS) - slow["calls"] <= 2


async def test_a_batch_is_a_statement_too(client: httpx.AsyncClient) -> None:
    metric = {"service_name": "web-api", "metric_type": "cpu", "metric_value": 1.0, "unit": "percent"}
    await post(client, "/api/v1/monitoring/metrics/batch", {"metrics": [metric, metric]})
    queries = (await client.get(f"{DATABASE}/queries")).json()["queries"]
    assert [row["calls"] for row in queries if row["summary"] == "COPY system_metrics"] == [1]


@pytest.mark.parametrize("order", ["total", "mean", "p95", "calls", "errors", "slow"])
async def test_statements_come_in_the_order_that_is_asked_for(client: httpx.AsyncClient, order: str) -> None:
    for _ in range(3):
        await client.get(EXPERIMENTS)
    await post(client, EXPERIMENTS, {"id": "e"})
    await client.post(EXPERIMENTS, json={"id": "e"})
    body = (await client.get(f"{DATABASE}/queries", params={"order": order})).json()
    column = {"calls": "calls", "errors": "errors", "slow": "slow"}.get(order, f"{order}_ms")
    values = [row[column] for row in body["queries"]]
    assert values == sorted(values, reverse=True)
    by_summary = {row["summary"]: row for row in body["queries"]}
    assert (by_summary["SELECT experiments"]["calls"], by_summary["SELECT experiments"]["errors"]) == (3, 0)
    assert (by_summary["INSERT experiments"]["calls"], by_summary["INSERT experiments"]["errors"]) == (2, 1)
    assert body["errors"] == 1
    assert await scraped(client, STATEMENTS, error_type="UniqueViolationError") == 1
    assert await scraped(client, STATEMENTS, db_query_summary="INSERT experiments", error_type="") == 1


async def test_postgres_own_statements_are_this_logins_or_the_reason_why_not(
    client: httpx.AsyncClient, database: TestDatabase
) -> None:
    execute(database, "SELECT 'a secret of the superuser'")
    await client.get(EXPERIMENTS)
    body = (await client.get(f"{DATABASE}/queries")).json()
    assert body["pg_stat_statements_detail"] is None
    assert any("FROM experiments" in row["sql"] for row in body["pg_stat_statements"])
    assert not any("secret" in row["sql"] or "privilege" in row["sql"] for row in body["pg_stat_statements"])
    totals = [row["total_ms"] for row in body["pg_stat_statements"]]
    assert totals == sorted(totals, reverse=True)
    execute(database, "REVOKE SELECT ON pg_stat_statements FROM PUBLIC")
    refused = (await client.get(f"{DATABASE}/queries")).json()
    assert (refused["pg_stat_statements"], refused["pg_stat_statements_detail"]) == (
        None,
        "the API's login may not read it",
    )
    execute(database, "DROP EXTENSION pg_stat_statements")
    without = (await client.get(f"{DATABASE}/queries")).json()
    assert without["pg_stat_statements"] is None
    assert "not installed" in without["pg_stat_statements_detail"]


async def test_a_bad_question_is_refused(client: httpx.AsyncClient) -> None:
    for question, field in (({"limit": 0}, "limit"), ({"limit": 1001}, "limit"), ({"order": "sql"}, "order")):
        assert_problem(await client.get(f"{DATABASE}/queries", params=question), 422, "invalid-input", field)


async def test_statements_without_end_share_one_name() -> None:
    meter = DatabaseMeter()

    async def nothing() -> None:
        pass

    for number in range(2 * MOST_STATEMENTS):
        await meter.timed(Query(select(literal_column(str(number)))), nothing())
    counts = {statement.summary: durations.count for statement, _, durations in meter.outcomes()}
    assert counts["OTHER"] == MOST_STATEMENTS
    assert len(list(meter.outcomes())) == MOST_STATEMENTS + 1


def test_percentiles_are_estimates_within_a_fifth() -> None:
    dice = random.Random(7)  # noqa: S311  # a sample
    samples = {
        "even": [dice.uniform(0.001, 0.3) for _ in range(2000)],
        "quick with a tail": [min(dice.lognormvariate(-6, 1), 0.3) for _ in range(2000)],
        "two kinds": [0.002] * 900 + [0.25] * 100,
        **{f"all {ms} ms": [ms / 1000] * 100 for ms in range(1, 301, 7)},
    }
    for name, sample in samples.items():
        histogram = Histogram()
        for value in sample:
            histogram.add(value)
        for share in (0.5, 0.95, 0.99):
            exact = sorted(sample)[int(share * len(sample)) - 1]
            estimate = histogram.quantile(share)
            assert estimate == pytest.approx(exact, rel=0.2), (name, share)
        assert histogram.above(SLOW) == sum(value > SLOW for value in sample)
    assert Histogram().quantile(0.95) is None


def test_what_prometheus_is_shown_can_be_told_from_what_is_counted() -> None:
    assert set(_HTTP_BOUNDS) | set(_DATABASE_BOUNDS) | {SLOW} <= set(BOUNDS)
    assert list(BOUNDS) == sorted(set(BOUNDS))


W3C = f"00-{TRACE_ID}-{SPAN_ID}-01"
CLOUD = f"{TRACE_ID.upper()}/18446744073709551615;o=1"
TRACES: dict[str, tuple[dict[str, str], tuple[object, object, object] | None]] = {
    "w3c": ({"traceparent": W3C}, (TRACE_ID, SPAN_ID, True)),
    "not sampled": ({"traceparent": W3C[:-1] + "0"}, (TRACE_ID, SPAN_ID, False)),
    "a later version": ({"traceparent": f"cc{W3C[2:]}-more"}, (TRACE_ID, SPAN_ID, True)),
    "cloud run's": ({"x-cloud-trace-context": CLOUD}, (TRACE_ID, "f" * 16, True)),
    "cloud run's, trace alone": ({"x-cloud-trace-context": TRACE_ID}, (TRACE_ID, None, False)),
    "both": ({"traceparent": W3C, "x-cloud-trace-context": "a" * 32}, (TRACE_ID, SPAN_ID, True)),
    "malformed beside a good one": ({"traceparent": "x", "x-cloud-trace-context": CLOUD}, (TRACE_ID, "f" * 16, True)),
    "none": ({}, None),
    "empty": ({"traceparent": ""}, None),
    "capitals": ({"traceparent": W3C.upper()}, None),
    "version ff": ({"traceparent": f"ff{W3C[2:]}"}, None),
    "version 00 with more": ({"traceparent": f"{W3C}-more"}, None),
    "a trace of zeros": ({"traceparent": f"00-{'0' * 32}-{SPAN_ID}-01"}, None),
    "a span of zeros": ({"traceparent": f"00-{TRACE_ID}-{'0' * 16}-01"}, None),
    "very long": ({"traceparent": f"cc{W3C[2:]}-{'a' * 9000}"}, None),
    "a line of its own": ({"traceparent": f"{W3C}\n"}, None),
    "a span beyond 64 bits": ({"x-cloud-trace-context": f"{TRACE_ID}/18446744073709551616"}, None),
    "words": ({"x-cloud-trace-context": "' OR 1=1; --"}, None),
}


@pytest.mark.parametrize("case", TRACES)
def test_a_trace_is_read_or_ignored(case: str) -> None:
    given, expected = TRACES[case]
    headers = {name.encode(): value.encode() for name, value in given.items()}
    found = trace.fields(headers, project=None)
    if expected is None:
        assert found == {}
    else:
        assert (found[trace.TRACE], found.get(trace.SPAN), found[trace.SAMPLED]) == expected
        named = trace.fields(headers, project="p")
        assert named[trace.TRACE] == f"projects/p/traces/{expected[0]}"
