"""repair-migrations after a deployment on a bad day: it stopped half-way, and an index was left that nobody uses."""

from contextlib import suppress

import psycopg2

from runbooks.engine.records import Ended
from runbooks.procedures.repair_migrations import PROCEDURE, Asked
from runbooks.rehearsal.rehearsal import Rehearsal
from runbooks.rehearsal.stage import Stage
from runtime.db import revisions

INDEX = "idx_feedback_user"
# As the last migration, and an earlier attempt at the one before it, leave it when they stop.
HALF_WAY = """
    UPDATE alembic_version SET version_num = '0004';
    DROP FUNCTION ensure_principal(text, text);
    DROP TABLE idempotency_keys;
    CREATE TABLE idempotency_keys (key text PRIMARY KEY)
"""


def prepare(stage: Stage) -> Asked:
    """Leave an empty table and a constraint of later revisions, and an index that could not be built to its end."""
    stage.query(HALF_WAY)
    leave_invalid(stage, INDEX)
    return Asked()


def check(stage: Stage, ended: Ended) -> None:
    """It is at the head, the index is used again, and no row is gone."""
    told = stage.query("SELECT version_num FROM alembic_version")
    stage.expect("the database is at the head", holds=told == [(revisions.head(),)], found=told)
    stage.expect("the index is valid", holds=is_valid(stage, INDEX))
    before = (ended.records[0].output or {})["rows"]
    count = stage.query("SELECT count(*) FROM insight_feedback")[0][0]
    stage.expect("the rows are there", holds=count == before["insight_feedback"] > 0, found=count)


def leave_invalid(stage: Stage, index: str, database: str | None = None) -> None:
    """Make an index anew, and stop before its end: somebody's transaction holds its table."""
    definition = stage.tools.query("SELECT pg_get_indexdef(%s::regclass)", index, database=database)[0][0]
    table = stage.tools.query(
        "SELECT indrelid::regclass FROM pg_index WHERE indexrelid = %s::regclass", index, database=database
    )
    connect = stage.tools.connect
    with (
        connect(database=database) as holding,
        holding.cursor() as holder,
        connect(database=database) as building,
        building.cursor() as builder,
    ):
        builder.execute(f"DROP INDEX {index}; SET lock_timeout = '100ms'")
        holder.execute(f"BEGIN; LOCK TABLE {table[0][0]} IN ROW EXCLUSIVE MODE")
        with suppress(psycopg2.errors.LockNotAvailable):
            builder.execute(definition.replace("INDEX", "INDEX CONCURRENTLY", 1))


def is_valid(stage: Stage, index: str, database: str | None = None) -> bool:
    """Whether an index is used."""
    asked = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
    return stage.tools.query(asked, index, database=database) == [(True,)]


REHEARSAL = Rehearsal(PROCEDURE, prepare, check)
