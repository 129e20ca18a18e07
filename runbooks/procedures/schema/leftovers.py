"""What a migration that failed left behind, of a revision that the database is not at. Rows are never dropped."""

from collections.abc import Sequence

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812  # it is a class

from runbooks.engine.errors import FailedError, RefusedError
from runbooks.engine.findings import Result
from runbooks.engine.run import Run
from runbooks.procedures.schema.structure import Part
from runtime.db import revisions
from runtime.errors import first_line

# In the order in which they can be dropped; concurrently what can be, so that nobody waits.
_STATEMENTS = {
    "trigger": "DROP TRIGGER IF EXISTS {name} ON public.{table}",
    "view": "DROP VIEW IF EXISTS public.{name}",
    "function": "DROP FUNCTION IF EXISTS public.{name}",
    "constraint": "ALTER TABLE public.{table} DROP CONSTRAINT IF EXISTS {name}",
    "index": "DROP INDEX CONCURRENTLY IF EXISTS public.{name}",
    "column": "ALTER TABLE public.{table} DROP COLUMN IF EXISTS {name}",
    "sequence": "DROP SEQUENCE IF EXISTS public.{name}",
    "type": "DROP TYPE IF EXISTS public.{name}",
}


def later(told: Sequence[str]) -> set[str]:
    """The tables of revisions after the one that the database says it is at, as far as that is known."""
    if len(told) > 1 or not set(told) <= revisions.known():
        return set()
    return revisions.tables_at(revisions.head()) - revisions.tables_at(told[0] if told else None)


def planned(run: Run, opened: Connection, parts: Sequence[Part]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """See that nothing of it has data.

    Returns:
        The tables, and the statements that drop the rest.

    Raises:
        RefusedError: a table has rows, or a column values.
    """
    tables = tuple(part.name for part in parts if part.kind == "table")
    for table in tables:
        count = _count(opened, f"SELECT count(*) FROM public.{table}")  # quoted by PostgreSQL
        keep = (
            f"keep them: CREATE SCHEMA kept; CREATE TABLE kept.{table} AS TABLE public.{table}; "
            f"DELETE FROM public.{table}; then run this again, and copy them back from kept.{table}"
        )
        _require_none(run, f"Table {table}, of a migration that failed, is empty", f"{count} rows", keep, count)
    rest = [part for part in parts if part.kind != "table" and part.table not in tables]
    for part in rest:
        if part.kind == "column":
            asked = f"SELECT count({part.name}) FROM public.{part.table}"  # quoted by PostgreSQL
            count = _count(opened, asked)
            keep = f"keep them elsewhere, set {part.name} to NULL, and run this again"
            _require_none(run, f"{part}, of a migration that failed, has no values", f"{count} values", keep, count)
    ordered = sorted(rest, key=lambda part: list(_STATEMENTS).index(part.kind))
    return tables, tuple(_STATEMENTS[part.kind].format(name=part.name, table=part.table) for part in ordered)


def drop(run: Run, opened: Connection, tables: Sequence[str], statements: Sequence[str]) -> None:
    """Drop tables that are empty, and what the statements name. What is gone already is no fault.

    Raises:
        RefusedError: somebody has written rows since; nothing was dropped.
        FailedError: NOT_DROPPED, something else depends on it.
    """
    run.tools.permissions.require("database.drop")
    try:
        with opened.cursor() as cursor:
            dropped = _drop_tables(cursor, tables)
            for statement in statements:
                cursor.execute(statement)
    except psycopg2.Error as error:
        code = "NOT_DROPPED"
        raise FailedError(code, f"{first_line(error)}; drop or change what depends on it, and resume") from None
    for table in dropped:
        run.find(f"Table {table} is of the revision", Result.MENDED, "of a migration that failed, empty", "dropped")
    if statements:
        run.find(
            "No part of a later revision is there", Result.MENDED, "a migration stopped half-way", "; ".join(statements)
        )


def _drop_tables(cursor: "psycopg2.extensions.cursor", tables: Sequence[str]) -> list[str]:
    there = []
    for table in tables:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (f"public.{table}",))
        if cursor.fetchone() == (True,):
            there.append(table)
    if not there:
        return []
    names = ", ".join(f"public.{table}" for table in there)
    cursor.execute("BEGIN")
    try:
        # From here on nobody can write a row into them before they are gone.
        cursor.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
        _see_empty(cursor, there)
        cursor.execute(f"DROP TABLE {names}")
        cursor.execute("COMMIT")
    except BaseException:
        cursor.execute("ROLLBACK")
        raise
    return there


def _see_empty(cursor: "psycopg2.extensions.cursor", tables: Sequence[str]) -> None:
    for table in tables:
        cursor.execute(f"SELECT EXISTS (SELECT FROM public.{table})")  # quoted by PostgreSQL
        if cursor.fetchone() == (True,):
            message = f"somebody wrote rows into {table} since it was examined; nothing was dropped"
            raise RefusedError(message)


def _require_none(run: Run, test: str, found: str, action: str, count: int) -> None:
    if count:
        run.require(test, found, action, holds=False)


def _count(opened: Connection, statement: str) -> int:
    with opened.cursor() as cursor:
        cursor.execute(statement)
        return int((cursor.fetchone() or (0,))[0])
