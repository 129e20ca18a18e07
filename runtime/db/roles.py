"""Roles, grants and extensions inside the database: made idempotently, since CI cannot reach a private address.

Four group roles, none of which can log in: the owner of everything, the application (no DDL), the jobs and the
readers. Logins are made outside (IAM users in the cloud) and become members of one.
"""

from collections.abc import Mapping, Sequence

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from runtime.settings import APP_ROLE, GROUP_ROLES, JOBS_ROLE, OWNER_ROLE, READONLY_ROLE

log = structlog.get_logger()

EXTENSIONS = ("pg_stat_statements", "amcheck")

# Table → role → privileges. What is not named is not granted; a test holds this to the models.
GRANTS: Mapping[str, Mapping[str, str]] = {
    **{
        table: {APP_ROLE: "SELECT, INSERT, UPDATE", JOBS_ROLE: "SELECT", READONLY_ROLE: "SELECT"}
        for table in ("optimization_runs", "experiments", "ai_queries", "noise_estimates", "routing_decisions")
    },
    # The jobs archive and then delete.
    **{
        table: {APP_ROLE: "SELECT, INSERT, UPDATE", JOBS_ROLE: "SELECT, DELETE", READONLY_ROLE: "SELECT"}
        for table in ("backfill_jobs", "insight_feedback")
    },
    "system_metrics": {APP_ROLE: "SELECT, INSERT", JOBS_ROLE: "SELECT, INSERT, DELETE", READONLY_ROLE: "SELECT"},
    # Whoever breaks into the API cannot make or widen a key.
    "principals": {APP_ROLE: "SELECT", JOBS_ROLE: "SELECT, INSERT", READONLY_ROLE: "SELECT"},
    "api_keys": {
        APP_ROLE: "SELECT, UPDATE (last_used_at)",
        JOBS_ROLE: "SELECT, INSERT, UPDATE",
        READONLY_ROLE: "SELECT (id, principal_id, prefix, scopes, created_at, expires_at, revoked_at, last_used_at)",
    },
    # The jobs delete what has expired.
    "idempotency_keys": {APP_ROLE: "SELECT, INSERT, UPDATE", JOBS_ROLE: "SELECT, DELETE", READONLY_ROLE: "SELECT"},
    "audit_log": {APP_ROLE: "INSERT", JOBS_ROLE: "SELECT, INSERT", READONLY_ROLE: "SELECT"},
    # Whoever changes rows that are cached may have to shut the cache.
    "cache_trust": {APP_ROLE: "SELECT, UPDATE", JOBS_ROLE: "SELECT, UPDATE", READONLY_ROLE: "SELECT"},
    # A minute's marker replaces one that is too old to be of use.
    "recovery_markers": {JOBS_ROLE: "SELECT, INSERT, DELETE", READONLY_ROLE: "SELECT"},
    "backup_verifications": {JOBS_ROLE: "SELECT, INSERT", READONLY_ROLE: "SELECT"},
    "alembic_version": {APP_ROLE: "SELECT", JOBS_ROLE: "SELECT", READONLY_ROLE: "SELECT"},
}
FUNCTION_GRANTS: Mapping[str, Sequence[str]] = {
    "ensure_metric_partitions(integer)": (JOBS_ROLE,),
    "ensure_principal(text, text)": (APP_ROLE,),
}


def ensure_roles(connection: Connection) -> None:
    """Make the group roles, and let the migrating user become the owner."""
    for role in (OWNER_ROLE, *GROUP_ROLES):
        connection.execute(
            text(
                f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') "
                f"THEN CREATE ROLE {role} NOLOGIN; END IF; "
                # Two that begin at once: the other one made it.
                "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
            )
        )
    if not may_become_owner(connection):
        connection.execute(text(f"GRANT {OWNER_ROLE} TO CURRENT_USER"))
    connection.execute(text(f"GRANT USAGE, CREATE ON SCHEMA public TO {OWNER_ROLE}"))
    # Here and not with the other grants: the schema is the database owner's, not our owner's.
    groups = ", ".join(GROUP_ROLES)
    connection.execute(text(f"REVOKE CREATE ON SCHEMA public FROM PUBLIC, {groups}"))
    connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {groups}"))


def may_become_owner(connection: Connection) -> bool:
    """Whether the roles are there and this user is a member of the owner."""
    # to_regrole is null for a role that is not there, and so is the answer.
    return bool(connection.scalar(text(f"SELECT pg_has_role(current_user, to_regrole('{OWNER_ROLE}'), 'SET')")))


def may_migrate(connection: Connection) -> bool:
    """Whether this user may become the owner, and the owner make tables in this database."""
    # Roles are the server's and stay when a second database is made; privileges are the database's.
    return may_become_owner(connection) and bool(
        connection.scalar(text(f"SELECT has_schema_privilege('{OWNER_ROLE}', 'public', 'CREATE')"))
    )


def become_owner(connection: Connection) -> None:
    """What is made from here on belongs to the owner, whoever migrates."""
    connection.execute(text(f"SET ROLE {OWNER_ROLE}"))


def ensure_extensions(connection: Connection) -> list[str]:
    """Make the extensions that the server offers.

    Returns:
        Those that are absent in the end: not installed on the server, or not this user's to make.
    """
    absent = []
    for name in EXTENSIONS:
        try:
            with connection.begin_nested():
                connection.execute(text(f"CREATE EXTENSION IF NOT EXISTS {name}"))
        except DBAPIError as error:
            log.warning("extension_absent", extension=name, reason=str(error.orig).splitlines()[0])
            absent.append(name)
    return absent


def ensure_grants(connection: Connection) -> None:
    """Set the group roles' privileges to exactly `GRANTS` and `FUNCTION_GRANTS`. Run as the owner."""
    roles = ", ".join(GROUP_ROLES)
    for table, grants in GRANTS.items():
        connection.execute(text(f"REVOKE ALL ON {table} FROM PUBLIC, {roles}"))
        for role, privileges in grants.items():
            connection.execute(text(f"GRANT {privileges} ON {table} TO {role}"))
    for function, granted in FUNCTION_GRANTS.items():
        connection.execute(text(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC, {roles}"))
        connection.execute(text(f"GRANT EXECUTE ON FUNCTION {function} TO {', '.join(granted)}"))


def ensure_members(connection: Connection, members: Mapping[str, Sequence[str]]) -> None:
    """Make each login a member of its group role. Run as the user who made the roles."""
    for role, users in members.items():
        for user in users:
            # text() reads a colon as a parameter's.
            name = user.replace('"', '""').replace(":", r"\:")
            connection.execute(text(f'GRANT {role} TO "{name}"'))
