"""Servers that several tests of the runtime share, or have for themselves."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from runbooks.local.postgres import PostgresServer
from runbooks.local.valkey import ValkeyServer
from tests.caches import new_valkey
from tests.conftest import new_server


@pytest.fixture(scope="session")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """This worker's Valkey."""
    server = new_valkey(tmp_path_factory.mktemp("cache"))
    yield server
    server.stop()


@pytest.fixture
def stored(shared_valkey: ValkeyServer) -> Iterator[redis.Redis]:
    """What the cache holds; nothing at first."""
    with redis.Redis.from_url(shared_valkey.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL of this test's own, to be stopped and started."""
    server = new_server(tmp_path)
    server.start()
    server.wait_ready()
    yield server
    server.stop()
