"""A PostgreSQL that may be killed: what it has committed is on the disk."""

from collections.abc import Iterator

import pytest

from runbooks.local.postgres import PostgresServer
from runtime.platform.keys import create_key
from runtime.platform.scopes import ALL_SCOPES
from tests.conftest import SECRET, SUBJECT, TestDatabase, at_head, new_server

DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "max_connections": "100"}


@pytest.fixture(scope="session")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One for all tests; each that breaks it mends it."""
    server = new_server(tmp_path_factory.mktemp("durable"), **DURABLE)
    server.start()
    server.wait_ready()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def own_database(own_server: PostgresServer) -> TestDatabase:
    """A database on it, at head."""
    return at_head(own_server)


@pytest.fixture(scope="session")
def key(own_database: TestDatabase) -> str:
    """A key with every scope."""
    engine = own_database.engine("jobs_login")
    with engine.begin() as connection:
        issued = create_key(connection, secret=SECRET, subject=SUBJECT, scopes=ALL_SCOPES)
    engine.dispose()
    return issued.key
