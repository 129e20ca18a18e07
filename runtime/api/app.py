"""The API: every system's routes on one application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi_offline import FastAPIOffline

from runtime import __version__, logs, settings
from runtime.api import errors, health, openapi
from runtime.api.auth import KeyRing, TokenVerifier
from runtime.api.body_limit import BodyLimit
from runtime.api.cursors import Cursors
from runtime.api.errors import UNAVAILABLE
from runtime.api.middleware import RequestContext
from runtime.api.rate_limit import RateLimiter
from runtime.api.routing import Index
from runtime.cache.cache import Cache
from runtime.db.pool import Database
from runtime.observability.figures import Figures
from runtime.observability.meters import HttpMeter
from runtime.observability.place import Place
from runtime.observability.publishing import Publisher
from runtime.platform import monitoring_routes as monitoring
from runtime.systems.ard import routes as ard
from runtime.systems.utxoiq import routes as utxoiq

log = structlog.get_logger()

# While it starts, the database gets this long before the API answers without it.
STARTUP_SECONDS = 5
# What a page of another site may send and see, if it may call at all.
REQUEST_HEADERS = (
    "Authorization",
    "X-API-Key",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "X-Request-Id",
)
ANSWER_HEADERS = ("ETag", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id", "Idempotency-Replayed")


def create_app(loaded: settings.ApiSettings | None = None) -> FastAPI:
    """The application of one worker.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    loaded = loaded or settings.load(settings.ApiSettings)
    logs.configure("DEBUG" if loaded.debug else loaded.log_level)

    http_meter = HttpMeter()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(loaded, application_name="holdfast-api", workers=loaded.max_workers)
        secret = loaded.secret_key.get_secret_value()
        app.state.database = database
        app.state.keys = KeyRing(database, secret=secret)
        bearers = app.state.bearers = _bearers(loaded, database)
        app.state.cursors = Cursors(secret)
        cache_url = loaded.redis_url.get_secret_value() if loaded.redis_url else None
        app.state.cache = Cache(cache_url, database, secret=secret, longest_write=loaded.request_timeout)
        limiter = RateLimiter(cache_url, requests=loaded.rate_limit, window=loaded.rate_limit_window)
        app.state.rate_limiter = limiter
        figures = Figures(http_meter, database, app.state.cache.snapshot, folder=loaded.metrics_dir)
        app.state.figures = figures
        place = Place.of(loaded, job="api")
        publisher = app.state.publisher = Publisher(place, loaded.metrics_dir) if place else None
        try:
            await asyncio.wait_for(database.open(), timeout=STARTUP_SECONDS)
        except UNAVAILABLE as error:
            # It answers 503 until the database is there, and then works without a restart.
            log.warning("started_without_database", error=type(error).__name__)
        limiter.start()
        yield
        if publisher is not None:
            publisher.close()
        await limiter.close()
        if bearers is not None:
            await bearers.close()
        await app.state.cache.close()
        await database.close()
        await figures.close()

    # Its documentation page takes nothing from other hosts.
    app = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        static_url="/docs/assets",
        title="Holdfast",
        version=__version__,
        summary="The data of ARD and utxoIQ",
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # ours is `runtime.observability`
        debug=False,  # DEBUG is for the log: a traceback is nobody's answer
    )
    errors.install(app)
    for router in (health.router, ard.router, utxoiq.router, monitoring.router):
        # `include_router` would look for each request's route twice.
        app.router.routes.extend(router.routes)
    app.router.routes.insert(0, Index(app.router.routes))
    # The last is the outermost: a browser shows its page a failure only with CORS' headers.
    app.add_middleware(BodyLimit, most=loaded.max_body_bytes)
    app.add_middleware(
        RequestContext, timeout=loaded.request_timeout, meter=http_meter, project=loaded.google_cloud_project
    )
    if loaded.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=loaded.cors_origins,
            allow_methods=["GET", "POST", "PATCH"],
            allow_headers=REQUEST_HEADERS,
            expose_headers=ANSWER_HEADERS,
        )
    openapi.install(app)
    return app


def _bearers(loaded: settings.ApiSettings, database: Database) -> TokenVerifier | None:
    if not loaded.oidc_providers:
        return None
    # Its libraries take a while to import, which nobody without a provider should wait for.
    from runtime.api.oidc import BearerTokens  # noqa: PLC0415

    return BearerTokens(database, loaded.oidc_providers)
