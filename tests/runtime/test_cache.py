"""The cache: what it answers, and what it never answers, whichever part fails when."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from structlog.testing import CapturingLogger

from runbooks.local.valkey import ValkeyServer
from runtime.cache import cache as cache_module
from runtime.cache import server as server_module
from runtime.cache import trust
from runtime.cache.cache import LONGEST_NAME, PREFIX, Cache, Entry, Family, scope
from runtime.db.pool import Database, Transaction
from runtime.systems.utxoiq import caching, feedback_service
from tests.caches import certificate, fronting, new_valkey, until
from tests.conftest import PASSWORD, SECRET

INSIGHT = "insight '100%' \"ü\""
SCOPE = caching.of_insight(INSIGHT)
ENTRY = caching.stats(INSIGHT)
# Seconds a write of these tests may take; a mark, and a distrust, lasts twice as long.
WRITE = 1.0


@pytest.fixture
def valkey(shared_valkey: ValkeyServer) -> ValkeyServer:
    with redis.Redis.from_url(shared_valkey.url) as client:
        client.flushall()
    return shared_valkey


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    server = new_valkey(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def stored(valkey: ValkeyServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey.url) as client:
        yield client


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "MARGIN_SECONDS", 0.0)
    monkeypatch.setattr(trust, "LEASE_SECONDS", 0.3)
    monkeypatch.setattr(server_module, "OPEN_SECONDS", 0.2)
    # A busy machine is no slow cache.
    monkeypatch.setattr(cache_module, "READ_SECONDS", 5.0)
    monkeypatch.setattr(cache_module, "WRITE_SECONDS", 5.0)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    logger = CapturingLogger()
    monkeypatch.setattr(server_module, "log", logger)
    return logger.calls


class Worker:
    """One worker: it reads how many rated an insight, and rates it."""

    def __init__(self, url: str | None, db: Database) -> None:
        self.db = db
        self.cache = Cache(url, db, secret=SECRET, longest_write=WRITE)
        self.reads = 0
        # Cleared, a reader has its row and may not go on with it.
        self.going_on = asyncio.Event()
        self.going_on.set()
        self.has_read = asyncio.Event()

    async def ratings(self) -> int:
        return int(json.loads(await self.cache.read(ENTRY, self._read))["total_ratings"])

    async def rate(self, user: str) -> None:
        await self.cache.write([SCOPE], lambda tx: self._rate(tx, user), idempotent=True)

    async def rate_and_fail(self, user: str, meanwhile: Callable[[], Any] | None = None) -> None:
        async def work(tx: Transaction) -> None:
            await self._rate(tx, user)
            if meanwhile is not None:
                await meanwhile()
            raise KeyError

        with pytest.raises(KeyError):
            await self.cache.write([SCOPE], work)

    def counts(self) -> dict[str, int]:
        return {outcome: number for (_, outcome), number in self.cache.snapshot().items()}

    async def _read(self) -> bytes:
        self.reads += 1
        answer = (await feedback_service.get_stats(self.db, INSIGHT)).json
        self.has_read.set()
        await self.going_on.wait()
        return answer

    async def _rate(self, tx: Transaction, user: str) -> None:
        await feedback_service.rate(tx, insight_id=INSIGHT, user_id=user, rating=5)


@pytest.fixture
async def make_worker(db: Database) -> Any:
    made: list[Worker] = []

    def make(url: str | None) -> Worker:
        made.append(Worker(url, db))
        return made[-1]

    yield make
    for worker in made:
        worker.going_on.set()
        await worker.cache.close()


MakeWorker = Callable[[str | None], Worker]


async def hits_again(worker: Worker) -> None:
    async def is_hit() -> bool:
        before = worker.counts().get("hit", 0)
        await worker.ratings()
        return worker.counts().get("hit", 0) > before

    await until(is_hit)


# --- Kept -------------------------------------------------------------------------------------------------------------


async def test_an_answer_is_read_once_and_kept_for_all_workers(valkey: ValkeyServer, make_worker: MakeWorker) -> None:
    first, second = make_worker(valkey.url), make_worker(valkey.url)
    assert [await first.ratings(), await first.ratings(), await second.ratings()] == [0, 0, 0]
    assert (first.reads, second.reads) == (1, 0)
    assert (first.counts(), second.counts()) == ({"miss": 1, "hit": 1}, {"hit": 1})
    assert first.cache.snapshot() == {("utxoiq:stats", "miss"): 1, ("utxoiq:stats", "hit"): 1}


async def test_without_a_server_all_is_read_and_written_as_before(make_worker: MakeWorker) -> None:
    worker = make_worker(None)
    assert await worker.ratings() == 0
    await worker.rate("u")
    assert await worker.ratings() == 1
    assert worker.counts() == {"bypass": 2}
    assert "not configured" in (await worker.cache.ping(1) or "")


async def test_a_hit_is_one_round_trip(valkey: ValkeyServer, make_worker: MakeWorker, stored: redis.Redis) -> None:
    worker = make_worker(valkey.url)
    await worker.ratings()
    before = stored.info("stats")["total_commands_processed"]
    await worker.ratings()
    # The other one is this question.
    assert stored.info("stats")["total_commands_processed"] == before + 2


def test_keys_are_readable_stable_and_of_bounded_length() -> None:
    family = Family("s:list", 60)
    one, other = Entry(family, {"b": "ü &", "a": 1, "c": None}, ()), Entry(family, {"a": 1, "b": "ü &"}, ())
    assert one.key == other.key == f"{PREFIX}:s:list?a=1&b=%C3%BC%20%26"
    long = {Entry(family, {"a": "x" * 5000 + end}, ()).key for end in "yz"}
    assert len(long) == 2
    assert all(len(key) <= LONGEST_NAME + len(PREFIX) + 1 for key in long)
    assert len({scope("m", "*", None), scope("m", None, "*"), scope("m", "a:b", None), scope("m", "a", "b")}) == 4


# --- Ended by writes --------------------------------------------------------------------------------------------------


async def test_a_write_ends_the_answer_for_all_workers(valkey: ValkeyServer, make_worker: MakeWorker) -> None:
    first, second = make_worker(valkey.url), make_worker(valkey.url)
    for number in range(5):
        assert [await first.ratings(), await second.ratings()] == [number, number]
        await first.rate(f"u{number}")
    assert second.reads + first.reads == 5


async def test_after_a_rollback_the_answer_is_read_again_and_kept(
    valkey: ValkeyServer, make_worker: MakeWorker
) -> None:
    worker = make_worker(valkey.url)
    await worker.ratings()
    await worker.rate_and_fail("u")
    assert [await worker.ratings(), await worker.ratings()] == [0, 0]
    assert worker.counts() == {"miss": 2, "hit": 1}


async def test_a_rollback_brings_nothing_back_that_another_write_ended(
    valkey: ValkeyServer, make_worker: MakeWorker
) -> None:
    worker, other = make_worker(valkey.url), make_worker(valkey.url)
    await worker.ratings()
    await worker.rate_and_fail("u", meanwhile=lambda: other.rate("v"))
    assert await other.ratings() == 1


async def test_a_reader_who_stores_the_old_row_after_the_write_is_not_believed(
    valkey: ValkeyServer, make_worker: MakeWorker
) -> None:
    slow, writer = make_worker(valkey.url), make_worker(valkey.url)
    slow.going_on.clear()
    reading = asyncio.create_task(slow.ratings())
    await slow.has_read.wait()
    await writer.rate("u")
    # One that begins now does not join that read either, although it misses the same key.
    fresh = asyncio.create_task(slow.ratings())
    slow.going_on.set()
    assert (await reading, await fresh) == (0, 1)
    assert [await writer.ratings(), await slow.ratings()] == [1, 1]


async def test_while_a_write_is_under_way_nothing_is_kept(
    valkey: ValkeyServer, make_worker: MakeWorker, stored: redis.Redis
) -> None:
    writer, reader = make_worker(valkey.url), make_worker(valkey.url)

    async def look() -> None:
        assert await reader.ratings() == 0
        assert not stored.exists(ENTRY.key)

    await writer.rate_and_fail("u", meanwhile=look)
    assert reader.counts() == {"bypass": 1}


async def test_a_worker_that_dies_after_its_commit_leaves_nothing_stale(
    valkey: ValkeyServer, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying, other = make_worker(valkey.url), make_worker(valkey.url)
    assert await other.ratings() == 0

    async def die(_change: object) -> None:
        pass

    monkeypatch.setattr(dying.cache, "_finish", die)
    await dying.rate("u")
    assert await other.ratings() == 1
    assert other.counts() == {"miss": 1, "bypass": 1}
    # Nor does another's rollback, before or after the mark's end.
    await other.rate_and_fail("v")
    assert await other.ratings() == 1
    await hits_again(other)
    assert await other.ratings() == 1


async def test_a_request_that_ends_at_its_deadline_still_ends_the_answer(
    valkey: ValkeyServer, make_worker: MakeWorker
) -> None:
    worker = make_worker(valkey.url)
    await worker.ratings()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work(_tx: Transaction) -> None:
        begun.set()
        await go_on.wait()

    writing = asyncio.create_task(worker.cache.write([SCOPE], work))
    await begun.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    # No mark is left behind: it is read and kept again at once.
    assert [await worker.ratings(), await worker.ratings()] == [0, 0]
    assert worker.counts() == {"miss": 2, "hit": 1}


# --- Read once --------------------------------------------------------------------------------------------------------


async def test_fifty_who_miss_together_read_once(valkey: ValkeyServer, make_worker: MakeWorker) -> None:
    worker = make_worker(valkey.url)
    worker.going_on.clear()
    asking = [asyncio.create_task(worker.ratings()) for _ in range(50)]

    async def all_missed() -> bool:
        return worker.counts().get("miss") == 50

    await until(all_missed)
    # The first goes away, and the others get their answer.
    asking[0].cancel()
    worker.going_on.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [0] * 49
    assert worker.reads == 1


async def test_a_read_that_fails_fails_for_all_who_wait_and_is_not_kept(
    valkey: ValkeyServer, make_worker: MakeWorker
) -> None:
    worker = make_worker(valkey.url)
    tried, go_on = 0, asyncio.Event()

    async def fail() -> bytes:
        nonlocal tried
        tried += 1
        await go_on.wait()
        raise LookupError

    asking = [asyncio.create_task(worker.cache.read(ENTRY, fail)) for _ in range(10)]

    async def all_missed() -> bool:
        return worker.counts().get("miss") == 10

    await until(all_missed)
    go_on.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(answer) for answer in answers] == [LookupError] * 10
    assert tried == 1
    assert await worker.ratings() == 0


# --- Broken -----------------------------------------------------------------------------------------------------------


async def test_a_worker_that_cannot_reach_the_cache_lets_no_other_answer_from_before_its_write(
    valkey: ValkeyServer, make_worker: MakeWorker
) -> None:
    async with fronting(valkey) as front:
        cut_off, other = make_worker(front.url(valkey)), make_worker(valkey.url)
        assert [await cut_off.ratings(), await other.ratings()] == [0, 0]
        front.cut()
        for number in range(1, 4):
            await cut_off.rate(f"u{number}")
            assert await other.ratings() == number
        await hits_again(other)
        assert await other.ratings() == 3
        front.refusing = False
        await hits_again(cut_off)
        assert await cut_off.ratings() == 3


async def test_a_worker_that_cannot_reach_the_cache_and_dies_after_its_commit_leaves_nothing_stale(
    valkey: ValkeyServer, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fronting(valkey) as front:
        dying, other = make_worker(front.url(valkey)), make_worker(valkey.url)
        assert await other.ratings() == 0
        front.cut()

        async def die(_change: object) -> None:
            pass

        monkeypatch.setattr(dying.cache, "_finish", die)
        await dying.rate("u")

        # Nobody was answered, so a worker may believe until its lease ends, and no longer.
        async def is_seen() -> bool:
            return await other.ratings() == 1

        await until(is_seen, seconds=trust.LEASE_SECONDS + 1)
        await hits_again(other)
        assert await other.ratings() == 1


async def test_a_cache_that_is_lost_between_mark_and_commit_is_distrusted(
    valkey: ValkeyServer, make_worker: MakeWorker, stored: redis.Redis
) -> None:
    async with fronting(valkey) as front:
        cut_off, other = make_worker(front.url(valkey)), make_worker(valkey.url)

        async def work(tx: Transaction) -> None:
            await feedback_service.rate(tx, insight_id=INSIGHT, user_id="u", rating=1)
            # The mark is gone, somebody keeps the old row, and the writer cannot say so.
            stored.flushall()
            front.cut()
            assert await other.ratings() == 0

        await cut_off.cache.write([SCOPE], work)
        assert await other.ratings() == 1
        await hits_again(other)
        assert await other.ratings() == 1


async def test_a_server_that_comes_back_with_an_old_memory_is_not_believed(
    own_valkey: ValkeyServer, make_worker: MakeWorker
) -> None:
    worker = make_worker(own_valkey.url)
    assert await worker.ratings() == 0
    with redis.Redis.from_url(own_valkey.url) as client:
        client.save()
        await worker.rate("u")
        client.shutdown(nosave=True)
    own_valkey.stop()
    own_valkey.start()
    own_valkey.wait_ready()
    with redis.Redis.from_url(own_valkey.url) as client:
        assert client.exists(ENTRY.key), "nothing came back, and nothing is tested"
    assert await worker.ratings() == 1
    await hits_again(worker)
    assert await worker.ratings() == 1


async def test_a_cache_that_is_killed_while_requests_run_shows_in_no_answer(
    own_valkey: ValkeyServer, make_worker: MakeWorker
) -> None:
    workers = [make_worker(own_valkey.url) for _ in range(2)]
    acknowledged, is_over = 0, False

    async def read(worker: Worker) -> None:
        while not is_over:
            at_least = acknowledged
            assert await worker.ratings() >= at_least

    readers = [asyncio.create_task(read(worker)) for worker in workers for _ in range(3)]
    for number in range(1, 25):
        if number in {8, 16}:
            await asyncio.to_thread(own_valkey.stop if number == 8 else own_valkey.start)
        await workers[number % 2].rate(f"u{number}")
        acknowledged = number
    for worker in workers:
        await hits_again(worker)
    is_over = True
    await asyncio.gather(*readers)
    assert [await worker.ratings() for worker in workers] == [24, 24]
    assert all(worker.counts()["bypass"] for worker in workers)


async def test_a_slow_cache_costs_a_few_reads_its_deadline_and_the_rest_nothing(
    valkey: ValkeyServer, make_worker: MakeWorker, said: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "OPEN_SECONDS", 60)
    async with fronting(valkey) as front:
        worker = make_worker(front.url(valkey))
        await worker.ratings()
        monkeypatch.setattr(cache_module, "READ_SECONDS", server_module.READ_SECONDS)
        monkeypatch.setattr(cache_module, "WRITE_SECONDS", server_module.WRITE_SECONDS)
        front.passing.clear()
        took = []
        for _ in range(10):
            began = time.monotonic()
            assert await worker.ratings() == 0
            took.append(time.monotonic() - began)
        assert max(took) < server_module.READ_SECONDS + 0.2
        assert sum(seconds > server_module.READ_SECONDS / 2 for seconds in took) == server_module.FAILURES
        assert [(call.method_name, call.args) for call in said] == [("warning", ("cache_bypassed",))]
        # A write waits for its own deadline at most, and for the lease of those who still believe.
        began = time.monotonic()
        await worker.rate("u")
        assert time.monotonic() - began < server_module.WRITE_SECONDS + trust.LEASE_SECONDS + 0.3
        began = time.monotonic()
        await worker.rate("v")
        assert time.monotonic() - began < 0.2


async def test_the_breaker_closes_when_the_cache_answers_again(
    valkey: ValkeyServer, make_worker: MakeWorker, said: list[Any]
) -> None:
    async with fronting(valkey) as front:
        worker = make_worker(front.url(valkey))
        front.refusing = True
        for _ in range(20):
            assert await worker.ratings() == 0
        # Nobody knocks while it is open.
        assert front.connections == server_module.FAILURES
        front.refusing = False
        await hits_again(worker)
    assert [call.args[0] for call in said] == ["cache_bypassed", "cache_answers_again"]


async def test_a_write_knocks_although_the_breaker_is_open(
    valkey: ValkeyServer, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "OPEN_SECONDS", 60)
    async with fronting(valkey) as front:
        worker, other = make_worker(front.url(valkey)), make_worker(valkey.url)
        assert await other.ratings() == 0
        front.refusing = True
        for _ in range(5):
            await worker.ratings()
        front.refusing = False
        await worker.rate("u")
        assert [await worker.ratings(), await other.ratings()] == [1, 1]
    # Nobody had to stop believing.
    assert worker.counts() == {"bypass": 5, "miss": 1}
    assert other.counts() == {"miss": 1, "hit": 1}


async def test_what_is_no_entry_of_ours_is_a_miss(
    valkey: ValkeyServer, make_worker: MakeWorker, stored: redis.Redis
) -> None:
    worker = make_worker(valkey.url)
    await worker.ratings()
    right = stored.get(ENTRY.key)
    # Of the same scopes, and sealed with the same generations.
    other = Entry(caching.STATS, {"insight_id": "another"}, ENTRY.scopes)
    await worker.cache.read(other, worker._read)
    lies: list[Callable[[], Any]] = [
        lambda: stored.set(ENTRY.key, b""),
        lambda: stored.set(ENTRY.key, b"\x00garbage"),
        lambda: stored.set(ENTRY.key, right[:-1]),
        lambda: stored.set(ENTRY.key, right + b" "),
        lambda: stored.set(ENTRY.key, right.replace(b'"total_ratings" : 0', b'"total_ratings" : 9')),
        lambda: stored.set(ENTRY.key, stored.get(other.key)),
        lambda: (stored.delete(ENTRY.key), stored.rpush(ENTRY.key, "a")),
        lambda: (stored.delete(ENTRY.key), stored.hset(ENTRY.key, "a", "b")),
    ]
    for number, lie in enumerate(lies, start=2):
        lie()
        assert await worker.ratings() == 0
        assert worker.reads == number + 1
        assert stored.get(ENTRY.key) == right


async def test_a_generation_of_a_wrong_type_is_no_obstacle(
    valkey: ValkeyServer, make_worker: MakeWorker, stored: redis.Redis
) -> None:
    worker = make_worker(valkey.url)
    await worker.ratings()
    (generation,) = stored.keys(f"{PREFIX}:generation:*")
    stored.delete(generation)
    stored.rpush(generation, "a")
    assert await worker.ratings() == 0
    assert worker.counts() == {"miss": 1, "bypass": 1}
    await worker.rate("u")
    assert [await worker.ratings(), await worker.ratings()] == [1, 1]
    assert worker.counts() == {"miss": 2, "bypass": 1, "hit": 1}


# --- Who may ----------------------------------------------------------------------------------------------------------


async def test_a_wrong_password_is_said_once_and_read_past(
    valkey: ValkeyServer, make_worker: MakeWorker, said: list[Any]
) -> None:
    worker = make_worker(f"redis://:not-the-password@127.0.0.1:{valkey.port}/0")
    assert [await worker.ratings() for _ in range(10)] == [0] * 10
    assert worker.counts() == {"bypass": 10}
    (line,) = said
    assert (line.method_name, line.args) == ("warning", ("cache_bypassed",))
    assert line.kwargs["error"] == "AuthenticationError"
    assert "not-the-password" not in str(line)
    assert PASSWORD not in str(line)


async def test_tls_is_verified(valkey: ValkeyServer, make_worker: MakeWorker, said: list[Any], tmp_path: Path) -> None:
    ours, context = certificate(tmp_path, "ours")
    others, _ = certificate(tmp_path, "others")
    async with fronting(valkey, context) as front:
        address = front.url(valkey).replace("redis://", "rediss://").replace("127.0.0.1", "localhost")
        right = make_worker(f"{address}?ssl_ca_certs={ours}")
        assert [await right.ratings(), await right.ratings()] == [0, 0]
        assert right.counts() == {"miss": 1, "hit": 1}
        assert await right.cache.ping(1) is None
        assert said == []
        wrong = {
            "another authority": f"{address}?ssl_ca_certs={others}",
            "the system's authorities": address,
            "another name": f"{address}?ssl_ca_certs={ours}".replace("localhost", "127.0.0.1"),
        }
        for why, url in wrong.items():
            worker = make_worker(url)
            assert [await worker.ratings() for _ in range(5)] == [0] * 5, why
            assert worker.counts() == {"bypass": 5}, why
            (line,) = said
            assert "CERTIFICATE_VERIFY_FAILED" in line.kwargs["detail"], why
            said.clear()
