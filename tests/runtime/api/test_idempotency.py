"""Idempotency-Key: whatever is sent again, and whenever, is done once."""

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from runbooks.local.ports import HOST
from runtime.api.app import create_app
from runtime.api.idempotency import KEYLESS
from runtime.platform.idempotency import KEPT
from runtime.settings import ApiSettings
from tests.caches import new_valkey, until
from tests.conftest import TestDatabase, as_secret, settings_of
from tests.runtime.api.contract import assert_documented, assert_problem, document_of, operations
from tests.runtime.api.snapshots import execute, is_waiting, snapshot
from tests.runtime.api.world import BACKFILL, EXPERIMENTS, FEEDBACK, METRIC, METRICS, RUNS, make_world, post, start_job

# All that may be in a key, and as long as it may be.
KEY = "".join(map(chr, range(0x21, 0x7F))).ljust(255, "%")
HEADER = "Idempotency-Key"
JSON = {"Content-Type": "application/json"}
RATING = {"insight_id": "i", "rating": 5}
MakeClient = Callable[..., httpx.AsyncClient]


def keyed(key: str = KEY) -> dict[str, str]:
    return {HEADER: key}


def is_replay(answer: httpx.Response) -> bool:
    return answer.headers.get("idempotency-replayed") == "true"


def count(database: TestDatabase, table: str) -> int:
    return len(snapshot(database)[table])


@asynccontextmanager
async def serving(settings: ApiSettings, key: str, *, workers: int = 1) -> AsyncIterator[list[httpx.AsyncClient]]:
    """A client of each worker."""
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(workers):
            app = create_app(settings)
            await stack.enter_async_context(app.router.lifespan_context(app))
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            client = httpx.AsyncClient(transport=transport, base_url="http://holdfast.test", headers={"X-API-Key": key})
            clients.append(await stack.enter_async_context(client))
        yield clients


# --- Sent again ------------------------------------------------------------------------------------------------------


async def test_every_post_that_is_sent_again_gets_its_first_answer_and_does_nothing(
    client: httpx.AsyncClient, database: TestDatabase, subtests: pytest.Subtests
) -> None:
    document = document_of(client)
    calls = await make_world(client)
    posts = [
        (path, operation)
        for method, path, operation in operations(document)
        if method == "post" and not operation.get(KEYLESS)
    ]
    assert len(posts) >= 13
    for number, (path, operation) in enumerate(posts):
        with subtests.test(path):
            (described,) = [each for each in operation["parameters"] if each["name"] == HEADER]
            assert described["in"] == "header"
            client.headers[HEADER] = f"key {number}"
            call = calls["post", path]
            first = await call.send(client, "post", path)
            assert (first.status_code, is_replay(first)) == (call.status, False), first.text
            done = snapshot(database)
            again = await call.send(client, "post", path)
            assert (again.status_code, again.content, is_replay(again)) == (call.status, first.content, True)
            for name in ("content-type", "etag"):
                assert again.headers.get(name) == first.headers.get(name)
            assert_documented(again, operation, document)
            assert snapshot(database) == done


async def test_a_claim_that_found_nothing_finds_nothing_when_it_is_sent_again(client: httpx.AsyncClient) -> None:
    claim: dict[str, Any] = {"url": f"{BACKFILL}/claim", "json": {"worker": "w"}, "headers": keyed()}
    first = await client.post(**claim)
    job = await start_job(client, "blocks")
    again = await client.post(**claim)
    assert [(each.status_code, each.content, is_replay(each)) for each in (first, again)] == [
        (204, b"", False),
        (204, b"", True),
    ]
    # Of another call the job is free.
    assert (await client.post(f"{BACKFILL}/claim", json={"worker": "w"})).json()["id"] == job


async def test_the_answer_is_the_first_ones_whatever_happened_since(client: httpx.AsyncClient) -> None:
    body = {"id": "e", "parameters": {"%s": [0.0, "ü", None]}}
    first = await client.post(EXPERIMENTS, json=body, headers=keyed())
    await client.patch(f"{EXPERIMENTS}/e", json={"status": "completed", "result_value": 1.0})
    again = await client.post(EXPERIMENTS, json=body, headers=keyed())
    assert (again.content, again.json()["status"]) == (first.content, "pending")
    # As a caller does who found the first answer too late.
    stale = await client.patch(f"{EXPERIMENTS}/e", json={"name": "x"}, headers={"If-Match": again.headers["etag"]})
    assert_problem(stale, 412, "precondition-failed")


async def test_without_a_key_nothing_is_kept(client: httpx.AsyncClient, database: TestDatabase) -> None:
    for _ in range(2):
        assert (await client.post(METRICS, json=METRIC)).status_code == 201
    assert (count(database, "system_metrics"), count(database, "idempotency_keys")) == (2, 0)


async def test_other_methods_do_not_look_at_the_header(client: httpx.AsyncClient, database: TestDatabase) -> None:
    await post(client, EXPERIMENTS, {"id": "e"})
    for name in ("x", "y"):
        changed = await client.patch(f"{EXPERIMENTS}/e", json={"name": name}, headers=keyed(""))
        assert (changed.status_code, changed.json()["name"], is_replay(changed)) == (200, name, False)
    assert (await client.get(f"{EXPERIMENTS}/e", headers=keyed(""))).status_code == 200
    assert count(database, "idempotency_keys") == 0


# --- What a key belongs to -------------------------------------------------------------------------------------------


async def test_a_key_is_not_for_another_body_or_path(client: httpx.AsyncClient, database: TestDatabase) -> None:
    job, other = [await start_job(client, name) for name in ("one", "two")]
    await post(client, RUNS, {"id": "before", "method": "other", "objective": "minimize"})
    assert (await client.post(EXPERIMENTS, json={"id": "e"}, headers=keyed())).status_code == 201
    assert (await client.post(f"{BACKFILL}/{job}/pause", headers=keyed("pause"))).status_code == 200
    before = snapshot(database)
    for path, content, key in [
        (EXPERIMENTS, b'{"id":"f"}', KEY),
        # The same to a reader of JSON, but not the same bytes.
        (EXPERIMENTS, b'{"id": "e" }', KEY),
        (f"{FEEDBACK}/rate", b'{"insight_id":"i","rating":5}', KEY),
        (f"{BACKFILL}/{other}/pause", b"", "pause"),
        (f"{BACKFILL}/{job}/resume", b"", "pause"),
    ]:
        answer = await client.post(path, content=content, headers={**JSON, **keyed(key)})
        assert_problem(answer, 422, "idempotency-key-reused", HEADER)
    assert snapshot(database) == before


async def test_another_principals_key_is_another_key(
    make_client: MakeClient, make_key: Callable[..., str], database: TestDatabase
) -> None:
    mine, yours, mine_too = [make_client(make_key(subject=name)) for name in ("a", "b", "a")]
    assert (await mine.post(METRICS, json=METRIC, headers=keyed())).status_code == 201
    different = {**METRIC, "unit": "s"}
    answer = await yours.post(METRICS, json=different, headers=keyed())
    assert (answer.status_code, is_replay(answer)) == (201, False)
    # A key of the platform that was rotated speaks for the same principal.
    assert is_replay(await mine_too.post(METRICS, json=METRIC, headers=keyed()))
    assert count(database, "system_metrics") == 2


async def test_a_key_that_is_none_is_refused(client: httpx.AsyncClient, database: TestDatabase) -> None:
    before = snapshot(database)
    for keys in ([""], ["x" * 256], ["ü"], ["tab\there"], ["nul\0"], ["del\x7f"], ["two", "keys"]):
        headers = [(HEADER, key.encode()) for key in keys]
        answer = await client.post(EXPERIMENTS, json={"id": "e"}, headers=headers)
        assert_problem(answer, 422, "invalid-input", HEADER)
    assert snapshot(database) == before


async def test_a_call_that_failed_leaves_its_key_to_be_used_again(
    client: httpx.AsyncClient, database: TestDatabase
) -> None:
    await post(client, EXPERIMENTS, {"id": "taken"})
    before = snapshot(database)
    for body, status in [({"id": "taken"}, 409), ({"optimization_run_id": "none"}, 422), ({"result_value": "x"}, 422)]:
        assert (await client.post(EXPERIMENTS, json=body, headers=keyed())).status_code == status
    assert snapshot(database) == before
    mended = await client.post(EXPERIMENTS, json={"id": "free"}, headers=keyed())
    assert (mended.status_code, is_replay(mended)) == (201, False)


async def test_a_key_is_good_for_a_day(client: httpx.AsyncClient, database: TestDatabase) -> None:
    def age(seconds: float) -> None:
        past = f"now() - interval '{(KEPT + dt.timedelta(seconds=seconds)).total_seconds()} seconds'"
        execute(database, f"UPDATE idempotency_keys SET created_at = {past}")

    first = await client.post(EXPERIMENTS, json={"name": "first"}, headers=keyed())
    age(-60)
    assert is_replay(await client.post(EXPERIMENTS, json={"name": "first"}, headers=keyed()))
    age(1)
    other = await client.post(EXPERIMENTS, json={"name": "second"}, headers=keyed())
    assert (other.status_code, is_replay(other)) == (201, False)
    again = await client.post(EXPERIMENTS, json={"name": "second"}, headers=keyed())
    assert (again.content, is_replay(again)) == (other.content, True)
    assert other.json()["id"] != first.json()["id"]
    assert (count(database, "experiments"), count(database, "idempotency_keys")) == (2, 1)


# --- At once ---------------------------------------------------------------------------------------------------------


async def test_while_a_call_is_under_way_another_with_its_key_is_told_so_at_once(
    client: httpx.AsyncClient, database: TestDatabase
) -> None:
    await post(client, f"{FEEDBACK}/rate", {**RATING, "rating": 1})
    call: dict[str, Any] = {"url": f"{FEEDBACK}/rate", "json": RATING, "headers": keyed()}
    engine = database.engine()
    with engine.connect() as other:
        other.exec_driver_sql("SELECT FROM insight_feedback FOR UPDATE")
        first = asyncio.create_task(client.post(**call))
        await until(lambda: is_waiting(database))
        second = await client.post(**call)
        assert_problem(second, 409, "idempotency-key-in-flight")
        assert int(second.headers["retry-after"]) > 0
        # Another key, and none, are not concerned.
        assert (await client.post(METRICS, json=METRIC, headers=keyed("another"))).status_code == 201
        assert not first.done()
        other.rollback()
    engine.dispose()
    assert ((await first).status_code, is_replay(first.result())) == (200, False)
    third = await client.post(**call)
    assert (third.content, is_replay(third)) == (first.result().content, True)


async def test_of_twenty_at_once_on_two_workers_one_makes_the_row(
    database: TestDatabase, make_key: Callable[..., str]
) -> None:
    async with serving(database.settings(db_pool_min=10), make_key(), workers=2) as clients:
        for number in range(5):
            call: dict[str, Any] = {"url": EXPERIMENTS, "json": {"name": "n"}, "headers": keyed(f"key-{number}")}
            answers = await asyncio.gather(*(clients[each % 2].post(**call) for each in range(20)))
            outcomes = Counter((answer.status_code, is_replay(answer)) for answer in answers)
            assert outcomes[201, False] == 1
            assert outcomes.keys() <= {(201, False), (201, True), (409, False)}, outcomes
            assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
            assert count(database, "experiments") == number + 1


async def test_a_replay_with_a_cache_leaves_its_answers_right(
    database: TestDatabase, make_key: Callable[..., str], tmp_path: Path
) -> None:
    valkey = new_valkey(tmp_path)
    settings = database.settings(db_pool_min=1, redis_url=SecretStr(valkey.url))
    async with serving(settings, make_key()) as (client,):
        for rating in (5, 1, 5):
            await client.post(f"{FEEDBACK}/rate", json={**RATING, "rating": rating}, headers=keyed(f"rate {rating}"))
            stats = await client.get(f"{FEEDBACK}/stats", params={"insight_id": "i"})
        # The third was the first again.
        assert stats.json()["average_rating"] == 1
    valkey.stop()


# --- Connections that are lost ---------------------------------------------------------------------------------------


class Wire:
    """A TCP front before PostgreSQL that cuts the next commit off: before it arrives, or before its answer does."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self.cut: str | None = None
        self.cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on."""
        above, below = await asyncio.open_connection(HOST, self._behind)
        answers = asyncio.create_task(self._pass(above, writer))
        try:
            while data := await reader.read(65536):
                # The protocol's simple query.
                if self.cut and b"COMMIT;" in data:
                    await self._cut_off(data, above, below, answers)
                    return
                below.write(data)
        finally:
            answers.cancel()
            for each in (below, writer):
                each.close()
            await asyncio.gather(answers, below.wait_closed(), writer.wait_closed(), return_exceptions=True)

    async def _cut_off(
        self, data: bytes, above: asyncio.StreamReader, below: asyncio.StreamWriter, answers: asyncio.Task[None]
    ) -> None:
        cut, self.cut = self.cut, None
        self.cuts += 1
        answers.cancel()
        await asyncio.gather(answers, return_exceptions=True)
        if cut == "its answer":
            below.write(data)
            assert await above.read(65536)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        # PostgreSQL has ended it.
        writer.close()


@pytest.fixture
async def wire(database: TestDatabase) -> AsyncIterator[Wire]:
    made = Wire(database.server.port)
    front = await asyncio.start_server(made.serve, HOST, 0)
    made.port = front.sockets[0].getsockname()[1]
    yield made
    front.close()
    await front.wait_closed()


@pytest.mark.parametrize("cut", ["the commit", "its answer"])
async def test_a_commit_that_is_lost_on_the_way_is_done_once(
    cut: str, database: TestDatabase, wire: Wire, make_key: Callable[..., str]
) -> None:
    address = as_secret(database.url("api_login").set(host=HOST, port=wire.port))
    body = {"name": "n", "optimization_run_id": "run", "status": "completed", "result_value": 0.5}
    async with serving(settings_of(database_url=address, db_pool_min=1), make_key()) as (client,):
        run = f"{RUNS}/run"
        await post(client, RUNS, {"id": "run", "method": "other", "objective": "maximize"})
        wire.cut = cut
        answer = await client.post(EXPERIMENTS, json=body, headers=keyed())

        async def is_answered() -> bool:
            # The session that was cut off may hold the key for a moment longer.
            nonlocal answer
            if answer.status_code == 409:
                answer = await client.post(EXPERIMENTS, json=body, headers=keyed())
            return answer.status_code == 201

        await until(is_answered)
        assert is_replay(answer) == (cut == "its answer")
        assert wire.cuts == 1
        again = await client.post(EXPERIMENTS, json=body, headers=keyed())
        assert (again.content, is_replay(again)) == (answer.content, True)
        assert count(database, "experiments") == 1
        assert (await client.get(run)).json()["num_experiments"] == 1

        # Without a key nobody knows, and it is not sent twice.
        wire.cut = cut
        assert_problem(await client.post(EXPERIMENTS, json=body), 503, "unavailable")
        assert count(database, "experiments") == 1 + (cut == "its answer")
