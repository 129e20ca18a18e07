"""The API: every system's routes on one application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from runtime import __version__, logs, settings
from runtime.api import errors, health, openapi
from runtime.api.auth import KeyRing
from runtime.api.cursors import Cursors
from runtime.api.errors import UNAVAILABLE
from runtime.api.middleware import RequestContext
from runtime.cache.cache import Cache
from runtime.db.pool import Database
from runtime.systems.ard import routes as ard
from runtime.systems.utxoiq import routes as utxoiq

log = structlog.get_logger()

# While it starts, the database gets this long before the API answers without it.
STARTUP_SECONDS = 5


def create_app(loaded: settings.ApiSettings | None = None) -> FastAPI:
    """The application of one worker.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    loaded = loaded or settings.load(settings.ApiSettings)
    logs.configure("DEBUG" if loaded.debug else loaded.log_level)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(loaded, application_name="holdfast-api", workers=loaded.max_workers)
        secret = loaded.secret_key.get_secret_value()
        app.state.database = database
        app.state.keys = KeyRing(database, secret=secret)
        app.state.cursors = Cursors(secret)
        app.state.cache = Cache(
            loaded.redis_url.get_secret_value() if loaded.redis_url else None,
            database,
            secret=secret,
            longest_write=loaded.request_timeout,
        )
        try:
            await asyncio.wait_for(database.open(), timeout=STARTUP_SECONDS)
        except UNAVAILABLE as error:
            # It answers 503 until the database is there, and then works without a restart.
            log.warning("started_without_database", error=type(error).__name__)
        yield
        await app.state.cache.close()
        await database.close()

    # Its documentation page takes nothing from other hosts.
    app = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        static_url="/docs/assets",
        title="Holdfast",
        version=__version__,
        summary="The data of ARD and utxoIQ",
        lifespan=lifespan,
        debug=False,  # DEBUG is for the log: a traceback is nobody's answer
    )
    errors.install(app)
    for router in (health.router, ard.router, utxoiq.router):
        app.include_router(router)
    app.add_middleware(RequestContext, timeout=loaded.request_timeout)
    openapi.install(app)
    return app
