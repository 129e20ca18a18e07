"""All rows of a database as one value, to see that a refused call changed nothing."""

from sqlalchemy import text

from tests.conftest import TestDatabase, autocommit

# A call that is refused for its scope has still used its key.
UNWATCHED = {"api_keys", "principals", "alembic_version"}


def snapshot(database: TestDatabase) -> dict[str, list[str]]:
    """Each table's rows as text."""
    engine = database.engine()
    with engine.connect() as connection:
        tables = connection.scalars(
            text(
                "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
                " AND relnamespace = 'public'::regnamespace"
            )
        ).all()
        rows = {
            table: list(connection.scalars(text(f'SELECT t::text FROM "{table}" AS t ORDER BY 1')))
            for table in tables
            if table not in UNWATCHED
        }
    engine.dispose()
    return rows


def execute(database: TestDatabase, *statements: str) -> None:
    """Do as the superuser what no user of the API can."""
    engine = database.engine()
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


async def is_waiting(database: TestDatabase, login: str = "api_login") -> bool:
    """Whether a session of the login waits for another's lock."""
    # Outside a transaction, in which the answer would stay the same.
    with autocommit(database.url()) as connection:
        found = connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND usename = :login AND wait_event_type = 'Lock'"
            ),
            {"login": login},
        )
        return bool(found.scalar_one())
