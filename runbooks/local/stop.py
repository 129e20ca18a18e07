"""`holdfast down`: ask the supervisor to stop, or do what a killed one no longer could."""

import signal

import psutil

from runbooks.local.errors import LocalPlatformError
from runbooks.local.folder import StateFolder
from runbooks.local.leftovers import end_leftovers
from runbooks.local.lock import LockHeldError, hold, holder
from runbooks.local.processes import wait_gone

STOP_SECONDS = 20.0


def stop(folder: StateFolder) -> str:
    """Stop whatever of the platform runs. May be repeated.

    Returns:
        What was done.

    Raises:
        LocalPlatformError: the supervisor did not end in time.
    """
    if not folder.lock.exists():
        return "not running"
    identity = holder(folder.lock)
    process = identity.find() if identity else None
    if process is not None:
        _end_supervisor(process)
    try:
        with hold(folder.lock):
            ended = end_leftovers(folder)
    except LockHeldError:
        message = "another holdfast up or down is at work in this folder; try again"
        raise LocalPlatformError(message) from None
    if process is not None:
        return "stopped"
    return f"ended {ended} processes that a killed supervisor had left" if ended else "not running"


def _end_supervisor(process: psutil.Process) -> None:
    try:
        process.send_signal(signal.SIGTERM)
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied:
        message = f"it runs as another user (pid {process.pid}); stop it as that user"
        raise LocalPlatformError(message) from None
    if wait_gone([process], STOP_SECONDS):
        message = f"the supervisor (pid {process.pid}) did not stop within {STOP_SECONDS:.0f} s"
        raise LocalPlatformError(message)
