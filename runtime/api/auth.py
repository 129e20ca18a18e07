"""Who is calling: a credential becomes a principal."""

import datetime as dt
import hmac
import time
import uuid
from dataclasses import dataclass
from typing import NoReturn, Protocol

import asyncpg
import structlog
from fastapi import Request
from sqlalchemy import bindparam, func, or_, select, update

from runtime.db.pool import Database
from runtime.db.query import Query
from runtime.platform import tokens
from runtime.platform.models import ApiKey, Principal
from runtime.platform.scopes import Scope
from runtime.problems import Unauthenticated

log = structlog.get_logger()

HEADER = "X-API-Key"
SECURITY_SCHEMES = {
    "ApiKey": {
        "type": "apiKey",
        "in": "header",
        "name": HEADER,
        "description": "`holdfast keys create` makes one. Scopes are given per operation.",
    },
    "Bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An OIDC token of an issuer in OIDC_PROVIDERS, which also says what scopes it has.",
    },
}
_KEY_HEADER = HEADER.lower().encode()
_CREDENTIALS = frozenset({_KEY_HEADER, b"authorization"})
_SCHEME = b"bearer "

# How long a revoked key may go on working, and how often a busy key is looked up.
CACHE_SECONDS = 1.0
CACHE_SIZE = 10_000
# How exact last_used_at is.
LAST_USED_SECONDS = 60

_FIND = Query(
    select(
        ApiKey.id,
        ApiKey.digest,
        ApiKey.scopes,
        ApiKey.last_used_at,
        Principal.id.label("principal_id"),
        Principal.subject,
    )
    .join(Principal, Principal.id == ApiKey.principal_id)
    .where(
        ApiKey.prefix == bindparam("prefix"),
        ApiKey.revoked_at.is_(None),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()),
    )
)
_TOUCH = Query(
    update(ApiKey).where(ApiKey.id == bindparam("key", type_=ApiKey.id.type)).values(last_used_at=func.now())
)


@dataclass(frozen=True, slots=True)
class Caller:
    """The principal behind a credential, and what the credential allows."""

    principal_id: uuid.UUID
    subject: str
    scopes: frozenset[str]

    def may(self, scope: Scope) -> bool:
        """Whether the credential has the scope."""
        return scope in self.scopes


class KeyRing:
    """Looks API keys up, and remembers each for a second."""

    def __init__(self, db: Database, *, secret: str) -> None:
        self._db = db
        self._secret = secret
        self._known: dict[str, tuple[float, Caller | None]] = {}

    async def caller(self, text: str | None) -> Caller:
        """Whom the key speaks for.

        Raises:
            Unauthenticated: no key, or one that does not work.
        """
        if not text:
            message = f"send an API key in the header {HEADER}, or an OIDC token as Authorization: Bearer"
            raise Unauthenticated(message)
        expires, caller = self._known.get(text, (0.0, None))
        if expires < time.monotonic():
            token = tokens.parse(text)
            caller = await self._look_up(token) if token else None
            if len(self._known) >= CACHE_SIZE:
                self._known.clear()
            # What is not a key may be of any length, and is not remembered.
            if token:
                self._known[text] = (time.monotonic() + CACHE_SECONDS, caller)
        if caller is None:
            message = "the API key is malformed, unknown, revoked or expired"
            raise Unauthenticated(message)
        return caller

    async def _look_up(self, token: tokens.Token) -> Caller | None:
        row = await self._db.row(_FIND, prefix=token.prefix)
        if row is None or not hmac.compare_digest(row["digest"], tokens.digest(token.text, secret=self._secret)):
            return None
        await self._touch(row)
        return Caller(row["principal_id"], row["subject"], frozenset(row["scopes"]))

    async def _touch(self, row: asyncpg.Record) -> None:
        used = row["last_used_at"]
        if used is not None and dt.datetime.now(dt.UTC) - used < dt.timedelta(seconds=LAST_USED_SECONDS):
            return
        try:
            await self._db.write(lambda tx: tx.value(_TOUCH, key=row["id"]), idempotent=True)
        except (asyncpg.PostgresError, OSError) as error:
            # While the database only reads, the call itself may still be answered.
            log.warning("last_used_not_recorded", key=str(row["id"]), error=type(error).__name__)


class TokenVerifier(Protocol):
    """Knows whom a bearer token speaks for."""

    async def caller(self, token: bytes) -> Caller:
        """Whom the token speaks for."""

    async def close(self) -> None:
        """End what is under way."""


async def authenticate(request: Request) -> Caller:
    """Whom the request's one credential speaks for.

    Raises:
        Unauthenticated: there is none, more than one, or one that does not work.
    """
    key = authorization = b""
    for name, value in request.scope["headers"]:
        if name in _CREDENTIALS and value:
            if key or authorization:
                _refuse(f"the request has two credentials; send either {HEADER} or Authorization", "invalid_request")
            if name == _KEY_HEADER:
                key = value
            else:
                authorization = value
    if not authorization:
        keys: KeyRing = request.app.state.keys
        return await keys.caller(key.decode("latin-1"))
    if authorization[: len(_SCHEME)].lower() != _SCHEME:
        _refuse(f"Authorization takes Bearer and an OIDC token; an API key goes into the header {HEADER}")
    bearers: TokenVerifier | None = request.app.state.bearers
    if bearers is None:
        _refuse(f"no OIDC provider is set here, so bearer tokens are refused; send an API key in the header {HEADER}")
    return await bearers.caller(authorization[len(_SCHEME) :].strip())


def _refuse(message: str, bearer_error: str = "invalid_token") -> NoReturn:
    raise Unauthenticated(message, bearer_error=bearer_error)
