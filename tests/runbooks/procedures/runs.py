"""Runs of a procedure on a stage: in this process, or in one of its own that is killed."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from runbooks.engine.execution import Execution
from runbooks.engine.journal import Entry, Journal
from runbooks.engine.procedure import Inputs, Procedure
from runbooks.engine.records import Ended
from runbooks.engine.target import Target
from runbooks.rehearsal.rehearsal import Confirming
from runbooks.rehearsal.stage import Stage
from tests.running import PROGRAMS, clean_environment
from tests.waiting import wait_until

DEADLINE = 60.0


@dataclass(frozen=True)
class Runs:
    """A procedure on a stage."""

    procedure: Procedure
    stage: Stage

    @property
    def journal(self) -> Journal:
        return Journal(self.stage.folder / "journal")

    def execution(self, inputs: Inputs, **of_target: object) -> Execution:
        target = Target.model_validate(self.stage.target.model_dump() | of_target)
        return Execution(self.procedure, target, inputs, self.journal, Confirming())

    def begin(self, inputs: Inputs, **of_target: object) -> Ended:
        return self.execution(inputs, **of_target).begin()

    def plan(self, inputs: Inputs, **of_target: object) -> dict[str, str]:
        """What a dry run says would be, by the steps' names."""
        return {step.name: change.after for step, change in self.execution(inputs, **of_target).plan()}

    @property
    def newest(self) -> Entry:
        return self.journal.entries()[0]

    def resume(self) -> Ended:
        """Go on with the newest run, as `holdfast runbook resume` does."""
        entry = self.newest
        inputs = self.procedure.inputs.model_validate(entry.document["inputs"])
        target = Target.model_validate(entry.document["target"])
        return Execution(self.procedure, target, inputs, self.journal, Confirming()).resume(entry)

    def kill(self, *fields: str, when: Callable[[], object]) -> None:
        """Begin in a process of its own, which is killed as soon as something holds."""
        path = self.stage.folder / "target.json"
        path.write_text(self.stage.target.model_dump_json())
        given = ["--target", path, "--state", self.journal.folder, "--confirm", self.stage.target.instance]
        process = subprocess.Popen(
            [PROGRAMS / "holdfast", "runbook", "run", self.procedure.name, *fields, *given],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            wait_until(lambda: when() or process.poll() is not None)
        finally:
            process.kill()
        said, _ = process.communicate(timeout=DEADLINE)
        assert process.returncode < 0, said

    def written(self) -> str:
        """All that the journal has."""
        return "".join(path.read_text(errors="ignore") for path in self.journal.folder.rglob("*") if path.is_file())


def faults(stage: Stage) -> list[str]:
    """Those in force."""
    answer: dict[str, Any] = httpx.get(f"{stage.endpoints['sql']}/sandbox/faults", trust_env=False).json()
    return [str(fault) for fault in answer["faults"]]


def changes(stage: Stage) -> list[str]:
    """All operations that were ever begun, and the versions of all secrets: the same when nothing was changed."""
    target = stage.target
    named = (target.operator.secret, *(one.secret for one in (*target.logins, *target.services)))
    versions = [version for secret in named for version in stage.tools.secrets.versions(secret)]
    return versions + [operation.name for operation in stage.tools.admin.operations.list()]
