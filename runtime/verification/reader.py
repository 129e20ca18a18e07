"""Reading a database, and nothing else: each statement is a transaction of its own, read-only and bounded."""

from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812  # it is a class

LOCK_SECONDS = 10


class Reader:
    """A connection that is only read from.

    Args:
        connection: nothing is under way on it.
        seconds: after which the server gives a statement up.
    """

    def __init__(self, connection: Connection, *, seconds: int) -> None:
        self._connection = connection
        self._begin = (
            "BEGIN TRANSACTION READ ONLY; "
            f"SET LOCAL statement_timeout = '{seconds}s'; SET LOCAL lock_timeout = '{LOCK_SECONDS}s'; "
            "SET LOCAL search_path = public"
        )

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows of a statement.

        Raises:
            psycopg2.Error: the server refuses it.
        """
        connection = self._connection
        was = connection.autocommit
        # The transaction is begun here, with its bounds.
        connection.autocommit = True
        with connection.cursor() as cursor:
            try:
                cursor.execute(self._begin)
                cursor.execute(statement, parameters or None)
                return cursor.fetchall()
            finally:
                if not connection.closed:
                    cursor.execute("ROLLBACK")
                    connection.autocommit = was

    def value(self, statement: str, *parameters: object) -> Any:
        """The first row's first value; None when there is no row."""
        found = self.rows(statement, *parameters)
        return found[0][0] if found else None
