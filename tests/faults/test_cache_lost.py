"""The cache lies, hangs, dies and comes back under load: no answer fails, and none is older than a told write."""

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import redis

from runbooks.local.valkey import ValkeyServer
from runtime.cache.cache import PREFIX
from tests.caches import new_valkey, until
from tests.conftest import TestDatabase
from tests.faults.platform import serving
from tests.runtime.api.world import BACKFILL, METRIC, METRICS, post

# Short, because a cache that could not be told of a write is not believed for a multiple of it.
DEADLINE = 2.0
# A read waits 0.1 s for a cache that hangs; a busy machine takes more.
SLOWEST_READ = 1.0
BELIEVED_AGAIN = 40.0


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    server = new_valkey(tmp_path)
    yield server
    if server.exit_code is None and server.pid is not None:
        psutil.Process(server.pid).resume()
    server.stop()


class Watch:
    """A number that only grows, one who makes it grow, and others who look whether it ever is less than they heard."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.told = 0
        self.looks = 0
        self.is_over = False
        self.slowest_read = 0.0

    async def write(self) -> None:
        for number in itertools.count(1):
            if self.is_over:
                return
            await self.tell(number)
            self.told = number
            # Readers may fill the cache meanwhile.
            seen = self.looks
            await until(lambda seen=seen: self._looked(seen + 4))

    async def read(self) -> None:
        while not self.is_over:
            at_least, began = self.told, time.monotonic()
            assert await self.look() >= at_least
            self.slowest_read = max(self.slowest_read, time.monotonic() - began)
            self.looks += 1
            # Readers leave the machine to others now and then.
            await asyncio.sleep(0.01)

    async def _looked(self, number: int) -> bool:
        return self.is_over or self.looks >= number

    async def tell(self, number: int) -> None:
        raise NotImplementedError

    async def look(self) -> int:
        raise NotImplementedError

    async def _get(self, path: str, **query: Any) -> Any:
        answer = await self._client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


class Job(Watch):
    """The last block of a job."""

    def __init__(self, client: httpx.AsyncClient, job: str, token: int) -> None:
        super().__init__(client)
        self._job, self._token = job, token

    async def tell(self, number: int) -> None:
        await post(
            self._client,
            f"{BACKFILL}/progress",
            {"job_id": self._job, "current_block": number, "fencing_token": self._token},
        )

    async def look(self) -> int:
        return int((await self._get(f"{BACKFILL}/{self._job}"))["current_block"])


class Service(Watch):
    """How many measurements a service has."""

    async def tell(self, number: int) -> None:
        await post(self._client, METRICS, {**METRIC, "service_name": "watched", "metric_value": number})

    async def look(self) -> int:
        return int((await self._get(METRICS, service_name="watched", limit=1000))["count"])


async def test_the_cache_breaks_in_every_way_under_load(
    database: TestDatabase, make_key: Callable[..., str], valkey: ValkeyServer, tmp_path: Path
) -> None:
    settings = {"REDIS_URL": valkey.url, "REQUEST_TIMEOUT": str(DEADLINE), "LOG_LEVEL": "WARNING"}
    with serving(database, tmp_path, **settings) as api:
        async with api.client(make_key()) as client, asyncio.TaskGroup() as group:
            started = await post(
                client, f"{BACKFILL}/start", {"job_type": "blocks", "start_block": 1, "end_block": 1_000_000}
            )
            token = (await post(client, f"{BACKFILL}/claim", {"worker": "w"}))["fencing_token"]
            watches = [Job(client, started["id"], token), Service(client)]
            for watch in watches:
                for work in (watch.write, watch.read, watch.read):
                    group.create_task(work())
            await _more(watches, valkey)

            # It lies: garbage, other keys' values, nothing.
            with redis.Redis.from_url(valkey.url) as stored:
                for lie in itertools.chain.from_iterable([(_garble, _shuffle, redis.Redis.flushall)] * 4):
                    lie(stored)
                    await _looks(watches)
            await _more(watches, valkey)

            # It hangs.
            psutil.Process(valkey.pid).suspend()
            await _more(watches)
            psutil.Process(valkey.pid).resume()
            await _more(watches)

            # It dies, and another comes in its place.
            psutil.Process(valkey.pid).kill()
            valkey.stop()
            await _more(watches)
            await asyncio.to_thread(valkey.start)
            await _more(watches, valkey)
            for watch in watches:
                watch.is_over = True
        for watch in watches:
            assert watch.slowest_read < SLOWEST_READ


async def _more(watches: list[Watch], believed: ValkeyServer | None = None) -> None:
    """Wait for more writes and reads of each number; with a server, until answers come from it."""
    told = {watch: watch.told + 4 for watch in watches}

    async def is_enough() -> bool:
        return all(watch.told >= number for watch, number in told.items())

    await until(is_enough, seconds=BELIEVED_AGAIN)
    if believed is not None:
        hits = _hits(believed)

        async def is_believed() -> bool:
            return _hits(believed) > hits + 20

        await until(is_believed, seconds=BELIEVED_AGAIN)


async def _looks(watches: list[Watch]) -> None:
    """Wait for a few more reads of each number."""
    looks = {watch: watch.looks + 4 for watch in watches}

    async def is_enough() -> bool:
        return all(watch.looks >= number for watch, number in looks.items())

    await until(is_enough)


def _garble(stored: redis.Redis) -> None:
    for name in stored.keys(f"{PREFIX}:*"):
        stored.set(name, secrets.token_bytes(40), keepttl=True)


def _shuffle(stored: redis.Redis) -> None:
    """Each key has the value of another."""
    names = stored.keys(f"{PREFIX}:*")
    values = stored.mget(names) if names else []
    for name, value in zip(names, [*values[1:], *values[:1]], strict=True):
        if value is not None:
            stored.set(name, value, keepttl=True)


def _hits(server: ValkeyServer) -> int:
    with redis.Redis.from_url(server.url) as stored:
        return int(stored.info("stats")["keyspace_hits"])
