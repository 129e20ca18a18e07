"""One PostgreSQL data folder and its server."""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812  # it is a class

from runbooks.local import processes
from runbooks.local.errors import LocalPlatformError
from runbooks.local.files import write_private
from runbooks.local.ports import HOST
from runbooks.sandbox.engine.configuration import Configuration
from runbooks.sandbox.engine.errors import EngineError, InvalidFlagsError
from runbooks.sandbox.engine.programs import own_environment
from runbooks.sandbox.engine.server import SUPERUSER, ClusterServer
from runbooks.sandbox.engine.wal import SEGMENT_MB, segments_in
from runtime.errors import first_line

CONNECT_SECONDS = 5
START_SECONDS = 60.0
STATEMENT_SECONDS = 120


class Cluster:
    """A data folder and its server, for one caller at a time; every method blocks.

    In `folder`: `data`, `log`, `passfile`, and `archive` unless another is given. It listens on 127.0.0.1 only.
    Clusters that are copies of each other (restored, standbys) have the same password.

    Args:
        folder: everything of the cluster, made by `create`, `recover` or `standby.make`.
        programs: PostgreSQL's programs (`programs.programs_of`).
        port: on 127.0.0.1.
        password: the engine's own; no customer gets it.
        flags: PostgreSQL's settings, by name.
        archive: the WAL archive, when it is shared: a standby that may take over writes into its primary's.

    Raises:
        EngineError: a path or the password that PostgreSQL cannot take.
        InvalidFlagsError: a flag that only the engine sets.
    """

    def __init__(
        self,
        folder: Path,
        *,
        programs: Path,
        port: int,
        password: str,
        flags: Mapping[str, str] | None = None,
        archive: Path | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.programs = programs
        self.data = self.folder / "data"
        self.archive_folder = (archive or self.folder / "archive").absolute()
        self._password = password
        for what, text in (("folder", f"{self.folder}{self.archive_folder}"), ("password", password)):
            if re.search(r"[\r\n\0]", text):
                message = f"a cluster's {what} may not contain a line break"
                raise EngineError(message)
        self._server = ClusterServer(
            programs=programs, data=self.data, log=self.folder / "log", port=port, password=password
        )
        self._configuration = Configuration(self._server, self.archive_folder, archive is not None)
        self._configuration.take(flags or {})

    @property
    def superuser(self) -> str:
        """The engine's own login."""
        return SUPERUSER

    @property
    def port(self) -> int:
        """Where the server listens, on 127.0.0.1."""
        return self._server.port

    @property
    def log(self) -> Path:
        """The server's log."""
        return self._server.log

    @property
    def version(self) -> int:
        """PostgreSQL's major version."""
        return self._server.version

    @property
    def exists(self) -> bool:
        """Whether there is a whole data folder."""
        return self._server.is_initialised

    @property
    def is_running(self) -> bool:
        """Whether a server runs on the data folder, whoever started it."""
        return self._server.is_running

    @property
    def flags(self) -> dict[str, str]:
        """PostgreSQL's settings as they were asked for, by name."""
        return self._configuration.flags

    @property
    def waits_for_disk(self) -> bool:
        """Whether what it writes must survive a machine that fails: the flag `fsync`."""
        return self._configuration.waits_for_disk

    @property
    def environment(self) -> dict[str, str]:
        """The environment of programs that connect to the cluster, or to one that has the same password."""
        return {"PGPASSFILE": str(self.folder / "passfile")}

    def create(self) -> None:
        """Make the data folder of a new, empty cluster. It is not started.

        Raises:
            EngineError: it cannot be made, or something is there.
        """
        self.refuse_leftovers()
        self.prepare()
        hurry = [] if self.waits_for_disk else ["--no-sync"]
        self._server.init_options = [f"--wal-segsize={SEGMENT_MB}", "--data-checksums", *hurry]
        with _as_engine_errors():
            self._server.init()

    def refuse_leftovers(self) -> None:
        """See that a new cluster can be made here.

        Raises:
            EngineError: there are data, a server, or an earlier cluster's archive, with which its own would mix.
        """
        if self.exists or self.is_running:
            message = f"{self.folder} has a cluster already"
            raise EngineError(message)
        if not self._configuration.shares_archive and self.archive_folder.exists() and segments_in(self.archive_folder):
            message = f"{self.archive_folder} holds the log of an earlier cluster"
            raise EngineError(message)

    def prepare(self) -> None:
        """Make the folders and the passfile around the data folder."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.archive_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        secret = self._password.replace("\\", "\\\\").replace(":", "\\:")
        write_private(self.folder / "passfile", f"*:*:*:{SUPERUSER}:{secret}\n")

    def start(self, settings: Mapping[str, str] | None = None, *, seconds: float = START_SECONDS) -> None:
        """Start the server and wait until it takes connections. Does nothing when this object's runs.

        Args:
            settings: for this one run, stronger than everything else: how it recovers.
            seconds: how long it may take.

        Raises:
            EngineError: it does not start; the message has the server's last words.
        """
        if self._server.is_ours:
            return
        if not self.exists:
            message = f"{self.folder} has no cluster"
            raise EngineError(message)
        self.prepare()
        self._server.settings = {**self._configuration.settings(), **(settings or {})}
        with _as_engine_errors():
            self._server.start({**own_environment(), **self.environment})
            try:
                self._server.wait_ready(seconds)
            except LocalPlatformError:
                self._server.stop()
                raise

    def stop(self) -> None:
        """Stop the server by a fast shutdown: what was written is in the archive, if that can be written."""
        self._server.stop()
        processes.end_postgres_of(self.data)

    def kill(self) -> None:
        """Kill every process of the server at once, as a machine that is gone. Nothing is shut down.

        Raises:
            EngineError: a process does not end.
        """
        self._server.kill()

    def restart(self, flags: Mapping[str, str] | None = None) -> None:
        """Stop and start again, with other flags when they are given.

        Raises:
            InvalidFlagsError: the server does not take them; it runs with the former ones.
            EngineError: it does not start.
        """
        former = self.flags
        if flags is not None:
            self._configuration.take(flags)
            try:
                self._configuration.check()
            except InvalidFlagsError:
                self._configuration.take(former)
                raise
        self.stop()
        try:
            self.start()
        except EngineError as error:
            if flags is None:
                raise
            self._configuration.take(former)
            self.start()
            raise InvalidFlagsError(str(error)) from None

    def remove(self) -> None:
        """Kill the server and delete the folder. A shared archive stays."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, sql: str, *parameters: object, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the superuser, in a transaction of its own.

        Args:
            sql: one statement, with `%s` for each parameter.
            parameters: its values.
            database: where.

        Returns:
            The rows; none for a statement that has none.

        Raises:
            EngineError: the server does not answer, or refuses the statement.
        """
        try:
            with self.connect(database) as opened, opened.cursor() as cursor:
                cursor.execute(sql, parameters or None)
                return cursor.fetchall() if cursor.description else []
        except psycopg2.Error as error:
            raise EngineError(first_line(error)) from None

    @contextmanager
    def connect(self, database: str = "postgres") -> Iterator[Connection]:
        """A superuser's connection on which each statement is its own transaction.

        Raises:
            psycopg2.Error: the server does not answer.
        """
        opened = psycopg2.connect(
            host=HOST,
            port=self.port,
            user=SUPERUSER,
            password=self._password,
            dbname=database,
            connect_timeout=CONNECT_SECONDS,
            sslmode="disable",
            gssencmode="disable",
            options=f"-c statement_timeout={STATEMENT_SECONDS}s",
            application_name="sandbox",
        )
        try:
            opened.autocommit = True
            yield opened
        finally:
            opened.close()

    def configure(self, settings: Mapping[str, str]) -> None:
        """Replace what the engine keeps in the stopped cluster's postgresql.auto.conf.

        Args:
            settings: PostgreSQL's, by name. They are weaker than flags, which are on the command line.
        """
        self._configuration.keep(settings)

    def reconfigure(self, settings: Mapping[str, str]) -> None:
        """Change what the engine keeps in the running cluster's postgresql.auto.conf; an empty value resets.

        Raises:
            EngineError: the server does not answer.
        """
        for name, value in settings.items():
            if value:
                self.execute(f"ALTER SYSTEM SET {name} = %s", value)
            else:
                self.execute(f"ALTER SYSTEM RESET {name}")
        self.execute("SELECT pg_reload_conf()")


@contextmanager
def _as_engine_errors() -> Iterator[None]:
    try:
        yield
    except LocalPlatformError as error:
        raise EngineError(str(error)) from None
