"""The platform that the demonstration runs on: a given one, the one that runs in this folder, or one just for it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dotenv import dotenv_values

from runbooks.demo.errors import DemoError
from runbooks.local.credentials import load
from runbooks.local.environment import runtime_settings
from runbooks.local.folder import StateFolder
from runbooks.local.ports import free_port
from runbooks.local.record import read_record
from runbooks.local.status import status
from runbooks.local.stop import stop
from runtime.settings import ApiSettings

# A first start makes a database.
START_SECONDS = 90.0


@dataclass(frozen=True)
class Target:
    """Where the API is, and a key. Settings only of a platform whose database is ours to make keys in."""

    url: str
    key: str = field(repr=False)
    settings: ApiSettings | None = field(default=None, repr=False)


@contextmanager
def local_platform(folder: StateFolder) -> Iterator[Target]:
    """The platform in the folder; one that does not run is started, and stopped afterwards.

    Raises:
        DemoError: it does not start, or it runs and does not answer.
    """
    found = status(folder)
    if found.running and not found.is_healthy:
        message = f"the platform in {folder.path} runs but does not answer yet, or no more; see: holdfast status"
        raise DemoError(message)
    if found.running:
        yield _target(folder)
        return
    _start(folder)
    try:
        yield _target(folder)
    finally:
        stop(folder)


def _start(folder: StateFolder) -> None:
    # The same command that a user types; its port is nobody else's business.
    command = [sys.executable, "-P", "-m", "runbooks.local", "up", "--detach", "--json"]
    with subprocess.Popen(
        [*command, "--port", str(free_port()), "--state", str(folder.path)],
        stdin=subprocess.DEVNULL,
        # Nobody needs the answer, which has a key: it is in the folder too.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as starting:
        try:
            _, errors = starting.communicate(timeout=START_SECONDS)
        except BaseException as error:
            # On Ctrl-C it ends what it has begun.
            starting.send_signal(signal.SIGINT)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            message = f"no platform runs here, and none starts within {START_SECONDS:.0f} s; see: holdfast doctor"
            raise DemoError(message) from None
    if starting.returncode:
        said = errors.strip().splitlines() or ["it said nothing"]
        message = f"no platform runs here, and none starts: {said[-1].removeprefix('holdfast: ')}"
        raise DemoError(message)


def _target(folder: StateFolder) -> Target:
    record, key = read_record(folder), load(folder).api_key
    if record is None or key is None:
        message = f"the platform in {folder.path} is just stopping; try again"
        raise DemoError(message)
    values = {name: value for name, value in dotenv_values(folder.env, interpolate=False).items() if value is not None}
    return Target(record.api.url, key, runtime_settings(values))
