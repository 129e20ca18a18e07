"""Where a rehearsal plays: a fresh sandbox with the environment in it."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy.engine import make_url

from runbooks.engine.errors import RunbookError
from runbooks.engine.permissions import KNOWN, Permissions
from runbooks.engine.target import Endpoints, Target
from runbooks.engine.tools import Tools
from runbooks.rehearsal.environment import Environment, build
from runbooks.sandbox.testing import sandbox
from runtime.db.engine import SOCKETS

SECONDS = 60.0
# Linux's files in memory. An environment takes 155 MB, and a rehearsal makes instances beside it.
MEMORY = Path("/dev/shm")  # noqa: S108  # what is made in it has a name that nobody can guess
MEMORY_BYTES = 3_000_000_000


class RehearsalError(RunbookError):
    """Something is not as the procedure promises."""


@dataclass(frozen=True)
class Stage:
    """A sandbox with an environment, for what a rehearsal does before the procedure, beside it and after it.

    Attributes:
        environment: what was built.
        endpoints: the sandbox's.
        tools: with every permission: it is the stage's own hand, not the procedure's.
        folder: for the journal and whatever else.
    """

    environment: Environment
    endpoints: Mapping[str, str]
    tools: Tools
    folder: Path
    _ends: ExitStack = field(default_factory=ExitStack)

    def at_end(self, end: Callable[[], object]) -> None:
        """End something when the stage ends, however the rehearsal went: a thread that writes beside it."""
        self._ends.callback(end)

    @property
    def target(self) -> Target:
        """The procedure's target."""
        return self.environment.target

    def of_application(self, text: SecretStr) -> dict[str, Any]:
        """How an application connects by its URL, in psycopg2's words; from any thread."""
        url = make_url(text.get_secret_value())
        host = url.query.get("host")
        if not isinstance(host, str) or not host.startswith(SOCKETS):
            return {"dsn": url.render_as_string(hide_password=False)}
        # It has the connector with it, and so has this.
        place = self.tools.by_connector(host.removeprefix(SOCKETS))
        return {**place, "user": url.username, "password": url.password, "dbname": url.database}

    def query(self, statement: str, *parameters: object, instance: str | None = None) -> list[tuple[Any, ...]]:
        """Run a statement as the operator's login; by default on the target's instance."""
        return self.tools.query(statement, *parameters, instance=instance)

    def fault(self, fault: str) -> None:
        """Let calls fail, as `holdfast sandbox --fault` does."""
        self._post("/sandbox/faults", {"fault": fault})

    def faults(self) -> list[str]:
        """Those that are still in force."""
        answer = httpx.get(f"{self.endpoints['sql']}/sandbox/faults", timeout=SECONDS, trust_env=False)
        found: list[str] = answer.raise_for_status().json()["faults"]
        return found

    def clear_faults(self) -> None:
        """Take all away."""
        httpx.delete(f"{self.endpoints['sql']}/sandbox/faults", timeout=SECONDS, trust_env=False).raise_for_status()

    def accident(self, **what: object) -> None:
        """Let an accident happen to the target's instance."""
        self._post(f"/sandbox/instances/{self.target.project}/{self.target.instance}/accidents", what)

    def expect(self, what: str, *, holds: bool, found: object = "") -> None:
        """See that something is as promised.

        Raises:
            RehearsalError: it is not.
        """
        if not holds:
            message = f"{what}: no{f', {found}' if found != '' else ''}"
            raise RehearsalError(message)

    def _post(self, path: str, body: Mapping[str, object]) -> None:
        answer = httpx.post(f"{self.endpoints['sql']}{path}", json=body, timeout=SECONDS, trust_env=False)
        if answer.is_error:
            message = f"the sandbox refuses {body}: {answer.text}"
            raise RehearsalError(message)


@contextmanager
def base(*, by_connector: bool = False) -> Iterator[tuple[Path, Environment]]:
    """An environment at rest, to be copied for each rehearsal: a state folder and what is in it.

    Args:
        by_connector: whether its instance lets in connectors only.
    """
    with roomy() as folder:
        state = folder / "state"
        with sandbox(state=state) as cloud:
            environment = build(cloud.endpoints, by_connector=by_connector)
        yield state, environment


@contextmanager
def stage(folder: Path, state: Path, environment: Environment) -> Iterator[Stage]:
    """A sandbox on a copy of an environment at rest.

    Args:
        folder: the stage's own, for the journal and whatever else; the sandbox is elsewhere.
        state: the environment's state folder, which is only read.
        environment: what is in it.
    """
    with roomy() as place:
        own = place / "state"
        shutil.copytree(state, own, symlinks=True)
        with sandbox(state=own) as cloud:
            target = environment.target.model_copy(update={"endpoints": Endpoints.of_sandbox(cloud.endpoints)})
            permissions = Permissions()
            permissions.allow("the rehearsal", KNOWN)
            tools = Tools(target, permissions)
            made = Stage(Environment(target, environment.settings), cloud.endpoints, tools, folder)
            made.at_end(tools.close)
            with made._ends:  # noqa: SLF001  # its own
                yield made


@contextmanager
def roomy() -> Iterator[Path]:
    """A folder for a sandbox's data, until the block ends: in memory where there is room, which is ten times faster."""
    in_memory = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_BYTES
    with tempfile.TemporaryDirectory(prefix="holdfast-", dir=MEMORY if in_memory else None) as text:
        yield Path(text)
