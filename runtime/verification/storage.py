"""Heap and B-trees, page by page, by PostgreSQL's own amcheck."""

from collections.abc import Iterator

import psycopg2
from psycopg2 import errors

from runtime.errors import first_line
from runtime.verification.checks import Check, Code, judged, unknown
from runtime.verification.expectation import Expectation
from runtime.verification.reader import Reader

HEAP = "Every row can be read and is whole"
TREES = "Every B-tree is in order and finds its rows"

CORRUPTED = (errors.DataCorrupted, errors.IndexCorrupted)

_SCHEMA = """
SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'amcheck'
"""
_TABLES = """
SELECT oid, oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'm') AND relpersistence = 'p'
    AND relnamespace NOT IN ('pg_toast'::regnamespace, 'information_schema'::regnamespace) ORDER BY 2
"""
_INDEXES = """
SELECT indexrelid, indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
JOIN pg_am ON pg_am.oid = relam
WHERE amname = 'btree' AND relkind = 'i' AND relpersistence = 'p' AND indisvalid AND indisready ORDER BY 2
"""

RESTORE_ANOTHER = "do not serve from it; restore another backup, and look at the source's disk too (pg_amcheck)"
MAKE_IT = "python -m runtime migrate makes amcheck, as a member of cloudsqlsuperuser; verify as one too"


def storage(reader: Reader, expectation: Expectation) -> Iterator[Check]:
    """Each table, the system's own too, then each B-tree."""
    schema = reader.value(_SCHEMA)
    if schema is None:
        for name in (HEAP, TREES):
            yield unknown(name, "the extension amcheck is absent", MAKE_IT)
        return
    heap = f"SELECT format('block %%s: %%s', blkno, msg) FROM {schema}.verify_heapam(%s::oid, check_toast => true)"
    yield _each(reader, HEAP, Code.HEAP_CORRUPTED, _TABLES, heap)
    # It gives nothing, or raises.
    trees = f"SELECT {schema}.bt_index_check(%s::oid, heapallindexed => {expectation.is_deep})::text"
    yield _each(reader, TREES, Code.INDEX_CORRUPTED, _INDEXES, trees)


def _each(reader: Reader, name: str, code: Code, relations: str, statement: str) -> Check:
    faults: list[str] = []
    unread: list[str] = []
    found = reader.rows(relations)
    for oid, relation in found:
        try:
            faults += [f"{relation}: {row[0]}" for row in reader.rows(statement, oid) if row[0]]
        except CORRUPTED as error:
            faults.append(f"{relation}: {first_line(error)}")
        except errors.UndefinedTable:
            # Dropped meanwhile, as a partition may be.
            continue
        except psycopg2.Error as error:
            unread.append(f"{relation}: {first_line(error)}")
    if unread and not faults:
        return unknown(name, unread[0], MAKE_IT)
    return judged(name, faults, code, RESTORE_ANOTHER, otherwise=f"{len(found)} looked through")
