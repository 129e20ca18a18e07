"""One attempt of one task: `python -m runtime …` as a child process, with a deadline."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from runbooks.local import processes
from runbooks.local.files import open_log
from runbooks.local.processes import Identity
from runbooks.sandbox.fence import fenced

# As Cloud Run does: a signal, and ten seconds.
GRACE_SECONDS = 10.0
TIMED_OUT = "The configured timeout was reached."
EXITED = "The container exited with an error."


class Running:
    """The processes of an execution under way, and whether somebody cancelled it.

    Args:
        note: told the identities whenever they change, so that a later run of the sandbox can end them.
    """

    def __init__(self, note: Callable[[list[Identity]], None]) -> None:
        self.cancelled = threading.Event()
        self._note = note
        self._lock = threading.Lock()
        self._processes: dict[int, Identity] = {}

    def attempt(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path, seconds: float) -> "Ended":
        """Run the command to its end.

        Args:
            arguments: what follows `python -m runtime`.
            environment: everything that the process sees, but for what keeps it on this machine.
            log: where its output goes, after what is there.
            seconds: its deadline.
        """
        folder = log.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        output = open_log(log)
        try:
            with self._lock:
                if self.cancelled.is_set():
                    return Ended(None, "cancelled")
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "runtime", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=fenced({**base_environment(folder), **environment}),
                    cwd=folder,
                    start_new_session=True,
                )
                self._register(process.pid)
        except OSError as error:
            return Ended(None, f"The container does not start: {error.strerror}.")
        finally:
            os.close(output)
        try:
            return self._outcome(process, seconds)
        finally:
            with self._lock:
                del self._processes[process.pid]
                self._note(list(self._processes.values()))

    def cancel(self) -> None:
        """End every process, gently at first, and let no other begin."""
        self.cancelled.set()
        with self._lock:
            found = [process for process in map(Identity.find, self._processes.values()) if process is not None]
        processes.end(found, (signal.SIGTERM, GRACE_SECONDS))

    def _register(self, pid: int) -> None:
        try:
            self._processes[pid] = Identity.of(pid)
        except psutil.Error:
            # Ended already.
            self._processes[pid] = Identity(pid=pid, created=0.0)
        self._note(list(self._processes.values()))

    def _outcome(self, process: subprocess.Popen[bytes], seconds: float) -> "Ended":
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            return Ended(process.returncode, TIMED_OUT)
        if self.cancelled.is_set():
            return Ended(code, "cancelled")
        return Ended(code, EXITED if code else "")


class Ended:
    """How an attempt ended: its exit code (None: it never began) and what is wrong with that, empty for nothing."""

    def __init__(self, code: int | None, problem: str) -> None:
        self.code = code
        self.problem = problem


def end_leftovers(identities: Sequence[Identity]) -> None:
    """End processes that an earlier run of the sandbox left."""
    found = [process for process in map(Identity.find, identities) if process is not None]
    processes.end(found, (signal.SIGTERM, GRACE_SECONDS))


def base_environment(folder: Path) -> dict[str, str]:
    """What a container has before its own variables; nothing of this process's environment."""
    programs = Path(sys.executable).parent
    return {"PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(folder)}
