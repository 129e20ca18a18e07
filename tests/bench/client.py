"""A small HTTP client for load: one connection, one request at a time, nothing of the answer kept but its status."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import httptools

from runbooks.local.ports import HOST


class LoadError(Exception):
    """The server under load refused, failed or went away: the measurement would be of something else."""


def encode(path: str, headers: Mapping[str, str], *, body: bytes = b"") -> bytes:
    """A GET, or a POST of JSON where there is a body."""
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", f"Host: {HOST}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


class HttpConnection(asyncio.Protocol):
    """One connection, kept alive."""

    def __init__(self) -> None:
        self._answered: asyncio.Future[int] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered and not self._answered.done():
            self._answered.set_exception(LoadError(f"the connection was lost: {exc}"))

    def on_message_complete(self) -> None:
        if self._answered and not self._answered.done():
            self._answered.set_result(self._parser.get_status_code())

    async def call(self, request: bytes) -> None:
        """Send it and wait for a 2xx answer.

        Raises:
            LoadError: there is none.
        """
        self._parser = httptools.HttpResponseParser(self)
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        status = await self._answered
        if status // 100 != 2:
            message = f"answered {status} to {request[:80]!r}"
            raise LoadError(message)

    def close(self) -> None:
        self._transport.close()


async def connect(port: int) -> HttpConnection:
    """A new connection."""
    _, connection = await asyncio.get_running_loop().create_connection(HttpConnection, HOST, port)
    return connection


async def closed_loop(port: int, requests: list[bytes], *, connections: int, seconds: float) -> float:
    """Answers a second, when each connection asks again as soon as it was answered."""
    opened = [await connect(port) for _ in range(connections)]
    answered, started = 0, time.perf_counter()

    async def ask(connection: HttpConnection, first: int) -> None:
        nonlocal answered
        place = first
        while time.perf_counter() - started < seconds:
            await connection.call(requests[place % len(requests)])
            answered, place = answered + 1, place + 1

    try:
        await asyncio.gather(*[ask(connection, first) for first, connection in enumerate(opened)])
        return answered / (time.perf_counter() - started)
    finally:
        for connection in opened:
            connection.close()


async def open_loop(port: int, requests: list[bytes], *, rate: int, seconds: float) -> list[float]:
    """Milliseconds of each answer. Every request leaves when it is due, whether or not those before were answered."""
    started = time.perf_counter()
    idle: list[HttpConnection] = []
    opened: list[HttpConnection] = []

    async def ask(number: int) -> float:
        await asyncio.sleep(started + number / rate - time.perf_counter())
        # The loop's timers are exact to a millisecond, which is not the server's.
        sent = time.perf_counter()
        if idle:
            connection = idle.pop()
        else:
            connection = await connect(port)
            opened.append(connection)
        await connection.call(requests[number % len(requests)])
        idle.append(connection)
        return (time.perf_counter() - sent) * 1000

    try:
        return await asyncio.gather(*[ask(number) for number in range(int(rate * seconds))])
    finally:
        for connection in opened:
            connection.close()


async def send_all(port: int, requests: list[bytes], *, connections: int) -> float:
    """Seconds until each request was answered once."""
    opened = [await connect(port) for _ in range(connections)]
    waiting = iter(requests)

    async def send(connection: HttpConnection) -> None:
        for request in waiting:
            await connection.call(request)

    try:
        started = time.perf_counter()
        await asyncio.gather(*map(send, opened))
        return time.perf_counter() - started
    finally:
        for connection in opened:
            connection.close()
