"""A real PostgreSQL server on a data folder, as a child process."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import psutil
from sqlalchemy import URL

from runbooks.local import processes
from runbooks.local.binaries import ordinary_user, postgres_version
from runbooks.local.child import Child, last_words
from runbooks.local.errors import LocalPlatformError
from runbooks.local.ports import HOST

SUPERUSER = "postgres"
INIT_SECONDS = 120
# The first major version whose own C.UTF-8 needs none from the operating system.
BUILTIN_LOCALE_SINCE = 17
# The line of postmaster.pid that says how far the server is.
STATUS_LINE = 7


class PostgresServer(Child):
    """One server: `init` once, `start`, `wait_ready`, `stop`. It listens on the loopback address only."""

    name = "PostgreSQL"
    stopping: ClassVar = processes.FAST_THEN_IMMEDIATE
    superuser: ClassVar[str] = SUPERUSER
    # What initdb is told beside the locale and the password.
    init_options: Sequence[str] = ()

    def __init__(
        self,
        *,
        programs: Path,
        data: Path,
        log: Path,
        port: int,
        password: str,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(log)
        self.programs = programs
        self.data = data
        self.port = port
        self.settings = settings or {}
        self._password = password

    @property
    def url(self) -> URL:
        """The superuser's address."""
        return URL.create("postgresql", self.superuser, self._password, HOST, self.port, "postgres")

    @property
    def is_initialised(self) -> bool:
        """Whether the data folder is there, and so complete."""
        return (self.data / "PG_VERSION").exists()

    @cached_property
    def version(self) -> int:
        """The programs' major version."""
        return postgres_version(self.programs)

    def init(self) -> None:
        """Make the data folder, which is there whole or not at all. Does nothing when it is there.

        Raises:
            LocalPlatformError: it cannot be made, or it is another version's.
        """
        if self.is_initialised:
            self._check_version()
            return
        unfinished = self.data.with_name(self.data.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            self._initdb(unfinished)
            unfinished.rename(self.data)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the server, ending first one that a killed parent left on this data folder.

        Raises:
            LocalPlatformError: the program cannot be executed.
        """
        processes.end_postgres_of(self.data)
        self._remove_stale_pid_file()
        settings = {
            "port": str(self.port),
            "listen_addresses": HOST,
            # A socket's path may have 107 bytes, and a data folder's may have more.
            "unix_socket_directories": "",
            **self._preloaded(),
            **self.settings,
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [*ordinary_user(), str(self.programs / "postgres"), "-D", str(self.data), *arguments]
        self.spawn(command, environment=environment)

    def is_ready(self) -> bool:
        """Whether this process, not an earlier one, says that it takes connections."""
        lines = self._pid_file_lines()
        return len(lines) > STATUS_LINE and lines[0] == str(self.pid) and lines[STATUS_LINE] == "ready"

    def _initdb(self, folder: Path) -> None:
        if self.version >= BUILTIN_LOCALE_SINCE:
            locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        else:
            locale = ["--locale=C.UTF-8"]
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=self.data.parent, prefix="pwfile") as password:
            password.write(self._password)
            password.flush()
            command = [
                *(*ordinary_user(), str(self.programs / "initdb"), "-D", str(folder), "-U", self.superuser),
                *("--auth=scram-sha-256", f"--pwfile={password.name}", "--encoding=UTF8", *locale),
                "--no-instructions",
                *self.init_options,
            ]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, errors="replace", timeout=INIT_SECONDS, check=False
                )
            except (OSError, subprocess.SubprocessError) as error:
                message = f"{self.programs / 'initdb'} does not run: {error}"
                raise LocalPlatformError(message) from None
        if done.returncode != 0:
            said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            message = f"PostgreSQL's data folder {self.data} cannot be made: {last_words(said)}"
            raise LocalPlatformError(message)

    def _check_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != str(self.version):
            message = (
                f"{self.data} is PostgreSQL {found}'s and {self.programs} has PostgreSQL {self.version}; "
                f"give the programs of {found} with --postgres-bin, or another folder with --state"
            )
            raise LocalPlatformError(message)

    def _preloaded(self) -> dict[str, str]:
        library = self.programs.parent / "lib"
        for folder in (library, library / "postgresql"):
            if any(folder.glob("pg_stat_statements.*")):
                return {"shared_preload_libraries": "pg_stat_statements"}
        return {}

    def _pid_file_lines(self) -> list[str]:
        try:
            return [line.strip() for line in (self.data / "postmaster.pid").read_text().splitlines()]
        except OSError:
            return []

    def _remove_stale_pid_file(self) -> None:
        # PostgreSQL itself removes the file of a dead process, but takes any that lives for a server of this folder,
        # also when another program has the number now. That no server has the folder was seen above.
        lines = self._pid_file_lines()
        if lines and lines[0].isdigit() and psutil.pid_exists(int(lines[0])) and not processes.postgres_of(self.data):
            (self.data / "postmaster.pid").unlink()
