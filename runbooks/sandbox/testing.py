"""A sandbox for anybody's tests: `with sandbox() as cloud`."""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import httpx
from pydantic import SecretStr

from runbooks.local.child import Child
from runbooks.local.files import read_from
from runbooks.sandbox.fence import fenced
from runtime.cloudsql.client import CloudSqlAdmin, credentials_for

PITR = {"backupConfiguration": {"enabled": True, "pointInTimeRecoveryEnabled": True}}


@dataclass(frozen=True)
class Sandbox:
    """One that serves.

    Attributes:
        endpoints: where each service is, by its name, as `holdfast sandbox --json` says: `sql`, `secretmanager`, …
    """

    endpoints: Mapping[str, str]

    def __getitem__(self, service: str) -> str:
        """Where a service is."""
        return self.endpoints[service]

    def admin(self, project: str = "p") -> CloudSqlAdmin:
        """The platform's client of a project's Cloud SQL."""
        url = self["sql"]
        return CloudSqlAdmin(project, credentials=credentials_for(url), endpoint=url)

    def instance(
        self, name: str, *, password: str, version: str = "POSTGRES_18", project: str = "p"
    ) -> dict[str, str | int]:
        """Make an instance that can be recovered to any moment.

        Args:
            name: free in the project.
            password: of the user `postgres`.
            version: `POSTGRES_18` or `POSTGRES_16`.
            project: any; none has to be made.

        Returns:
            `host` and `port`, once it takes connections.

        Raises:
            CloudSqlError: it could not be made.
        """
        with self.admin(project) as admin:
            inserting = admin.instances.insert(
                name,
                database_version=version,
                region="us-central1",
                tier="db-f1-micro",
                edition="ENTERPRISE",
                deletion_protection=False,
                settings=PITR,
                root_password=SecretStr(password),
            )
            admin.wait(inserting)
            for following in admin.operations.list(name):
                # Its first backup, before which no moment can be recovered to.
                admin.wait(following)
        return self.address(name, project=project)

    def address(self, name: str, *, project: str = "p") -> dict[str, str | int]:
        """An instance's `host` and `port`, which Google's API has no field for.

        Raises:
            KeyError: there is no such instance.
        """
        # The shell's proxy is not for this machine.
        answer = httpx.get(f"{self['sql']}/sandbox/instances", trust_env=False).raise_for_status()
        for place in answer.json()["instances"]:
            if (place["project"], place["instance"]) == (project, name):
                return {"host": place["host"], "port": place["port"]}
        raise KeyError(name)


@contextmanager
def sandbox(*faults: str, state: Path | None = None) -> Iterator[Sandbox]:
    """The real `holdfast sandbox` as a child process on ports that are free, until the block ends.

    Args:
        faults: as `--fault` has them: `operations.get:503x3`.
        state: where its state is, and stays; by default in a temporary folder that goes with it.

    Raises:
        LocalPlatformError: it does not start; the message has its last words.
    """
    with tempfile.TemporaryDirectory(prefix="holdfast-sandbox-") as folder:
        process = _Process(Path(folder) / "log")
        try:
            process.start((state or Path(folder) / "state").absolute(), faults)
            process.wait_ready()
            yield Sandbox(process.endpoints())
        finally:
            process.stop()


class _Process(Child):
    name = "the sandbox"
    # It stops every server that it has.
    stopping: ClassVar = ((signal.SIGTERM, 60.0),)

    def start(self, state: Path, faults: tuple[str, ...]) -> None:
        """Start serving."""
        given = [word for fault in faults for word in ("--fault", fault)]
        command = [sys.executable, "-P", "-m", "runbooks.sandbox", "--port", "0", "--state", str(state), "--json"]
        self.spawn([*command, *given], environment=fenced(os.environ))

    def is_ready(self) -> bool:
        """Whether it has said where it is."""
        return bool(self.endpoints())

    def endpoints(self) -> dict[str, str]:
        """What its one line says."""
        for line in read_from(self.log, self._log_start):
            if line.startswith("{"):
                said: dict[str, Any] = json.loads(line)
                return {name: str(value) for name, value in said.items()}
        return {}
