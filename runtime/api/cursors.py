"""Opaque cursors: where a list goes on, signed so that only what we gave out comes back."""

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import json
import uuid
from typing import Any

from runtime.db.lists import Key
from runtime.platform.tokens import derive
from runtime.problems import InvalidCursor

_SIGNATURE_BYTES = 16


class Cursors:
    """Writes a list's key into a cursor, and reads it back."""

    def __init__(self, secret: str) -> None:
        self._secret = derive(secret, "cursors")

    def write(self, purpose: str, key: Key) -> bytes:
        """The cursor of a key, for one purpose: a list with its filters."""
        payload = json.dumps([_encode(part) for part in key]).encode()
        return base64.urlsafe_b64encode(self._sign(purpose, payload) + payload)

    def read(self, purpose: str, cursor: str) -> Key:
        """The key in a cursor.

        Raises:
            InvalidCursor: it was not given out for this purpose.
        """
        try:
            data = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            data = b""
        signature, payload = data[:_SIGNATURE_BYTES], data[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(purpose, payload)):
            message = "send next_cursor of the page before unchanged, with the same filters, or none to begin again"
            raise InvalidCursor.of(field="cursor", message=message)
        return tuple(_decode(*part) for part in json.loads(payload))

    def _sign(self, purpose: str, payload: bytes) -> bytes:
        message = purpose.encode(errors="surrogatepass") + b"\x00" + payload
        return hashlib.blake2b(message, key=self._secret, digest_size=_SIGNATURE_BYTES).digest()


def _encode(part: Any) -> tuple[str, Any]:
    if isinstance(part, dt.datetime):
        return "t", part.isoformat()
    if isinstance(part, uuid.UUID):
        return "u", str(part)
    return "v", part


def _decode(kind: str, value: Any) -> Any:
    if kind == "t":
        return dt.datetime.fromisoformat(value)
    return uuid.UUID(value) if kind == "u" else value
