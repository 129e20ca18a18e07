"""One supervisor on a state folder at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from runbooks.local.processes import Identity


class LockHeldError(Exception):
    """Another process holds the lock."""


@contextmanager
def hold(path: Path) -> Iterator[TextIO]:
    """Hold the lock, whose file is empty at first. It ends with the process, however that ends.

    Raises:
        LockHeldError: another process holds it.
    """
    with path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LockHeldError from None
        try:
            file.truncate()
            yield file
        finally:
            file.seek(0)
            file.truncate()


def sign(file: TextIO) -> None:
    """Write into the held lock that this process is the supervisor."""
    file.write(Identity.of(os.getpid()).model_dump_json())
    file.flush()


def holder(path: Path) -> Identity | None:
    """The supervisor that holds the lock, seen to run. Reading does not take the lock, so it disturbs nobody."""
    try:
        identity = Identity.model_validate_json(path.read_text())
    except (OSError, ValueError):
        return None
    return identity if identity.find() else None
