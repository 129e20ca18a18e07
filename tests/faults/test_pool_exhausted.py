"""Every connection is busy: whoever waits is told in time, and nothing is left of it once the locks are gone."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from runtime.api.app import create_app
from runtime.db import connections
from tests.caches import until
from tests.conftest import TestDatabase
from tests.faults.platform import Api, serving, waiting_for_locks
from tests.runtime.api.contract import assert_problem
from tests.runtime.api.world import EXPERIMENTS, RUNS, post

CONNECTIONS, HOLDERS = 4, 40
CROWD = 500
TIMEOUT = 1.0
# What five hundred calls at once take on a busy machine, besides.
MARGIN = 3.0
MEGABYTES = 50


async def test_a_crowd_before_a_pool_that_is_exhausted(
    database: TestDatabase, make_key: Callable[..., str], tmp_path: Path
) -> None:
    async def all_wait() -> bool:
        return waiting_for_locks(database) == CONNECTIONS

    timeouts = {"DB_POOL_TIMEOUT": str(TIMEOUT), "REQUEST_TIMEOUT": "30"}
    with serving(database, tmp_path, DB_POOL_MAX=str(CONNECTIONS), LOG_LEVEL="ERROR", **timeouts) as api:
        async with api.client(key := make_key()) as client:
            await post(client, RUNS, {"id": "r", "method": "bayesian_optimization", "objective": "maximize"})
            await post(client, EXPERIMENTS, {"id": "e", "optimization_run_id": "r"})
            engine = database.engine()
            with engine.connect() as connection:
                connection.exec_driver_sql("UPDATE optimization_runs SET name = 'held' WHERE id = 'r'")
                change = {"result_value": 1.0}
                holders = [asyncio.create_task(client.patch(f"{EXPERIMENTS}/e", json=change)) for _ in range(HOLDERS)]
                await until(all_wait)
                await _crowd(api, key)
                memory = _memory(api)
                await _crowd(api, key)
                assert _memory(api) < memory + MEGABYTES * 1_000_000
                connection.rollback()
            engine.dispose()
            # Those who had a connection when the lock went are answered; the others were told to come again.
            held = Counter(answer.status_code for answer in await asyncio.gather(*holders))
            assert held == {200: CONNECTIONS, 503: HOLDERS - CONNECTIONS}
            began = time.monotonic()
            answers = await asyncio.gather(*[client.get(f"{EXPERIMENTS}/e") for _ in range(20)])
            assert {answer.status_code for answer in answers} == {200}
            assert time.monotonic() - began < MARGIN
            assert answers[0].json()["experiment"]["result_value"] == 1.0


async def test_no_queue_is_without_end(
    database: TestDatabase, make_key: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_WAITING", 20)
    app = create_app(database.settings(db_pool_min=1, db_pool_max=1))
    headers = {"X-API-Key": make_key()}
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://holdfast.test", headers=headers) as client:
            await post(client, EXPERIMENTS, {"id": "e"})
            engine = database.engine()
            with engine.connect() as connection:
                connection.exec_driver_sql("UPDATE experiments SET name = 'held' WHERE id = 'e'")
                change = {"result_value": 1.0}
                calls = [asyncio.create_task(client.patch(f"{EXPERIMENTS}/e", json=change)) for _ in range(50)]

                async def are_refused() -> bool:
                    return sum(call.done() for call in calls) == 50 - 1 - 20

                await until(are_refused)
                for call in calls:
                    if call.done():
                        assert_problem(call.result(), 503, "unavailable")
                connection.rollback()
            engine.dispose()
            told = Counter(answer.status_code for answer in await asyncio.gather(*calls))
            assert told == {200: 21, 503: 29}


async def _crowd(api: Api, key: str) -> None:
    """Five hundred at once: each is told in time; what needs no database answers meanwhile."""
    calls = [asyncio.create_task(_call(api, f"{EXPERIMENTS}/e", key)) for _ in range(CROWD)]
    alive = [await _call(api, "/health/live", key) for _ in range(5)]
    assert not all(call.done() for call in calls)
    answers = await asyncio.gather(*calls)
    assert {status for status, _ in alive} == {200}
    assert {status for status, _ in answers} == {503}
    assert max(seconds for _, seconds in [*answers, *alive]) < TIMEOUT + MARGIN


async def _call(api: Api, path: str, key: str) -> tuple[int, float]:
    """A call on a connection of its own, with next to no work for this process: the status, and the seconds."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: api\r\nX-API-Key: {key}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1]), time.monotonic() - began


def _memory(api: Api) -> int:
    return sum(psutil.Process(worker.pid).memory_info().rss for worker in api.workers())
