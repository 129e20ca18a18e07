"""A run as its steps see it."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from runbooks.engine.errors import FailedError, RefusedError
from runbooks.engine.findings import Finding, Result
from runbooks.engine.procedure import Inputs, Output
from runbooks.engine.tools import Tools
from runtime.cloudsql.errors import OperationFailedError
from runtime.cloudsql.models import Instance, Operation

I = TypeVar("I", bound=Inputs)  # noqa: E741  # inputs
O = TypeVar("O", bound=Output)  # noqa: E741  # an output


class Listener(Protocol):
    """Who is told what happens."""

    def progress(self, text: str) -> None:
        """How far the step is."""

    def finding(self, finding: Finding) -> None:
        """A test was made."""


class Measures(BaseModel):
    """What recovery took, in seconds; None where it was not measured."""

    rto_seconds: float | None = None
    rpo_seconds: float | None = None


class Run:
    """One run of a procedure.

    Attributes:
        id: its name, which it gives to what it makes.
        started_at: when it was begun; a resume does not change it.
        target: where.
        tools: the services and the database, which do only what the step declares.
        findings: those of the step that runs.
        measures: those of the step that runs.
    """

    def __init__(
        self, run_id: str, started_at: dt.datetime, *, inputs: Inputs, tools: Tools, listener: Listener
    ) -> None:
        self.id = run_id
        self.started_at = started_at
        self.target = tools.target
        self.tools = tools
        self.findings: list[Finding] = []
        self.measures = Measures()
        self._inputs = inputs
        self._listener = listener
        self._outputs: dict[str, Mapping[str, Any]] = {}

    @property
    def short_id(self) -> str:
        """The part of its name that goes into the names of what it makes."""
        return self.id.rpartition("-")[2]

    def inputs(self, model: type[I]) -> I:
        """What was asked."""
        assert isinstance(self._inputs, model)  # noqa: S101  # the procedure's own class
        return self._inputs

    def output(self, model: type[O]) -> O:
        """What an earlier step found out, by the class of its output.

        Raises:
            FailedError: STEP_MISSING, no step that is done gave one.
        """
        found = self.done(model)
        if found is None:
            code = "STEP_MISSING"
            message = f"no step that is done gave a {model.__name__}"
            raise FailedError(code, message)
        return found

    def done(self, model: type[O]) -> O | None:
        """What an earlier step found out, if it is done."""
        document = self._outputs.get(model.__name__)
        return None if document is None else model.model_validate(document)

    def remember(self, kind: str, document: Mapping[str, Any]) -> None:
        """Keep a done step's output for the later ones."""
        self._outputs[kind] = document

    def progress(self, text: str) -> None:
        """Tell how far the step is."""
        self._listener.progress(text)

    def find(self, test: str, result: Result, found: str, action: str = "") -> None:
        """Note a test."""
        finding = Finding(test=test, result=result, found=found, action=action)
        self.findings.append(finding)
        self._listener.finding(finding)

    def require(self, test: str, found: str, action: str, *, holds: bool) -> None:
        """Note a test on which everything depends.

        Raises:
            RefusedError: it does not hold.
        """
        self.find(test, Result.OK if holds else Result.FAULT, found, "" if holds else action)
        if not holds:
            message = f"{test}: no, {found}; {action}"
            raise RefusedError(message)

    def instance(self, name: str | None = None) -> Instance:
        """An instance as it is now; by default the target's."""
        return self.tools.admin.instances.get(name or self.target.instance)

    def wait(self, operation: Operation) -> Operation:
        """Wait until an operation has ended well, and tell how far it is.

        Raises:
            FailedError: it ended in error; the code is Google's.
        """

        def tell(seen: Operation) -> None:
            self.progress(f"{seen.operation_type} of {seen.target_id}: {seen.status}")

        try:
            return self.tools.admin.wait(operation, progress=tell)
        except OperationFailedError as error:
            raise FailedError(error.reason or "OPERATION_FAILED", str(error)) from None

    def measured(self, *, rto_seconds: float | None = None, rpo_seconds: float | None = None) -> None:
        """Note what recovery took."""
        self.measures = Measures(rto_seconds=rto_seconds, rpo_seconds=rpo_seconds)
