"""An environment in a sandbox that stays in the foreground, for `holdfast runbook … --sandbox`."""

import signal
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx

from runbooks.console.choice import SANDBOX
from runbooks.engine.errors import RunbookError
from runbooks.engine.target import Target, load
from runbooks.local.files import write_private
from runbooks.local.signals import StopRequested, stop_requests
from runbooks.rehearsal.environment import build
from runbooks.sandbox.testing import sandbox

ANSWER_SECONDS = 5.0


def serve(tell: Callable[[str], None]) -> None:
    """Serve until a signal asks to stop. Everything goes with it.

    Args:
        tell: is given lines for people.

    Raises:
        RunbookError: one is served already from this folder.
    """
    if _answers(SANDBOX):
        message = f"an environment is served already: {SANDBOX}; stop it with Ctrl-C where it runs"
        raise RunbookError(message)
    # A signal ends all of it at whatever point it is, and is no error.
    with suppress(StopRequested), stop_requests(), tempfile.TemporaryDirectory(prefix="holdfast-served-") as folder:
        try:
            with sandbox(state=Path(folder) / "state") as cloud:
                tell("building an environment")
                target = build(cloud.endpoints).target
                _announce(target, tell)
                signal.pause()
        finally:
            SANDBOX.unlink(missing_ok=True)


def _announce(target: Target, tell: Callable[[str], None]) -> None:
    SANDBOX.parent.mkdir(mode=0o700, exist_ok=True)
    write_private(SANDBOX, target.model_dump_json(indent=2) + "\n")
    tell(f"instance {target.instance} of project {target.project} serves; its target is {SANDBOX}")
    tell("try: holdfast runbook run backup-now --sandbox")
    tell("It runs until Ctrl-C.")


def _answers(path: Path) -> bool:
    # What a killed one left answers no more.
    if not path.exists():
        return False
    try:
        return httpx.get(f"{load(path).endpoints.sql}/sandbox", timeout=ANSWER_SECONDS, trust_env=False).is_success
    except (httpx.HTTPError, httpx.InvalidURL, RunbookError):
        return False
