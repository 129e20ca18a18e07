"""How a route reads through the cache, and writes past it."""

from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

from fastapi import Request, Response

from runtime.api.context import database, json_response
from runtime.cache.cache import Cache, Entry
from runtime.db.pool import Transaction

Result = TypeVar("Result")


async def cached(request: Request, entry: Entry, read: Callable[[], Awaitable[Response]]) -> Response:
    """The answer as it was kept, or as `read` makes it; a failure is nobody's but this call's."""

    async def body() -> bytes:
        return bytes((await read()).body)

    return json_response(await _cache(request).read(entry, body))


async def write(
    request: Request,
    work: Callable[[Transaction], Awaitable[Result]],
    *scopes: str,
    idempotent: bool = False,
) -> Result:
    """Run `work` in a transaction and commit it; no answer of the scopes from before is given after."""
    if not scopes:
        return await database(request).write(work, idempotent=idempotent)
    return await _cache(request).write(scopes, work, idempotent=idempotent)


def _cache(request: Request) -> Cache:
    return cast("Cache", request.app.state.cache)
