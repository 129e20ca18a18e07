"""The supervisor in the background: a process of its own, which says when it is ready."""

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from runbooks.local.errors import LocalPlatformError
from runbooks.local.files import open_log, read_from


@dataclass(frozen=True)
class Background:
    """The other process, as the one that the user waits for sees it."""

    pid: int
    answers: int
    log: Path
    log_start: int

    def wait(self) -> str:
        """Wait for the first line that it prints.

        Raises:
            LocalPlatformError: it ended without, and this is what it said.
        """
        try:
            with os.fdopen(self.answers) as answers:
                line = answers.readline()
            if line.endswith("\n"):
                return line
        except BaseException:
            # Nobody waits any more: it is not to start behind the user's back.
            os.kill(self.pid, signal.SIGTERM)
            raise
        os.waitpid(self.pid, 0)
        said = read_from(self.log, self.log_start) or ["it said nothing"]
        message = said[-1].removeprefix("holdfast: ")
        raise LocalPlatformError(message)


def into_background(log: Path) -> Background | None:
    """Go on twice: here, and in a session of its own with its output in a pipe and its errors in the log.

    A second interpreter would cost a second's start, and show an address with a password in its command line.

    Returns:
        The other process; None in that process.
    """
    errors = open_log(log)
    log_start = os.fstat(errors).st_size
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(writer)
        os.close(errors)
        return Background(pid, reader, log, log_start)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, standard in ((nothing, 0), (writer, 1), (errors, 2)):
        os.dup2(ours, standard)
    for ours in (nothing, writer, errors, reader):
        os.close(ours)
    return None
