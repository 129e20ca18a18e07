"""What is kept of a run: a record a step in the journal, and how the whole ended."""

import datetime as dt
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from runbooks.engine.errors import RefusedError
from runbooks.engine.findings import Finding
from runbooks.engine.journal import Entry
from runbooks.engine.run import Measures
from runbooks.engine.target import Target

UNDO = "undo "
DEFECT = "DEFECT"
REFUSED = "REFUSED"
DECLINED = "DECLINED"


class State(StrEnum):
    """How a step, or a run, ended."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    DECLINED = "declined"


class Record(BaseModel):
    """What the journal has of a step that ended.

    Attributes:
        step: its name.
        state: how it ended.
        kind: the class of its output, and `output` its fields.
        code: of a failure that is known.
        message: why it did not do it.
    """

    model_config = ConfigDict(frozen=True)

    step: str
    state: State
    started_at: dt.datetime
    ended_at: dt.datetime
    kind: str | None = None
    output: dict[str, Any] | None = None
    findings: tuple[Finding, ...] = ()
    measures: Measures = Measures()
    code: str = ""
    message: str = ""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.ended_at - self.started_at).total_seconds()


class Ended(BaseModel):
    """A run that ended, or was refused."""

    model_config = ConfigDict(frozen=True)

    run: str
    procedure: str
    target: Target
    inputs: dict[str, Any]
    state: State
    started_at: dt.datetime
    ended_at: dt.datetime
    message: str = ""
    # Of the preconditions; the steps have their own.
    findings: tuple[Finding, ...] = ()
    records: tuple[Record, ...] = ()
    left_to_do: tuple[str, ...] = ()


def records_of(entry: Entry) -> list[Record]:
    """What the journal has of a run's steps.

    Raises:
        RefusedError: another version wrote it.
    """
    try:
        return [Record.model_validate(step) for step in entry.steps]
    except ValidationError:
        message = f"run {entry.id} is in the form of another version; begin anew"
        raise RefusedError(message) from None
