"""OIDC tokens: whose they are, whether they hold, and what they allow."""

import hashlib
import time
from collections.abc import Iterable
from typing import Any, NoReturn

import jwt
import structlog
from jwt import exceptions

from runtime.api.auth import Caller
from runtime.api.oidc_keys import ALGORITHMS, IssuerKeys
from runtime.db.pool import Database
from runtime.platform.principals import ensure_principal
from runtime.platform.providers import OidcProvider
from runtime.platform.subjects import SUBJECT_LENGTH, is_subject
from runtime.problems import Forbidden, Unauthenticated

log = structlog.get_logger()

MOST_BYTES = 8192
# Seconds by which an issuer's clock and this one may differ.
LEEWAY = 30
# A verified token is not verified again for so long, and this many are remembered.
REMEMBER_SECONDS = 60.0
REMEMBERED = 10_000
REQUIRED_CLAIMS = ["iss", "aud", "sub", "exp", "iat"]
# In our words: the library's may repeat what the token has.
_REASONS: dict[type[Exception], str] = {
    exceptions.ImmatureSignatureError: "it is not valid yet (nbf, iat); compare the issuer's clock with this one",
    exceptions.InvalidAudienceError: "it is for another audience (aud)",
    exceptions.InvalidSignatureError: "its signature does not fit",
    exceptions.InvalidAlgorithmError: "its algorithm is not the key's",
    exceptions.InvalidKeyError: "its issuer's key is too short",
    exceptions.InvalidSubjectError: "its subject (sub) is no text",
    exceptions.InvalidIssuedAtError: "its time of issue (iat) is no number",
}


class BearerTokens:
    """Verifies tokens of the providers, and remembers each for a minute."""

    def __init__(self, db: Database, providers: Iterable[OidcProvider]) -> None:
        self._db = db
        self._providers = {provider.issuer: (provider, IssuerKeys(provider)) for provider in providers}
        # By digest: a token in memory is one that can be stolen.
        self._known: dict[bytes, tuple[float, Caller]] = {}

    async def caller(self, token: bytes) -> Caller:
        """Whom the token speaks for.

        Raises:
            Unauthenticated: it does not hold; the detail says why.
            Forbidden: it holds, and allows nothing here.
            Unavailable: the issuer's keys cannot be had.
        """
        if len(token) > MOST_BYTES:
            _refuse(f"it is longer than {MOST_BYTES} bytes")
        digest = hashlib.sha256(token).digest()
        until, caller = self._known.get(digest, (0.0, None))
        if caller is None or until < time.monotonic():
            claims, provider = await self._verify(token)
            caller = await self._admit(claims, provider)
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            now = time.time()
            lasts = min(now + REMEMBER_SECONDS, int(claims["exp"]) + LEEWAY) - now
            self._known[digest] = (time.monotonic() + lasts, caller)
        return caller

    async def close(self) -> None:
        """End what is under way."""
        for _, keys in self._providers.values():
            await keys.close()

    async def _verify(self, token: bytes) -> tuple[dict[str, Any], OidcProvider]:
        """The claims of a token that holds, and whose it is."""
        claims: dict[str, Any] = {}
        try:
            # Nothing of this is believed; it says which key to check with.
            unverified = jwt.decode_complete(token, options={"verify_signature": False})
            header, claims = unverified["header"], unverified["payload"]
            if header.get("alg") not in ALGORITHMS:
                _refuse(f"its algorithm is not accepted; accepted are {', '.join(ALGORITHMS)}")
            issuer = claims.get("iss")
            known = self._providers.get(issuer) if isinstance(issuer, str) else None
            if known is None:
                _refuse("it is of an issuer that is not known here")
            provider, keys = known
            ident = header.get("kid")
            if ident is None:
                _refuse("its header names no key (kid)")
            key = await keys.find(ident)
            if key is None:
                _refuse("it is signed with a key that its issuer does not publish")
            return jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=provider.issuer,
                audience=provider.audience,
                leeway=LEEWAY,
                options={"require": REQUIRED_CLAIMS, "enforce_minimum_key_length": True},
            ), provider
        except exceptions.PyJWTError as error:
            _refuse(_reason(error, claims))

    async def _admit(self, claims: dict[str, Any], provider: OidcProvider) -> Caller:
        """The principal of a token that holds, with its scopes."""
        email = claims.get("email")
        if email is not None and claims.get("email_verified") is not True:
            _refuse("its e-mail is not verified (email_verified)")
        subject = claims["sub"]
        if not is_subject(subject):
            _refuse(f"its subject (sub) is not 1 to {SUBJECT_LENGTH} printable characters")
        listed = provider.emails.get(email, frozenset()) if isinstance(email, str) else frozenset()
        scopes = provider.scopes | listed
        if not scopes:
            # Before a principal is made: anyone in the world may come this far.
            message = "the token is valid, but its e-mail is not one that has scopes here"
            raise Forbidden(message)
        principal = await ensure_principal(self._db, issuer=provider.issuer, subject=subject)
        return Caller(principal, subject, scopes)


def _refuse(reason: str) -> NoReturn:
    """Say what is wrong, and nothing that the token has."""
    log.info("token_refused", reason=reason)
    message = f"the bearer token is refused: {reason}"
    raise Unauthenticated(message, bearer_error="invalid_token")


def _reason(error: exceptions.PyJWTError, claims: dict[str, Any]) -> str:
    """What is wrong with a token that the library refused."""
    if isinstance(error, exceptions.ExpiredSignatureError):
        return f"it expired {int(time.time()) - int(claims['exp'])} seconds ago"
    if isinstance(error, exceptions.MissingRequiredClaimError):
        return f"it lacks the claim {error.claim}"
    return _REASONS.get(type(error), "it is not a JSON Web Token")
