"""How much a request may be: bodies, heads, and parameters that nobody asked for."""

import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import text

from runbooks.local.postgres import PostgresServer
from runtime.api.app import create_app
from runtime.platform.keys import create_key
from runtime.platform.scopes import ALL_SCOPES
from tests.conftest import SECRET, SUBJECT, TestDatabase, autocommit
from tests.runtime.api.contract import assert_problem, document_of, operations
from tests.runtime.api.snapshots import snapshot
from tests.runtime.api.test_served import Served
from tests.runtime.api.world import EXPERIMENTS, METRIC, METRICS, make_world, quoted

MEGABYTE = 1_000_000
HUGE = 50 * MEGABYTE
DEADLINE = 10.0


@dataclass(frozen=True)
class Running:
    """`python -m runtime serve`, one for all tests here."""

    served: Served
    database: TestDatabase
    key: str


@pytest.fixture(scope="module")
def running(server: PostgresServer, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    database = TestDatabase(server, "test_limits")
    with autocommit(server.url) as connection:
        connection.execute(text(f"CREATE DATABASE {database.name} TEMPLATE {template}"))
    engine = database.engine()
    with engine.begin() as transaction:
        key = create_key(transaction, secret=SECRET, subject=SUBJECT, scopes=ALL_SCOPES).key
    engine.dispose()
    api = Served(database, tmp_path_factory.mktemp("limits"), MAX_WORKERS="1", DB_POOL_MIN="1")
    try:
        api.wait()
        yield Running(api, database, key)
        assert '"status": 500' not in api.log()
        assert '"severity": "ERROR"' not in api.log()
    finally:
        api.kill()
        with autocommit(server.url) as connection:
            connection.execute(text(f"DROP DATABASE {database.name} WITH (FORCE)"))


@pytest.fixture
async def small(database: TestDatabase, make_key: Callable[..., str]) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API that takes bodies of a thousand and some bytes."""
    app = create_app(database.settings(db_pool_min=1, max_body_bytes=1024))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://holdfast.test", headers={"X-API-Key": make_key()}
        ) as client:
            yield client


def body_of(length: int) -> bytes:
    """An experiment of so many bytes."""
    return b'{"name": "' + b"x" * (length - 12) + b'"}'


async def in_parts(body: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


JSON_TYPE = {"content-type": "application/json"}


async def test_a_body_may_have_the_limit_and_not_a_byte_more(
    small: httpx.AsyncClient, database: TestDatabase, subtests: pytest.Subtests
) -> None:
    for length, status in ((200, 201), (266, 201), (1024, 422), (1025, 413), (5000, 413)):
        # The longest name has 255 characters: with more, the body was read, and its field is refused.
        for way, content in (("whole", body_of(length)), ("in parts", in_parts(body_of(length), 100))):
            with subtests.test(way, length=length):
                before = snapshot(database)
                answer = await small.post(EXPERIMENTS, content=content, headers=JSON_TYPE)
                assert answer.status_code == status, answer.text
                if status == 413:
                    problem = assert_problem(answer, 413, "payload-too-large", document=document_of(small))
                    assert "1024 bytes" in problem["detail"]
                if status != 201:
                    assert snapshot(database) == before


@pytest.mark.parametrize("told", ["1", "-1", "abc", "", "9" * 5000, "²"])
async def test_a_length_that_is_a_lie_does_not_let_more_in(small: httpx.AsyncClient, told: str) -> None:
    headers = {**JSON_TYPE, "content-length": told.encode("latin-1")}
    answer = await small.post(EXPERIMENTS, content=in_parts(body_of(5000), 100), headers=headers)
    assert_problem(answer, 413, "payload-too-large")


async def test_every_operation_with_a_body_refuses_one_that_is_too_large_and_says_so(
    small: httpx.AsyncClient, database: TestDatabase, subtests: pytest.Subtests
) -> None:
    document = document_of(small)
    calls = await make_world(small)
    before = snapshot(database)
    refused = 0
    for method, path, operation in operations(document):
        with subtests.test(f"{method} {path}"):
            assert ("413" in operation["responses"]) == ("requestBody" in operation)
            if "requestBody" in operation:
                there = path.format(**{name: quoted(value) for name, value in calls[method, path].path.items()})
                answer = await small.request(method, there, content=body_of(2000), headers=JSON_TYPE)
                assert_problem(answer, 413, "payload-too-large")
                refused += 1
    assert refused > 10
    assert snapshot(database) == before


# --- The server as it runs -------------------------------------------------------------------------------------------


def exchange(url: str, head: bytes, *parts: bytes) -> int:
    """Send these bytes, for as long as the server takes them; the status of its first answer."""
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port or 80), timeout=DEADLINE) as connection:
        try:
            for part in (head, *parts):
                connection.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = b""
        while not answer.partition(b"\r\n\r\n")[1]:
            read = connection.recv(65536)
            assert read, answer
            answer += read
        return int(answer.split()[1])


def test_what_is_too_large_is_refused_before_any_of_it_is_sent(running: Running) -> None:
    def ask(*headers: str) -> int:
        lines = [f"POST {METRICS}/batch HTTP/1.1", "Host: x", "Content-Type: application/json", *headers, "", ""]
        return exchange(running.served.url, "\r\n".join(lines).encode())

    began = time.monotonic()
    length, key = f"Content-Length: {HUGE}", f"X-API-Key: {running.key}"
    assert ask(length, key) == 413
    assert ask(length) == 401
    # Nobody is told to go on.
    assert ask(length, key, "Expect: 100-continue") == 413
    for nonsense in ("-1", "abc", "1, 2", "9" * 5000, ""):
        assert ask(f"Content-Length: {nonsense}", key) == 400
    assert time.monotonic() - began < DEADLINE


def test_fifty_megabytes_are_refused_and_leave_neither_rows_nor_memory(
    running: Running,
) -> None:
    process = psutil.Process(running.served.pid)
    key = {"X-API-Key": running.key, **JSON_TYPE}
    most = 0

    def parts() -> Iterator[bytes]:
        nonlocal most
        yield b'{"metrics": ['
        for _ in range(HUGE // MEGABYTE):
            yield b" " * MEGABYTE
            most = max(most, process.memory_info().rss)
        yield b"]}"

    with httpx.Client(base_url=running.served.url, headers=key, timeout=DEADLINE) as client:
        assert client.post(METRICS, json=METRIC).status_code == 201
        before, rows = process.memory_info().rss, snapshot(running.database)
        for content in (parts(), b'{"metrics": [' + b" " * HUGE + b"]}", parts()):
            began = time.monotonic()
            answer = client.post(f"{METRICS}/batch", content=content)
            assert_problem(answer, 413, "payload-too-large")
            assert time.monotonic() - began < DEADLINE
        # Without a credential it is refused for that.
        unknown = client.post(f"{METRICS}/batch", content=parts(), headers={"X-API-Key": ""})
        assert_problem(unknown, 401, "unauthenticated")
        assert max(most, process.memory_info().rss) - before < 40 * MEGABYTE
        assert snapshot(running.database) == rows
        assert client.get(METRICS).json()["count"] == 1


def test_a_head_that_is_too_long_is_refused_and_the_server_goes_on(running: Running) -> None:
    key = f"X-API-Key: {running.key}\r\n".encode()
    line, end = f"GET {EXPERIMENTS} HTTP/1.1\r\nHost: x\r\n".encode(), b"\r\n"
    many = b"".join(b"X-%d: y\r\n" % number for number in range(100_000))
    before = psutil.Process(running.served.pid).memory_info().rss
    for name, head in (
        ("address", b"GET /%b HTTP/1.1\r\nHost: x\r\n" % (b"x" * MEGABYTE) + key + end),
        ("query", b"GET %b?%b HTTP/1.1\r\nHost: x\r\n" % (EXPERIMENTS.encode(), b"x" * MEGABYTE) + key + end),
        ("credential", line + b"X-API-Key: " + b"x" * MEGABYTE + b"\r\n" + end),
        ("header", line + key + b"X-Other: " + b"x" * MEGABYTE + b"\r\n" + end),
        ("name of a header", line + key + b"x" * MEGABYTE + b": y\r\n" + end),
        ("many headers", line + key + many + end),
        ("header without end", line + key + b"X-Other: " + b"x" * HUGE),
    ):
        status = exchange(running.served.url, *(head[at : at + 50_000] for at in range(0, len(head), 50_000)))
        assert status in {400, 431}, name
    assert psutil.Process(running.served.pid).memory_info().rss - before < 20 * MEGABYTE
    # What fits is served, one request after another on a connection, however long they are together.
    with httpx.Client(
        base_url=running.served.url, headers={"X-API-Key": running.key, "X-Other": "x" * 30_000}
    ) as client:
        assert {client.get(EXPERIMENTS).status_code for _ in range(5)} == {200}
        posted = [client.post(EXPERIMENTS, json={"description": "x" * 90_000}).status_code for _ in range(3)]
        assert posted == [201] * 3


# --- Parameters that an operation does not have ----------------------------------------------------------------------


async def test_no_operation_takes_a_parameter_that_it_does_not_have(
    client: httpx.AsyncClient, database: TestDatabase, subtests: pytest.Subtests
) -> None:
    document = document_of(client)
    calls = await make_world(client)
    before = snapshot(database)
    for (method, path), call in calls.items():
        with subtests.test(f"{method} {path}"):
            query: dict[str, Any] = {**call.query, "colour": "red"}
            answer = await type(call)(call.status, call.path, query, call.body).send(client, method, path)
            assert_problem(answer, 422, "invalid-input", "colour", document=document)
    two = await client.post(EXPERIMENTS, params=[("a", 1), ("b", 2), ("a", 3)], json={})
    assert_problem(two, 422, "invalid-input", "a", "b", document=document)
    assert snapshot(database) == before
    assert (await client.get(f"{EXPERIMENTS}?")).status_code == 200
