"""The database and its logins on a server, embedded or not: everything that comes before the schema."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg2
import psycopg2.errors
import psycopg2.extensions
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812  # it is a class
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from runbooks.local.errors import LocalPlatformError
from runtime.errors import first_line

DATABASE = "holdfast"
API_LOGIN = "holdfast_api"
JOBS_LOGIN = "holdfast_jobs_login"
CONNECT_SECONDS = 5


def server_url(text: str) -> URL:
    """The address that a user gave, with a database in it.

    Raises:
        LocalPlatformError: it is not a PostgreSQL address.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    # The text is not repeated: it may hold a password.
    if url is None or url.drivername.partition("+")[0] not in {"postgresql", "postgres"} or not url.username:
        message = "--database-url: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        raise LocalPlatformError(message)
    return url.set(drivername="postgresql", database=url.database or DATABASE)


@contextmanager
def connect(url: URL) -> Iterator[Connection]:
    """A connection on which each statement is its own transaction."""
    opened = psycopg2.connect(url.render_as_string(hide_password=False), connect_timeout=CONNECT_SECONDS)
    try:
        opened.autocommit = True
        yield opened
    finally:
        opened.close()


def ensure_reachable(server: URL) -> None:
    """See that a server of the user's answers and that its user may do what is needed.

    Raises:
        LocalPlatformError: naming the option, and what is wrong.
    """
    try:
        with connect(server.set(database="postgres")) as opened, opened.cursor() as cursor:
            cursor.execute("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
            (may_create_roles,) = cursor.fetchone() or (False,)
    except psycopg2.Error as error:
        message = f"--database-url: {first_line(error)}"
        raise LocalPlatformError(message) from None
    if not may_create_roles:
        message = (
            f"--database-url: the user {server.username} may not create roles, which the platform's logins are; "
            f"give another user, or as an administrator: ALTER ROLE {server.username} CREATEROLE CREATEDB"
        )
        raise LocalPlatformError(message)


def ensure_database(server: URL) -> None:
    """Make the database that the address names, if it is not there."""
    name = server.database or DATABASE
    with connect(server.set(database="postgres")) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", (name,))
        if cursor.fetchone() is None:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def ensure_logins(server: URL, passwords: Mapping[str, str]) -> None:
    """Make the login roles, and set their passwords in any case."""
    with connect(server) as opened, opened.cursor() as cursor:
        for login, password in passwords.items():
            cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (login,))
            verb = "CREATE" if cursor.fetchone() is None else "ALTER"
            # Hashed here, so that the password is in no log of statements.
            hashed = psycopg2.extensions.encrypt_password(password, login, scope=opened, algorithm="scram-sha-256")
            cursor.execute(
                sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
                    sql.SQL(verb), sql.Identifier(login), sql.Literal(hashed)
                )
            )


def check(url: URL) -> None:
    """Ask the database for a sign of life.

    Raises:
        psycopg2.Error: it gave none.
    """
    with connect(url) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT 1")
