"""What the tests of the database share."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from runbooks.local.postgres import PostgresServer
from tests.conftest import TestDatabase, autocommit


@pytest.fixture(scope="session")
def shared_database(server: PostgresServer, template: str) -> TestDatabase:
    """A database at head that tests leave as they found it."""
    with autocommit(server.url) as connection:
        connection.execute(text(f"CREATE DATABASE test_shared TEMPLATE {template}"))
    return TestDatabase(server, "test_shared")


@pytest.fixture
def connection(shared_database: TestDatabase) -> Iterator[Connection]:
    """The superuser's; whatever it does is undone."""
    engine = shared_database.engine()
    with engine.connect() as connected:
        yield connected
        connected.rollback()
    engine.dispose()
