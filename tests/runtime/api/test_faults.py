"""Broken days: the database gone, the cache gone, a lock that nobody releases. Each is told, and passes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from pydantic import SecretStr

from runbooks.local.binaries import valkey_program
from runbooks.local.ports import free_port
from runbooks.local.postgres import PostgresServer
from runbooks.local.valkey import ValkeyServer
from runtime.api.app import create_app
from runtime.db.engine import engine_at
from runtime.db.migrate import migrate
from runtime.platform.keys import create_key
from runtime.platform.scopes import ALL_SCOPES
from runtime.settings import ApiSettings
from tests.conftest import PASSWORD, SECRET, SUBJECT, TestDatabase, as_secret, settings_of
from tests.runtime.api.contract import assert_problem, document_of, faults
from tests.runtime.api.snapshots import execute
from tests.runtime.api.world import BACKFILL, EXPERIMENTS, FEEDBACK, METRIC, METRICS, post


@asynccontextmanager
async def serving(settings: ApiSettings) -> AsyncIterator[Callable[[str | None], httpx.AsyncClient]]:
    """The API in this process, and clients of it."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        yield lambda key: httpx.AsyncClient(
            transport=transport, base_url="http://holdfast.test", headers={"X-API-Key": key} if key else {}
        )


async def assert_unavailable(answer: httpx.Response) -> None:
    assert_problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert str(SECRET) not in answer.text


async def test_while_the_database_is_down_all_is_503_and_it_recovers_without_a_restart(
    own_server: PostgresServer,
) -> None:
    settings = settings_of(database_url=as_secret(own_server.url), db_pool_min=1, request_timeout=10)
    migrate(settings)
    engine = engine_at(own_server.url, application_name="test")
    with engine.begin() as connection:
        known, new = [create_key(connection, secret=SECRET, subject=SUBJECT, scopes=ALL_SCOPES).key for _ in range(2)]
    engine.dispose()
    own_server.stop()

    # It starts without its database.
    async with serving(settings) as client_of:
        client, stranger, unseen = client_of(known), client_of(None), client_of(new)
        await assert_unavailable(await client.get(EXPERIMENTS))
        own_server.start()
        own_server.wait_ready()
        assert (await stranger.get("/health/ready")).status_code == 200
        await post(client, EXPERIMENTS, {"id": "before"})
        assert (await client.get(f"{EXPERIMENTS}/before")).status_code == 200

        own_server.stop()
        began = time.monotonic()
        for answer in (
            await client.get(EXPERIMENTS),
            await client.get(f"{EXPERIMENTS}/before"),
            await client.post(EXPERIMENTS, json={"id": "during"}),
            await client.post(f"{FEEDBACK}/rate", json={"insight_id": "i", "rating": 1}),
            await client.post(f"{METRICS}/batch", json={"metrics": [METRIC]}),
            await client.post(f"{BACKFILL}/claim", json={"worker": "w"}),
            # A key that was never seen is not refused: nobody knows.
            await unseen.get(EXPERIMENTS),
        ):
            await assert_unavailable(answer)
        assert time.monotonic() - began < 7 * 5
        assert_problem(await client_of("hf_nonsense").get(EXPERIMENTS), 401, "unauthenticated")
        ready = await stranger.get("/health/ready")
        assert ready.status_code == 503
        assert int(ready.headers["retry-after"]) > 0
        assert (ready.json()["status"], ready.json()["database"]["ok"]) == ("unavailable", False)
        assert "does not answer" in ready.json()["database"]["detail"]
        assert (await stranger.get("/health/live")).json() == {"status": "ok"}

        own_server.start()
        own_server.wait_ready()
        assert [row["id"] for row in (await client.get(EXPERIMENTS)).json()["experiments"]] == ["before"]
        assert (await unseen.get(EXPERIMENTS)).status_code == 200
        await post(client, EXPERIMENTS, {"id": "after"})
        assert (await stranger.get("/health/ready")).status_code == 200


async def test_a_database_whose_name_does_not_resolve_is_503(
    database: TestDatabase, make_key: Callable[..., str]
) -> None:
    address = as_secret(database.url("api_login").set(host="nowhere.invalid"))
    async with serving(settings_of(database_url=address, db_pool_timeout=1, request_timeout=10)) as client_of:
        await assert_unavailable(await client_of(make_key()).get(EXPERIMENTS))
        assert (await client_of(None).get("/health/ready")).json()["database"]["ok"] is False


async def test_connections_that_are_killed_do_not_show(client: httpx.AsyncClient, database: TestDatabase) -> None:
    await post(client, EXPERIMENTS, {"id": "e"})
    for _ in range(3):
        execute(
            database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{database.name}' AND usename = 'api_login'",
        )
        assert (await client.get(f"{EXPERIMENTS}/e")).status_code == 200
        changed = await client.patch(f"{EXPERIMENTS}/e", json={"result_value": 1.0})
        assert changed.status_code == 200


async def test_without_a_cache_the_api_is_degraded_and_answers(
    make_client: Callable[..., httpx.AsyncClient],
) -> None:
    client = make_client()
    answer = await client.get("/health/ready")
    body = answer.json()
    assert answer.status_code == 200
    assert (body["status"], body["database"]["ok"], body["schema"]["ok"]) == ("degraded", True, True)
    assert (body["cache"]["ok"], body["cache"]["detail"].startswith("not configured")) == (False, True)
    schema = {"$ref": "#/components/schemas/Readiness"}
    assert faults(body, schema, document_of(client)) == []


async def test_a_cache_that_goes_and_comes_back_is_seen(database: TestDatabase, tmp_path: Path) -> None:
    valkey = ValkeyServer(
        program=valkey_program(), folder=tmp_path / "v", log=tmp_path / "log", port=free_port(), password=PASSWORD
    )
    async with serving(database.settings(db_pool_min=1, redis_url=SecretStr(valkey.url))) as client_of:
        client = client_of(None)
        for start, status in ((False, "degraded"), (True, "ok"), (False, "degraded")):
            if start:
                valkey.start()
                valkey.wait_ready()
            else:
                valkey.stop()
            answer = await client.get("/health/ready")
            assert (answer.status_code, answer.json()["status"]) == (200, status)
            assert answer.json()["cache"]["ok"] is start
            assert PASSWORD not in answer.text


async def test_a_schema_that_is_not_the_releases_is_not_ready(
    make_client: Callable[..., httpx.AsyncClient], database: TestDatabase
) -> None:
    client = make_client()
    for change, detail in (
        ("UPDATE alembic_version SET version_num = '0001'", "at 0001"),
        ("DROP TABLE alembic_version", "is empty"),
    ):
        execute(database, change)
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
        assert answer.json()["database"]["ok"] is True
        assert detail in answer.json()["schema"]["detail"]
        assert "python -m runtime migrate" in answer.json()["schema"]["detail"]


async def test_a_request_that_waits_for_a_lock_ends_at_its_deadline_and_changes_nothing(
    database: TestDatabase, make_key: Callable[..., str]
) -> None:
    async with serving(database.settings(db_pool_min=1, request_timeout=0.7)) as client_of:
        client = client_of(make_key())
        await post(client, EXPERIMENTS, {"id": "locked"})
        await post(client, EXPERIMENTS, {"id": "free"})
        engine = database.engine()
        with engine.connect() as connection:
            connection.exec_driver_sql("UPDATE experiments SET name = 'held' WHERE id = 'locked'")
            began = time.monotonic()
            waiting, free = await asyncio.gather(
                client.patch(f"{EXPERIMENTS}/locked", json={"result_value": 1.0}),
                client.patch(f"{EXPERIMENTS}/free", json={"result_value": 1.0}),
            )
            assert time.monotonic() - began < 3
            await assert_unavailable(waiting)
            assert free.status_code == 200
            connection.rollback()
        engine.dispose()
        shown = (await client.get(f"{EXPERIMENTS}/locked")).json()["experiment"]
        assert (shown["name"], shown["result_value"]) == ("locked", None)
        assert (await client.patch(f"{EXPERIMENTS}/locked", json={"result_value": 1.0})).status_code == 200


async def test_a_pool_that_is_exhausted_refuses_within_the_deadline(
    database: TestDatabase, make_key: Callable[..., str]
) -> None:
    settings = database.settings(db_pool_min=1, db_pool_max=1, db_pool_timeout=0.3, request_timeout=5)
    async with serving(settings) as client_of:
        client = client_of(make_key())
        await post(client, EXPERIMENTS, {"id": "locked"})
        engine = database.engine()
        with engine.connect() as connection:
            connection.exec_driver_sql("UPDATE experiments SET name = 'held' WHERE id = 'locked'")
            holder = asyncio.create_task(client.patch(f"{EXPERIMENTS}/locked", json={"result_value": 1.0}))
            began = time.monotonic()
            while (answer := await client.get(f"{EXPERIMENTS}/locked")).status_code == 200:
                assert time.monotonic() - began < 4
            await assert_unavailable(answer)
            assert time.monotonic() - began < 4
            connection.rollback()
        engine.dispose()
        assert (await holder).status_code == 200
        assert (await client.get(f"{EXPERIMENTS}/locked")).json()["experiment"]["result_value"] == 1.0


async def test_a_database_that_only_reads_refuses_writes_with_503(
    client: httpx.AsyncClient, database: TestDatabase, make_client: Callable[..., httpx.AsyncClient]
) -> None:
    await post(client, EXPERIMENTS, {"id": "e"})
    execute(
        database,
        f'ALTER DATABASE "{database.name}" SET default_transaction_read_only = on',
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{database.name}' AND usename = 'api_login'",
    )
    assert (await client.get(f"{EXPERIMENTS}/e")).status_code == 200
    await assert_unavailable(await client.patch(f"{EXPERIMENTS}/e", json={"result_value": 1.0}))
    assert (await make_client().get("/health/ready")).status_code == 200
