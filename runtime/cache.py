"""The cache server. Without it, or while it is down, answers come from the database."""

import asyncio

from redis.asyncio import Redis
from redis.exceptions import RedisError


class Cache:
    """One worker's connections to Valkey or Redis."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)

    async def ping(self, deadline: float) -> str | None:
        """None when the server answers, else what is wrong."""
        try:
            async with asyncio.timeout(deadline):
                await self._redis.ping()
        except (RedisError, OSError, TimeoutError) as error:
            return f"does not answer ({type(error).__name__}); answers come from the database"
        return None

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()
