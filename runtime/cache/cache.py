"""Answers that are kept, and the writes that end them.

What an answer was made of is divided into scopes ("this job", "the list of jobs"). Each scope has a generation in the
cache, a random word. An entry is sealed with its scopes' generations as they were before its row was read, and is
opened only while they are the same. A write ends them:

1. Before the transaction it puts a mark in the generations' place. Under a mark nothing is believed or kept.
2. After the transaction it removes the mark, and whoever reads next begins a new generation.

So no answer is older than a write that was answered before it was asked for:

- A reader who read the old row sealed it with a generation from before the commit, and that is gone: what it stores,
  however late, opens for nobody. Of two writes at once, the last to end sees to that.
- A worker killed between commit and 2. leaves its mark, which outlives every write and takes the generation with it.
  (If another write of the scope ended while that one was under way, the mark went with it: then an answer kept before
  the commit, of which nobody was told, lives on for its family's time.)
- A server that restarts or fails over may come back with an old memory: its run is part of the seal.
- A cache that cannot be marked, or whose mark cannot be removed, is believed by no worker: `trust.py`.

Requests that miss together share one read only if they saw the same generations: one that began after a write never
joins a read from before it.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar
from urllib.parse import quote

import asyncpg
import structlog
from redis.exceptions import RedisError

from runtime.cache.server import READ_SECONDS, WRITE_SECONDS, CacheError, Server
from runtime.cache.trust import Trust
from runtime.db.pool import Database, Transaction
from runtime.platform.tokens import derive

log = structlog.get_logger()

Result = TypeVar("Result")
Outcome = Literal["hit", "miss", "bypass"]

# With it changes who ends whose entries: releases that differ here, or in their scopes, do not serve side by side.
PREFIX = "holdfast:1"
LONGEST_NAME = 200
MOST_BYTES = 1_000_000
# Longer than any entry: an entry whose generation went is garbage.
GENERATION_SECONDS = 86_400
SEAL_BYTES = 16
_MARK = b"!"
_PLAIN = re.compile(r"[\w.-]*", re.ASCII)

# Gives scopes that have no generation one, and returns all: who comes first decides.
_ADOPT = """
for _, key in ipairs(KEYS) do redis.call('SET', key, ARGV[1], 'NX', 'EX', ARGV[2]) end
return redis.call('MGET', unpack(KEYS))
"""
_MARK_ALL = "for _, key in ipairs(KEYS) do redis.call('SET', key, '!', 'PX', ARGV[1]) end"


@dataclass(frozen=True, slots=True)
class Family:
    """Answers of one kind, counted together.

    Args:
        name: `<system>:<kind>`.
        ttl: seconds that an answer is kept.
    """

    name: str
    ttl: int


@dataclass(frozen=True, slots=True)
class Entry:
    """Where one answer is kept, and the scopes that it was made of.

    Args:
        family: its kind.
        filters: all that the answer depends on; those that are None are left out.
        scopes: whose writes end it.
    """

    family: Family
    filters: Mapping[str, object]
    scopes: Sequence[str]

    @property
    def key(self) -> str:
        """The family and the filters in alphabetical order."""
        given = sorted((name, value) for name, value in self.filters.items() if value is not None)
        asked = "&".join([f"{name}={_quoted(value)}" for name, value in given])
        return f"{PREFIX}:{_bounded(f'{self.family.name}?{asked}')}"


class Cache:
    """One worker's cache. Without a server every read and write goes straight to the database.

    Args:
        url: of the server.
        database: what it stands in front of.
        secret: seals entries, so that nobody else's bytes are ever an answer.
        longest_write: seconds that a write may take.
    """

    def __init__(self, url: str | None, database: Database, *, secret: str, longest_write: float) -> None:
        self._server = Server(url) if url else None
        self._database = database
        self._trust = Trust(database, longest_write=longest_write)
        self._secret = derive(secret, "cache")
        self._flights: dict[bytes, asyncio.Task[bytes]] = {}
        self._finishing: set[asyncio.Task[None]] = set()
        self._counts: Counter[tuple[str, Outcome]] = Counter()

    def snapshot(self) -> dict[tuple[str, Outcome], int]:
        """How often each family was a hit, a miss or a bypass in this worker."""
        return dict(self._counts)

    async def ping(self, deadline: float) -> str | None:
        """None when the server answers, else what is wrong."""
        if self._server is None:
            return "not configured; answers come from the database"
        try:
            await self._server.ping(deadline)
        except (RedisError, OSError, TimeoutError) as error:
            return f"does not answer ({type(error).__name__}); answers come from the database"
        return None

    async def close(self) -> None:
        """Finish what is under way, and give the connections back."""
        for flight in self._flights.values():
            flight.cancel()
        await asyncio.gather(*self._flights.values(), *self._finishing, return_exceptions=True)
        if self._server is not None:
            await self._server.close()

    async def read(self, entry: Entry, read: Callable[[], Awaitable[bytes]]) -> bytes:
        """The answer as it was kept, or as `read` makes it; never from inside a transaction."""
        began = time.monotonic()
        if self._server is None or (epoch := await self._trust.epoch(began)) is None:
            return await self._bypass(entry, read)
        key = entry.key
        scopes = [_generation_key(scope) for scope in entry.scopes]
        try:
            run, answer = await self._server.call("MGET", key, *scopes, within=READ_SECONDS)
            kept, *found = _strings(answer, 1 + len(scopes))
            if None in found:
                # Without an entry that these would open: the server's run may be another one by now.
                kept = None
                run, answer = await self._server.call(
                    "EVAL", _ADOPT, len(scopes), *scopes, secrets.token_hex(8), GENERATION_SECONDS, within=READ_SECONDS
                )
                found = _strings(answer, len(scopes))
        except CacheError:
            return await self._bypass(entry, read)
        generations = [word for word in found if word is not None and not word.startswith(_MARK)]
        if len(generations) < len(scopes):
            return await self._bypass(entry, read)
        stamp = b"\0".join((epoch, run, key.encode(), *generations))
        if kept is not None and hmac.compare_digest(kept[:SEAL_BYTES], self._seal(stamp, kept[SEAL_BYTES:])):
            self._count(entry, "hit")
            return kept[SEAL_BYTES:]
        self._count(entry, "miss")
        flight = self._flights.get(stamp)
        if flight is None:
            flight = self._flights[stamp] = asyncio.create_task(self._load(entry, key, stamp, read))
            flight.add_done_callback(lambda ended: self._landed(stamp, ended))
        # Whoever goes away leaves the others their read.
        return await asyncio.shield(flight)

    async def write(
        self,
        scopes: Sequence[str],
        work: Callable[[Transaction], Awaitable[Result]],
        *,
        idempotent: bool = False,
    ) -> Result:
        """`Database.write`, after which no entry of the scopes from before it is an answer."""
        if self._server is None:
            return await self._database.write(work, idempotent=idempotent)
        change = _Change([_generation_key(scope) for scope in scopes])

        async def work_to_commit(tx: Transaction) -> Result:
            result = await work(tx)
            # From here on the commit may take effect, whatever is heard of it.
            change.may_have_committed = True
            return result

        try:
            if not await self._mark(change):
                change.known_at = await self._trust.distrust()
            return await self._database.write(work_to_commit, idempotent=idempotent)
        finally:
            finishing = asyncio.create_task(self._finish(change))
            self._finishing.add(finishing)
            finishing.add_done_callback(self._finishing.discard)
            # A request that ends at its deadline does not end this.
            await asyncio.shield(finishing)

    async def _finish(self, change: "_Change") -> None:
        is_told = await self._told("DEL", *change.keys)
        if not change.may_have_committed:
            return
        if not is_told and change.known_at is None:
            try:
                change.known_at = await self._trust.distrust()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                # The write's mark is over its scopes, and stays until the generations are gone.
                log.warning("cache_not_told", error=type(error).__name__)
        if change.known_at is not None:
            await asyncio.sleep(max(0.0, change.known_at - time.monotonic()))

    async def _mark(self, change: "_Change") -> bool:
        mark_ms = int(2 * self._trust.longest_write * 1000)
        return await self._told("EVAL", _MARK_ALL, len(change.keys), *change.keys, mark_ms)

    async def _told(self, *command: str | int) -> bool:
        assert self._server is not None  # noqa: S101  # asked by whoever tells
        try:
            # To go on without it shuts the cache for all: until that is so, ask although the breaker is open.
            insisting = not self._trust.is_distrusted
            await self._server.call(*command, within=WRITE_SECONDS, insisting=insisting)
        except CacheError:
            return False
        return True

    async def _bypass(self, entry: Entry, read: Callable[[], Awaitable[bytes]]) -> bytes:
        self._count(entry, "bypass")
        return await read()

    async def _load(self, entry: Entry, key: str, stamp: bytes, read: Callable[[], Awaitable[bytes]]) -> bytes:
        answer = await read()
        if self._server is not None and len(answer) <= MOST_BYTES:
            sealed = self._seal(stamp, answer) + answer
            try:
                await self._server.call("SET", key, sealed, "EX", entry.family.ttl, within=READ_SECONDS)
            except CacheError:
                # The answer is right without it.
                log.debug("cache_not_stored", family=entry.family.name)
        return answer

    def _landed(self, stamp: bytes, flight: asyncio.Task[bytes]) -> None:
        del self._flights[stamp]
        if not flight.cancelled():
            # If all who waited have gone, nobody else asks.
            flight.exception()

    def _seal(self, stamp: bytes, answer: bytes) -> bytes:
        seal = hashlib.blake2b(len(stamp).to_bytes(4) + stamp, key=self._secret, digest_size=SEAL_BYTES)
        seal.update(answer)
        return seal.digest()

    def _count(self, entry: Entry, outcome: Outcome) -> None:
        self._counts[entry.family.name, outcome] += 1


@dataclass(slots=True)
class _Change:
    """A write under way."""

    keys: list[str]
    may_have_committed: bool = False
    # When every worker knows that the cache is not to be believed, if this write had to say so.
    known_at: float | None = None


def scope(*parts: object) -> str:
    """A scope's name; a part that is None stands for all."""
    return ":".join(["*" if part is None else _quoted(part) for part in parts])


def _quoted(value: object) -> str:
    # Most values are plain, and `quote` looks at each letter.
    text = str(value)
    return text if _PLAIN.fullmatch(text) else quote(text, safe="")


def _strings(answer: object, number: int) -> list[bytes | None]:
    if not isinstance(answer, list) or len(answer) != number:
        raise CacheError
    # Nothing but strings is asked for; what else there is, is not ours.
    return [item if isinstance(item, bytes) else None for item in answer]


def _generation_key(name: str) -> str:
    return f"{PREFIX}:generation:{_bounded(name)}"


def _bounded(name: str) -> str:
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 33]}#{hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}"
