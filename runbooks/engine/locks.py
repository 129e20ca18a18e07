"""Who works on what: on a run one process, on an instance one run that changes something."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runbooks.engine.errors import RefusedError, RunbookError
from runbooks.engine.target import Target
from runbooks.local.lock import LockHeldError, hold, holder, sign


@contextmanager
def run_lock(folder: Path, run_id: str) -> Iterator[None]:
    """Work on a run, which nobody else does then.

    Args:
        folder: of the journal.
        run_id: which.

    Raises:
        RefusedError: another process works on it.
    """
    path = _of_run(folder, run_id)
    try:
        with hold(_made(path)) as file:
            sign(file)
            yield
    except LockHeldError:
        message = f"another process works on run {run_id}; wait until it has ended"
        raise RefusedError(message) from None


def is_worked_on(folder: Path, run_id: str) -> bool:
    """Whether a process works on a run now. Looking takes no lock, so it disturbs nobody."""
    return holder(_of_run(folder, run_id)) is not None


@contextmanager
def instance_lock(target: Target, run_id: str) -> Iterator[None]:
    """Change a target's instance, which no other run of this user on this machine does then, whatever its journal.

    Raises:
        RefusedError: another run does; names it.
    """
    # The project and the name alone would hold two sandboxes for one.
    place = f"{target.endpoints.sql or 'google'} {target.project} {target.instance}"
    digest = hashlib.sha256(place.encode()).hexdigest()[:8]
    path = Path(tempfile.gettempdir()) / f"holdfast-{os.getuid()}" / f"{target.project}.{target.instance}.{digest}.lock"
    try:
        with hold(_made(path)) as file:
            file.write(run_id)
            file.flush()
            yield
    except LockHeldError:
        message = (
            f"run {path.read_text() or 'that has just begun'} works on instance {target.instance}; "
            "wait until it has ended: two at once would undo each other's work"
        )
        raise RefusedError(message) from None


def _of_run(folder: Path, run_id: str) -> Path:
    return folder / "runs" / f"{run_id}.lock"


def _made(path: Path) -> Path:
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if path.parent.stat().st_uid != os.getuid():
            message = f"{path.parent} belongs to somebody else; remove it"
            raise RunbookError(message)
        path.touch(mode=0o600)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise RunbookError(message) from None
    return path
