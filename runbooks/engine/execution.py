"""Running a procedure: preconditions, then its steps through the journal, each within what it declares."""

import datetime as dt
import secrets
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self

from runbooks.engine.errors import DeclinedError, FailedError, RefusedError, RunbookError
from runbooks.engine.journal import Checkpoint, Document, Entry, Journal
from runbooks.engine.locks import instance_lock
from runbooks.engine.permissions import Permissions
from runbooks.engine.procedure import Change, Inputs, Procedure, Step, first_line_of
from runbooks.engine.records import DECLINED, DEFECT, REFUSED, UNDO, Ended, Record, State, records_of
from runbooks.engine.run import Listener, Measures, Run
from runbooks.engine.target import Target
from runbooks.engine.tools import Tools
from runtime.errors import HoldfastError, first_line

if TYPE_CHECKING:
    from runbooks.engine.findings import Finding


class Observer(Listener, Protocol):
    """Who is told what happens, and is asked before what destroys."""

    def began(self, step: Step, number: int, total: int) -> None:
        """A step begins."""

    def ended(self, record: Record) -> None:
        """A step ended."""

    def confirm(self, step: Step, instance: str) -> bool:
        """Whether the instance's name was typed."""


@dataclass
class Execution:
    """One procedure on one target, in one process."""

    procedure: Procedure
    target: Target
    inputs: Inputs
    journal: Journal
    observer: Observer

    def plan(self) -> list[tuple[Step, Change]]:
        """What each step would do. Only reads.

        Raises:
            RefusedError: a precondition does not hold.
            RunbookError: a step cannot be planned.
        """
        with _Opened(self, new_id(self.procedure), _now()) as opened:
            opened.check()
            try:
                return [(step, step.plan(opened.run)) for step in self.procedure.steps if step.wanted(opened.run)]
            except HoldfastError:
                raise
            except Exception as error:  # noqa: BLE001  # whatever it is, it is said in a line
                raise RunbookError(_explained(error)) from None

    def begin(self) -> Ended:
        """Run it from its first step.

        Raises:
            RunbookError: the journal cannot be written.
        """
        run_id, started_at = new_id(self.procedure), _now()
        document = {
            "procedure": self.procedure.name,
            "fingerprint": self.procedure.fingerprint,
            "inputs": self.inputs.model_dump(mode="json"),
            "target": self.target.model_dump(mode="json"),
            "started_at": started_at.isoformat(),
        }
        with _Opened(self, run_id, started_at) as opened:
            try:
                with self._only(run_id):
                    opened.check()
                    return opened.finish(self.journal.begin(run_id, document, opened.work))
            except RefusedError as error:
                return opened.refused(error)

    def resume(self, entry: Entry) -> Ended:
        """Go on with a run that was cut off or has failed. What is done is not done again.

        Raises:
            RefusedError: it is done already, was begun by a procedure that has other steps, somebody works on it, or
                another run changes the instance.
            RunbookError: the journal cannot be read or written.
        """
        with self._only(entry.id):
            # Read again: until now somebody else may have gone on with it.
            entry = self.journal.get(entry.id)
            if entry.document["fingerprint"] != self.procedure.fingerprint:
                message = (
                    f"run {entry.id} was begun by another version of {self.procedure.name}, whose steps were others; "
                    f"read what it did (holdfast runbook history {entry.id}) and begin anew"
                )
                raise RefusedError(message)
            if entry.outcome is not None and entry.outcome["state"] == State.DONE:
                message = f"run {entry.id} is done; there is nothing to resume"
                raise RefusedError(message)
            whole = [
                record
                for record in records_of(entry)
                if record.state is State.DONE and not record.step.startswith(UNDO)
            ]
            with _Opened(self, entry.id, dt.datetime.fromisoformat(entry.document["started_at"])) as opened:
                for record in whole:
                    opened.keep(record)
                try:
                    opened.check()
                except RefusedError as error:
                    return opened.refused(error, whole)
                return opened.finish(self.journal.resume(entry.id, opened.work, done=len(whole)))

    @contextmanager
    def _only(self, run_id: str) -> Iterator[None]:
        self.journal.make()
        with self.journal.alone(run_id):
            if not self.procedure.changes:
                yield
                return
            with instance_lock(self.target, run_id):
                yield


class _Opened:
    """An execution with its tools at hand."""

    def __init__(self, execution: Execution, run_id: str, started_at: dt.datetime) -> None:
        self._execution = execution
        self._permissions = Permissions()
        self._tools = Tools(execution.target, self._permissions)
        self.run = Run(run_id, started_at, inputs=execution.inputs, tools=self._tools, listener=execution.observer)
        self._preconditions: tuple[Finding, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tools.close()

    def check(self) -> None:
        """See that every precondition holds. One that cannot be told does not.

        Raises:
            RefusedError: one does not.
        """
        self._permissions.allow_nothing()
        try:
            for precondition in self._execution.procedure.preconditions:
                _held(precondition, self.run)
        finally:
            self._preconditions, self.run.findings = tuple(self.run.findings), []

    def keep(self, record: Record) -> None:
        """Let later steps know what a done step found out."""
        if record.kind is not None and record.output is not None:
            self.run.remember(record.kind, record.output)

    def work(self, checkpoint: Checkpoint) -> Document:
        """All steps, in order; what was done before is only read."""
        steps = self._execution.procedure.steps
        for number, step in enumerate(steps, 1):
            record = Record.model_validate(checkpoint(step.name, partial(self._do, step, number)))
            self.keep(record)
            if record.state is not State.DONE:
                undo = step.undo.get(record.code)
                if undo is not None:
                    checkpoint(UNDO + step.name, partial(self._undo, step, undo))
                return {"state": record.state.value}
        return {"state": State.DONE.value}

    def finish(self, outcome: Document) -> Ended:
        """The run as it ended."""
        execution = self._execution
        entry = execution.journal.get(self.run.id)
        records = [Record.model_validate(step) for step in entry.steps]
        failed = next((record for record in records if record.state is not State.DONE), None)
        self._permissions.allow_nothing()
        return self._ended(
            State(outcome["state"]),
            message=f"{failed.step}: {failed.message}" if failed else "",
            records=records,
            left_to_do=[] if failed else self._left_to_do(),
        )

    def _left_to_do(self) -> list[str]:
        try:
            return self._execution.procedure.after(self.run)
        except Exception as error:  # noqa: BLE001  # the work is done, and that has to be said
            return [f"what else is left cannot be told: {_explained(error)}"]

    def refused(self, error: RefusedError, records: Sequence[Record] = ()) -> Ended:
        """A run that did not begin, or does not go on."""
        return self._ended(State.REFUSED, message=str(error), records=records)

    def _ended(
        self, state: State, *, message: str, records: Sequence[Record] = (), left_to_do: Sequence[str] = ()
    ) -> Ended:
        execution = self._execution
        return Ended(
            run=self.run.id,
            procedure=execution.procedure.name,
            target=execution.target,
            inputs=execution.inputs.model_dump(mode="json"),
            state=state,
            started_at=self.run.started_at,
            ended_at=_now(),
            message=message,
            findings=self._preconditions,
            records=tuple(records),
            left_to_do=tuple(left_to_do),
        )

    def _do(self, step: Step, number: int) -> Document:
        observer, instance = self._execution.observer, self._execution.target.instance
        observer.began(step, number, len(self._execution.procedure.steps))

        def act() -> tuple[str, dict[str, Any]] | None:
            if not step.wanted(self.run):
                return None
            if step.destroys and not observer.confirm(step, instance):
                message = f"the name of the instance, {instance}, was not typed; nothing of this step was done"
                raise DeclinedError(message)
            self._permissions.allow(f"step {step.name} of {self._execution.procedure.name}", step.changes)
            output = step.do(self.run)
            return None if output is None else (type(output).__name__, output.model_dump(mode="json"))

        return self._recorded(step.name, act)

    def _undo(self, step: Step, undo: Callable[[Run], None]) -> Document:
        def act() -> None:
            self._permissions.allow(f"undoing {step.name}", step.changes)
            undo(self.run)

        return self._recorded(UNDO + step.name, act)

    def _recorded(self, name: str, act: Callable[[], tuple[str, dict[str, Any]] | None]) -> Document:
        """Act, and write down how it ended: what fails is a record too, so that the journal can go on after it."""
        started_at = _now()
        self.run.findings, self.run.measures = [], Measures()
        state, code, message, output = State.DONE, "", "", None
        try:
            output = act()
        except DeclinedError as error:
            state, code, message = State.DECLINED, DECLINED, str(error)
        except RefusedError as error:
            state, code, message = State.REFUSED, REFUSED, str(error)
        except FailedError as error:
            state, code, message = State.FAILED, error.code, str(error)
        except HoldfastError as error:
            state, code, message = State.FAILED, type(error).__name__, str(error)
        except Exception as error:  # noqa: BLE001  # whatever it is, the run has to end and say so
            state, code, message = State.FAILED, DEFECT, _explained(error)
        finally:
            self._permissions.allow_nothing()
        record = Record(
            step=name,
            state=state,
            started_at=started_at,
            ended_at=_now(),
            kind=output[0] if output else None,
            output=output[1] if output else None,
            findings=tuple(self.run.findings),
            measures=self.run.measures,
            code=code,
            message=message,
        )
        self._execution.observer.ended(record)
        return record.model_dump(mode="json")


def new_id(procedure: Procedure) -> str:
    """A new run's name: what, when, and four letters."""
    return f"{procedure.name}-{_now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _held(precondition: Callable[[Run], None], run: Run) -> None:
    try:
        precondition(run)
    except RefusedError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, nothing is changed then
        message = f"{first_line_of(precondition)}: that cannot be told: {_explained(error)}"
        raise RefusedError(message) from None


def _explained(error: Exception) -> str:
    """An error in a line; of one that nobody foresaw, its place is shown too.

    The first line only: those after it may show a statement, and secrets in it.
    """
    if isinstance(error, HoldfastError):
        return str(error)
    print("".join(traceback.format_tb(error.__traceback__)), file=sys.stderr)  # noqa: T201  # for who mends it
    return f"a defect of the procedure: {type(error).__name__}: {first_line(error)}"
