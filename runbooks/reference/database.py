"""A database at head, for as long as it is read: the embedded PostgreSQL on a folder that goes away again."""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from runbooks.local.binaries import postgres_programs
from runbooks.local.environment import runtime_settings
from runbooks.local.ports import free_port
from runbooks.local.postgres import PostgresServer
from runtime.db.engine import engine_at
from runtime.db.migrate import migrate


@contextmanager
def migrated_database() -> Iterator[Connection]:
    """A connection to it.

    Raises:
        LocalPlatformError: the embedded server does not run here.
        PreflightError: a migration fails.
    """
    with tempfile.TemporaryDirectory(prefix="holdfast-reference-") as folder:
        server = PostgresServer(
            programs=postgres_programs(),
            data=Path(folder) / "data",
            log=Path(folder) / "log",
            port=free_port(),
            password=secrets.token_urlsafe(),
            # Nothing of it has to outlive this process.
            settings={"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"},
        )
        server.init()
        server.start()
        try:
            server.wait_ready()
            address = server.url.render_as_string(hide_password=False)
            migrate(runtime_settings({"DATABASE_URL": address, "SECRET_KEY": secrets.token_hex()}))
            engine = engine_at(server.url, application_name="holdfast-reference")
            with engine.connect() as connection:
                yield connection
            engine.dispose()
        finally:
            server.stop()
