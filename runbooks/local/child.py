"""A program that the platform starts, watches and stops."""

import contextlib
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from runbooks.local.errors import LocalPlatformError
from runbooks.local.files import open_log, read_from

POLL_SECONDS = 0.02
TELLING = ("FATAL", "PANIC", "rror:", "ERROR", " # ")


class Child(ABC):
    """A running program with a log. What it is and when it is ready, its subclass says."""

    name: ClassVar[str]
    # How it is asked to stop: each signal with the seconds that it gets. Then it is killed.
    stopping: ClassVar[Sequence[tuple[signal.Signals, float]]] = ((signal.SIGTERM, 5.0),)

    def __init__(self, log: Path) -> None:
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The process's number, once it was started."""
        return self._process.pid if self._process else None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs, or before."""
        return self._process.poll() if self._process else None

    def spawn(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> None:
        """Start the program with its output in the log.

        Raises:
            LocalPlatformError: the program cannot be executed.
        """
        log = open_log(self.log)
        try:
            self._log_start = os.fstat(log).st_size
            # Its own session: Ctrl-C in the terminal is for the supervisor, which stops things in order.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            message = f"{self.name} does not start: {command[0]}: {error.strerror}"
            raise LocalPlatformError(message) from None
        finally:
            os.close(log)

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it serves."""

    def wait_ready(self, seconds: float = 30.0) -> None:
        """Wait until it serves.

        Raises:
            LocalPlatformError: it ended, or the deadline passed.
        """
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            if self.exit_code is not None:
                message = f"{self.name} does not start: {self.last_words()} (more in {self.log})"
                raise LocalPlatformError(message)
            if time.monotonic() > deadline:
                message = f"{self.name} was not ready within {seconds:.0f} s: {self.complaint()} (more in {self.log})"
                raise LocalPlatformError(message)
            time.sleep(POLL_SECONDS)

    def complaint(self) -> str:
        """Why it is not ready."""
        return self.last_words()

    def stop(self) -> None:
        """End it, gently at first. Does nothing when it does not run."""
        if self._process is None:
            return
        for step, seconds in self.stopping:
            if self._process.poll() is not None:
                return
            self._process.send_signal(step)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        if self._process.poll() is None:
            # Its own session is its own group: whatever it started goes with it.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def last_words(self) -> str:
        """The line of the log, since the start, that best says what went wrong."""
        return last_words(read_from(self.log, self._log_start))


def last_words(lines: Sequence[str]) -> str:
    """The last line that names an error, or else the last line."""
    telling = [line for line in lines if any(word in line for word in TELLING)]
    return (telling or lines or ["it said nothing"])[-1]
