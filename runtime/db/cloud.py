"""Connections to Cloud SQL by its connector: mutual TLS to the private address, IAM unless there is a password."""

import asyncio
from typing import Any, cast

import asyncpg
from google.cloud.sql.connector import Connector, IPTypes, RefreshStrategy

from runtime.settings import Settings


class CloudSql:
    """One connector, whose certificates all connections of a worker share. Made inside the running event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Lazy: certificates are renewed when a connection needs them, which suits a CPU that sleeps between requests.
        self._connector = Connector(refresh_strategy=RefreshStrategy.LAZY, loop=asyncio.get_running_loop())

    async def connect(self, *_args: Any, **keywords: Any) -> asyncpg.Connection:
        """Open a connection, as asyncpg's pool asks for one."""
        settings = self._settings
        login: dict[str, Any] = {"enable_iam_auth": True}
        if settings.db_password is not None:
            login = {"password": settings.db_password.get_secret_value()}
        keywords.pop("loop", None)
        connection = await self._connector.connect_async(
            settings.gcp_sql_instance or "",
            "asyncpg",
            user=settings.db_user,
            db=settings.db_name,
            ip_type=IPTypes.PRIVATE,
            timeout=settings.db_pool_timeout,
            **login,
            **keywords,
        )
        return cast("asyncpg.Connection", connection)

    async def close(self) -> None:
        """Give the connector's sessions back."""
        await self._connector.close_async()
