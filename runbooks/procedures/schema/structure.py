"""The structure of a database: each part of it with its definition in PostgreSQL's own words."""

from collections.abc import Mapping
from typing import NamedTuple

from psycopg2.extensions import connection as Connection  # noqa: N812  # it is a class


class Part(NamedTuple):
    """A part of a schema.

    Attributes:
        kind: table, column, constraint, index, function, view, trigger, type or sequence.
        table: whose it is; of a table itself, its own name; empty where it is no table's.
        name: as SQL writes it, quoted where need be.
    """

    kind: str
    table: str
    name: str

    def __str__(self) -> str:
        if self.kind in ("column", "constraint", "trigger"):
            return f"{self.kind} {self.table}.{self.name}"
        return f"{self.kind} {self.name}"


Structure = Mapping[Part, str]

# Monthly partitions are the platform's and not migrations', what extensions bring is theirs, and an index that a
# constraint made is seen with it. That a column is not null is said with the column.
_PARTS = """
WITH mine AS (
    SELECT * FROM pg_class AS c WHERE relnamespace = 'public'::regnamespace AND NOT relispartition
        AND relname <> 'alembic_version' AND NOT EXISTS (
            SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
), tables AS (SELECT * FROM mine WHERE relkind IN ('r', 'p'))
SELECT 'table', quote_ident(relname), quote_ident(relname), relkind::text || coalesce(pg_get_partkeydef(oid), '')
    FROM tables
UNION ALL SELECT 'column', quote_ident(relname), quote_ident(attname), concat_ws(' ',
        format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'NOT NULL' END, pg_get_expr(adbin, adrelid),
        nullif(attidentity::text, ''), nullif(attgenerated::text, ''))
    FROM tables JOIN pg_attribute ON attrelid = tables.oid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attnum > 0 AND NOT attisdropped
UNION ALL SELECT 'constraint', quote_ident(relname), quote_ident(conname), pg_get_constraintdef(pg_constraint.oid)
    FROM tables JOIN pg_constraint ON conrelid = tables.oid WHERE contype <> 'n'
UNION ALL SELECT 'index', quote_ident(tables.relname), quote_ident(mine.relname), pg_get_indexdef(indexrelid)
    FROM pg_index JOIN mine ON mine.oid = indexrelid JOIN pg_class AS tables ON tables.oid = indrelid
    WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND conrelid = indrelid)
UNION ALL SELECT 'view', '', quote_ident(relname), relkind::text || pg_get_viewdef(oid)
    FROM mine WHERE relkind IN ('v', 'm')
UNION ALL SELECT 'sequence', '', quote_ident(relname), '' FROM mine WHERE relkind = 'S' AND NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = mine.oid AND deptype IN ('a', 'i'))
UNION ALL SELECT 'trigger', quote_ident(relname), quote_ident(tgname), pg_get_triggerdef(pg_trigger.oid)
    FROM tables JOIN pg_trigger ON tgrelid = tables.oid WHERE NOT tgisinternal
UNION ALL SELECT 'type', '', quote_ident(typname), (
        SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = pg_type.oid)
    FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'
UNION ALL SELECT 'function', '', format('%I(%s)', proname, pg_get_function_identity_arguments(p.oid)),
        -- It is written otherwise on each major version, and an upgrade keeps what it was.
        CASE proname WHEN 'uuid7' THEN '' ELSE pg_get_functiondef(p.oid) END
    FROM pg_proc AS p WHERE pronamespace = 'public'::regnamespace AND prokind IN ('f', 'p') AND NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')
"""
_INVALID = """
SELECT quote_ident(c.relname), quote_ident(t.relname), pg_get_indexdef(indexrelid),
    c.relkind = 'i' AND NOT c.relispartition AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
FROM pg_index JOIN pg_class AS c ON c.oid = indexrelid JOIN pg_class AS t ON t.oid = indrelid
WHERE NOT indisvalid AND c.relnamespace = 'public'::regnamespace ORDER BY 1
"""


class Invalid(NamedTuple):
    """An index that PostgreSQL maintains and does not use: building it was cut off.

    Attributes:
        definition: what makes it.
        is_alone: whether it can be dropped by itself; one of a partition or of a constraint cannot.
    """

    name: str
    table: str
    definition: str
    is_alone: bool


def read(opened: Connection) -> Structure:
    """The structure of the schema public."""
    with opened.cursor() as cursor:
        cursor.execute(_PARTS)
        return {Part(kind, table, name): definition or "" for kind, table, name, definition in cursor.fetchall()}


def invalid(opened: Connection) -> list[Invalid]:
    """The invalid indexes."""
    with opened.cursor() as cursor:
        cursor.execute(_INVALID)
        return [Invalid(*row) for row in cursor.fetchall()]


def revisions_told(opened: Connection) -> tuple[str, ...]:
    """What the database says its revision is: one, if all is well; none, before the first migration."""
    with opened.cursor() as cursor:
        cursor.execute("SELECT to_regclass('public.alembic_version') IS NOT NULL")
        if cursor.fetchone() != (True,):
            return ()
        cursor.execute("SELECT version_num FROM public.alembic_version ORDER BY 1")
        return tuple(row[0] for row in cursor.fetchall())


def row_counts(opened: Connection) -> dict[str, int]:
    """The rows of each table; a partitioned one's are its partitions'."""
    counts = {}
    with opened.cursor() as cursor:
        for part in sorted(read(opened)):
            if part.kind == "table":
                cursor.execute(f"SELECT count(*) FROM public.{part.name}")  # quoted by PostgreSQL
                counts[part.name] = int((cursor.fetchone() or (0,))[0])
    return counts
