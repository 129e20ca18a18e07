"""The operator's side of the database: psycopg2, one connection at a time, for migrations, keys and jobs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import google.auth
import google.auth.transport.requests
from google.auth.exceptions import GoogleAuthError
from sqlalchemy import URL, Engine, create_engine, event

from runtime.db.tokens import LOGIN_SCOPE
from runtime.errors import ConfigurationError
from runtime.settings import IpType, Settings

if TYPE_CHECKING:
    from runtime.db.gateway import Gateway

CONNECT_SECONDS = 10
# Where the Auth Proxy puts an instance's socket, below the name of the instance.
SOCKETS = "/cloudsql/"
# Of an instance, beside PostgreSQL's: fixed in every connector.
CONNECTOR_PORT = 3307


def make_engine(settings: Settings, *, application_name: str, duty: Literal["migration", "jobs"]) -> Engine:
    """An engine for one command, with the user that the duty has where one is set."""
    return engine_with(settings, settings.url_for(duty), application_name=application_name)


def engine_with(settings: Settings, url: URL, *, application_name: str) -> Engine:
    """An engine for one command at an address, with an access token where the settings say so."""
    engine = engine_at(
        url,
        application_name=application_name,
        endpoint=settings.cloud_sql_admin_endpoint,
        ip_type=settings.gcp_sql_ip_type,
    )
    # A duty's own URL may bring a password.
    if settings.uses_iam_authentication and url.password is None:
        event.listen(engine, "do_connect", _use_access_token)
    return engine


def engine_at(url: URL, *, application_name: str, endpoint: str | None = None, ip_type: IpType = "private") -> Engine:
    """An engine for one command at an address.

    Args:
        url: of a server; or with `host=/cloudsql/PROJECT:REGION:INSTANCE`, which is the Auth Proxy's socket where there
            is one, and a gateway of this process where there is none, until the engine is disposed of.
        application_name: what the server calls the session.
        endpoint: of the Cloud SQL Admin API, if it is not Google's; for the gateway.
        ip_type: which address of a Cloud SQL instance; for the gateway.
    """
    engine = create_engine(
        url.set(drivername="postgresql+psycopg2"),
        pool_size=1,
        max_overflow=0,
        pool_pre_ping=True,
        pool_recycle=3600,
        connect_args={
            "application_name": application_name,
            "connect_timeout": CONNECT_SECONDS,
            "options": "-c timezone=UTC",
            # A peer that vanished is noticed within a minute, also while a statement runs.
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
        },
    )
    host = url.query.get("host")
    if isinstance(host, str) and host.startswith(SOCKETS):
        way = _Way(host, endpoint, ip_type)
        event.listen(engine, "do_connect", way.enter)
        event.listen(engine, "engine_disposed", way.leave)
    return engine


class _Way:
    """How an engine comes to a Cloud SQL instance."""

    def __init__(self, host: str, endpoint: str | None, ip_type: IpType) -> None:
        self._socket = Path(host)
        self._endpoint = endpoint
        self._ip_type: IpType = ip_type
        self._gateway: Gateway | None = None

    def enter(self, _dialect: Any, _record: Any, _args: list[Any], keywords: dict[str, Any]) -> None:
        """Before a connection is made."""
        if self._socket.exists():
            return
        if self._gateway is None:
            # Most databases are elsewhere, and the connector's library takes a while to load.
            from runtime.db.gateway import Gateway  # noqa: PLC0415

            self._gateway = Gateway(self._socket.name, endpoint=self._endpoint, ip_type=self._ip_type)
        keywords.update(self._gateway.place())

    def leave(self, _engine: Engine) -> None:
        """After its connections were closed."""
        if self._gateway is not None:
            self._gateway.close()


def _use_access_token(_dialect: Any, _record: Any, _args: list[Any], keywords: dict[str, Any]) -> None:
    try:
        credentials, _project = google.auth.default(scopes=[LOGIN_SCOPE])
        credentials.refresh(google.auth.transport.requests.Request())  # type: ignore[no-untyped-call]  # google-auth leaves it untyped
    except GoogleAuthError as error:
        message = (
            f"GCP_SQL_INSTANCE without DB_PASSWORD logs in with Google's credentials, which do not work: {error}; "
            "mend them (gcloud auth application-default login), or set DB_PASSWORD"
        )
        raise ConfigurationError(message) from None
    keywords["password"] = credentials.token
