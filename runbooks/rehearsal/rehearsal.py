"""One procedure rehearsed: the day on which it is needed, the procedure, and a look at the data."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from runbooks.engine import report
from runbooks.engine.execution import Execution
from runbooks.engine.findings import Finding
from runbooks.engine.journal import Journal
from runbooks.engine.procedure import Inputs, Procedure, Step
from runbooks.engine.records import Ended, Record
from runbooks.engine.report import Verdict
from runbooks.rehearsal.environment import Environment
from runbooks.rehearsal.stage import RehearsalError, Stage, stage

PASSED, FAILED = "passed", "failed"


@dataclass(frozen=True)
class Rehearsal:
    """How a procedure is rehearsed.

    Attributes:
        procedure: which.
        prepare: makes the day on which it is needed, and says what is asked of the procedure.
        check: looks whether all is as promised, and raises `RehearsalError` by `Stage.expect`.
        verdict: what it has to end with.
    """

    procedure: Procedure
    prepare: Callable[[Stage], Inputs]
    check: Callable[[Stage, Ended], None]
    verdict: Verdict = Verdict.DONE


@dataclass(frozen=True)
class Row:
    """How one went.

    Attributes:
        verdict: `PASSED` or `FAILED`.
        duration_s: of the procedure alone.
        message: why it failed.
    """

    name: str
    verdict: str
    duration_s: float
    rto_s: float | None
    rpo_s: float | None
    message: str = ""

    def document(self) -> dict[str, object]:
        """As programs read it."""
        return asdict(self)


class Confirming:
    """Nobody is at a rehearsal: it hears nothing, and says yes."""

    def began(self, step: Step, number: int, total: int) -> None:
        """A step begins."""

    def progress(self, text: str) -> None:
        """How far the step is."""

    def finding(self, finding: Finding) -> None:
        """A test was made."""

    def ended(self, record: Record) -> None:
        """A step ended."""

    def confirm(self, step: Step, instance: str) -> bool:  # noqa: ARG002  # the interface
        """Yes."""
        return True


def rehearse(rehearsal: Rehearsal, folder: Path, state: Path, environment: Environment) -> Row:
    """Rehearse a procedure on a copy of an environment at rest.

    Args:
        rehearsal: which.
        folder: empty, for everything.
        state: the environment's state folder, which is only read.
        environment: what is in it.
    """
    with stage(folder, state, environment) as made:
        inputs = rehearsal.prepare(made)
        execution = Execution(rehearsal.procedure, made.target, inputs, Journal(folder / "journal"), Confirming())
        began = time.monotonic()
        ended = execution.begin()
        seconds = time.monotonic() - began
        verdict = report.document(ended)
        message = judged(rehearsal, made, ended)
    return Row(
        name=rehearsal.procedure.name,
        verdict=FAILED if message else PASSED,
        duration_s=round(seconds, 2),
        rto_s=verdict["rto_s"],
        rpo_s=verdict["rpo_s"],
        message=message,
    )


def judged(rehearsal: Rehearsal, made: Stage, ended: Ended, *, disturbed: bool = False) -> str:
    """Why a run was not as it should be; empty when it was.

    Args:
        rehearsal: of what.
        made: where.
        ended: how it ended.
        disturbed: it was cut off, or a call failed: it may end incomplete, when it says so.
    """
    verdict = report.verdict_of(ended)
    if verdict is not rehearsal.verdict and not (disturbed and verdict is Verdict.INCOMPLETE):
        wrong = "; ".join(f"{one.test}: {one.found}" for one in report.open_findings(ended))
        return f"ended {verdict.name.lower()}, not {rehearsal.verdict.name.lower()}: {ended.message or wrong}"
    try:
        rehearsal.check(made, ended)
    except RehearsalError as error:
        return str(error)
    return ""
