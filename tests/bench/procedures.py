"""What a procedure's step costs beside its work: the journal, the permissions and the record."""

import time
from pathlib import Path

from runbooks.engine.execution import Execution
from runbooks.engine.journal import Journal
from runbooks.engine.procedure import Change, Inputs, Procedure, Step
from runbooks.engine.records import State
from runbooks.engine.run import Run
from runbooks.engine.target import Operator, Target
from runbooks.rehearsal.rehearsal import Confirming
from tests.bench.client import LoadError
from tests.bench.results import Result, Results, medians

STEPS = 100
TARGET = Target(
    version=1,
    name="bench",
    project="p",
    region="us-central1",
    instance="main",
    operator=Operator(user="postgres", secret="projects/p/secrets/operator"),
)


def nothing(_: Run) -> None:
    """Do nothing."""


def plan(_: Run) -> Change:
    """Plan nothing."""
    return Change("", "")


PROCEDURE = Procedure(
    name="nothing",
    title="Nothing",
    when="",
    inputs=Inputs,
    steps=tuple(Step(f"step-{number}", nothing, plan) for number in range(STEPS)),
)


def measure(folder: Path, results: Results, *, rounds: int) -> None:
    """Steps that do nothing, as a procedure and called as functions.

    Raises:
        LoadError: a run fails.
    """
    execution = Execution(PROCEDURE, TARGET, Inputs(), Journal(folder / "journal"), Confirming())

    def journalled() -> float:
        began = time.perf_counter()
        ended = execution.begin()
        seconds = time.perf_counter() - began
        if ended.state is not State.DONE:
            raise LoadError(ended.message)
        return seconds / STEPS

    def plain() -> float:
        began = time.perf_counter()
        for step in PROCEDURE.steps:
            step.do(None)  # type: ignore[arg-type]  # it does not look
        return (time.perf_counter() - began) / STEPS

    found = medians({"journalled": journalled, "plain": plain}, rounds=rounds)
    meaning = f"a step that does nothing, through the journal, in a run of {STEPS} with its start and its end"
    results.found["procedure_overhead_ms"] = Result(found["journalled"] * 1e3, None, "ms", meaning)
    results.found["procedure_plain_us"] = Result(
        found["plain"] * 1e6, None, "µs", "the same step, called as a function"
    )
