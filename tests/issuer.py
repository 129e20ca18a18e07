"""An OIDC issuer on this machine: its discovery document, its keys, and tokens of every kind."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from runbooks.local.ports import HOST, free_port

AUDIENCE = "https://api.holdfast.test"
USER = "user-1"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def private_key(name: str) -> PrivateKey:
    """A key of this name: of an elliptic curve if it begins with `ec`, or else RSA. Making one takes a while."""
    if name.startswith("ec"):
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_jwk(name: str) -> dict[str, Any]:
    """The public half as its issuer publishes it."""
    key = private_key(name)
    public = (
        ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        if isinstance(key, ec.EllipticCurvePrivateKey)
        else RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    )
    return {**public, "kid": name, "use": "sig"}


class Issuer:
    """A real HTTP server; what it answers can be changed, held back or ended."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.published = ["rsa", "ec"]
        # In place of what a path answers rightly.
        self.answers: dict[str, web.Response] = {}
        self.asked: list[str] = []
        self.passing = asyncio.Event()
        self.passing.set()
        self._runner: web.ServerRunner | None = None

    @property
    def keys_asked(self) -> int:
        """How often its keys were asked for."""
        return self.asked.count("/keys")

    def token(self, *, key: str = "rsa", kid: str | None = None, **claims: Any) -> str:
        """A token of a user, with these claims besides or instead; None leaves one out."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": USER, "iat": now, "exp": now + 300, **claims}
        return jwt.encode(
            {name: value for name, value in claims.items() if value is not None},
            private_key(key),
            algorithm="ES256" if key.startswith("ec") else "RS256",
            headers={"kid": key if kid is None else kid},
        )

    async def start(self) -> None:
        """Begin to answer, at the same address as before."""
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self.port).start()

    async def stop(self) -> None:
        """Refuse connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        self.asked.append(request.path)
        await self.passing.wait()
        if request.path in self.answers:
            return self.answers.pop(request.path)
        documents = {
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/keys"},
            "/keys": {"keys": [public_jwk(name) for name in self.published]},
        }
        return web.Response(text=json.dumps(documents[request.path]), content_type="application/json")


@asynccontextmanager
async def issuing() -> AsyncIterator[Issuer]:
    """An issuer that answers."""
    issuer = Issuer()
    await issuer.start()
    yield issuer
    issuer.passing.set()
    await issuer.stop()
