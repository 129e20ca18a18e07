"""Invalid indexes, built again."""

import re

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812  # it is a class

from runbooks.engine.errors import FailedError
from runbooks.engine.findings import Result
from runbooks.engine.run import Run
from runtime.errors import first_line

# What REINDEX CONCURRENTLY leaves when it is cut off; the index itself is there beside it.
_OF_REINDEX = re.compile(r"_cc(new|old)\d*\"?$")
# A large table's takes a while; what has to end before it is waited for no longer than this.
BUILD, WAIT = "4h", "60s"


def is_leftover_of_reindex(name: str) -> bool:
    """Whether it is only to be dropped."""
    return _OF_REINDEX.search(name) is not None


def rebuild(run: Run, opened: Connection, name: str, definition: str) -> None:
    """Drop an index if it is invalid, and build it if it is not there.

    Args:
        run: tells.
        opened: outside transactions.
        name: quoted where need be.
        definition: what makes it; nothing if it is only dropped.

    Raises:
        FailedError: INDEX_NOT_BUILT; it is then invalid again, and a resume begins with it.
    """
    test = f"Index {name} is valid"
    try:
        with opened.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = '{BUILD}'; SET lock_timeout = '{WAIT}'")
            cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", (f"public.{name}",))
            row = cursor.fetchone()
            if row == (True,):
                run.find(test, Result.OK, "yes, by now")
                return
            if row is not None:
                cursor.execute(f"DROP INDEX CONCURRENTLY public.{name}")
            if definition:
                cursor.execute(re.sub(r"^CREATE( UNIQUE)? INDEX ", r"CREATE\1 INDEX CONCURRENTLY ", definition))
    except psycopg2.Error as error:
        code = "INDEX_NOT_BUILT"
        message = (
            f"{name}: {first_line(error)}; end what is in its way (a transaction that is open for long, or rows that "
            f"are there twice), and resume; its definition: {definition or 'none, it is only dropped'}"
        )
        raise FailedError(code, message) from None
    done = "dropped, and built again concurrently" if definition else "dropped; REINDEX CONCURRENTLY had left it"
    run.find(test, Result.MENDED, "no, building it was cut off", done)
