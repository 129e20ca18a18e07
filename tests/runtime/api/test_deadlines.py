"""What the API calls may accept and never answer: each request still ends at its deadline, as 503."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import httpx
import psutil
import pytest
from pydantic import SecretStr

from runbooks.local.ports import HOST
from runbooks.local.postgres import PostgresServer
from runtime.api import app as app_module
from runtime.api import health
from runtime.api.app import create_app
from runtime.db.engine import engine_at
from runtime.db.migrate import migrate
from runtime.platform.keys import create_key
from runtime.platform.scopes import ALL_SCOPES
from runtime.settings import ApiSettings
from tests.conftest import SECRET, SUBJECT, TestDatabase, as_secret, settings_of
from tests.runtime.api.contract import assert_problem
from tests.runtime.api.world import EXPERIMENTS, METRIC, METRICS, post

# A request's deadline here, and what a busy machine may add to it.
DEADLINE, PATIENCE = 0.6, 2.0


@asynccontextmanager
async def serving(settings: ApiSettings) -> AsyncIterator[Callable[[str], httpx.AsyncClient]]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        yield lambda key: httpx.AsyncClient(
            transport=transport, base_url="http://holdfast.test", headers={"X-API-Key": key}, timeout=60
        )


@pytest.fixture
def mute() -> Iterator[int]:
    """The port of a server that accepts, and says nothing."""
    with socket.create_server((HOST, 0), backlog=128) as listening:
        yield listening.getsockname()[1]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "STARTUP_SECONDS", 0.3)
    monkeypatch.setattr(health, "DEADLINE", 0.5)


async def all_end_in_time(client: httpx.AsyncClient) -> None:
    """Several calls at once: none waits for another one's deadline."""
    began = time.monotonic()
    answers = await asyncio.gather(
        client.get(EXPERIMENTS),
        client.get(f"{EXPERIMENTS}/e"),
        client.post(EXPERIMENTS, json={"id": "never"}),
        client.post(f"{METRICS}/batch", json={"metrics": [METRIC]}),
        *(client.get(METRICS) for _ in range(6)),
    )
    for answer in answers:
        assert_problem(answer, 503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
    assert time.monotonic() - began < DEADLINE + PATIENCE
    ready = await client.get("/health/ready")
    assert (ready.status_code, ready.json()["database"]["ok"]) == (503, False)
    assert (await client.get("/health/live")).status_code == 200
    assert time.monotonic() - began < DEADLINE + PATIENCE + 1.5


async def test_a_database_that_accepts_and_never_answers(
    database: TestDatabase, make_key: Callable[..., str], mute: int
) -> None:
    address = as_secret(database.url("api_login").set(host=HOST, port=mute))
    settings = settings_of(database_url=address, request_timeout=DEADLINE)
    began = time.monotonic()
    async with serving(settings) as client_of:
        assert time.monotonic() - began < PATIENCE
        client = client_of(make_key())
        for _ in range(2):
            await all_end_in_time(client)
        ended = time.monotonic()
    assert time.monotonic() - ended < PATIENCE


async def test_a_cache_that_accepts_and_never_answers(
    database: TestDatabase, make_key: Callable[..., str], mute: int
) -> None:
    url = SecretStr(f"redis://{HOST}:{mute}/0")
    async with serving(database.settings(db_pool_min=1, redis_url=url, request_timeout=5)) as client_of:
        client = client_of(make_key())
        began = time.monotonic()
        await post(client, METRICS, METRIC)
        assert [(await client.get(METRICS)).json()["count"] for _ in range(5)] == [1] * 5
        assert (await client.get("/health/ready")).json()["status"] == "degraded"
        assert time.monotonic() - began < 5 + PATIENCE


def tell(server: PostgresServer, what: signal.Signals) -> None:
    """Send a signal to the server and all its sessions."""
    pid = int((server.data / "postmaster.pid").read_text().splitlines()[0])
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        os.kill(process.pid, what)


async def test_a_database_that_stops_answering_in_the_middle(own_server: PostgresServer) -> None:
    settings = settings_of(database_url=as_secret(own_server.url), db_pool_min=2, request_timeout=DEADLINE)
    migrate(settings)
    engine = engine_at(own_server.url, application_name="test")
    with engine.begin() as connection:
        key = create_key(connection, secret=SECRET, subject=SUBJECT, scopes=ALL_SCOPES).key
    engine.dispose()
    async with serving(settings) as client_of:
        client = client_of(key)
        await post(client, EXPERIMENTS, {"id": "before"})
        tell(own_server, signal.SIGSTOP)
        try:
            for _ in range(2):
                await all_end_in_time(client)
        finally:
            tell(own_server, signal.SIGCONT)
        async with asyncio.timeout(20):
            while (answer := await client.get(f"{EXPERIMENTS}/before")).status_code != 200:
                assert_problem(answer, 503, "unavailable")
        await post(client, EXPERIMENTS, {"id": "after"})
