"""The client on a server that knows only what Google's contract knows."""

from collections.abc import Iterator

import pytest

from runtime.cloudsql.client import CloudSqlAdmin, credentials_for
from tests.runtime.cloudsql.scripted import AdminApi


@pytest.fixture
def api() -> Iterator[AdminApi]:
    """The server."""
    server = AdminApi()
    yield server
    server.close()
    assert server.faults == []


@pytest.fixture
def client(api: AdminApi) -> Iterator[CloudSqlAdmin]:
    """The client, patient enough for a few tries."""
    with CloudSqlAdmin("shop", credentials=credentials_for(api.url), endpoint=api.url, patience=20) as made:
        yield made
