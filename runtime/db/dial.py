"""The way to a Cloud SQL instance as its connector's library has it: mutual TLS to port 3307.

Of the library this uses what finds an instance and gets a certificate for it. Its `Connector` hands connections to
drivers only.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
from google.auth.credentials import Credentials, TokenState
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request
from google.cloud.sql.connector.client import CloudSQLClient
from google.cloud.sql.connector.connection_info import ConnectionInfo
from google.cloud.sql.connector.connection_name import ConnectionName
from google.cloud.sql.connector.enums import IPTypes
from google.cloud.sql.connector.exceptions import CloudSQLIPTypeError
from google.cloud.sql.connector.lazy import LazyRefreshCache
from google.cloud.sql.connector.utils import generate_keys

from runtime.cloudsql.client import credentials_for
from runtime.cloudsql.errors import CredentialsRefusedError
from runtime.db.engine import CONNECTOR_PORT
from runtime.db.tokens import REQUEST_SECONDS
from runtime.errors import first_line

# Before libpq gives up by itself, so that it hears why.
DIAL_SECONDS = 8.0
# For what was written before an end.
FAREWELL_SECONDS = 1.0
_LOG_IN = "gcloud auth application-default login"

# Opens a connection to a host and a port, where they are reached otherwise than directly; raises OSError.
Opener = Callable[[str, int], Awaitable[socket.socket]]


class NoWayError(Exception):
    """The instance cannot be reached; the message is for the client."""


@dataclass(frozen=True)
class Stream:
    """A connection's reader and writer."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Write, and wait while too much is under way."""
        self.writer.write(data)
        await self.writer.drain()

    async def close(self) -> None:
        """Let what was written arrive, for a moment, and end."""
        self.writer.close()
        with suppress(OSError):
            async with asyncio.timeout(2 * FAREWELL_SECONDS):
                await self.writer.wait_closed()


class Way:
    """Where the instance is, and the certificate that it lets in."""

    def __init__(
        self, instance: str, endpoint: str | None, ip_type: IPTypes, silence_seconds: int, opener: Opener | None = None
    ) -> None:
        self.instance = instance
        self._opener = opener
        self._endpoint = endpoint
        self._ip_type = ip_type
        self._silence = silence_seconds
        self._asking = asyncio.Lock()
        self._credentials: Credentials | None = None
        self._client: CloudSQLClient | None = None
        self._cache: LazyRefreshCache | None = None

    async def dial(self) -> Stream:
        """Connect to the instance.

        Raises:
            NoWayError: saying why not.
        """
        where = "the Admin API"
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                found = await self._found()
                where = f"{', '.join(found.get_preferred_ips(self._ip_type))}, port {CONNECTOR_PORT},"
                try:
                    return await self._connected(found)
                except ssl.SSLCertVerificationError:
                    # Its authority was rotated since Google was asked, up to an hour ago.
                    await self.forget()
                    return await self._connected(await self._found())
        except TimeoutError:
            await self.forget()
            message = f"{where} does not answer within {DIAL_SECONDS:g} s"
        except (GoogleAuthError, CredentialsRefusedError) as error:
            message = f"Google's credentials do not work: {first_line(error)}; mend them ({_LOG_IN})"
        except aiohttp.ClientResponseError as error:
            message = f"the Admin API does not say where it is: {error.status} {error.message}"
        except CloudSQLIPTypeError:
            message = f"it has no address of the kind {self._ip_type.value}"
        except (aiohttp.ClientError, OSError) as error:
            await self.forget()
            message = f"{where} cannot be reached: {first_line(error)}"
        except KeyError as error:
            message = f"the Admin API does not say where it is: its answer has no {error}"
        except ValueError as error:
            # The library's, for another region than the name says.
            message = first_line(error).removeprefix(f"[{self.instance}]: ")
        raise NoWayError(message)

    async def forget(self) -> None:
        """Let the next connection ask anew: the address, the authority or the certificate may be another."""
        if self._cache is not None:
            await self._cache.force_refresh()

    async def close(self) -> None:
        """Give back what asking took."""
        if self._client is not None:
            await self._client.close()

    async def _found(self) -> ConnectionInfo:
        # One after the other: the others then find what the first has fetched.
        async with self._asking:
            if self._credentials is None:
                # It may ask a metadata server.
                self._credentials = await asyncio.to_thread(credentials_for, self._endpoint)
            if self._cache is None:
                self._cache = await self._new_cache(self._credentials)
            if self._credentials.token_state is not TokenState.FRESH:
                # The library would do it in the loop, where everything else would wait for it.
                await asyncio.to_thread(self._credentials.refresh, partial(Request(), timeout=REQUEST_SECONDS))
            return await self._cache.connect_info()

    async def _new_cache(self, credentials: Credentials) -> LazyRefreshCache:
        keys: asyncio.Future[tuple[bytes, str]] = asyncio.get_running_loop().create_future()
        keys.set_result(await generate_keys())
        project, region, name = self.instance.rsplit(":", 2)
        self._client = CloudSQLClient(self._endpoint, None, credentials, driver="psycopg2")
        # A token comes as the password, so none is put into the certificate.
        return LazyRefreshCache(ConnectionName(project, region, name), self._client, keys, enable_iam_auth=False)

    async def _connected(self, found: ConnectionInfo) -> Stream:
        *others, last = found.get_preferred_ips(self._ip_type)
        tls = await found.create_ssl_context()
        for address in others:
            with suppress(OSError):
                return await self._connect(address, tls)
        return await self._connect(last, tls)

    async def _connect(self, address: str, tls: ssl.SSLContext) -> Stream:
        place: dict[str, Any] = {"host": address, "port": CONNECTOR_PORT}
        if self._opener is not None:
            place = {"sock": await self._opener(address, CONNECTOR_PORT)}
        reader, writer = await asyncio.open_connection(
            **place, ssl=tls, server_hostname=address, ssl_shutdown_timeout=FAREWELL_SECONDS
        )
        self._notice_silence(writer.get_extra_info("socket"))
        return Stream(reader, writer)

    def _notice_silence(self, far: socket.socket) -> None:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        half = max(1, self._silence // 2)
        for name, value in (
            ("TCP_KEEPIDLE", half),
            ("TCP_KEEPINTVL", max(1, half // 3)),
            ("TCP_KEEPCNT", 3),
            ("TCP_USER_TIMEOUT", self._silence * 1000),
        ):
            # Not every system has them all.
            if hasattr(socket, name):
                far.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
