"""Everything that a migration could change, to see that one that was refused changed nothing."""

from sqlalchemy import text

from tests.conftest import TestDatabase, autocommit

_PARTS = """
    SELECT relname, relkind, relowner::regrole::text, relacl::text FROM pg_class
        WHERE relnamespace = 'public'::regnamespace;
    SELECT attrelid::regclass::text, attname, atttypid::regtype::text, attacl::text FROM pg_attribute
        JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'public'::regnamespace AND attnum > 0;
    SELECT proname, proowner::regrole::text, proacl::text, prosrc FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace;
    SELECT extname FROM pg_extension;
    SELECT rolname, rolcanlogin FROM pg_roles;
    SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members;
    SELECT nspname, nspacl::text FROM pg_namespace WHERE nspname = 'public'
""".replace("::", r"\:\:").split(";")
_TABLES = ("alembic_version", "audit_log")


def snapshot(database: TestDatabase) -> list[list[str]]:
    with autocommit(database.url()) as connection:
        here = [
            f"SELECT * FROM {table}"
            for table in _TABLES
            if connection.scalar(text("SELECT to_regclass(:table)"), {"table": table})
        ]
        return [sorted(map(str, connection.execute(text(part)))) for part in (*_PARTS, *here)]
