"""What the source can say of how its backup has to be. The source is only read."""

import datetime as dt
from collections.abc import Mapping

from psycopg2.extensions import connection as Connection  # noqa: N812  # it is a class

from runtime.db.roles import GRANTS
from runtime.settings import JOBS_ROLE
from runtime.verification.checks import Code
from runtime.verification.expectation import STATEMENT_SECONDS, Bracket, Expectation, Volumes
from runtime.verification.freshness import last_marker
from runtime.verification.reader import Reader
from runtime.verification.volumes import count_rows

# What a job deletes from may have had more rows.
EXPIRING = frozenset(table for table, grants in GRANTS.items() if "DELETE" in grants.get(JOBS_ROLE, ""))

_REVISION = """
SELECT object_id FROM audit_log WHERE action = 'schema.migrate' AND at <= %s ORDER BY at DESC, id DESC LIMIT 1
"""


def revision_at(connection: Connection, moment: dt.datetime) -> str | None:
    """The schema's revision at a moment; None when it was made after it."""
    found: str | None = Reader(connection, seconds=STATEMENT_SECONDS).value(_REVISION, moment)
    return found


def extensions(connection: Connection) -> tuple[str, ...]:
    """The extensions that it has."""
    found = Reader(connection, seconds=STATEMENT_SECONDS).rows("SELECT extname FROM pg_extension")
    return tuple(sorted(row[0] for row in found))


def expectation(
    connection: Connection,
    *,
    began_at: dt.datetime,
    ended_at: dt.datetime,
    tolerance: float,
    minimums: Mapping[str, int],
    last: tuple[dt.datetime, Mapping[str, int]] | None,
) -> Expectation:
    """What a backup has to have, for what its source knows.

    Volumes are compared twice. The source's rows that were made before the backup began have to be in it, and no
    more than before it ended, except where a job deletes. And no table has lost rows since the last verification that
    passed, except where a job deletes: a loss that the source suffered is in its backup too.

    Args:
        connection: to the source; nothing is under way on it.
        began_at: when the backup began.
        ended_at: when it ended.
        tolerance: what part of a table's rows may differ.
        minimums: table → rows.
        last: when a backup last passed, and its rows by table.

    Raises:
        psycopg2.Error: the source does not answer.
    """
    rows, most = (count_rows(connection, made_before=moment) for moment in (began_at, ended_at))
    volumes = [Volumes("the source", rows, tolerance, EXPIRING, most)]
    if last is not None:
        before = {table: count for table, count in last[1].items() if table not in EXPIRING}
        volumes.append(Volumes(f"the one verified at {last[0]:%Y-%m-%d %H:%M}", before, tolerance, None))
    return Expectation(
        revision=revision_at(connection, began_at),
        databases=(connection.info.dbname,),
        extensions=extensions(connection),
        volumes=volumes,
        minimums=minimums,
        bracket=Bracket(last_marker(connection, began_at), ended_at, Code.BACKUP_STALE),
    )
