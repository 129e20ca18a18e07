"""SCRAM-SHA-256 (RFC 5802, RFC 7677) from the client's side, without channel binding: a front logs in to a cluster."""

import asyncio
import base64
import hashlib
import hmac
import secrets
import struct

from runbooks.sandbox.front.protocol import AUTHENTICATION, PASSWORD, ProtocolError, message, read_message

MECHANISM = b"SCRAM-SHA-256"
SASL, SASL_CONTINUE, SASL_FINAL = (struct.pack("!i", number) for number in (10, 11, 12))
# The client names no channel binding: n,, in base64.
HEADER = b"n,,"


class RefusedError(Exception):
    """The server answered something else, which is the client's to read."""

    def __init__(self, answer: bytes) -> None:
        super().__init__("the cluster refuses the login")
        self.answer = answer


def wants_scram(kind: bytes, body: bytes) -> bool:
    """Whether a server's message asks for it."""
    return kind == AUTHENTICATION and body.startswith(SASL) and MECHANISM in body[4:].split(b"\0")


async def prove(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, password: str) -> None:
    """Answer a server that asked for it. Ends before the server's AuthenticationOk.

    Args:
        reader: From the server.
        writer: To the server.
        password: In ASCII, so that it needs no SASLprep.

    Raises:
        RefusedError: the server says no.
        ProtocolError: it does not know the password itself, so it is another server.
    """
    nonce = secrets.token_urlsafe(18).encode()
    opening = b"n=,r=" + nonce
    answer = HEADER + opening
    writer.write(message(PASSWORD, MECHANISM + b"\0" + struct.pack("!i", len(answer)) + answer))
    challenge = await _next(reader, SASL_CONTINUE)
    asked = dict(part.split(b"=", 1) for part in challenge.split(b","))
    if not asked[b"r"].startswith(nonce):
        text = "the server's nonce does not begin with the client's"
        raise ProtocolError(text)

    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(asked[b"s"]), int(asked[b"i"]))
    ending = b"c=" + base64.b64encode(HEADER) + b",r=" + asked[b"r"]
    said = b",".join((opening, challenge, ending))
    client_key = _hmac(salted, b"Client Key")
    signature = _hmac(hashlib.sha256(client_key).digest(), said)
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    writer.write(message(PASSWORD, ending + b",p=" + base64.b64encode(proof)))

    final = await _next(reader, SASL_FINAL)
    expected = b"v=" + base64.b64encode(_hmac(_hmac(salted, b"Server Key"), said))
    if not hmac.compare_digest(final, expected):
        text = "the server does not know the password"
        raise ProtocolError(text)


async def _next(reader: asyncio.StreamReader, step: bytes) -> bytes:
    kind, body = await read_message(reader)
    if kind != AUTHENTICATION or not body.startswith(step):
        raise RefusedError(message(kind, body))
    return body[len(step) :]


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")
