"""What a migrated database says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

# Not the months, which the platform makes and drops, nor what an extension brings.
_TABLES = """
SELECT c.oid, c.relname AS name, CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END AS partitioned_by,
       CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'table' END AS kind,
       c.relrowsecurity AS row_security
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
  AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND deptype = 'e')
ORDER BY c.relname
"""
_COLUMNS = """
SELECT attrelid AS oid, attname AS name, format_type(atttypid, atttypmod) AS type, NOT attnotnull AS nullable,
       CASE WHEN attidentity <> '' THEN 'identity' WHEN attgenerated <> '' THEN 'computed: '
            ELSE '' END || coalesce(pg_get_expr(adbin, adrelid, true), '') AS "default"
FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE attnum > 0 AND NOT attisdropped ORDER BY attrelid, attnum
"""
# Of every kind but NOT NULL, which PostgreSQL 18 counts as one.
_CONSTRAINTS = """
SELECT conrelid AS oid, conname AS name, contype::text AS kind, pg_get_constraintdef(oid, true) AS definition
FROM pg_constraint WHERE contype IN ('p', 'u', 'c', 'f', 'x')
ORDER BY conrelid, array_position('{p,u,f,c,x}', contype::text), conname
"""
# A key's index is told with the key.
_INDEXES = """
SELECT indrelid AS oid, indexrelid::regclass::text AS name,
       regexp_replace(pg_get_indexdef(indexrelid), '^CREATE (UNIQUE )?INDEX .* USING ', '\\1') AS definition
FROM pg_index WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))
ORDER BY indrelid, 2
"""
_POLICIES = """
SELECT polrelid AS oid, polname AS name, polcmd::text AS command, pg_get_expr(polqual, polrelid) AS visible,
       pg_get_expr(polwithcheck, polrelid) AS writable
FROM pg_policy ORDER BY polrelid, polname
"""
_TRIGGERS = """
SELECT tgrelid AS oid, tgname AS name, pg_get_triggerdef(oid) AS definition
FROM pg_trigger WHERE NOT tgisinternal AND tgparentid = 0 ORDER BY tgrelid, tgname
"""
_PRIVILEGES = """
SELECT c.oid, grantee::regrole::text AS role, privilege_type AS privilege, NULL AS column
FROM pg_class c, aclexplode(c.relacl) WHERE grantee <> c.relowner AND grantee <> 0
UNION ALL
SELECT attrelid, grantee::regrole::text, privilege_type, attname
FROM pg_attribute JOIN pg_class c ON c.oid = attrelid, aclexplode(attacl) WHERE grantee <> c.relowner AND grantee <> 0
ORDER BY 1, 2, 3, 4 NULLS FIRST
"""
_FUNCTIONS = """
SELECT p.oid, proname || '(' || pg_get_function_arguments(p.oid) || ')' AS name,
       pg_get_function_result(p.oid) AS result, obj_description(p.oid, 'pg_proc') AS comment,
       (SELECT string_agg(CASE grantee WHEN 0 THEN 'everyone' ELSE grantee::regrole::text END, ', ' ORDER BY grantee)
        FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee <> proowner) AS callers
FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
ORDER BY 2
"""
_EXTENSIONS = "SELECT extname AS name FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY extname"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Relation:
    """A table or a view, with everything that belongs to it."""

    row: Row
    columns: list[Row]
    constraints: list[Row]
    indexes: list[Row]
    policies: list[Row]
    triggers: list[Row]
    privileges: list[Row]

    @property
    def name(self) -> str:
        """The relation's name."""
        return str(self.row["name"])


@dataclass(frozen=True)
class Catalog:
    """The schema of a database."""

    relations: list[Relation]
    functions: list[Row]
    extensions: list[str]


def read_catalog(connection: Connection) -> Catalog:
    """Read it all."""

    def rows(statement: str) -> list[Row]:
        return [dict(row) for row in connection.execute(text(statement.replace("::", r"\:\:"))).mappings()]

    parts = [rows(part) for part in (_COLUMNS, _CONSTRAINTS, _INDEXES, _POLICIES, _TRIGGERS, _PRIVILEGES)]
    relations = [
        Relation(row, *([found for found in part if found["oid"] == row["oid"]] for part in parts))
        for row in rows(_TABLES)
    ]
    return Catalog(relations, rows(_FUNCTIONS), [row["name"] for row in rows(_EXTENSIONS)])
