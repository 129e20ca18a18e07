"""No connection is free: who holds them, seen through one that the operator gets."""

import time
from typing import Any

import psycopg2

from runbooks.engine.errors import RunbookError
from runbooks.engine.findings import Finding
from runbooks.procedures.connection.probe import Probe, fault
from runtime.cloudsql.errors import CloudSqlError

# One may become free, or is kept for the operator.
TRIES = 10
PAUSE = 0.3
HOLDERS = """
    SELECT usename, coalesce(nullif(application_name, ''), 'without a name'), count(*),
        count(*) FILTER (WHERE state = 'idle')
    FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
    GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 5
"""
LIMITS = """
    SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
        current_setting('max_connections'),
        (SELECT rolconnlimit FROM pg_roles WHERE rolname = %s),
        (SELECT datconnlimit FROM pg_database WHERE datname = %s)
"""


def exhausted(probe: Probe, user: str, database: str, said: str) -> Finding:
    """Who holds the connections, and what frees one."""
    test = f"A connection is free for {user}"
    instance = probe.target.instance
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE)
        try:
            with probe.tools.connect(database="postgres") as opened, opened.cursor() as cursor:
                cursor.execute(LIMITS, (user, database))
                limits = cursor.fetchone()
                cursor.execute(HOLDERS)
                holders = cursor.fetchall()
        except psycopg2.OperationalError:
            continue
        except (psycopg2.Error, RunbookError, CloudSqlError):
            break
        larger = probe.gcloud("sql", "instances", "patch", instance, "--database-flags=max_connections=N")
        found, holder = _told(user, database, limits or (0, "?", -1, -1), holders)
        end = (
            "end the idle ones, as the operator: SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE usename = '{holder}' AND state = 'idle'; then lower DB_POOL_MAX or the service's instances, or "
            f"allow more, with all other flags beside it: {larger}"
        )
        return fault(test, found, end)
    restart = probe.gcloud("sql", "instances", "restart", instance)
    return fault(test, f"{said}; the operator gets none either, so nobody knows who holds them", restart)


def _told(user: str, database: str, limits: tuple[Any, ...], holders: list[tuple[Any, ...]]) -> tuple[str, str]:
    used, most, of_role, of_database = limits
    own = ((f"role {user}", of_role), (f"database {database}", of_database))
    # None for what is missing, and below zero without a limit.
    limited = "".join(f", {what} may have {limit}" for what, limit in own if limit is not None and limit >= 0)
    held = ", ".join(f"{who} by {name}: {count}, {idle} of them idle" for who, name, count, idle in holders)
    return f"{used} of {most} are used{limited}; {held or 'nobody'}", holders[0][0] if holders else user
