"""One PostgreSQL data folder and its server."""

import contextlib
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import psutil
import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812  # it is a class

from runbooks.local import processes
from runbooks.local.errors import LocalPlatformError, first_line
from runbooks.local.files import write_private
from runbooks.local.ports import HOST
from runbooks.local.postgres import STATUS_LINE, PostgresServer
from runbooks.sandbox.engine.archive import archive_command
from runbooks.sandbox.engine.errors import EngineError, InvalidFlagsError
from runbooks.sandbox.engine.programs import own_environment, run
from runbooks.sandbox.engine.wal import SEGMENT_MB, segments_in

# The engine's own login. `postgres` is the customer's, who may rename it or change its password.
SUPERUSER = "cloudsqladmin"
CONNECT_SECONDS = 5
START_SECONDS = 60.0
STATEMENT_SECONDS = 120
ARCHIVE_SECONDS = 10
KILL_SECONDS = 5.0

# What may be changed by a flag.
DEFAULTS = {
    "max_connections": "100",
    "shared_buffers": "16MB",
    "wal_level": "replica",
    "max_wal_size": "64MB",
    "min_wal_size": "16MB",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
# What the engine keeps in postgresql.auto.conf.
KEPT_BY_ENGINE = {
    "primary_conninfo",
    "primary_slot_name",
    "restore_command",
    "recovery_target",
    "recovery_target_action",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
    "synchronous_standby_names",
}
# A standby must have at least what its primary has.
SHARED_WITH_STANDBYS = {
    "max_connections": "max_connections",
    "max_worker_processes": "max_worker_processes",
    "max_wal_senders": "max_wal_senders",
    "max_prepared_xacts": "max_prepared_transactions",
    "max_locks_per_xact": "max_locks_per_transaction",
}


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
        self._shares_archive = archive is not None
        self._password = password
        for what, text in (("folder", f"{self.folder}{self.archive_folder}"), ("password", password)):
            if re.search(r"[\r\n\0]", text):
                message = f"a cluster's {what} may not contain a line break"
                raise EngineError(message)
        self._server = _Server(programs=programs, data=self.data, log=self.folder / "log", port=port, password=password)
        self.flags: dict[str, str] = {}
        self._take(flags or {})

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
        if self._server.pid is not None and self._server.exit_code is None:
            return True
        return bool(processes.postgres_of(self.data))

    @property
    def waits_for_disk(self) -> bool:
        """Whether what it writes must survive a machine that fails: the flag `fsync`."""
        return self.flags.get("fsync", "on") == "on"

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
        if not self._shares_archive and self.archive_folder.exists() and segments_in(self.archive_folder):
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
        if self._server.pid is not None and self._server.exit_code is None:
            return
        if not self.exists:
            message = f"{self.folder} has no cluster"
            raise EngineError(message)
        self.prepare()
        self._server.settings = {**self._settings(), **self._needed_as_standby(), **(settings or {})}
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
        postmaster = self._postmaster()
        if postmaster is not None:
            # First, since it is the one that makes others.
            with contextlib.suppress(psutil.Error):
                postmaster.kill()
        remaining = _processes_in(self.data)
        for process in remaining:
            with contextlib.suppress(psutil.Error):
                process.kill()
        remaining = processes.wait_gone([*remaining, *_processes_in(self.data)], KILL_SECONDS)
        # Our own child: reaped, so that nobody takes it for a running one.
        self._server.stop()
        if remaining:
            message = f"processes of {self.data} do not end: {[process.pid for process in remaining]}"
            raise EngineError(message)

    def restart(self, flags: Mapping[str, str] | None = None) -> None:
        """Stop and start again, with other flags when they are given.

        Raises:
            InvalidFlagsError: the server does not take them; it runs with the former ones.
            EngineError: it does not start.
        """
        former = self.flags
        if flags is not None:
            self._take(flags)
            try:
                self._check_settings()
            except InvalidFlagsError:
                self._take(former)
                raise
        self.stop()
        try:
            self.start()
        except EngineError as error:
            if flags is None:
                raise
            self._take(former)
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
        lines = [f"{name} = '{_quoted(value)}'\n" for name, value in settings.items()]
        write_private(self.data / "postgresql.auto.conf", "".join(lines))

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

    def _take(self, flags: Mapping[str, str]) -> None:
        owned = sorted(set(flags) & (set(self._owned()) | KEPT_BY_ENGINE))
        if owned:
            message = f"only the sandbox itself sets {', '.join(owned)}"
            raise InvalidFlagsError(message)
        self.flags = dict(flags)

    def _settings(self) -> dict[str, str]:
        return {**DEFAULTS, **self.flags, **self._owned()}

    def _owned(self) -> dict[str, str]:
        return {
            "port": str(self.port),
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "data_directory": str(self.data),
            "hba_file": str(self.data / "pg_hba.conf"),
            "ident_file": str(self.data / "pg_ident.conf"),
            "logging_collector": "off",
            "hot_standby": "on",
            # A standby that shares its primary's archive writes there too: the primary may die before it did.
            "archive_mode": "always" if self._shares_archive else "on",
            "archive_command": archive_command(self.archive_folder, wait_for_disk=self.waits_for_disk),
            "archive_timeout": str(ARCHIVE_SECONDS),
            "wal_retrieve_retry_interval": "100ms",
            "max_slot_wal_keep_size": "1GB",
        }

    def _needed_as_standby(self) -> dict[str, str]:
        if not (self.data / "standby.signal").exists():
            return {}
        said = dict(re.findall(r"^(\w+) setting: +(\d+)$", self._control_data(), flags=re.MULTILINE))
        ours = self._settings()
        needed = {name: said[label] for label, name in SHARED_WITH_STANDBYS.items() if label in said}
        return {name: value for name, value in needed.items() if int(value) > int(ours.get(name, "0"))}

    def _control_data(self) -> str:
        return run(self.programs / "pg_controldata", "-D", str(self.data))

    def _check_settings(self) -> None:
        options = [
            part
            for name, value in {**self._settings(), "log_line_prefix": ""}.items()
            for part in ("-c", f"{name}={value}")
        ]
        # It reads the whole configuration, prints one setting of it and ends.
        arguments = ("-D", str(self.data), *options, "-C", "data_directory")
        try:
            run(self.programs / "postgres", *arguments, as_ordinary_user=True)
        except EngineError as error:
            raise InvalidFlagsError(str(error)) from None

    def _postmaster(self) -> psutil.Process | None:
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            return process if Path(process.cwd()) == self.data.resolve() else None
        except (OSError, ValueError, psutil.Error):
            return None


class _Server(PostgresServer):
    """The server process, which may also be a standby's."""

    superuser: ClassVar[str] = SUPERUSER

    def is_ready(self) -> bool:
        """Whether it takes connections, be it for reading only."""
        lines = self._pid_file_lines()
        readable = {"ready", "standby"} if self.settings["hot_standby"] == "on" else {"ready"}
        return len(lines) > STATUS_LINE and lines[0] == str(self.pid) and lines[STATUS_LINE] in readable


@contextmanager
def _as_engine_errors() -> Iterator[None]:
    try:
        yield
    except LocalPlatformError as error:
        raise EngineError(str(error)) from None


def _processes_in(folder: Path) -> list[psutil.Process]:
    """Every process that works in a data folder: the server's, and what its archiver started."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if Path(process.cwd()) == folder.resolve() and processes.is_alive(process):
                found.append(process)
    return found


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")
