"""`python -m runtime migrate`: look first, then roles, schema, extensions and grants, each idempotently."""

from dataclasses import dataclass

from alembic import command
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from runtime.db import revisions, roles
from runtime.db.engine import make_engine
from runtime.db.locks import alone
from runtime.errors import PreflightError, first_line
from runtime.platform import audit
from runtime.settings import Settings


@dataclass(frozen=True)
class Migration:
    """What a run changed."""

    before: str | None
    after: str
    absent_extensions: tuple[str, ...]


def migrate(settings: Settings) -> Migration:
    """Bring the database to the head revision.

    Raises:
        PreflightError: a check failed, and nothing was changed; or a migration failed, and it alone was undone.
    """
    target = revisions.head()
    engine = make_engine(settings, application_name="holdfast-migrate", duty="migration")
    try:
        with _connect(engine) as connection, alone(connection):
            before = check(connection, target)
            roles.ensure_roles(connection)
            connection.commit()
            _upgrade(connection)
            absent = roles.ensure_extensions(connection)
            roles.ensure_members(connection, settings.db_role_members)
            roles.become_owner(connection)
            roles.ensure_grants(connection)
            if before != target:
                audit.record(
                    connection, action="schema.migrate", kind="revision", ident=target, detail={"from": before}
                )
            connection.commit()
            connection.execute(text("RESET ROLE"))
            connection.commit()
    except DBAPIError as error:
        message = f"the migration stopped: {first_line(error.orig or error)}; what had finished is kept, run it again"
        raise PreflightError(message) from error
    finally:
        engine.dispose()
    return Migration(before, target, tuple(absent))


def check(connection: Connection, target: str) -> str | None:
    """Compare the database with the migrations, changing nothing.

    Returns:
        The database's revision, None when it is empty.

    Raises:
        PreflightError: naming what does not fit and what to do.
    """
    tables = set(inspect(connection).get_table_names(schema="public"))
    current = current_revision(connection) if "alembic_version" in tables else None
    if current is not None and current not in revisions.known():
        message = (
            f"the database is at revision {current!r}, which these migrations do not have (their head is {target!r}); "
            "deploy the release that made it, or a newer one"
        )
        raise PreflightError(message)
    expected = revisions.tables_at(current)
    if orphaned := (revisions.tables_at(target) - expected) & tables:
        message = (
            f"the database is at revision {current or 'none'!r}, yet has the tables of a later one: "
            f"{', '.join(sorted(orphaned))}; they were left by a migration that failed half-way. "
            "Move their rows away if they have any, drop them, and migrate again"
        )
        raise PreflightError(message)
    if missing := expected - tables:
        message = (
            f"the database says that it is at revision {current!r}, but lacks {', '.join(sorted(missing))}; "
            "restore it from a backup, or set alembic_version to the revision that it really has"
        )
        raise PreflightError(message)
    connection.rollback()
    return current


def current_revision(connection: Connection) -> str | None:
    """The revision that the database says it has."""
    found = list(connection.scalars(text("SELECT version_num FROM alembic_version")))
    if len(found) > 1:
        message = f"alembic_version has {len(found)} rows ({', '.join(map(str, found))}); it may have one"
        raise PreflightError(message)
    return str(found[0]) if found else None


def _connect(engine: Engine) -> Connection:
    try:
        connection = engine.connect()
        connection.execute(text("SELECT 1"))
    except DBAPIError as error:
        url = engine.url
        where = f"{url.host or url.query.get('host')}:{url.port or 5432} as {url.username}"
        message = f"cannot connect to {where}: {first_line(error.orig or error)}"
        raise PreflightError(message) from None
    connection.rollback()
    return connection


def _upgrade(connection: Connection) -> None:
    config = revisions.alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
