"""The quota of requests: told on every answer, kept over all workers, and never the reason of a failure."""

import asyncio
import re
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
import redis
from pydantic import SecretStr

from runbooks.local.valkey import ValkeyServer
from runtime.api import rate_limit
from runtime.api.app import create_app
from runtime.api.rate_limit import RateLimiter
from runtime.cache.cache import PREFIX
from runtime.problems import TooManyRequests
from tests.caches import fronting, new_valkey, until
from tests.conftest import TestDatabase
from tests.runtime.api.contract import assert_problem, document_of, operations
from tests.runtime.api.world import EXPERIMENTS, FEEDBACK, METRICS

# RFC 9651's items with these parameters, in the one form that is written here.
POLICY = re.compile(r'"default";q=(\d+);w=(\d+)')
LEFT = re.compile(r'"default";r=(\d+);t=(\d+)')
BEGINNING = 1_800_000_000  # of a window of any of these tests' lengths

ClientsOf = Callable[[str], list[httpx.AsyncClient]]


class Clock:
    """The limiter's wall clock, which stands still."""

    def __init__(self) -> None:
        self.now = float(BEGINNING)

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    standing = Clock()
    monkeypatch.setattr(rate_limit, "time", standing)
    return standing


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "INTERVAL_SECONDS", 0.05)
    # A busy machine is no slow cache.
    monkeypatch.setattr(rate_limit, "WRITE_SECONDS", 5.0)


@asynccontextmanager
async def workers(database: TestDatabase, number: int = 1, **settings: object) -> AsyncIterator[ClientsOf]:
    """Workers in this process, and a client of each for a key."""
    async with AsyncExitStack() as stack:
        transports = []
        for _ in range(number):
            app = create_app(database.settings(db_pool_min=1, **settings))
            await stack.enter_async_context(app.router.lifespan_context(app))
            transports.append(httpx.ASGITransport(app, raise_app_exceptions=False))
        yield lambda key: [
            httpx.AsyncClient(transport=each, base_url="http://holdfast.test", headers={"X-API-Key": key})
            for each in transports
        ]


def left(answer: httpx.Response) -> tuple[int, int]:
    """Requests that are left, and seconds until there are more."""
    found = LEFT.fullmatch(answer.headers["ratelimit"])
    assert found is not None, answer.headers
    return int(found[1]), int(found[2])


async def admitted(clients: list[httpx.AsyncClient], number: int) -> int:
    """How many of so many requests are admitted, sent to the workers in turn."""
    answers = [await clients[nth % len(clients)].get(EXPERIMENTS) for nth in range(number)]
    assert {answer.status_code for answer in answers} <= {200, 429}
    return sum(answer.status_code == 200 for answer in answers)


async def test_every_answer_to_a_known_caller_says_what_is_left(
    database: TestDatabase, make_key: Callable[..., str], clock: Clock
) -> None:
    clock.now += 18.9
    async with workers(database) as clients_of:
        (client,), (weak,) = clients_of(make_key()), clients_of(make_key("ard:read", subject="weak"))
        for caller, method, path, body, status, expected in (
            (client, "GET", EXPERIMENTS, None, 200, 5999),
            (client, "GET", f"{EXPERIMENTS}/nowhere", None, 404, 5998),
            (client, "POST", EXPERIMENTS, b'{"colour": "red"}', 422, 5997),
            (client, "POST", METRICS, b"{", 422, 5996),
            (weak, "GET", METRICS, None, 403, 5999),
            (weak, "GET", EXPERIMENTS, None, 200, 5998),
        ):
            answer = await caller.request(method, path, content=body)
            assert answer.status_code == status
            assert POLICY.fullmatch(answer.headers["ratelimit-policy"]).groups() == ("6000", "60")  # type: ignore[union-attr]
            assert left(answer) == (expected, 42)
        stranger = {"X-API-Key": "hf_nonsense"}
        for path in ("/health/live", "/openapi.json", "/docs", "/nowhere"):
            assert "ratelimit" not in (await client.get(path)).headers
        assert "ratelimit" not in (await client.get(EXPERIMENTS, headers=stranger)).headers


async def test_who_has_used_the_quota_up_is_told_when_to_come_back_and_is_served_then(
    database: TestDatabase, make_key: Callable[..., str]
) -> None:
    async with workers(database, rate_limit=3, rate_limit_window=2) as clients_of:
        (client,) = clients_of(make_key())
        before = time.time()
        answers = [await client.get(EXPERIMENTS) for _ in range(4)]
        while int(before) // 2 != int(time.time()) // 2:  # a window began meanwhile
            before = time.time()
            answers = [await client.get(EXPERIMENTS) for _ in range(4)]
        refused = answers[-1]
        assert_problem(refused, 429, "too-many-requests", document=document_of(client))
        assert left(refused)[0] == 0
        assert int(refused.headers["retry-after"]) == left(refused)[1] in {1, 2}

        async def is_served() -> bool:
            return (await client.get(EXPERIMENTS)).status_code == 200

        await until(is_served, seconds=5)
        assert time.time() >= (int(before) // 2 + 1) * 2
        assert time.time() < before + 2 + 2


@pytest.mark.usefixtures("clock")
async def test_a_principal_has_one_quota_for_all_its_keys_and_none_of_anothers(
    database: TestDatabase, make_key: Callable[..., str]
) -> None:
    async with workers(database, rate_limit=4) as clients_of:
        first, second, another = (clients_of(make_key(subject=subject))[0] for subject in ("one", "one", "another"))
        assert await admitted([first, second], 10) == 4
        assert await admitted([another], 3) == 3
        # What is refused changes nothing.
        body = {"insight_id": "i", "rating": 1}
        assert_problem(await first.post(f"{FEEDBACK}/rate", json=body), 429, "too-many-requests")
        shown = await another.get(f"{FEEDBACK}/stats", params={"insight_id": "i"})
        assert shown.json()["total_ratings"] == 0


@pytest.mark.usefixtures("clock")
async def test_of_two_hundred_at_once_exactly_the_quota_is_admitted(
    database: TestDatabase, make_key: Callable[..., str]
) -> None:
    async with workers(database, rate_limit=50) as clients_of:
        (client,) = clients_of(make_key())
        answers = await asyncio.gather(*(client.get(EXPERIMENTS, params={"limit": 1}) for _ in range(200)))
        assert Counter(answer.status_code for answer in answers) == {200: 50, 429: 150}
        assert sorted(left(answer)[0] for answer in answers) == sorted([*range(50), *[0] * 150])


async def test_zero_is_no_limit(database: TestDatabase, make_key: Callable[..., str]) -> None:
    async with workers(database, rate_limit=0) as clients_of:
        answer = await clients_of(make_key())[0].get(EXPERIMENTS)
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("ratelimit")]


@pytest.mark.parametrize("jump", [-86_400, -1, 3600, 10**9])
def test_a_clock_that_jumps_begins_another_window_and_no_more(clock: Clock, jump: int) -> None:
    limiter, principal = RateLimiter(None, requests=2, window=60), uuid.uuid4()
    for _ in range(2):
        limiter.admit(principal, [])
    with pytest.raises(TooManyRequests):
        limiter.admit(principal, [])
    clock.now += jump
    headers: list[tuple[bytes, bytes]] = []
    limiter.admit(principal, headers)
    limiter.admit(principal, [])
    with pytest.raises(TooManyRequests) as caught:
        limiter.admit(principal, [])
    assert 1 <= int(caught.value.headers["Retry-After"]) <= 60
    assert LEFT.fullmatch(dict(headers)[b"ratelimit"].decode())


def test_what_is_remembered_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MOST_PRINCIPALS", 100)
    limiter = RateLimiter(None, requests=2, window=60)
    many = [uuid.uuid4() for _ in range(300)]
    for principal in many:
        limiter.admit(principal, [])
    assert len(limiter._tallies) == 100
    # Those who came last are still counted.
    limiter.admit(many[-1], [])
    with pytest.raises(TooManyRequests):
        limiter.admit(many[-1], [])
    clock.now += 60
    limiter.admit(many[0], [])
    assert len(limiter._tallies) == 1


# --- Over workers ----------------------------------------------------------------------------------------------------


async def others_known_to(client: httpx.AsyncClient, own: int, others: int) -> int:
    """Wait until a worker knows that the others admitted so many of a thousand; asking costs a request each time.

    Returns:
        How many it has admitted itself by then.
    """

    async def is_so() -> bool:
        nonlocal own
        own += 1
        return 1000 - left(await client.get(EXPERIMENTS))[0] - own == others

    await until(is_so)
    return own


@pytest.mark.usefixtures("stored", "clock")
async def test_workers_together_admit_the_quota_and_what_they_admit_before_they_hear_of_each_other(
    database: TestDatabase, make_key: Callable[..., str], shared_valkey: ValkeyServer
) -> None:
    settings = {"rate_limit": 300, "redis_url": SecretStr(shared_valkey.url)}
    async with workers(database, 2, **settings) as clients_of:
        clients = clients_of(make_key())
        reached, moments = None, []
        began = time.monotonic()
        while time.monotonic() < began + 15:
            answers = await asyncio.gather(*(client.get(EXPERIMENTS, params={"limit": 1}) for client in clients))
            moments += [time.monotonic() for answer in answers if answer.status_code == 200]
            if reached is None and len(moments) >= 300:
                reached = time.monotonic()
            if {answer.status_code for answer in answers} == {429}:
                break
        # Alone, each would have admitted 300.
        assert reached is not None
        assert 300 <= len(moments) < 450
        assert moments[-1] - reached < 1
        assert await admitted(clients, 10) == 0


@pytest.mark.usefixtures("clock")
async def test_a_cache_that_goes_and_comes_back_costs_no_answer_and_hears_what_it_missed(
    database: TestDatabase, make_key: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    valkey = new_valkey(tmp_path_factory.mktemp("killed"))
    settings = {"rate_limit": 1000, "redis_url": SecretStr(valkey.url)}
    async with AsyncExitStack() as stack:
        stack.callback(valkey.stop)
        clients_of = await stack.enter_async_context(workers(database, 2, **settings))
        first, second = clients_of(make_key())
        assert await admitted([first], 10) == 10
        own = await others_known_to(second, 0, 10)
        await asyncio.to_thread(valkey.stop)
        assert await admitted([first], 20) == 20
        # Alone it goes on counting for itself.
        assert await admitted([second], 5) == 5
        assert left(await second.get(EXPERIMENTS))[0] == 1000 - 10 - (own + 6)
        valkey.start()
        valkey.wait_ready()
        await others_known_to(second, own + 6, 30)


async def test_a_cache_that_does_not_answer_delays_nobody(
    database: TestDatabase, make_key: Callable[..., str], shared_valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "WRITE_SECONDS", 30.0)
    async with fronting(shared_valkey) as front:
        front.passing.clear()
        settings = {"rate_limit": 1000, "redis_url": SecretStr(front.url(shared_valkey))}
        async with workers(database, **settings) as clients_of:
            (client,) = clients_of(make_key())
            await client.get(EXPERIMENTS)

            async def is_asked() -> bool:
                return front.connections > 0

            await until(is_asked)
            began = time.monotonic()
            assert await admitted([client], 10) == 10
            assert time.monotonic() - began < 5


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("garbage", ["a string", "a list", "a word for a number", "a huge number", "no number"])
async def test_garbage_in_the_cache_is_not_counted(
    garbage: str,
    database: TestDatabase,
    make_key: Callable[..., str],
    shared_valkey: ValkeyServer,
    stored: redis.Redis,
) -> None:
    settings = {"rate_limit": 20, "redis_url": SecretStr(shared_valkey.url)}
    async with workers(database, **settings) as clients_of:
        (client,) = clients_of(make_key())
        (other,) = clients_of(make_key(subject="other"))
        assert await admitted([client], 1) == 1

        async def is_told() -> bool:
            return bool(stored.keys(f"{PREFIX}:requests:*"))

        await until(is_told)
        (key,) = stored.keys(f"{PREFIX}:requests:*")
        assert 0 < stored.ttl(key) <= 120
        stored.delete(key)
        if garbage == "a string":
            stored.set(key, b"\xff" * 100)
        elif garbage == "a list":
            stored.rpush(key, "1000")
        else:
            words = {"a word for a number": "inf", "a huge number": "9" * 30, "no number": b"\x00\xff"}
            stored.hset(key, "somebody", words[garbage])
        # Another's count is told in the same command, and does not suffer.
        assert await admitted([client, other], 10) == 10

        async def other_is_told() -> bool:
            return len(stored.keys(f"{PREFIX}:requests:*")) == 2

        await until(other_is_told)
        answer = await client.get(EXPERIMENTS)
        assert (answer.status_code, left(answer)[0]) == (200, 20 - 7)
        assert await admitted([client], 20) == 13


async def test_the_document_has_the_quota_and_its_headers(client: httpx.AsyncClient) -> None:
    document = document_of(client)
    for _, _, operation in operations(document):
        if "security" not in operation:
            continue
        headers = {status: set(response.get("headers", {})) for status, response in operation["responses"].items()}
        assert headers["429"] >= {"RateLimit", "RateLimit-Policy", "Retry-After"}
        assert all({"RateLimit", "RateLimit-Policy"} <= names for status, names in headers.items() if status != "401")
        examples = operation["responses"]["429"]["headers"]
        assert POLICY.fullmatch(examples["RateLimit-Policy"]["example"])
        assert LEFT.fullmatch(examples["RateLimit"]["example"])
