"""Other processes: which ones are ours, and how they are ended."""

import contextlib
import signal
import time
from collections.abc import Collection, Iterable
from pathlib import Path

import psutil
from pydantic import BaseModel

# In the environment of whatever the supervisor starts, with its state folder: by it we know our own again.
MARK = "HOLDFAST_LOCAL_STATE"
# The kernel counts from boot, and the clock that says when that was may be corrected meanwhile.
CLOCK_CORRECTION = 2.0
POLL_SECONDS = 0.02
# PostgreSQL's fast shutdown disconnects clients and loses nothing; after its immediate one the next start recovers.
FAST_THEN_IMMEDIATE = ((signal.SIGINT, 4.0), (signal.SIGQUIT, 2.0))


class Identity(BaseModel):
    """A process that cannot be taken for a later one with the same number."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> "Identity":
        """The identity of a process that runs now."""
        return cls(pid=pid, created=psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """The process, if it still runs."""
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.created) < CLOCK_CORRECTION
        except psutil.Error:
            return None
        return process if is_same and is_alive(process) else None


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; one that nobody has reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def marked_with(folder: Path) -> list[psutil.Process]:
    """Every process that carries the mark of a state folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == str(folder) and is_alive(process):
                found.append(process)
    return found


def postgres_of(data: Path) -> list[psutil.Process]:
    """Every process of a PostgreSQL server on a data folder, which is their working directory."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.name() == "postgres" and Path(process.cwd()) == data.resolve() and is_alive(process):
                found.append(process)
    return found


def wait_gone(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until processes that need not be our children have ended.

    Returns:
        Those that have not.
    """
    deadline = time.monotonic() + seconds
    while True:
        alive = [process for process in processes if is_alive(process)]
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(POLL_SECONDS)


def end(processes: Collection[psutil.Process], *steps: tuple[signal.Signals, float]) -> None:
    """Ask processes to end, each signal with its deadline, and kill those that did not."""
    for step, seconds in (*steps, (signal.SIGKILL, 2.0)):
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.send_signal(step)
        processes = wait_gone(processes, seconds)
        if not processes:
            return


def end_postgres_of(data: Path) -> None:
    """End a PostgreSQL server that runs on a data folder."""
    found = postgres_of(data)
    # The postmaster ends its own processes; those that outlived it end by themselves.
    end([process for process in found if _parent(process) not in found], *FAST_THEN_IMMEDIATE)
    wait_gone(found, seconds=2.0)


def _parent(process: psutil.Process) -> psutil.Process | None:
    try:
        return process.parent()
    except psutil.Error:
        return None
