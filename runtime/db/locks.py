"""One migration of a database at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from runtime.errors import PreflightError

# Any number, the same for all who migrate.
ADVISORY_LOCK = 4_867_143_925
# Another migration is waited for, since it is bounded itself.
WAIT_FOR_ANOTHER = "60s"


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """Hold the migrations' advisory lock. One session may take it several times.

    Raises:
        PreflightError: another session has held it for longer than a migration takes.
    """
    connection.execute(text(f"SET lock_timeout = '{WAIT_FOR_ANOTHER}'"))
    try:
        connection.execute(text(f"SELECT pg_advisory_lock({ADVISORY_LOCK})"))
    except OperationalError:
        connection.rollback()
        message = f"another migration of this database has been running for {WAIT_FOR_ANOTHER}; try again when it ended"
        raise PreflightError(message) from None
    connection.execute(text("RESET lock_timeout"))
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text(f"SELECT pg_advisory_unlock({ADVISORY_LOCK})"))
        connection.commit()
