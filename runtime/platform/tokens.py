"""The text of an API key: `hf_PREFIX_SECRETCHECKSUM`.

The prefix finds the row, the checksum tells a mistyped key from a wrong one without asking the database, and what the
database stores is an HMAC of the whole.
"""

import base64
import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass

_PREFIX_BYTES = 5
_SECRET_BYTES = 25
_FORM = re.compile(r"hf_(?P<prefix>[a-z2-7]{8})_(?P<secret>[a-z2-7]{40})(?P<checksum>[0-9a-f]{8})")


@dataclass(frozen=True)
class Token:
    """A key's full text and the prefix that names it."""

    text: str
    prefix: str


def new_token() -> Token:
    """A key of 200 random bits."""
    prefix = _base32(secrets.token_bytes(_PREFIX_BYTES))
    body = f"hf_{prefix}_{_base32(secrets.token_bytes(_SECRET_BYTES))}"
    return Token(body + _checksum(body), prefix)


def parse(text: str) -> Token | None:
    """The key, or None when it is not one."""
    match = _FORM.fullmatch(text)
    if match is None or match["checksum"] != _checksum(text[:-8]):
        return None
    return Token(text, match["prefix"])


def digest(text: str, *, secret: str) -> bytes:
    """What is stored of a key: 32 bytes that are of no use without the platform's secret."""
    return hmac.digest(derive(secret, "api-keys"), text.encode(), hashlib.sha256)


def derive(secret: str, purpose: str) -> bytes:
    """A key of its own for each purpose, from the platform's one secret."""
    return hmac.digest(secret.encode(), f"holdfast/{purpose}".encode(), hashlib.sha256)


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().lower()


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"
