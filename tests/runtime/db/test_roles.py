"""What each login may do in the database, tried as that login."""

from collections.abc import Callable, Iterator

import psycopg2.errors
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from runtime.db.metadata import metadata
from runtime.db.migrate import migrate
from runtime.db.roles import FUNCTION_GRANTS, GRANTS
from runtime.platform.keys import create_key
from runtime.settings import APP_ROLE, GROUP_ROLES, JOBS_ROLE, OWNER_ROLE, READONLY_ROLE
from tests.conftest import TestDatabase, autocommit

VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")
ARD = ("experiments", "optimization_runs", "ai_queries", "noise_estimates", "routing_decisions")
RETAINED = ("backfill_jobs", "insight_feedback", "system_metrics")
PLATFORM = ("principals", "api_keys", "audit_log")

# Login → what it must be able to do; `UPDATE` of a key's last use is the only part of a table.
MAY: dict[str, set[tuple[str, str]]] = {
    "api_login": {
        *((verb, table) for table in (*ARD, "backfill_jobs", "insight_feedback") for verb in VERBS[:3]),
        *((verb, "system_metrics") for verb in VERBS[:2]),
        *(("SELECT", table) for table in ("principals", "api_keys", "alembic_version", "cache_trust")),
        ("INSERT", "audit_log"),
        ("UPDATE", "cache_trust"),
        *((verb, "idempotency_keys") for verb in VERBS[:3]),
    },
    "jobs_login": {
        *(("SELECT", table) for table in (*ARD, *RETAINED, *PLATFORM, "alembic_version", "cache_trust")),
        *(("DELETE", table) for table in RETAINED),
        ("INSERT", "system_metrics"),
        *(("INSERT", table) for table in PLATFORM),
        *(("UPDATE", table) for table in ("api_keys", "cache_trust")),
        *((verb, "idempotency_keys") for verb in ("SELECT", "DELETE")),
        *((verb, "recovery_markers") for verb in ("SELECT", "INSERT", "DELETE")),
        *((verb, "backup_verifications") for verb in ("SELECT", "INSERT")),
    },
    "reader_login": {
        *(
            ("SELECT", table)
            for table in (
                *ARD,
                *RETAINED,
                "principals",
                "audit_log",
                "alembic_version",
                "cache_trust",
                "idempotency_keys",
                "recovery_markers",
                "backup_verifications",
            )
        ),
    },
}

Connect = Callable[[str], Connection]


@pytest.fixture
def connect(shared_database: TestDatabase) -> Iterator[Connect]:
    engines: list[Engine] = []
    connections: list[Connection] = []

    def open_as(login: str) -> Connection:
        engines.append(shared_database.engine(login))
        connections.append(engines[-1].connect())
        return connections[-1]

    yield open_as
    for connection in connections:
        connection.close()
    for engine in engines:
        engine.dispose()


def refused(connection: Connection, statement: str) -> None:
    with pytest.raises(ProgrammingError) as caught:
        connection.execute(text(statement))
    assert isinstance(caught.value.orig, psycopg2.errors.InsufficientPrivilege)
    connection.rollback()


def test_every_table_has_its_grants_and_no_other_is_named() -> None:
    assert set(GRANTS) == {*metadata.tables, "alembic_version"}
    assert all(set(grants) <= set(GROUP_ROLES) for grants in GRANTS.values())


@pytest.mark.parametrize("login", MAY)
def test_a_login_has_these_privileges_on_tables_and_no_others(login: str, connection: Connection) -> None:
    found = {
        (verb, table)
        for verb, table in connection.execute(
            text(
                "SELECT verb, relname FROM pg_class, unnest(:verbs) AS verb WHERE relkind IN ('r', 'p') "
                "AND relnamespace = 'public'::regnamespace AND has_table_privilege(:login, pg_class.oid, verb)"
            ),
            {"login": login, "verbs": list(VERBS)},
        )
    }
    assert found == MAY[login]


def test_groups_and_owner_cannot_log_in_and_have_no_power_of_their_own(connection: Connection) -> None:
    found = connection.execute(
        text(
            "SELECT rolname, rolcanlogin, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls "
            "FROM pg_roles WHERE rolname = ANY (:names)"
        ),
        {"names": [OWNER_ROLE, *GROUP_ROLES]},
    ).all()
    assert {tuple(row) for row in found} == {(role, False, False) for role in (OWNER_ROLE, *GROUP_ROLES)}


def test_everything_belongs_to_the_owner_whoever_migrated(connection: Connection) -> None:
    found = connection.execute(
        text(
            "SELECT relname, pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "AND relkind IN ('r', 'p', 'S') AND NOT EXISTS "
            "(SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e') "
            "UNION ALL SELECT proname, pg_get_userbyid(proowner) FROM pg_proc "
            "WHERE proname IN ('uuid7', 'ensure_metric_partitions', 'ensure_principal')"
        )
    ).all()
    assert len(found) > len(GRANTS)
    assert {owner for _, owner in found} == {OWNER_ROLE}


@pytest.mark.parametrize("login", MAY)
def test_no_login_may_make_change_or_drop_what_is_there(login: str, connect: Connect) -> None:
    connection = connect(login)
    for statement in (
        "CREATE TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE INDEX mine ON experiments (name)",
        "ALTER TABLE experiments ADD COLUMN mine int",
        "ALTER TABLE experiments DISABLE TRIGGER ALL",
        "DROP TABLE routing_decisions",
        "DROP FUNCTION uuid7() CASCADE",
        "TRUNCATE system_metrics",
        "TRUNCATE system_metrics_default",
        "SELECT count(*) FROM system_metrics_default",
        f"SET ROLE {OWNER_ROLE}",
        "CREATE ROLE mine",
        f"GRANT {JOBS_ROLE} TO reader_login",
    ):
        refused(connection, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO api_keys (principal_id, prefix, digest, scopes) SELECT uuid7(), 'p', ''::bytea, '{ard:read}'",
        "UPDATE api_keys SET scopes = '{utxoiq:admin}'",
        "UPDATE api_keys SET revoked_at = NULL",
        "UPDATE api_keys SET expires_at = NULL, last_used_at = now()",
        "DELETE FROM api_keys",
        "INSERT INTO principals (issuer, subject) VALUES ('i', 's')",
        "UPDATE principals SET subject = 'root'",
        "SELECT * FROM audit_log",
        "UPDATE audit_log SET actor = 'me'",
        "DELETE FROM audit_log",
        "DELETE FROM experiments",
        "DELETE FROM backfill_jobs",
        "DELETE FROM idempotency_keys",
        "UPDATE system_metrics SET metric_value = 0",
        "DELETE FROM system_metrics",
        "UPDATE alembic_version SET version_num = '0001'",
        "SELECT ensure_metric_partitions(3)",
    ],
)
def test_the_application_may_not(statement: str, connect: Connect) -> None:
    refused(connect("api_login"), statement)


def test_the_application_may_note_a_keys_last_use_and_add_to_the_audit_log(connect: Connect) -> None:
    connection = connect("api_login")
    connection.execute(text("UPDATE api_keys SET last_used_at = now()"))
    connection.execute(
        text("INSERT INTO audit_log (actor, action, object_type, object_id) VALUES ('a', 'b', 'c', 'd')")
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'me'",
        "DELETE FROM audit_log",
        "INSERT INTO audit_log OVERRIDING SYSTEM VALUE SELECT 1, now(), 'a', NULL, 'b', 'c', 'd'  FROM pg_authid",
        "UPDATE experiments SET name = 'x'",
        "INSERT INTO experiments (id, name) VALUES ('x', 'x')",
        "DELETE FROM experiments",
        "UPDATE backfill_jobs SET status = 'failed'",
        "UPDATE idempotency_keys SET created_at = now()",
        "DELETE FROM api_keys",
        "UPDATE principals SET subject = 'root'",
        "SELECT ensure_principal('https://issuer.example', 's')",
    ],
)
def test_the_jobs_may_not(statement: str, connect: Connect) -> None:
    refused(connect("jobs_login"), statement)


def test_the_jobs_may_delete_what_they_archived_and_make_partitions(connect: Connect) -> None:
    connection = connect("jobs_login")
    for table in RETAINED:
        connection.execute(text(f"DELETE FROM {table}"))
    assert connection.execute(text("SELECT * FROM ensure_metric_partitions(3)")).all() == []


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT digest FROM api_keys",
        "SELECT * FROM api_keys",
        "SELECT count(*) FROM api_keys WHERE digest < '\\x80'",
        "INSERT INTO experiments (id, name) VALUES ('x', 'x')",
        "UPDATE insight_feedback SET rating = 1",
        "DELETE FROM system_metrics",
        "INSERT INTO audit_log (actor, action, object_type, object_id) VALUES ('a', 'b', 'c', 'd')",
        "DELETE FROM audit_log",
        "SELECT * FROM ensure_metric_partitions(3)",
        "SELECT ensure_principal('https://issuer.example', 's')",
    ],
)
def test_a_reader_may_not(statement: str, connect: Connect) -> None:
    refused(connect("reader_login"), statement)


def test_a_reader_sees_all_rows_and_of_keys_all_but_the_digest(connect: Connect) -> None:
    connection = connect("reader_login")
    for table in (*ARD, *RETAINED, "principals", "audit_log"):
        connection.execute(text(f"SELECT * FROM {table}"))
    connection.execute(
        text("SELECT id, principal_id, prefix, scopes, created_at, expires_at, revoked_at, last_used_at FROM api_keys")
    )


def test_what_was_granted_by_hand_is_taken_back(database: TestDatabase) -> None:
    with autocommit(database.url()) as connection:
        for grant in (
            f"DELETE ON experiments TO {APP_ROLE}",
            f"UPDATE (scopes) ON api_keys TO {APP_ROLE}",
            f"SELECT ON audit_log TO {APP_ROLE}",
            "SELECT ON api_keys TO PUBLIC",
            f"ALL ON FUNCTION ensure_metric_partitions(integer) TO {READONLY_ROLE}, PUBLIC",
            f"CREATE ON SCHEMA public TO {APP_ROLE}, PUBLIC",
        ):
            connection.execute(text(f"GRANT {grant}"))
        migrate(database.settings())
        for function in FUNCTION_GRANTS:
            assert not connection.scalar(
                text("SELECT has_function_privilege('reader_login', :function, 'EXECUTE')"), {"function": function}
            )
    for login, statements in {
        "api_login": (
            "DELETE FROM experiments",
            "UPDATE api_keys SET scopes = '{ard:read}'",
            "SELECT 1 FROM audit_log",
            "CREATE TABLE mine (id int)",
        ),
        "reader_login": ("SELECT digest FROM api_keys",),
    }.items():
        engine = database.engine(login)
        with engine.connect() as connection:
            for statement in statements:
                refused(connection, statement)
        engine.dispose()


def test_what_was_revoked_by_hand_comes_back(database: TestDatabase) -> None:
    with autocommit(database.url()) as connection:
        connection.execute(text(f"REVOKE ALL ON experiments FROM {APP_ROLE}"))
        # A hardening that many apply.
        connection.execute(text("REVOKE ALL ON SCHEMA public FROM PUBLIC"))
        migrate(database.settings())
    engine = database.engine("api_login")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM experiments")) == 0
    engine.dispose()


def test_an_operators_login_owns_what_others_migrated(database: TestDatabase) -> None:
    with autocommit(database.url()) as connection:
        connection.execute(text("CREATE ROLE operator_login LOGIN"))
        try:
            migrate(database.settings(db_role_members={OWNER_ROLE: ("operator_login",)}))
            assert connection.scalar(
                text("SELECT has_table_privilege('operator_login', 'experiments', 'TRUNCATE, UPDATE, DELETE')")
            )
            # As an environment's first API key is made.
            connection.execute(text("SET ROLE operator_login"))
            issued = create_key(connection, secret="s" * 32, subject="first", scopes=["ard:read"])
            assert issued.subject == "first"
            connection.execute(text("RESET ROLE"))
        finally:
            connection.execute(text("DROP ROLE operator_login"))


def test_any_login_can_be_made_a_member_whatever_its_name(database: TestDatabase) -> None:
    names = ('Sa"@project.iam', "100%s :name", "ünïcode user; --")
    with autocommit(database.url()) as connection:
        for name in names:
            execute_as_it_is(connection, f"CREATE ROLE {quoted(name)} LOGIN")
        try:
            for _ in range(2):
                migrate(database.settings(db_role_members={READONLY_ROLE: names}))
            members = set(
                connection.scalars(
                    text(
                        "SELECT member::regrole::text FROM pg_auth_members WHERE roleid = to_regrole(:role) "
                        "AND member <> to_regrole('reader_login')"
                    ),
                    {"role": READONLY_ROLE},
                )
            )
        finally:
            for name in names:
                execute_as_it_is(connection, f"DROP ROLE {quoted(name)}")
    assert members == {quoted(name) for name in names}


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def execute_as_it_is(connection: Connection, statement: str) -> None:
    with connection.connection.cursor() as cursor:
        cursor.execute(statement)
