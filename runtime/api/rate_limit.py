"""How many requests a principal may make in a window of time.

A worker counts what it admits, and each second tells the cache and hears what the others admitted. So all workers
together admit the quota, and besides what they admit of it before they have heard of each other: about a second's
requests. While the cache is down, or without one, each worker counts for itself; what it has counted it tells later.

Windows begin at the same moments of the wall clock everywhere. A clock that jumps begins another window.
"""

import asyncio
import secrets
import time
import uuid
from dataclasses import dataclass

from runtime.cache.cache import PREFIX
from runtime.cache.server import WRITE_SECONDS, CacheError, Server
from runtime.problems import TooManyRequests

# How long workers may not know of each other's requests.
INTERVAL_SECONDS = 1.0
# The principals of one command, which the cache's other callers wait for.
BATCH = 200
# The most that are counted at a time; then the one that came first is forgotten.
MOST_PRINCIPALS = 100_000

# Each worker writes its own number, so that to tell it twice is the same as once. What is no number is not counted.
_EXCHANGE = """
local answer = {}
for nth, key in ipairs(KEYS) do
  answer[nth] = false
  if type(redis.pcall('HSET', key, ARGV[1], ARGV[nth + 2])) == 'number' then
    redis.call('EXPIRE', key, ARGV[2])
    local told, others = redis.call('HGETALL', key), 0
    for at = 1, #told, 2 do
      local number = told[at + 1]
      if told[at] ~= ARGV[1] and #number < 16 and string.find(number, '^%d+$') then others = others + number end
    end
    answer[nth] = string.format('%.0f', others)
  end
end
return answer
"""


@dataclass(slots=True)
class _Tally:
    """What a principal was admitted in this window: here, of that told to the cache, and by other workers."""

    here: int = 0
    told: int = 0
    others: int = 0


class RateLimiter:
    """One worker's count of requests.

    Args:
        url: of the cache, if there is one.
        requests: that a principal may make in a window; 0 for no limit.
        window: seconds.
    """

    def __init__(self, url: str | None, *, requests: int, window: int) -> None:
        self._server = Server(url) if url and requests else None
        self._worker = secrets.token_hex(8)
        self._requests = requests
        self._seconds = window
        self._policy = (b"ratelimit-policy", b'"default";q=%d;w=%d' % (requests, window))
        self._window = 0
        self._tallies: dict[uuid.UUID, _Tally] = {}
        self._exchanging: asyncio.Task[None] | None = None

    def admit(self, principal: uuid.UUID, headers: list[tuple[bytes, bytes]]) -> None:
        """Count a request, and say in the answer's headers what is left.

        Raises:
            TooManyRequests: nothing was left; the request is not counted.
        """
        if not self._requests:
            return
        window, elapsed = divmod(int(time.time()), self._seconds)
        if window != self._window:
            self._window, self._tallies = window, {}
        tally = self._tallies.get(principal) or self._begin(principal)
        left = self._requests - tally.here - tally.others
        seconds = self._seconds - elapsed
        headers.append(self._policy)
        if left <= 0:
            headers.append((b"ratelimit", b'"default";r=0;t=%d' % seconds))
            raise TooManyRequests(self._requests, self._seconds, retry_after=seconds)
        tally.here += 1
        headers.append((b"ratelimit", b'"default";r=%d;t=%d' % (left - 1, seconds)))

    def start(self) -> None:
        """Exchange counts with the other workers from now on."""
        if self._server is not None:
            self._exchanging = asyncio.create_task(self._exchange_for_ever(self._server))

    async def close(self) -> None:
        """Stop that."""
        if self._exchanging is not None:
            self._exchanging.cancel()
            await asyncio.wait([self._exchanging])
        if self._server is not None:
            await self._server.close()

    def _begin(self, principal: uuid.UUID) -> _Tally:
        if len(self._tallies) >= MOST_PRINCIPALS:
            del self._tallies[next(iter(self._tallies))]
        tally = self._tallies[principal] = _Tally()
        return tally

    async def _exchange_for_ever(self, server: Server) -> None:
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            try:
                await self._exchange(server)
            except CacheError:
                # The server's own log has it; what was not told is told the next time.
                continue

    async def _exchange(self, server: Server) -> None:
        window = self._window
        untold = [(name, tally) for name, tally in self._tallies.items() if tally.here != tally.told]
        for first in range(0, len(untold), BATCH):
            batch = untold[first : first + BATCH]
            keys = [f"{PREFIX}:requests:{self._seconds}:{window}:{principal}" for principal, _ in batch]
            told = [tally.here for _, tally in batch]
            _, answer = await server.call(
                "EVAL", _EXCHANGE, len(keys), *keys, self._worker, 2 * self._seconds, *told, within=WRITE_SECONDS
            )
            if not isinstance(answer, list) or len(answer) != len(batch):
                raise CacheError
            for (_, tally), here, others in zip(batch, told, answer, strict=True):
                if isinstance(others, bytes):
                    tally.told, tally.others = here, int(others)
