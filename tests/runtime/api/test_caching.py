"""Reads that are kept, as a caller sees them: what is kept, for how long, and that no write is ever hidden."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
import redis
from fastapi import FastAPI
from pydantic import SecretStr

from runbooks.local.valkey import ValkeyServer
from runtime.api.app import create_app
from runtime.cache import cache as cache_module
from runtime.cache import trust
from runtime.cache.cache import PREFIX
from runtime.db.pool import Database
from tests.caches import new_valkey, until
from tests.conftest import TestDatabase
from tests.runtime.api.world import BACKFILL, FEEDBACK, LATER, METRIC, METRICS, NOON, post, start_job

INSIGHT = "insight '100%?#' \"ü\""
WINDOW = {"start": NOON, "end": LATER}
OF_TYPE = {"metric_type": "latency", **WINDOW}
# Reads of metrics; the first two hold all, the others what belongs to a service or a type.
ALL_METRICS: list[tuple[str, dict[str, Any]]] = [
    (METRICS, {}),
    (METRICS, {"start": NOON, "limit": 1000}),
    (METRICS, {"service_name": "web-api"}),
    (METRICS, {"metric_type": "latency"}),
    (METRICS, {"service_name": "web-api", "metric_type": "latency"}),
    (f"{METRICS}/aggregate", {"service_name": "web-api", **OF_TYPE}),
    (f"{METRICS}/services", {"above": -1, **OF_TYPE}),
]


class Api:
    """Two workers on one database and one cache; what one is told, the other is asked."""

    def __init__(self, apps: list[FastAPI], key: str) -> None:
        self.apps = apps
        self.clients = [
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app, raise_app_exceptions=False),
                base_url="http://holdfast.test",
                headers={"X-API-Key": key},
            )
            for app in apps
        ]
        self.client = self.clients[0]

    def counts(self, family: str) -> dict[str, int]:
        """Outcomes of a family, over both."""
        found: dict[str, int] = {}
        for app in self.apps:
            for (name, outcome), number in app.state.cache.snapshot().items():
                if name == f"utxoiq:{family}":
                    found[outcome] = found.get(outcome, 0) + number
        return found

    async def get(self, path: str, **query: Any) -> Any:
        """What both say, twice: the same, and the first of it may be kept."""
        said = [await client.get(path, params=query) for client in [*self.clients, *self.clients]]
        assert {answer.status_code for answer in said} == {200}, said[0].text
        assert len({answer.content for answer in said}) == 1, [answer.text for answer in said]
        return said[0].json()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine is no slow cache.
    monkeypatch.setattr(cache_module, "READ_SECONDS", 5.0)
    monkeypatch.setattr(cache_module, "WRITE_SECONDS", 5.0)


@pytest.fixture
async def api(
    database: TestDatabase, shared_valkey: ValkeyServer, make_key: Callable[..., str], stored: redis.Redis
) -> AsyncIterator[Api]:
    assert stored.ping()
    settings = database.settings(db_pool_min=1, redis_url=SecretStr(shared_valkey.url), rate_limit=0)
    async with AsyncExitStack() as stack:
        apps = [create_app(settings) for _ in range(2)]
        for app in apps:
            await stack.enter_async_context(app.router.lifespan_context(app))
        yield Api(apps, make_key())


async def test_each_kind_is_kept_as_long_as_its_source_says(api: Api, stored: redis.Redis) -> None:
    job = await start_job(api.client, "blocks")
    await post(api.client, METRICS, METRIC)
    await api.get(f"{FEEDBACK}/stats", insight_id=INSIGHT)
    await api.get(f"{BACKFILL}/{job}")
    await api.get(f"{BACKFILL}/status", limit=1)
    for path, query in ALL_METRICS:
        await api.get(path, **query)
    entries = [key.decode() for key in stored.keys(f"{PREFIX}:utxoiq:*")]
    seconds = {key.removeprefix(f"{PREFIX}:utxoiq:").split("?")[0]: stored.ttl(key) for key in entries}
    assert seconds == {
        name: pytest.approx(ttl, abs=10)
        for name, ttl in {
            "stats": 3600,
            "job": 300,
            "jobs": 300,
            "metrics": 300,
            "aggregates": 3600,
            "services": 3600,
        }.items()
    }
    assert f"{PREFIX}:utxoiq:metrics?limit=100&service_name=web-api" in entries
    assert api.counts("stats") == {"miss": 1, "hit": 3}
    assert all(stored.ttl(key) > 0 for key in stored.keys("*")), "something stays for ever"


async def test_a_kept_answer_is_the_answer(api: Api, database: TestDatabase) -> None:
    await post(api.client, METRICS, METRIC)
    without = create_app(database.settings(db_pool_min=1))
    async with without.router.lifespan_context(without):
        plain = Api([without], api.client.headers["X-API-Key"])
        for path, query in ALL_METRICS:
            kept = [await client.get(path, params=query) for client in [*api.clients, plain.client]]
            assert len({answer.content for answer in kept}) == 1
            assert len({answer.headers["content-type"] for answer in kept}) == 1


async def test_every_call_of_a_jobs_life_is_seen_by_the_next_read(api: Api) -> None:
    tellers = itertools.cycle(api.clients)

    async def tell(path: str, body: dict[str, Any]) -> Any:
        return await post(next(tellers), f"{BACKFILL}/{path}", body)

    job = await start_job(api.client, "blocks")
    other = await start_job(api.client, "others")

    async def seen(**expected: Any) -> None:
        shown = await api.get(f"{BACKFILL}/{job}")
        (listed,) = (await api.get(f"{BACKFILL}/status", job_type="blocks"))["jobs"]
        assert shown == listed
        assert {name: shown[name] for name in expected} == expected

    await seen(status="running", attempt=0)
    claim = await tell("claim", {"worker": "w", "job_type": "blocks"})
    await seen(lease_owner="w", attempt=1)
    for block in range(4):
        report = {"job_id": job, "current_block": block, "fencing_token": claim["fencing_token"]}
        await tell("progress", report)
        await seen(current_block=block)
    await tell(f"{job}/pause", {})
    await seen(status="paused", lease_owner=None)
    assert [row["id"] for row in (await api.get(f"{BACKFILL}/status", status="paused"))["jobs"]] == [job]
    await tell(f"{job}/resume", {})
    await seen(status="running")
    assert (await api.get(f"{BACKFILL}/status", status="paused"))["jobs"] == []
    await tell(f"{job}/fail", {"error_message": "no"})
    await seen(status="failed", error_message="no")
    # Progress of one job leaves what is kept of another alone.
    before = api.counts("job")["miss"]
    await api.get(f"{BACKFILL}/{other}")
    await tell(f"{job}/resume", {})
    await api.get(f"{BACKFILL}/{other}")
    assert api.counts("job")["miss"] == before + 1


async def test_a_job_that_does_not_exist_is_not_kept(api: Api) -> None:
    nobody = f"{BACKFILL}/019bc1f2-5b1c-7d52-9d4e-0a9c5c0f7a11"
    assert {(await client.get(nobody)).status_code for client in [*api.clients, *api.clients]} == {404}
    assert api.counts("job") == {"miss": 4}


@pytest.mark.parametrize("what", ["rate", "comment", "flag"])
async def test_feedback_is_seen_by_the_next_read_of_its_insight_and_ends_no_other(api: Api, what: str) -> None:
    body = {"rate": {"rating": 3}, "comment": {"comment": "c"}, "flag": {"flag_type": "spam"}}[what]
    total = {"rate": "total_ratings", "comment": "total_comments", "flag": "total_flags"}[what]
    for insight in (INSIGHT, "another"):
        assert (await api.get(f"{FEEDBACK}/stats", insight_id=insight))[total] == 0
    await post(api.clients[1], f"{FEEDBACK}/{what}", {"insight_id": INSIGHT, **body})
    assert (await api.get(f"{FEEDBACK}/stats", insight_id=INSIGHT))[total] == 1
    assert api.counts("stats")["miss"] == 3
    await api.get(f"{FEEDBACK}/stats", insight_id="another")
    assert api.counts("stats")["miss"] == 3


async def counts_of_metrics(api: Api) -> list[int]:
    found = []
    for path, query in ALL_METRICS:
        said = await api.get(path, **query)
        found.append(sum(bucket["count"] for bucket in said["buckets"]) if "buckets" in said else said["count"])
    return found


async def test_a_measurement_is_seen_by_the_next_read_of_all_that_it_belongs_to(api: Api) -> None:
    assert await counts_of_metrics(api) == [0] * 7
    await post(api.client, METRICS, METRIC)
    assert await counts_of_metrics(api) == [1] * 7
    misses = [api.counts(family)["miss"] for family in ("metrics", "aggregates", "services")]
    await post(
        api.clients[1], f"{METRICS}/batch", {"metrics": [{**METRIC, "service_name": "db", "metric_type": "cpu"}]}
    )
    assert await counts_of_metrics(api) == [2, 2, 1, 1, 1, 1, 1]
    # Only the two that hold everything were read again.
    again = [api.counts(family)["miss"] for family in ("metrics", "aggregates", "services")]
    assert again == [misses[0] + 2, *misses[1:]]


async def test_a_batch_of_many_services_is_seen_by_every_read(api: Api) -> None:
    await counts_of_metrics(api)
    many = [{**METRIC, "service_name": f"s{number}"} for number in range(99)]
    await post(api.client, f"{METRICS}/batch", {"metrics": [METRIC, *many]})
    assert await counts_of_metrics(api) == [100, 100, 1, 100, 1, 1, 100]


async def test_a_write_that_is_refused_changes_no_answer(api: Api) -> None:
    job = await start_job(api.client, "blocks")
    before = await api.get(f"{BACKFILL}/{job}")
    report = {"job_id": job, "current_block": 5, "fencing_token": 99}
    assert (await api.client.post(f"{BACKFILL}/progress", json=report)).status_code == 409
    assert await api.get(f"{BACKFILL}/{job}") == before
    assert api.counts("job") == {"miss": 2, "hit": 6}


async def test_fifty_calls_that_miss_together_are_one_statement(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    statements, go_on = 0, asyncio.Event()
    value = Database.value

    async def counted(self: Database, query: Any, **parameters: Any) -> Any:
        nonlocal statements
        if "insight_feedback" in query.sql:
            statements += 1
            await go_on.wait()
        return await value(self, query, **parameters)

    monkeypatch.setattr(Database, "value", counted)
    call = api.client.build_request("GET", f"{FEEDBACK}/stats", params={"insight_id": INSIGHT})
    calls = [asyncio.create_task(api.client.send(call)) for _ in range(50)]

    async def all_wait() -> bool:
        return api.counts("stats").get("miss") == 50

    await until(all_wait)
    go_on.set()
    assert {answer.status_code for answer in await asyncio.gather(*calls)} == {200}
    assert statements == 1


async def test_without_its_table_of_trust_nothing_is_believed_and_all_answers(api: Api, database: TestDatabase) -> None:
    engine = database.engine()
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM cache_trust")
    engine.dispose()
    await post(api.client, f"{FEEDBACK}/rate", {"insight_id": INSIGHT, "rating": 1})
    assert (await api.get(f"{FEEDBACK}/stats", insight_id=INSIGHT))["total_ratings"] == 1
    assert api.counts("stats") == {"bypass": 4}


async def test_killing_the_cache_under_load_shows_in_no_answer(
    database: TestDatabase,
    make_key: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trust, "MARGIN_SECONDS", 0.0)
    valkey = new_valkey(tmp_path_factory.mktemp("killed"))
    settings = database.settings(db_pool_min=1, redis_url=SecretStr(valkey.url), request_timeout=2, rate_limit=0)
    async with AsyncExitStack() as stack:
        stack.callback(valkey.stop)
        apps = [create_app(settings) for _ in range(2)]
        for app in apps:
            await stack.enter_async_context(app.router.lifespan_context(app))
        api = Api(apps, make_key())
        job = await start_job(api.client, "blocks")
        told, is_over = -1, False

        async def watch(client: httpx.AsyncClient) -> None:
            while not is_over:
                at_least = told
                answer = await client.get(f"{BACKFILL}/{job}")
                assert answer.status_code == 200, answer.text
                assert answer.json()["current_block"] >= at_least

        watching = [asyncio.create_task(watch(client)) for client in [*api.clients, *api.clients]]
        claim = await post(api.client, f"{BACKFILL}/claim", {"worker": "w"})
        for block in range(9):
            if block in {3, 6}:
                await asyncio.to_thread(valkey.stop if block == 3 else valkey.start)
            report = {"job_id": job, "current_block": block, "fencing_token": claim["fencing_token"]}
            await post(api.clients[block % 2], f"{BACKFILL}/progress", report)
            told = block
        hits = api.counts("job")["hit"]

        async def hits_again() -> bool:
            return api.counts("job")["hit"] > hits

        await until(hits_again)
        is_over = True
        await asyncio.gather(*watching)
