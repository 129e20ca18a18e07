"""Two real workers: whichever answers says the same, and one that is killed takes nothing of it along."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import parser
from sqlalchemy import Connection, text

from runtime.observability.snapshot import SNAPSHOT
from tests.conftest import TestDatabase
from tests.runtime.api.test_observability import REQUESTS, SPAN_ID, STATEMENTS, TRACE_ID, eventually, series
from tests.runtime.api.test_served import Served
from tests.runtime.api.world import DATABASE, EXPERIMENTS, post
from tests.waiting import wait_until

CALLS = 60
READ = "SELECT experiments"
WORDS = "a user's own words"


def figures(url: str, key: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    # A connection of its own, which any worker may take.
    scraped = httpx.get(f"{url}/metrics", headers={"X-API-Key": key}, timeout=20)
    families = list(parser.text_string_to_metric_families(scraped.raise_for_status().text))
    names = {sample.name for family in families for sample in family.samples}
    return {name: series(families, name) for name in names}


def total(figures: dict[str, dict[tuple[tuple[str, str], ...], float]], name: str, **labels: str) -> float:
    found = figures.get(name, {})
    return sum(value for key, value in found.items() if labels.items() <= dict(key).items())


def pids(url: str, key: str) -> set[int]:
    return {int(dict(labels)["process_pid"]) for labels in figures(url, key)["process_memory_usage_bytes"]}


def parts(folder: Path) -> list[int]:
    """How many of the calls each worker answered."""
    snapshots = [SNAPSHOT.validate_json(path.read_bytes()) for path in folder.glob("holdfast-metrics-*/worker-*.json")]
    return [
        sum(row.durations.count for row in snapshot.totals.served if row.route == EXPERIMENTS) for snapshot in snapshots
    ]


def has_published(folder: Path, calls: int) -> bool:
    return sum(parts(folder)) == calls


def meeting_places(folder: Path) -> list[Path]:
    return list(folder.glob("holdfast-metrics-*"))


async def call(url: str, key: str) -> None:
    async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": key}, timeout=20) as client:
        assert (await client.get(EXPERIMENTS)).status_code == 200


async def test_two_workers_are_one_instance(
    database: TestDatabase, make_key: Callable[..., str], tmp_path: Path
) -> None:
    settings = {"MAX_WORKERS": "2", "DB_POOL_MIN": "2", "DB_POOL_MAX": "8", "TMPDIR": str(tmp_path)}
    server, key = Served(database, tmp_path, **settings, GOOGLE_CLOUD_PROJECT="holdfast-test"), make_key()
    try:
        server.wait()
        calls = await until_both_have_answered(server.url, key, tmp_path)
        for _ in range(10):
            assert_told(server.url, key, calls, calls)
        worst = await make_a_slow_statement(server.url, key, database)
        reads = total(figures(server.url, key), STATEMENTS, db_query_summary=READ)
        kill_one(server.url, key)
        for _ in range(10):
            assert_told(server.url, key, calls, reads)
        (place,) = meeting_places(tmp_path)
        assert place.stat().st_mode & 0o077 == 0
        assert server.stop() == 0
        assert meeting_places(tmp_path) == []
    finally:
        server.kill()
    assert_logged(server.log(), worst)


async def until_both_have_answered(url: str, key: str, folder: Path) -> int:
    """Many callers at once, each with a connection of its own; how many there were."""
    calls = 0
    while len(parts(folder)) < 2 or not all(parts(folder)):
        await asyncio.gather(*(call(url, key) for _ in range(CALLS)))
        calls += CALLS
        assert calls < 100 * CALLS
        wait_until(partial(has_published, folder, calls))
    return calls


def assert_told(url: str, key: str, calls: int, reads: float) -> None:
    """Whichever worker answers tells of all."""
    told = figures(url, key)
    assert total(told, REQUESTS, http_route=EXPERIMENTS, http_request_method="GET") == calls
    assert total(told, STATEMENTS, db_query_summary=READ) == reads
    assert total(told, "db_client_connection_max") == 8


def kill_one(url: str, key: str) -> None:
    """One of the workers; its gauges go, and another worker comes."""
    before = pids(url, key)
    assert len(before) == 2
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(now := pids(url, key)) == 2 and victim not in now)


async def make_a_slow_statement(url: str, key: str, database: TestDatabase) -> dict[str, Any]:
    """What the API says of a statement that waited for a lock."""
    held, watching = database.engine(), database.engine()
    headers = {"X-API-Key": key, "X-Request-Id": "mine", "traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=20) as client:
        await post(client, EXPERIMENTS, {"id": "locked"})
        with held.connect() as holder, watching.connect() as observer:
            holder.execute(text("UPDATE experiments SET name = 'held' WHERE id = 'locked'"))
            waiting = asyncio.create_task(client.patch(f"{EXPERIMENTS}/locked", json={"name": WORDS}))
            await eventually(lambda: _is_slow(observer))
            # Whichever worker answers has heard of the other's connection within about a second.
            pool = await answered(client, "pool", lambda report: report["in_use"] >= 1)
            assert (pool["workers"], pool["max"], pool["server"]["waiting_for_lock"]) == (2, 8, 1)
            holder.rollback()
        assert (await waiting).status_code == 200
        report = await answered(client, "queries?order=slow", lambda report: report["slow"] >= 1)
    for engine in (held, watching):
        engine.dispose()
    worst: dict[str, Any] = report["queries"][0]
    assert worst["slow"] == 1
    assert worst["max_ms"] > 300
    assert WORDS not in json.dumps(report)
    return worst


def _is_slow(observer: Connection) -> object:
    observer.rollback()
    return observer.scalar(
        text(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            " AND clock_timestamp() - query_start > interval '0.3 s'"
        )
    )


async def answered(client: httpx.AsyncClient, path: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The report, once it is so."""
    async with asyncio.timeout(20):
        while True:
            report: dict[str, Any] = (await client.get(f"{DATABASE}/{path}")).raise_for_status().json()
            if condition(report):
                return report


def assert_logged(log: str, worst: dict[str, Any]) -> None:
    """One line of the slow statement, without values; it and the request's are in the caller's trace."""
    entries: list[dict[str, Any]] = [json.loads(line) for line in log.splitlines()]
    (told,) = [entry for entry in entries if entry["message"] == "slow_statement"]
    assert (told["severity"], told["statement"], told["query_hash"]) == (
        "WARNING",
        worst["summary"],
        worst["query_hash"],
    )
    assert told["ms"] > 300
    patched = next(entry for entry in entries if entry.get("method") == "PATCH")
    for entry in (told, patched):
        assert entry["request_id"] == "mine"
        assert entry["logging.googleapis.com/trace"] == f"projects/holdfast-test/traces/{TRACE_ID}"
        assert entry["logging.googleapis.com/spanId"] == SPAN_ID
        assert entry["logging.googleapis.com/trace_sampled"] is True
    assert (patched["route"], patched["path"]) == (f"{EXPERIMENTS}/{{experiment_id}}", f"{EXPERIMENTS}/locked")
    assert patched["principal_id"]
    assert WORDS not in log
