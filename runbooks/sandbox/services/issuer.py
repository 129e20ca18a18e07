"""The sandbox's own issuer of OIDC tokens: what Scheduler signs with, and where a verifier finds its keys."""

import threading
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from jwt.algorithms import RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from runbooks.sandbox.errors import SandboxError
from runbooks.sandbox.store import Store

KEY = "issuer.key"
KEY_ID = "sandbox"
KEY_BITS = 2048
LIFETIME = 3600
KEYS = "/oauth2/v3/certs"


class Issuer:
    """Signs for service accounts, as Google's would.

    Args:
        store: where its key is kept, so that a token outlives a restart.
        url: where `app` is served, which is what tokens name as their issuer.
    """

    def __init__(self, store: Store, url: str) -> None:
        self._store = store
        self.url = url.rstrip("/")
        self._lock = threading.Lock()
        self._known: rsa.RSAPrivateKey | None = None

    def token(self, *, email: str, audience: str) -> str:
        """A token that says that its bearer is the service account."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": audience,
            "azp": email,
            "sub": email,
            "email": email,
            "email_verified": True,
            "iat": now,
            "exp": now + LIFETIME,
        }
        return jwt.encode(claims, self._key(), algorithm="RS256", headers={"kid": KEY_ID})

    def app(self) -> Starlette:
        """Its discovery document and its keys. Anybody may read them."""
        return Starlette(
            routes=[Route("/.well-known/openid-configuration", self._discovery), Route(KEYS, self._published)]
        )

    def _discovery(self, _request: Request) -> JSONResponse:
        return JSONResponse(
            {
                "issuer": self.url,
                "jwks_uri": f"{self.url}{KEYS}",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    def _published(self, _request: Request) -> JSONResponse:
        public = RSAAlgorithm.to_jwk(self._key().public_key(), as_dict=True)
        return JSONResponse({"keys": [{**public, "kid": KEY_ID, "use": "sig", "alg": "RS256"}]})

    def _key(self) -> rsa.RSAPrivateKey:
        # Made when it is first needed: it takes a tenth of a second, which most boots need not wait for.
        with self._lock:
            if self._known is None:
                kept = self._store.get(KEY, KEY_ID)
                self._known = _loaded(kept["pem"]) if kept else self._made()
            return self._known

    def _made(self) -> rsa.RSAPrivateKey:
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._store.put(KEY, KEY_ID, {"pem": pem.decode()})
        return key


def _loaded(pem: str) -> rsa.RSAPrivateKey:
    key = load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        message = "the state folder's issuer key is not an RSA key; remove the state folder"
        raise SandboxError(message)
    return key
