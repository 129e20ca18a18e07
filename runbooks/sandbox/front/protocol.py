"""PostgreSQL's messages, as far as somebody between a client and a server has to understand them."""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

SSL_REQUEST = 80877103
GSS_ENCRYPTION_REQUEST = 80877104
CANCEL_REQUEST = 80877102
PROTOCOL_3 = 3

YES, NO = b"S", b"N"

AUTHENTICATION = b"R"
PASSWORD = b"p"
NEGOTIATE_VERSION = b"v"
AUTHENTICATION_OK = struct.pack("!i", 0)
CLEARTEXT_PASSWORD = struct.pack("!i", 3)

INVALID_AUTHORIZATION = "28000"
CANNOT_CONNECT_NOW = "57P03"
PROTOCOL_VIOLATION = "08P01"

# PostgreSQL's own limits: of a startup packet, and of a message before the client is known.
LONGEST_STARTUP = 10_000
LONGEST_MESSAGE = 65_535
_FIRST = struct.Struct("!ii")
_LENGTH = struct.Struct("!i")

Exactly = Callable[[int], Awaitable[bytes]]


class ProtocolError(Exception):
    """What came is not PostgreSQL's protocol."""


@dataclass(frozen=True)
class Startup:
    """The first packet of a connection, or one of the requests that may come in its place."""

    code: int
    packet: bytes
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def user(self) -> str:
        """The database user that wants in."""
        return self.parameters.get("user", "")

    @property
    def database(self) -> str:
        """The database that it wants; by default the user's own."""
        return self.parameters.get("database") or self.user


async def read_startup(exactly: Exactly) -> Startup:
    """Read the first packet, and not a byte more: what follows may be TLS.

    Args:
        exactly: Reads so many bytes.

    Raises:
        ProtocolError: it is none.
        asyncio.IncompleteReadError: the client has gone.
    """
    first = await exactly(_FIRST.size)
    length, code = _FIRST.unpack(first)
    if not _FIRST.size <= length <= LONGEST_STARTUP:
        message = f"a startup packet of {length} bytes"
        raise ProtocolError(message)
    rest = await exactly(length - _FIRST.size)
    return Startup(code, first + rest, _parameters(rest) if code >> 16 == PROTOCOL_3 else {})


def _parameters(body: bytes) -> dict[str, str]:
    # Name, zero, value, zero, …, and a zero at the end.
    parts = [part.decode(errors="replace") for part in body.split(b"\0")]
    return dict(zip(parts[::2], parts[1::2], strict=False))


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one message.

    Returns:
        Its type and its body.

    Raises:
        ProtocolError: it is longer than any before the client is known.
        asyncio.IncompleteReadError: the other side has gone.
    """
    kind = await reader.readexactly(1)
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if not _LENGTH.size <= length <= LONGEST_MESSAGE:
        message = f"a message of {length} bytes"
        raise ProtocolError(message)
    return kind, await reader.readexactly(length - _LENGTH.size)


def message(kind: bytes, body: bytes) -> bytes:
    """A message of this type."""
    return kind + _LENGTH.pack(_LENGTH.size + len(body)) + body


def fatal(code: str, text: str) -> bytes:
    """An ErrorResponse after which the connection ends.

    Args:
        code: SQLSTATE.
        text: The message.
    """
    fields = {"S": "FATAL", "V": "FATAL", "C": code, "M": text}
    body = b"".join(f"{name}{value}".encode() + b"\0" for name, value in fields.items())
    return message(b"E", body + b"\0")
