"""The server process of a cluster, which may also be a standby's, and its sudden death."""

import contextlib
from pathlib import Path
from typing import ClassVar

import psutil

from runbooks.local import processes, shared_memory
from runbooks.local.postgres import STATUS_LINE, PostgresServer
from runbooks.sandbox.engine.errors import EngineError

# The engine's own login. `postgres` is the customer's, who may rename it or change its password.
SUPERUSER = "cloudsqladmin"
KILL_SECONDS = 5.0


class ClusterServer(PostgresServer):
    """The server on a cluster's data folder, by whoever started it."""

    superuser: ClassVar[str] = SUPERUSER

    @property
    def is_ours(self) -> bool:
        """Whether it runs, started by this object."""
        return self.pid is not None and self.exit_code is None

    @property
    def is_running(self) -> bool:
        """Whether it runs, whoever started it."""
        return self.is_ours or bool(processes.postgres_of(self.data))

    def is_ready(self) -> bool:
        """Whether it takes connections, be it for reading only."""
        lines = self._pid_file_lines()
        readable = {"ready", "standby"} if self.settings["hot_standby"] == "on" else {"ready"}
        return len(lines) > STATUS_LINE and lines[0] == str(self.pid) and lines[STATUS_LINE] in readable

    def kill(self) -> None:
        """Kill every one of its processes at once. Nothing is shut down.

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
        self.stop()
        if remaining:
            message = f"processes of {self.data} do not end: {[process.pid for process in remaining]}"
            raise EngineError(message)
        shared_memory.forget(self.data / "postmaster.pid")

    def _postmaster(self) -> psutil.Process | None:
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            return process if Path(process.cwd()) == self.data.resolve() else None
        except (OSError, ValueError, psutil.Error):
            return None


def _processes_in(folder: Path) -> list[psutil.Process]:
    """Every process that works in a data folder: the server's, and what its archiver started."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if Path(process.cwd()) == folder.resolve() and processes.is_alive(process):
                found.append(process)
    return found
