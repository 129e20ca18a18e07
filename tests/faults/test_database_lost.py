"""The database breaks under load: callers hear 503 in time, and lose nothing that they were told is kept."""

import asyncio
import signal
from collections.abc import Iterator

import pytest

from runbooks.local.postgres import PostgresServer
from tests.conftest import TestDatabase
from tests.faults.load import CALLERS, assert_kept, calling, more
from tests.faults.platform import Api, kill_postgres, serving, signal_postgres

DEADLINE = 3.0
# What the database gets to give up after the deadline, and a busy machine takes.
MARGIN = 2.5


@pytest.fixture(scope="module")
def api(own_database: TestDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API through all that follows: it is never started again."""
    timeouts = {"REQUEST_TIMEOUT": str(DEADLINE), "DB_POOL_TIMEOUT": str(DEADLINE)}
    with serving(own_database, tmp_path_factory.mktemp("api"), LOG_LEVEL="WARNING", **timeouts) as api:
        yield api


def hang(server: PostgresServer) -> None:
    signal_postgres(server, signal.SIGSTOP)


def start(server: PostgresServer) -> None:
    server.start()
    server.wait_ready()


def go_on(server: PostgresServer) -> None:
    signal_postgres(server, signal.SIGCONT)


FAULTS = {"killed": (kill_postgres, start), "restarted": (PostgresServer.stop, start), "hung": (hang, go_on)}


@pytest.mark.parametrize("fault", FAULTS)
async def test_it_is_lost_under_load(
    fault: str, api: Api, own_server: PostgresServer, own_database: TestDatabase, key: str
) -> None:
    lose, mend = FAULTS[fault]
    workers = {worker.pid for worker in api.workers()}
    async with calling(api, key, fault) as ledger:
        await more(ledger, "answered", 200)
        await asyncio.to_thread(lose, own_server)
        try:
            await more(ledger, "unavailable", 2 * CALLERS)
        finally:
            await asyncio.to_thread(mend, own_server)
        await more(ledger, "answered", 200)
    assert ledger.lost == []
    assert ledger.slowest < DEADLINE + MARGIN
    assert_kept(own_database, ledger)
    assert {worker.pid for worker in api.workers()} == workers
