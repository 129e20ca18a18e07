"""One client's connection: from its first byte to the cluster, and back."""

import asyncio
import socket
import ssl
from dataclasses import dataclass

from runbooks.sandbox.front import protocol, scram
from runbooks.sandbox.front.certificates import access_token_of
from runbooks.sandbox.front.state import State
from runbooks.sandbox.front.stream import CHUNK, Stream


class _Refusal(Exception):  # noqa: N818  # an answer, no failure
    """The client is told so and sent away."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.answer = protocol.fatal(code, text)


@dataclass(frozen=True)
class Door:
    """How clients of one port come in: PostgreSQL's way, or the connectors', with TLS from the first byte."""

    tls: ssl.SSLContext
    is_connectors: bool


class Connection:
    """A client that was accepted. `serve` returns when it has gone; cancelling that ends it at once."""

    def __init__(self, state: State, door: Door, client: socket.socket) -> None:
        self._state = state
        self._door = door
        self._socket: socket.socket | None = client
        self._streams: list[Stream] = []

    async def serve(self) -> None:
        """Carry the client until either side ends."""
        try:
            await self._serve()
        except (OSError, EOFError, protocol.ProtocolError):
            # A client or a cluster that goes away, or that does not speak PostgreSQL.
            pass
        finally:
            for stream in self._streams:
                stream.abort()
            self.close()

    def close(self) -> None:
        """Let go of a client that `serve` never came to, or not beyond its first bytes."""
        if self._socket is not None:
            self._socket.close()

    async def _serve(self) -> None:
        async with asyncio.timeout(self._state.handshake_seconds):
            await self._state.flowing()
            client, startup = await self._arrive()
            if startup.code == protocol.CANCEL_REQUEST:
                await self._cancel(startup)
                return
            try:
                cluster = await self._enter(client, startup)
            except _Refusal as refusal:
                client.writer.write(refusal.answer)
                await client.close()
                return
        await self._carry(client, cluster)

    async def _arrive(self) -> tuple[Stream, protocol.Startup]:
        if self._door.is_connectors:
            client = await self._take_over(self._door.tls)
            # The Auth Proxy passes on what its own client asks.
            while (startup := await protocol.read_startup(client.reader.readexactly)).code in (
                protocol.SSL_REQUEST,
                protocol.GSS_ENCRYPTION_REQUEST,
            ):
                await client.send(protocol.NO)
            return client, startup
        while (startup := await protocol.read_startup(self._exactly)).code == protocol.GSS_ENCRYPTION_REQUEST:
            await self._answer(protocol.NO)
        if startup.code != protocol.SSL_REQUEST:
            return await self._take_over(None), startup
        await self._answer(protocol.YES)
        client = await self._take_over(self._door.tls)
        return client, await protocol.read_startup(client.reader.readexactly)

    async def _exactly(self, count: int) -> bytes:
        # From the socket itself: with a buffer in between, bytes sent before TLS could pass for bytes sent in it.
        assert self._socket is not None  # noqa: S101  # taken over only afterwards
        read = b""
        while len(read) < count:
            more = await asyncio.get_running_loop().sock_recv(self._socket, count - len(read))
            if not more:
                raise EOFError
            read += more
        return read

    async def _answer(self, answer: bytes) -> None:
        assert self._socket is not None  # noqa: S101  # taken over only afterwards
        await asyncio.get_running_loop().sock_sendall(self._socket, answer)

    async def _take_over(self, tls: ssl.SSLContext | None) -> Stream:
        taken, self._socket = self._socket, None
        assert taken is not None  # noqa: S101  # taken over once
        stream = await Stream.accepted(taken, tls)
        self._streams.append(stream)
        return stream

    async def _open(self) -> Stream:
        await self._state.flowing()
        port = self._state.target
        if port is None:
            raise _Refusal(protocol.CANNOT_CONNECT_NOW, "the database system is shut down")
        try:
            cluster = await Stream.opened(port)
        except OSError:
            raise _Refusal(protocol.CANNOT_CONNECT_NOW, "the database system is starting up") from None
        self._streams.append(cluster)
        return cluster

    async def _cancel(self, request: protocol.Startup) -> None:
        # It is never answered, and its sender waits for the end, which says that it arrived.
        try:
            cluster = await self._open()
        except _Refusal:
            return
        await cluster.send(request.packet)
        await cluster.reader.read()

    async def _enter(self, client: Stream, startup: protocol.Startup) -> Stream:
        if not self._door.is_connectors:
            self._check_mode(client, startup)
        cluster = await self._open()
        await cluster.send(startup.packet)
        logins = self._state.logins
        password = logins.password_of(startup.user) if logins is not None else None
        if password is not None:
            await self._log_in(client, cluster, startup.user, password)
        return cluster

    def _check_mode(self, client: Stream, startup: protocol.Startup) -> None:
        mode = self._state.ssl_mode
        host = client.writer.get_extra_info("peername")[0]
        who = f'for host "{host}", user "{startup.user}", database "{startup.database}"'
        if self._state.requires_connector:
            # As of 2026-11 Google documents that direct connections are rejected, not in what words: PostgreSQL's own.
            how = "SSL encryption" if client.is_encrypted else "no encryption"
            raise _Refusal(protocol.INVALID_AUTHORIZATION, f"pg_hba.conf rejects connection {who}, {how}")
        if not client.is_encrypted and mode.needs_encryption:
            text = f"no pg_hba.conf entry {who}, no encryption"
            raise _Refusal(protocol.INVALID_AUTHORIZATION, text)
        if client.certificate is None and mode.needs_certificate:
            raise _Refusal(protocol.INVALID_AUTHORIZATION, "connection requires a valid client certificate")

    async def _log_in(self, client: Stream, cluster: Stream, user: str, password: str) -> None:
        kind, body = await protocol.read_message(cluster.reader)
        while kind == protocol.NEGOTIATE_VERSION:
            await client.send(protocol.message(kind, body))
            kind, body = await protocol.read_message(cluster.reader)
        if not scram.wants_scram(kind, body):
            # An error, or a rule of the cluster's own.
            await client.send(protocol.message(kind, body))
            return
        token = await self._token(client)
        if self._state.logins is None or token is None or not self._state.logins.accepts(user, token):
            text = f'Cloud SQL IAM service account authentication failed for user "{user}"'
            raise _Refusal(protocol.INVALID_AUTHORIZATION, text)
        try:
            await scram.prove(cluster.reader, cluster.writer, password)
        except scram.RefusedError as error:
            await client.send(error.answer)

    async def _token(self, client: Stream) -> str | None:
        if client.certificate is not None and (token := access_token_of(client.certificate)) is not None:
            return token
        if not client.is_encrypted:
            # It would be readable for everybody on the way.
            return None
        await client.send(protocol.message(protocol.AUTHENTICATION, protocol.CLEARTEXT_PASSWORD))
        kind, body = await protocol.read_message(client.reader)
        if kind != protocol.PASSWORD:
            text = f"{kind!r} in place of a password"
            raise protocol.ProtocolError(text)
        return body.rstrip(b"\0").decode(errors="replace")

    async def _carry(self, client: Stream, cluster: Stream) -> None:
        inward = asyncio.create_task(self._pump(client, cluster))
        outward = asyncio.create_task(self._pump(cluster, client))
        try:
            # A client that ends its side may still want its answer; a cluster that ends has nothing more to say.
            await asyncio.wait((inward, outward), return_when=asyncio.FIRST_COMPLETED)
            if inward.done() and inward.exception() is None:
                await outward
            if outward.done() and outward.exception() is None:
                await client.close()
        finally:
            inward.cancel()
            outward.cancel()
            await asyncio.gather(inward, outward, return_exceptions=True)

    async def _pump(self, source: Stream, target: Stream) -> None:
        while data := await source.reader.read(CHUNK):
            await self._state.flowing()
            await target.send(data)
        await self._state.flowing()
        target.end_writing()
