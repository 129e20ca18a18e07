"""A scratch database on the same server: what each revision makes there is what it has to be."""

import functools
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine

from runbooks.engine.run import Run
from runbooks.local.environment import runtime_settings
from runbooks.procedures.schema.structure import Structure, read
from runtime.db import revisions
from runtime.db.engine import engine_at
from runtime.settings import Settings

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PsycopgConnection  # noqa: N812  # it is a class

DEFINE = "database.define"


def chain() -> list[str]:
    """The revisions, first to last."""
    script = ScriptDirectory.from_config(revisions.alembic_config())
    return [one.revision for one in reversed(list(script.walk_revisions()))]


@functools.lru_cache(maxsize=1)
def structures(run: Run) -> dict[str, Structure]:
    """What each revision makes, first to last. A run asks twice, before and after, and it is the same."""
    made: dict[str, Structure] = {}
    with _database(run) as name, engine(run, name) as scratch, scratch.connect() as connection:
        config = revisions.alembic_config()
        config.attributes["connection"] = connection
        for revision in chain():
            run.progress(f"revision {revision} in a scratch database")
            command.upgrade(config, revision)
            made[revision] = read(cast("PsycopgConnection", connection.connection.dbapi_connection))
            connection.rollback()
    return made


@contextmanager
def engine(run: Run, database: str | None = None) -> Iterator[Engine]:
    """SQLAlchemy's engine for the operator's login, which may define what it likes."""
    run.tools.permissions.require(DEFINE)
    made = engine_at(url(run, database), application_name="holdfast-runbook")
    try:
        yield made
    finally:
        made.dispose()


def url(run: Run, database: str | None = None) -> URL:
    """Where a database of the instance is, for the operator's login; by default the target's."""
    operator = run.target.operator
    place = run.tools.place(run.instance())
    # A URL is for any client.
    place.pop("connection_factory", None)
    return URL.create(
        "postgresql",
        username=operator.user,
        password=run.tools.secrets.newest(operator.secret).get_secret_value(),
        database=database or run.target.database,
        # A socket's folder cannot be a URL's host.
        query={name: str(value) for name, value in place.items()},
    )


def settings(run: Run) -> Settings:
    """The runtime's settings with which it migrates the target's database."""
    address = url(run).render_as_string(hide_password=False)
    # Migrating keeps no keys.
    return runtime_settings({"DATABASE_URL": address, "SECRET_KEY": secrets.token_urlsafe(32)})


@contextmanager
def _database(run: Run) -> Iterator[str]:
    run.tools.permissions.require(DEFINE)
    # A run that was cut off finds its own by this name.
    name = f"holdfast_scratch_{run.short_id}"
    drop = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
    with run.tools.connect(database="postgres") as opened, opened.cursor() as cursor:
        cursor.execute(drop)
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            yield name
        finally:
            cursor.execute(drop)
