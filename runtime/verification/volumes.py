"""How many rows there are, against none at all, what there was elsewhere, and what there must be."""

import datetime as dt
from collections.abc import Iterator, Mapping

from psycopg2.extensions import connection as Connection  # noqa: N812  # it is a class
from sqlalchemy import DefaultClause, Table

from runtime.db.metadata import metadata
from runtime.verification.checks import Check, Code, failed, judged, passed
from runtime.verification.expectation import STATEMENT_SECONDS, Expectation, Volumes
from runtime.verification.reader import Reader

ROWS = "There are rows"
DRIFT = "As many rows as there were"
MINIMUM = "No table has less than its minimum"

# What comes and goes by itself, or changes and is one row for ever.
PASSING = frozenset({"cache_trust", "idempotency_keys", "recovery_markers"})
# What even a database has that nobody ever wrote to.
ITS_OWN = frozenset({"audit_log", "backup_verifications"})

RESTORE_ANOTHER = "compare with the source; restore another backup unless the difference is known"


def count_rows(
    connection: Connection, *, made_before: dt.datetime | None = None, seconds: int = STATEMENT_SECONDS
) -> dict[str, int]:
    """Count the rows of each table that is there.

    Args:
        connection: nothing is under way on it.
        made_before: only those; where a table does not say when, all.
        seconds: for a table.

    Raises:
        psycopg2.Error: the server refuses, or takes longer.
    """
    return _count(Reader(connection, seconds=seconds), made_before)


def volumes(reader: Reader, expectation: Expectation) -> Iterator[Check]:
    """Count, and compare with what is given to compare with."""
    rows = _count(reader, None)
    total = sum(count for table, count in rows.items() if table not in ITS_OWN)
    awaited = [sum(count for table, count in one.rows.items() if table not in ITS_OWN) for one in expectation.volumes]
    if total == 0 and (not awaited or any(awaited)):
        yield failed(ROWS, Code.EMPTY_RESTORE, f"none in {len(rows)} tables", RESTORE_ANOTHER)
    else:
        seen = f"{total} in {len(rows)} tables"
        yield passed(ROWS, seen, measures=rows)
    if expectation.volumes:
        faults = [fault for one in expectation.volumes for fault in _drifts(rows, one)]
        seen = f"as {', '.join(one.origin for one in expectation.volumes)}"
        yield judged(DRIFT, faults, Code.VOLUME_DRIFT, RESTORE_ANOTHER, otherwise=seen)
    if expectation.minimums:
        faults = [
            f"{table} has {rows.get(table, 0)} of {least}"
            for table, least in expectation.minimums.items()
            if rows.get(table, 0) < least
        ]
        seen = f"{len(expectation.minimums)} minimums"
        yield judged(MINIMUM, faults, Code.VOLUME_BELOW_MINIMUM, RESTORE_ANOTHER, otherwise=seen)


def _count(reader: Reader, made_before: dt.datetime | None) -> dict[str, int]:
    there = {row[0] for row in reader.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    counted: dict[str, int] = {}
    for name, table in sorted(metadata.tables.items()):
        if name in PASSING or name not in there:
            continue
        made = _when_made(table)
        if made_before is None or made is None:
            counted[name] = reader.value(f'SELECT count(*) FROM "{name}"')
        else:
            counted[name] = reader.value(f'SELECT count(*) FROM "{name}" WHERE "{made}" < %s', made_before)
    return counted


def _when_made(table: Table) -> str | None:
    """The column that says when a row was made: the first that is filled with the moment."""
    for column in table.columns:
        default = column.server_default
        if isinstance(default, DefaultClause) and str(default.arg) == "now()":
            return column.name
    return None


def _drifts(rows: Mapping[str, int], volumes: Volumes) -> Iterator[str]:
    for table, before in volumes.rows.items():
        # A table that is not there is the structure's fault.
        if table not in rows:
            continue
        now = rows[table]
        most = float("inf")
        if volumes.may_exceed is not None and table not in volumes.may_exceed:
            most = volumes.most.get(table, before) * (1 + volumes.tolerance)
        if not before * (1 - volumes.tolerance) <= now <= most:
            yield f"{table} has {now} rows, {volumes.origin} {before}"
