"""`python -m runtime partitions`: the metrics' months, made ahead. It never depends on the retention run."""

from dataclasses import dataclass

import psycopg2.errors
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random_exponential

from runtime.platform import audit

MONTHS_AHEAD = 3
# It needs the parent's lock for a moment: better to try again than to stand in the way of the writers.
LOCK_TIMEOUT = "2s"


@dataclass(frozen=True)
class NewPartition:
    """A partition that was made, and how many rows had been waiting for it."""

    name: str
    rows_moved: int


def _met_a_lock(error: BaseException) -> bool:
    return isinstance(error, OperationalError) and isinstance(
        error.orig, psycopg2.errors.LockNotAvailable | psycopg2.errors.DeadlockDetected
    )


@retry(
    retry=retry_if_exception(_met_a_lock),
    stop=stop_after_attempt(5),
    wait=wait_random_exponential(multiplier=0.5, max=5),
    reraise=True,
)
def ensure_partitions(engine: Engine, *, months_ahead: int = MONTHS_AHEAD) -> list[NewPartition]:
    """Make the partitions of this month and of those ahead that are not there, in one transaction.

    Rows of past months that wait in the default partition move into partitions of their own.
    """
    with engine.begin() as connection:
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        made = [
            NewPartition(name, moved)
            for name, moved in connection.execute(
                text("SELECT partition_name, rows_moved FROM ensure_metric_partitions(:months)"),
                {"months": months_ahead},
            )
        ]
        for partition in made:
            audit.record(
                connection,
                action="partition.create",
                kind="partition",
                ident=partition.name,
                detail={"rows_moved": partition.rows_moved},
            )
    return made
