"""The gate: every check on one restored database, each on its own, so that one that breaks hides no other."""

from collections.abc import Callable, Iterable

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import connection as Connection  # noqa: N812  # it is a class

from runtime.errors import first_line
from runtime.verification import access, catalog, freshness, sequences, storage, structure, volumes
from runtime.verification.checks import Check, Code, failed, unknown
from runtime.verification.expectation import Expectation
from runtime.verification.reader import Reader

Maker = Callable[[Reader, Expectation], Check | Iterable[Check]]

# In the order in which one would look; the last reads every page.
CHECKS: tuple[tuple[str, Maker], ...] = (
    (access.DATABASES, access.databases),
    (access.ROLES, access.roles),
    (catalog.EXTENSIONS, catalog.extensions),
    (structure.REVISION, structure.revision),
    (structure.STRUCTURE, structure.structure),
    (access.APPLICATION, access.application),
    (catalog.INDEXES, catalog.indexes),
    (catalog.COLLATIONS, catalog.collations),
    (catalog.VIEWS, catalog.views),
    (sequences.SEQUENCES, sequences.sequences),
    (volumes.ROWS, volumes.volumes),
    (freshness.FRESHNESS, freshness.freshness),
    (storage.HEAP, storage.storage),
)


def examine(
    connection: Connection, expectation: Expectation, *, progress: Callable[[str], None] | None = None
) -> list[Check]:
    """Look whether a restored database is fit to serve. It only reads.

    Args:
        connection: as a member of cloudsqlsuperuser, so that all checks can be made; nothing is under way on it.
        expectation: what has to hold.
        progress: is told the name of each check before it is made.

    Returns:
        All checks. One that could not be made is unknown, never passed.
    """
    reader = Reader(connection, seconds=expectation.statement_seconds)
    checks: list[Check] = []
    for name, make in CHECKS:
        if make is freshness.freshness and expectation.bracket is None:
            continue
        if progress is not None:
            progress(name)
        checks += _made(name, make, reader, expectation)
    return checks


def _made(name: str, make: Maker, reader: Reader, expectation: Expectation) -> list[Check]:
    try:
        made = make(reader, expectation)
        return [made] if isinstance(made, Check) else list(made)
    except errors.DataCorrupted as error:
        return [failed(name, Code.HEAP_CORRUPTED, first_line(error), storage.RESTORE_ANOTHER)]
    except errors.IndexCorrupted as error:
        return [failed(name, Code.INDEX_CORRUPTED, first_line(error), storage.RESTORE_ANOTHER)]
    except (errors.UndefinedTable, errors.UndefinedColumn) as error:
        return [failed(name, Code.STRUCTURE_MISSING, first_line(error), structure.RESTORE_ANOTHER)]
    except psycopg2.Error as error:
        action = "look with a login that may read everything, such as a member of cloudsqlsuperuser; else try again"
        return [unknown(name, first_line(error), action)]
