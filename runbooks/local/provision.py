"""From a running server to a database that the API can serve, and a key for it. Each step may be repeated."""

from collections.abc import Mapping

from sqlalchemy import URL, Engine

from runbooks.local import database
from runbooks.local.credentials import Credentials, save
from runbooks.local.environment import runtime_settings
from runbooks.local.folder import StateFolder
from runtime.db.engine import make_engine
from runtime.db.migrate import migrate
from runtime.jobs.partitions import ensure_partitions
from runtime.platform.keys import create_key, find_key
from runtime.platform.scopes import ALL_SCOPES
from runtime.settings import APP_ROLE, JOBS_ROLE

SUBJECT = "local-admin"


def runtime_values(*, server: URL, cache: str, port: int, host: str, credentials: Credentials) -> dict[str, str]:
    """The settings of everything that runs here, by their names in the environment."""

    def address(login: str, password: str) -> str:
        return server.set(username=login, password=password).render_as_string(hide_password=False)

    return {
        "DATABASE_URL": address(database.API_LOGIN, credentials.api_password),
        "JOBS_DATABASE_URL": address(database.JOBS_LOGIN, credentials.jobs_password),
        "MIGRATION_DATABASE_URL": server.render_as_string(hide_password=False),
        "DB_ROLE_MEMBERS": f"{APP_ROLE}={database.API_LOGIN},{JOBS_ROLE}={database.JOBS_LOGIN}",
        "REDIS_URL": cache,
        "SECRET_KEY": credentials.secret_key,
        "API_HOST": host,
        "API_PORT": str(port),
    }


def provision(server: URL, values: Mapping[str, str], credentials: Credentials, folder: StateFolder) -> str:
    """Make the database, its logins, its schema and its partitions.

    Returns:
        An API key with every scope.
    """
    database.ensure_database(server)
    database.ensure_logins(
        server,
        {database.API_LOGIN: credentials.api_password, database.JOBS_LOGIN: credentials.jobs_password},
    )
    settings = runtime_settings(values)
    migrate(settings)
    engine = make_engine(settings, application_name="holdfast-up", duty="jobs")
    try:
        ensure_partitions(engine)
        return _ensure_key(engine, credentials, folder)
    finally:
        engine.dispose()


def _ensure_key(engine: Engine, credentials: Credentials, folder: StateFolder) -> str:
    known, secret = credentials.api_key, credentials.secret_key
    with engine.begin() as connection:
        # One made when there were fewer scopes no longer has every one.
        if known and credentials.api_key_scopes == ALL_SCOPES and find_key(connection, secret=secret, key=known):
            return known
        made = create_key(connection, secret=secret, subject=SUBJECT, scopes=ALL_SCOPES).key
    save(folder, credentials.model_copy(update={"api_key": made, "api_key_scopes": ALL_SCOPES}))
    return made
