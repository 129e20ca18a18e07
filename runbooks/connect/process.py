"""The tunnel: a program that runs as long as somebody needs it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence

from infra import tunnel
from runbooks.connect.errors import ConnectError
from runbooks.local.ports import is_free
from runbooks.local.signals import StopRequested, ignore_stop_requests, stop_requests

PROGRAM = "gcloud"
# gcloud tries the tunnel before it listens, and may ask for a new token before that.
READY_SECONDS = 60.0
STOP_SECONDS = 5.0
POLL_SECONDS = 0.1
STANDARD_ERROR = 2
KILLED_BY = 128


def find_program() -> str:
    """Where gcloud is.

    Raises:
        ConnectError: it is not in the path.
    """
    if (found := shutil.which(PROGRAM)) is None:
        message = f"{PROGRAM} is not in the PATH; install it: https://cloud.google.com/sdk/docs/install"
        raise ConnectError(message)
    return found


def refuse_taken(port: int, option: str) -> None:
    """See that a port can be listened at; the option chooses another.

    Raises:
        ConnectError: another program listens there.
    """
    if not is_free(port):
        message = f"port {port} is in use; free it or choose another: holdfast connect STACK {option} N"
        raise ConnectError(message)


def run(command: Sequence[str], port: int, when_ready: Callable[[], None], seconds: float = READY_SECONDS) -> int:
    """Run the tunnel until it ends, or until Ctrl-C or SIGTERM ends it.

    Args:
        command: that opens it.
        port: at which it then accepts.
        when_ready: called once it does.
        seconds: in which it has to.

    Returns:
        Its exit code when it ended by itself, and 0 when it was asked to.

    Raises:
        ConnectError: it cannot be started, or did not accept in time.
    """
    with contextlib.suppress(StopRequested), stop_requests():
        child = _start(command)
        try:
            if _wait_ready(child, port, seconds):
                when_ready()
            return _code(child.wait())
        finally:
            ignore_stop_requests()
            _end(child)
    return 0


def _start(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    try:
        # A session of its own: Ctrl-C in the terminal is for us. What it says is for people, and no answer to it.
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=STANDARD_ERROR, start_new_session=True)
    except OSError as error:
        message = f"{command[0]} does not start: {error.strerror}"
        raise ConnectError(message) from None


def _wait_ready(child: "subprocess.Popen[bytes]", port: int, seconds: float) -> bool:
    """Wait until the port accepts; False when the program ended before."""
    deadline = time.monotonic() + seconds
    while child.poll() is None:
        if _accepts(port):
            return True
        if time.monotonic() > deadline:
            message = f"the tunnel did not accept on port {port} within {seconds:.0f} s; see what {PROGRAM} says above"
            raise ConnectError(message)
        time.sleep(POLL_SECONDS)
    return False


def _accepts(port: int) -> bool:
    try:
        # To try whether the port is still free would take it for a moment, perhaps the one that the tunnel wants it.
        socket.create_connection((tunnel.HOST, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is not None:
        return
    # Whatever it started goes with it.
    os.killpg(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(STOP_SECONDS)
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _code(code: int) -> int:
    """As a shell has it: a signal is no negative number."""
    return code if code >= 0 else KILLED_BY - code
