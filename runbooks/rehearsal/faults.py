"""Each step of each procedure killed and each call failed, then resumed: `python -m runbooks.rehearsal.faults`."""

import multiprocessing
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from runbooks.engine.errors import UndeclaredCallError
from runbooks.engine.execution import Execution
from runbooks.engine.journal import Journal
from runbooks.engine.permissions import ADMIN_API
from runbooks.engine.procedure import Inputs
from runbooks.engine.records import DEFECT, UNDO, Ended, State
from runbooks.local.environment import forget_libpq_variables
from runbooks.local.files import write_private
from runbooks.rehearsal.environment import Environment
from runbooks.rehearsal.killed import Moment, Order
from runbooks.rehearsal.rehearsal import Confirming, Rehearsal, judged
from runbooks.rehearsal.scenarios import REHEARSALS, find
from runbooks.rehearsal.stage import Stage, base, stage
from runbooks.sandbox.sql.methods import METHODS
from runtime.errors import HoldfastError

CHILD_SECONDS = 300.0
# Of the table where there is no terminal.
WIDTH = 160
ASYNCHRONOUS = frozenset(method.name for method in METHODS if method.begins_operation)
# By the names that steps declare, where the API's is another.
METHOD = {"throwaway.delete": "instances.delete"}

Names = Annotated[list[str] | None, typer.Argument(help="The procedures; by default all.")]
Parallel = Annotated[int, typer.Option(min=1, help="How many cases at once.")]


class Failure(StrEnum):
    """How a call fails."""

    # Sent again, it passes.
    AWAY = "answers 503 once"
    OPERATION = "ends in error once"


class Verdict(StrEnum):
    """How a case went."""

    PASSED = "passed"
    FAILED = "failed"
    # The scenario does not come to that step, or the step does not need that call.
    NOT_MET = "not met"


@dataclass(frozen=True)
class Case:
    """One thing that goes wrong.

    Attributes:
        call: the method of the Admin API that fails; None when the process is killed.
    """

    procedure: str
    step: str
    what: Moment | Failure
    call: str | None = None

    def __str__(self) -> str:
        return f"{self.procedure}, {self.step}: {f'{self.call} ' if self.call else ''}{self.what}"


@dataclass(frozen=True)
class Outcome:
    """How it went."""

    case: Case
    verdict: Verdict
    seconds: float
    message: str = ""


def cases(rehearsal: Rehearsal) -> Iterator[Case]:
    """Everything that is let go wrong in a rehearsal."""
    name = rehearsal.procedure.name
    for step in rehearsal.procedure.steps:
        for moment in Moment:
            yield Case(name, step.name, moment)
        for call in dict.fromkeys(METHOD.get(change, change) for change in step.changes):
            if call in ADMIN_API:
                yield Case(name, step.name, Failure.AWAY, call)
            if call in ADMIN_API & ASYNCHRONOUS:
                yield Case(name, step.name, Failure.OPERATION, call)


def play(case: Case, folder: Path, state: Path, environment: Environment) -> Outcome:
    """Let it go wrong on a copy of an environment at rest.

    Args:
        case: what.
        folder: empty, for everything; removed at the end.
        state: the environment's state folder, which is only read.
        environment: what is in it.
    """
    began = time.monotonic()
    try:
        with stage(folder, state, environment) as made:
            verdict, message = _played(case, made)
    except (HoldfastError, OSError, subprocess.TimeoutExpired) as error:
        verdict, message = Verdict.FAILED, f"{type(error).__name__}: {error}"
    shutil.rmtree(folder)
    return Outcome(case, verdict, round(time.monotonic() - began, 1), message)


def _played(case: Case, made: Stage) -> tuple[Verdict, str]:
    rehearsal = find(case.procedure)
    inputs = rehearsal.prepare(made)
    if isinstance(case.what, Moment):
        return _killed(case, case.what, rehearsal, made, inputs)
    return _failing(case, rehearsal, made, inputs)


def _killed(case: Case, moment: Moment, rehearsal: Rehearsal, made: Stage, inputs: Inputs) -> tuple[Verdict, str]:
    order = Order(
        procedure=case.procedure,
        target=made.target,
        inputs=inputs.model_dump_json(),
        journal=made.folder / "journal",
        step=case.step,
        moment=moment,
    )
    path, log = made.folder / "order.json", made.folder / "killed.log"
    write_private(path, order.model_dump_json())
    command = [sys.executable, "-P", "-m", "runbooks.rehearsal.killed", str(path)]
    with log.open("wb") as said:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=CHILD_SECONDS, check=False
        )
    if done.returncode == rehearsal.verdict:
        return Verdict.NOT_MET, ""
    if done.returncode != -signal.SIGKILL:
        return Verdict.FAILED, f"ended with {done.returncode}: {log.read_text()[-300:]}"
    return _judged(rehearsal, made, _resumed(rehearsal, made, inputs), disturbed=True)


def _failing(case: Case, rehearsal: Rehearsal, made: Stage, inputs: Inputs) -> tuple[Verdict, str]:
    made.fault(f"{case.call}:{'503' if case.what is Failure.AWAY else 'error'}x1")
    ended = _execution(rehearsal, made, inputs).begin()
    met = not made.faults()
    made.clear_faults()
    defects = [one.message for one in ended.records if one.code in (DEFECT, UndeclaredCallError.__name__)]
    if defects:
        return Verdict.FAILED, defects[0]
    if case.what is Failure.OPERATION and ended.state is State.FAILED:
        undone = any(one.step.startswith(UNDO) and one.state is State.DONE for one in ended.records)
        verdict, message = _judged(rehearsal, made, _resumed(rehearsal, made, inputs), disturbed=True)
        return (Verdict.PASSED, "undone") if undone and message else (verdict, message)
    # Sent again, a call that was refused leaves nothing open; an operation that failed may.
    verdict, message = _judged(rehearsal, made, ended, disturbed=case.what is Failure.OPERATION)
    return (verdict, message) if met or message else (Verdict.NOT_MET, "")


def _judged(rehearsal: Rehearsal, made: Stage, ended: Ended, *, disturbed: bool = False) -> tuple[Verdict, str]:
    message = judged(rehearsal, made, ended, disturbed=disturbed)
    return (Verdict.FAILED if message else Verdict.PASSED), message


def _execution(rehearsal: Rehearsal, made: Stage, inputs: Inputs) -> Execution:
    return Execution(rehearsal.procedure, made.target, inputs, Journal(made.folder / "journal"), Confirming())


def _resumed(rehearsal: Rehearsal, made: Stage, inputs: Inputs) -> Ended:
    execution = _execution(rehearsal, made, inputs)
    return execution.resume(execution.journal.entries()[0])


_base: tuple[Path, Environment] | None = None


def _own_base() -> None:
    # Copies of one environment have one address, so two that run at once need two.
    global _base  # noqa: PLW0603  # one a process
    forget_libpq_variables()
    made = base()
    _base = made.__enter__()
    # A worker ends without the ends of its blocks.
    Finalize(None, made.__exit__, (None, None, None), exitpriority=1)


def _play(case: Case, folder: Path) -> Outcome:
    assert _base is not None  # noqa: S101  # the worker's first act
    folder.mkdir()
    return play(case, folder, *_base)


def play_all(chosen: Iterable[Case], folder: Path, *, parallel: int) -> Iterator[Outcome]:
    """Let each go wrong, some at once."""
    # A forked worker would have the locks of this one's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(parallel, context, _own_base) as pool:
        futures = [pool.submit(_play, case, folder / str(number)) for number, case in enumerate(chosen)]
        for future in as_completed(futures):
            yield future.result()


def main(names: Names = None, *, parallel: Parallel = 2) -> None:
    """Kill each step and fail each call of procedures, resume, and look at the data. Exit code 1 when one fails."""
    forget_libpq_variables()
    try:
        rehearsals = [find(name) for name in names] if names else REHEARSALS
    except HoldfastError as error:
        typer.echo(f"faults: {error}", err=True)
        raise typer.Exit(2) from None
    chosen = [case for rehearsal in rehearsals for case in cases(rehearsal)]
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="holdfast-faults-") as folder:
        for outcome in play_all(chosen, Path(folder), parallel=parallel):
            outcomes.append(outcome)
            typer.echo(f"{len(outcomes)}/{len(chosen)} {outcome.case}: {outcome.verdict} {outcome.message}", err=True)
    _show(sorted(outcomes, key=lambda one: chosen.index(one.case)))
    if any(one.verdict is Verdict.FAILED for one in outcomes):
        raise typer.Exit(1)


def _show(outcomes: list[Outcome]) -> None:
    table = Table("procedure", "step", "what goes wrong", "verdict", "seconds", "")
    for one in outcomes:
        what = f"{one.case.call} {one.case.what}" if one.case.call else str(one.case.what)
        table.add_row(one.case.procedure, one.case.step, what, one.verdict, f"{one.seconds:.1f}", one.message)
    console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    console.print(table)
    killed = Counter(one.verdict for one in outcomes if one.case.call is None)
    failed = Counter(one.verdict for one in outcomes if one.case.call is not None)
    for name, counted in (("kills", killed), ("failing calls", failed)):
        typer.echo(f"{counted.total()} {name}: {', '.join(f'{counted[one]} {one}' for one in Verdict)}")


if __name__ == "__main__":
    typer.run(main)
