"""The platform as it is deployed: two workers over HTTP, a PostgreSQL and perhaps a cache, each of which may break."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from runbooks.local.api import ApiServer
from runbooks.local.ports import free_port
from runbooks.local.postgres import PostgresServer
from runbooks.local.processes import is_alive, postgres_of
from tests.conftest import TestDatabase, autocommit
from tests.running import clean_environment, environment_of

WORKERS = 2
CALL_SECONDS = 30.0


class Api(ApiServer):
    """`python -m runtime serve`, two workers."""

    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        assert self.pid is not None
        found = []
        for process in psutil.Process(self.pid).children():
            with suppress(psutil.Error):
                # Beside them multiprocessing has a process of its own.
                if is_alive(process) and "spawn_main" in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def terminate(self) -> None:
        """Ask it to stop, as Cloud Run does, and go on."""
        assert self.pid is not None
        os.kill(self.pid, signal.SIGTERM)

    def client(self, key: str) -> httpx.AsyncClient:
        """A caller with as many connections as it likes."""
        return httpx.AsyncClient(
            base_url=self.url,
            headers={"X-API-Key": key},
            timeout=CALL_SECONDS,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
        )


@contextmanager
def serving(database: TestDatabase, folder: Path, **settings: str) -> Iterator[Api]:
    """The API on a database until the end of the block."""
    api = Api(log=folder / "api.log", port=free_port())
    environment = {
        "API_PORT": str(api.port),
        "MAX_WORKERS": str(WORKERS),
        "DB_POOL_MIN": "2",
        "DB_POOL_MAX": "8",
        # Counted, and never reached.
        "RATE_LIMIT": "1000000",
    }
    api.start({**clean_environment(), **environment_of(database), **environment, **settings}, folder)
    try:
        api.wait_ready()
        yield api
    finally:
        api.stop()


def kill_postgres(server: PostgresServer) -> None:
    """End the server and all of its processes without a word, as a machine that loses its power does."""
    signal_postgres(server, signal.SIGKILL)
    server.stop()


def signal_postgres(server: PostgresServer, what: signal.Signals) -> None:
    """Send a signal to the server and all of its processes."""
    # The postmaster first: it would start others.
    for process in sorted(postgres_of(server.data), key=lambda process: process.pid != server.pid):
        with suppress(psutil.Error):
            os.kill(process.pid, what)


def waiting_for_locks(database: TestDatabase) -> int:
    """How many sessions wait for a lock."""
    with autocommit(database.url()) as connection:
        found = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return int(found.scalar_one())
