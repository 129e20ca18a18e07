"""A run that is killed at a moment that is told: `python -m runbooks.rehearsal.killed FILE`."""

import os
import signal
import sys
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel

from runbooks import procedures
from runbooks.engine.execution import Execution
from runbooks.engine.journal import Journal
from runbooks.engine.procedure import Step
from runbooks.engine.records import Record
from runbooks.engine.report import verdict_of
from runbooks.engine.target import Target
from runbooks.rehearsal.rehearsal import Confirming


class Moment(StrEnum):
    """When it is killed."""

    BEGUN = "killed as it begins"
    # What the step did has happened, and the journal knows nothing of it.
    WORKED = "killed before its record"


class Order(BaseModel):
    """What is run, and when it is killed.

    Attributes:
        inputs: as JSON, of the procedure's own class.
        journal: its folder.
    """

    procedure: str
    target: Target
    inputs: str
    journal: Path
    step: str
    moment: Moment


class Dying(Confirming):
    """An observer that ends its process as an operator's machine would that loses its power."""

    def __init__(self, order: Order) -> None:
        self._order = order

    def began(self, step: Step, number: int, total: int) -> None:  # noqa: ARG002  # the interface
        """A step begins."""
        self._die(step.name, Moment.BEGUN)

    def ended(self, record: Record) -> None:
        """A step ended, and its record is not written yet."""
        self._die(record.step, Moment.WORKED)

    def _die(self, step: str, moment: Moment) -> None:
        if (step, moment) == (self._order.step, self._order.moment):
            os.kill(os.getpid(), signal.SIGKILL)


def run(order: Order) -> int:
    """Run until the moment comes.

    Returns:
        The verdict, when it does not.
    """
    procedure = procedures.find(order.procedure)
    inputs = procedure.inputs.model_validate_json(order.inputs)
    ended = Execution(procedure, order.target, inputs, Journal(order.journal), Dying(order)).begin()
    if ended.message:
        print(ended.message, file=sys.stderr)  # noqa: T201  # for whoever reads the log
    return verdict_of(ended)


if __name__ == "__main__":
    sys.exit(run(Order.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))))
