"""The keys that an issuer signs with: fetched with a deadline, kept, and fetched again when it changes them."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import structlog
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from runtime.platform.providers import OidcProvider, is_trustworthy
from runtime.problems import Unavailable

log = structlog.get_logger()

DISCOVERY = "/.well-known/openid-configuration"
# Asymmetric ones alone: with a shared secret, whoever can check a token could make one.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

# Seconds. Both documents together have the deadline.
FETCH_DEADLINE = 3.0
FRESH_FOR = 3600.0
# While the issuer is down, its last keys go on working for so long.
STALE_FOR = 24 * 3600.0
# However many tokens name unknown keys, the issuer is not asked more often.
PAUSE = 10.0
MOST_BYTES = 1_000_000


class IssuerError(Exception):
    """The issuer's answer is of no use."""


class IssuerKeys:
    """One issuer's keys by their id.

    Args:
        provider: the issuer.
        clock: seconds that only grow.
    """

    def __init__(self, provider: OidcProvider, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._provider = provider
        self._clock = clock
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, ident: str) -> PyJWK | None:
        """The key of this id, or None when the issuer has none.

        Raises:
            Unavailable: the issuer does not answer, and whether it has the key is unknown.
        """
        age = self._clock() - self._fetched_at
        if age > FRESH_FOR or ident not in self._keys:
            await self._refresh()
            age = self._clock() - self._fetched_at
        key = self._keys.get(ident) if age <= STALE_FOR else None
        if key is None and self._fetched_at < self._tried_at:
            message = "the keys of the token's issuer cannot be fetched now; send the request again"
            raise Unavailable(message)
        return key

    async def close(self) -> None:
        """End a fetch under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    async def _refresh(self) -> None:
        if self._fetching is None:
            if self._clock() - self._tried_at < PAUSE:
                return
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetched)
        # A caller who goes away does not end what others wait for.
        await asyncio.shield(self._fetching)

    def _fetched(self, _task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch(self) -> None:
        issuer = self._provider.issuer
        try:
            async with asyncio.timeout(FETCH_DEADLINE), _session() as session:
                keys = _usable(await _document(session, await self._address(session)))
        except (aiohttp.ClientError, IssuerError, OSError) as error:
            # TimeoutError, when nothing came in time, is an OSError too.
            log.warning("issuer_keys_not_fetched", issuer=issuer, error=type(error).__name__, reason=str(error))
            return
        self._keys = keys
        self._fetched_at = self._clock()
        log.info("issuer_keys_fetched", issuer=issuer, keys=len(keys))

    async def _address(self, session: aiohttp.ClientSession) -> str:
        if self._provider.jwks_uri is not None:
            return self._provider.jwks_uri
        found = await _document(session, self._provider.issuer.rstrip("/") + DISCOVERY)
        if found.get("issuer") != self._provider.issuer:
            message = "its discovery document is of another issuer"
            raise IssuerError(message)
        address = found.get("jwks_uri")
        if not isinstance(address, str) or not is_trustworthy(address):
            message = "its discovery document names no https address of its keys"
            raise IssuerError(message)
        return address


def _session() -> aiohttp.ClientSession:
    # Unpacked, a small answer could be a big one.
    return aiohttp.ClientSession(auto_decompress=False, headers={"Accept-Encoding": "identity"})


async def _document(session: aiohttp.ClientSession, address: str) -> dict[str, Any]:
    """A JSON object from an address, which must have it itself."""
    async with session.get(address, allow_redirects=False) as response:
        if response.status != 200:  # noqa: PLR2004  # OK
            message = f"it answered {response.status}"
            raise IssuerError(message)
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MOST_BYTES:
                message = f"it answered more than {MOST_BYTES} bytes"
                raise IssuerError(message)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        message = "it answered something else than a JSON object"
        raise IssuerError(message)
    return document


def _usable(document: dict[str, Any]) -> dict[str, PyJWK]:
    """The keys that a token may be signed with; others of the set are for other purposes."""
    listed = document.get("keys")
    keys: dict[str, PyJWK] = {}
    for entry in listed if isinstance(listed, list) else ():
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid"), str):
            continue
        try:
            key = PyJWK(entry)
        except (PyJWTError, NotImplementedError, TypeError, ValueError):
            continue
        if key.algorithm_name in ALGORITHMS:
            keys[entry["kid"]] = key
    if not keys:
        message = "it has no key that a token may be signed with"
        raise IssuerError(message)
    return keys
