"""The operator's side of the database: psycopg2, one connection at a time, for migrations, keys and jobs."""

from typing import Any, Literal

import google.auth
import google.auth.transport.requests
from google.auth.exceptions import GoogleAuthError
from sqlalchemy import URL, Engine, create_engine, event

from runtime.db.tokens import LOGIN_SCOPE
from runtime.errors import ConfigurationError
from runtime.settings import Settings

CONNECT_SECONDS = 10


def make_engine(settings: Settings, *, application_name: str, duty: Literal["migration", "jobs"]) -> Engine:
    """An engine for one command, with the user that the duty has where one is set."""
    return engine_with(settings, settings.url_for(duty), application_name=application_name)


def engine_with(settings: Settings, url: URL, *, application_name: str) -> Engine:
    """An engine for one command at an address, with an access token where the settings say so."""
    engine = engine_at(url, application_name=application_name)
    # A duty's own URL may bring a password.
    if settings.uses_iam_authentication and url.password is None:
        event.listen(engine, "do_connect", _use_access_token)
    return engine


def engine_at(url: URL, *, application_name: str) -> Engine:
    """An engine for one command at an address."""
    return create_engine(
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
