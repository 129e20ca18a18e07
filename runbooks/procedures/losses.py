"""What a recovery leaves behind: rows that were written after the moment, by table."""

import datetime as dt

import psycopg2
from psycopg2 import sql
from pydantic import AwareDatetime

from runbooks.engine.findings import Result
from runbooks.engine.procedure import Output
from runbooks.engine.run import Run
from runtime.errors import first_line

# The columns by which a row says when it was written, and those that PostgreSQL fills with the moment. The rest of its
# times are the application's.
WRITTEN = ("created_at", "updated_at", "at", "timestamp")
# No row of anybody's work.
OURS = ("alembic_version", "backup_verifications", "cache_trust", "recovery_markers")
TABLES = """SELECT c.relname,
    coalesce(array_agg(a.attname ORDER BY a.attname) FILTER (WHERE a.attname IS NOT NULL), '{}')
FROM pg_class AS c
LEFT JOIN (pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum)
    ON a.attrelid = c.oid AND a.atttypid = 'timestamptz'::regtype AND NOT a.attisdropped
    AND (a.attname = ANY (%s) OR pg_get_expr(d.adbin, d.adrelid) = 'now()')
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND c.relname <> ALL (%s)
GROUP BY c.relname ORDER BY c.relname"""
# Applications may write times that are still to come; those say nothing.
COUNT = """SELECT {name}, count(*), max(written)
FROM (SELECT greatest({columns}) AS written FROM {table}) AS rows WHERE written > {moment} AND written <= now()"""


class Losses(Output):
    """What was written after a moment.

    Attributes:
        rows: by table, where there are any.
        last_write: the newest of them.
        unknown: tables whose rows do not say when they were written.
    """

    rows: dict[str, int]
    last_write: AwareDatetime | None
    unknown: tuple[str, ...]


def count(run: Run, moment: dt.datetime) -> Losses | None:
    """Count them in the target's instance; None when it does not tell."""
    counted: list[tuple[str, int, dt.datetime | None]] = []
    try:
        with run.tools.connect() as opened, opened.cursor() as cursor:
            cursor.execute(TABLES, (list(WRITTEN), list(OURS)))
            tables = cursor.fetchall()
            if any(columns for _, columns in tables):
                cursor.execute(_counting(tables, moment))
                counted = cursor.fetchall()
    except psycopg2.Error as error:
        run.progress(first_line(error))
        return None
    return Losses(
        rows={name: number for name, number, _ in counted if number},
        last_write=max((newest for _, _, newest in counted if newest is not None), default=None),
        unknown=tuple(name for name, columns in tables if not columns),
    )


def _counting(tables: list[tuple[str, list[str]]], moment: dt.datetime) -> sql.Composed:
    each = [
        sql.SQL(COUNT).format(
            name=sql.Literal(name),
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            table=sql.Identifier("public", name),
            moment=sql.Literal(moment),
        )
        for name, columns in tables
        if columns
    ]
    return sql.SQL(" UNION ALL ").join(each)


def tell(run: Run, losses: Losses | None, moment: dt.datetime, where: str) -> None:
    """Say what is lost, and measure it.

    Args:
        run: this one.
        losses: as counted; None when the source does not tell.
        moment: of the recovery.
        where: what becomes of those rows, in words.
    """
    test = f"What was written after {moment.isoformat()}"
    if losses is None:
        run.find(
            test, Result.UNKNOWN, f"{run.target.instance} does not tell", "see holdfast runbook run diagnose-connection"
        )
        return
    seconds = (losses.last_write - moment).total_seconds() if losses.last_write else 0.0
    parts = [f"{number} in {table}" for table, number in losses.rows.items()]
    found = f"rows: {', '.join(parts)}; {where}" if parts else "no row"
    if losses.unknown:
        found += f" ({', '.join(losses.unknown)}: rows without a time)"
    run.find(test, Result.OK, found)
    run.measured(rpo_seconds=seconds)
