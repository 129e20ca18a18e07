"""What the server itself knows to be unfit: extensions, indexes, views, collations."""

from runtime.verification.checks import Check, Code, judged
from runtime.verification.expectation import Expectation
from runtime.verification.reader import Reader

EXTENSIONS = "Every extension is there"
INDEXES = "No index is invalid"
VIEWS = "Every materialized view is populated"
COLLATIONS = "Collations sort as they did when the indexes were made"

_INVALID_INDEXES = """
SELECT indexrelid::regclass::text FROM pg_index WHERE NOT (indisvalid AND indisready AND indislive) ORDER BY 1
"""
_EMPTY_VIEWS = "SELECT format('%I.%I', schemaname, matviewname) FROM pg_matviews WHERE NOT ispopulated ORDER BY 1"
# The database's own, and those that columns of the platform have.
_OTHER_COLLATIONS = """
SELECT format('database %s has %s, the server %s', datname, datcollversion,
        coalesce(pg_database_collation_actual_version(oid), 'none'))
    FROM pg_database WHERE datname = current_database()
    AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid) AND datcollversion IS NOT NULL
UNION ALL SELECT format('collation %s has %s, the server %s', collname, collversion,
        coalesce(pg_collation_actual_version(oid), 'none'))
    FROM pg_collation WHERE collprovider <> 'd'
    AND collversion IS DISTINCT FROM pg_collation_actual_version(oid) AND collversion IS NOT NULL
    AND oid IN (SELECT attcollation FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace))
"""


def extensions(reader: Reader, expectation: Expectation) -> Check:
    """Those that are expected are there."""
    found = {row[0] for row in reader.rows("SELECT extname FROM pg_extension")}
    absent = sorted(set(expectation.extensions) - found)
    action = "python -m runtime migrate makes them, as a member of cloudsqlsuperuser"
    seen = ", ".join(sorted(found))
    return judged(EXTENSIONS, absent, Code.EXTENSION_ABSENT, action, otherwise=seen)


def indexes(reader: Reader, _: Expectation) -> Check:
    """None is a leftover of CREATE INDEX CONCURRENTLY."""
    faults = [row[0] for row in reader.rows(_INVALID_INDEXES)]
    action = "holdfast runbook run repair-migrations, or REINDEX INDEX CONCURRENTLY"
    return judged(INDEXES, faults, Code.INVALID_INDEX, action, otherwise="none is")


def views(reader: Reader, _: Expectation) -> Check:
    """Each can be read."""
    faults = [row[0] for row in reader.rows(_EMPTY_VIEWS)]
    return judged(VIEWS, faults, Code.MATVIEW_UNPOPULATED, "REFRESH MATERIALIZED VIEW", otherwise="none is not")


def collations(reader: Reader, _: Expectation) -> Check:
    """The library that sorts is of the version of which it was."""
    faults = [row[0] for row in reader.rows(_OTHER_COLLATIONS)]
    action = "REINDEX DATABASE, then ALTER DATABASE or ALTER COLLATION … REFRESH VERSION; until then indexes may lie"
    return judged(COLLATIONS, faults, Code.COLLATION_MISMATCH, action, otherwise="as they did")
