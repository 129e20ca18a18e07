"""Cache servers for tests, and a front that makes them slow, unreachable or encrypted."""

import asyncio
import contextlib
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runbooks.local.binaries import valkey_program
from runbooks.local.ports import HOST, free_port
from runbooks.local.valkey import ValkeyServer
from tests.conftest import PASSWORD


def new_valkey(folder: Path) -> ValkeyServer:
    """A server, started."""
    server = ValkeyServer(
        program=valkey_program(), folder=folder / "valkey", log=folder / "log", port=free_port(), password=PASSWORD
    )
    server.start()
    server.wait_ready()
    return server


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float = 10.0) -> None:
    """Ask again and again until it is so; fail when the deadline passes."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  # what is asked is outside this loop
            await asyncio.sleep(0.02)


class Front:
    """A TCP front before a server; it can hold answers back, or refuse."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self.port = free_port()
        self.passing = asyncio.Event()
        self.passing.set()
        self.refusing = False
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()

    def url(self, server: ValkeyServer) -> str:
        return server.url.replace(f":{server.port}/", f":{self.port}/")

    def cut(self) -> None:
        """End what is open, and refuse what comes."""
        self.refusing = True
        for writer in self._writers:
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.refusing:
            writer.close()
            return
        behind_reader, behind_writer = await asyncio.open_connection(HOST, self._behind)
        self._writers |= {writer, behind_writer}
        await asyncio.gather(self._pass(reader, behind_writer), self._pass(behind_reader, writer, holding=True))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, holding: bool = False) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if holding:
                    await self.passing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def fronting(server: ValkeyServer, context: ssl.SSLContext | None = None) -> AsyncIterator[Front]:
    """A front of a server, with TLS if there is a context."""
    front = Front(server.port)
    listening = await asyncio.start_server(front.serve, HOST, front.port, ssl=context)
    yield front
    listening.close()
    front.passing.set()
    front.cut()


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate for the loopback address that is its own authority: its file, and what a server does with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / f"{name}.pem", folder / f"{name}.key"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context
