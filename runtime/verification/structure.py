"""The schema: at the revision that is expected, and with all that the revision has."""

import functools
from collections.abc import Iterator

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql.base import PGDialect

from runtime.db import revisions
from runtime.db.metadata import metadata
from runtime.db.roles import FUNCTION_GRANTS
from runtime.errors import PreflightError
from runtime.verification.checks import Check, Code, failed, judged, passed, unknown
from runtime.verification.expectation import Expectation
from runtime.verification.reader import Reader

REVISION = "The schema is at the expected revision"
STRUCTURE = "Every table, column, index, constraint and function is there"

RESTORE_ANOTHER = "do not serve from it; restore another backup, or recover to a moment"

_PARTS = """
SELECT 'table ' || relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
UNION ALL SELECT 'index ' || relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('i', 'I')
UNION ALL SELECT CASE attidentity WHEN '' THEN 'column ' ELSE 'identity ' END || relname || '.' || attname
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT 'constraint ' || relname || '.' || conname
    FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid WHERE relnamespace = 'public'::regnamespace
"""
_ABSENT_FUNCTIONS = "SELECT signature FROM unnest(%s::text[]) AS signature WHERE to_regprocedure(signature) IS NULL"


def revision(reader: Reader, expectation: Expectation) -> Check:
    """The revision is the expected one."""
    wanted = expectation.revision or revisions.head()
    found = reader.rows("SELECT version_num FROM alembic_version")
    if [(wanted,)] == found:
        return passed(REVISION, wanted)
    seen = ", ".join(row[0] for row in found) or "none"
    action = f"it should be {wanted}: a restore of another moment, or of another database; {RESTORE_ANOTHER}"
    return failed(REVISION, Code.REVISION_MISMATCH, seen, action)


def structure(reader: Reader, _: Expectation) -> Check:
    """What the revision that it has makes is there; of an older one than this release's, the tables."""
    found = {row[0] for row in reader.rows(_PARTS)}
    # A column with an identity is a column too.
    found |= {part.replace("identity ", "column ", 1) for part in found if part.startswith("identity ")}
    try:
        wanted = _wanted(reader.value("SELECT max(version_num) FROM alembic_version"))
    except PreflightError as error:
        return unknown(STRUCTURE, str(error), "verify with the release that made the schema")
    missing = sorted(wanted - found)
    functions = [f"public.{signature}" for signature in (*FUNCTION_GRANTS, "uuid7()")]
    if wanted == of_models():
        missing += [f"function {row[0]}" for row in reader.rows(_ABSENT_FUNCTIONS, functions)]
    return judged(STRUCTURE, missing, Code.STRUCTURE_MISSING, RESTORE_ANOTHER, otherwise=f"{len(wanted)} parts")


@functools.cache
def of_models() -> frozenset[str]:
    """The parts that the newest revision has."""
    return frozenset(part for table in metadata.tables.values() for part in _parts(table))


def _wanted(revision: str | None) -> frozenset[str]:
    if revision == revisions.head():
        return of_models()
    if revision not in revisions.known():
        message = f"revision {revision} is none of this release's"
        raise PreflightError(message)
    return frozenset(f"table {name}" for name in revisions.tables_at(revision))


def _parts(table: Table) -> Iterator[str]:
    quote = PGDialect().identifier_preparer  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    yield f"table {table.name}"
    for column in table.columns:
        yield f"{'identity' if column.identity is not None else 'column'} {table.name}.{column.name}"
    for index in table.indexes:
        yield f"index {index.name}"
    for constraint in table.constraints:
        name = quote.format_constraint(constraint)
        if name is not None:
            yield f"constraint {table.name}.{name}"
