"""Connections to Cloud SQL by its connector: mutual TLS to the private address, IAM unless there is a password."""

import asyncio
from typing import Any, cast

import aiohttp
import asyncpg
from google.auth.exceptions import GoogleAuthError
from google.cloud.sql.connector import Connector, IPTypes, RefreshStrategy
from google.cloud.sql.connector.exceptions import CloudSQLIPTypeError

from runtime.db.tokens import Tokens
from runtime.settings import Settings


class CloudSql:
    """One connector, whose certificates all connections of a worker share. Made inside the running event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._beginning = asyncio.Lock()
        self._tokens: Tokens | None = None
        self._connector: Connector | None = None

    async def connect(self, *_args: Any, **keywords: Any) -> asyncpg.Connection:
        """Open a connection, as asyncpg's pool asks for one.

        Raises:
            TimeoutError: not within the pool's timeout.
            ConnectionError: Google gave no token, or did not say where the instance is, or it has no such address.
        """
        try:
            async with asyncio.timeout(self._settings.db_pool_timeout):
                return await self._connect(await self._ready(), keywords)
        except (GoogleAuthError, aiohttp.ClientError, CloudSQLIPTypeError) as error:
            message = f"{self._settings.gcp_sql_instance}: {error}"
            raise ConnectionError(message) from error

    async def _ready(self) -> Connector:
        # One after the other: the others then find what the first has fetched.
        async with self._beginning:
            if self._tokens is None:
                self._tokens = await Tokens.default()
            await self._tokens.renew()
            if self._connector is None:
                # Lazy: certificates are renewed when a connection needs them, which suits a CPU that sleeps between
                # requests.
                self._connector = Connector(
                    refresh_strategy=RefreshStrategy.LAZY,
                    loop=asyncio.get_running_loop(),
                    credentials=self._tokens,
                    sqladmin_api_endpoint=self._settings.cloud_sql_admin_endpoint,
                )
            return self._connector

    async def _connect(self, connector: Connector, keywords: dict[str, Any]) -> asyncpg.Connection:
        settings = self._settings
        login: dict[str, Any] = {"enable_iam_auth": True}
        if settings.db_password is not None:
            login = {"password": settings.db_password.get_secret_value()}
        keywords.pop("loop", None)
        connection = await connector.connect_async(
            settings.gcp_sql_instance or "",
            "asyncpg",
            user=settings.db_user,
            db=settings.db_name,
            ip_type=IPTypes[settings.gcp_sql_ip_type.upper()],
            timeout=settings.db_pool_timeout,
            **login,
            **keywords,
        )
        return cast("asyncpg.Connection", connection)

    async def close(self) -> None:
        """Give the connector's sessions back."""
        if self._connector is not None:
            await self._connector.close_async()
