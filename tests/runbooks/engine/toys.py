"""Tiny procedures that do what they are ordered to, and `holdfast` with them: python -m tests.runbooks.engine.toys."""

import os
import signal
from pathlib import Path

from pydantic import Field

from runbooks import procedures
from runbooks.engine.errors import FailedError
from runbooks.engine.findings import Result
from runbooks.engine.procedure import Change, Inputs, Output, Procedure, Step
from runbooks.engine.run import Run
from runbooks.engine.target import Endpoints, Operator, Target
from runtime.__main__ import console
from tests.waiting import wait_until

CODE = "BROKEN_IN_THE_KNOWN_WAY"


class Asked(Inputs):
    """What is asked."""

    world: Path = Field(description="the folder that the steps change")
    times: int = Field(default=1, ge=1, description="how often")


class Made(Output):
    """What the first step made."""

    name: str


def obey(run: Run, name: str) -> None:
    """Leave a trace, and do what a file of that name orders."""
    world = run.inputs(Asked).world
    with (world / "trace").open("a") as trace:
        trace.write(f"{name}\n")
    order = world / name
    what, _, value = order.read_text().partition(" ") if order.exists() else ("", "", "")
    if what != "hold":
        order.unlink(missing_ok=True)
    match what:
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "fail":
            raise FailedError(value, f"{name} failed")
        case "defect":
            message = f"{name}\n{value}"
            raise ValueError(message)
        case "hold":
            wait_until(lambda: not order.exists(), seconds=60)
        case "grow":
            run.find("It is long", Result.OK, "x" * 1_000_000)
        case "find":
            run.find(f"Test of {name}", Result(value), "this", "holdfast runbook list")


def one(run: Run) -> Made:
    """Make something. More is not in the line."""
    obey(run, "one")
    return Made(name=f"made-{run.short_id}")


def two(run: Run) -> None:
    """Use what was made."""
    obey(run, "two")
    assert run.output(Made).name == f"made-{run.short_id}"


def undo_two(run: Run) -> None:
    """Take back what the second made."""
    obey(run, "undo-two")


def three(run: Run) -> None:
    """Measure and end."""
    obey(run, "three")
    run.measured(rto_seconds=1.5)


def nothing(_: Run) -> Change:
    """Tell what would be done."""
    return Change("now", "then")


def allowed(run: Run) -> None:
    """Nobody forbids it."""
    world = run.inputs(Asked).world
    forbids = (world / "forbidden").exists() or ((world / "forbidden-later").exists() and run.done(Made) is not None)
    run.require("Nobody forbids it", "somebody does" if forbids else "nobody", "ask them", holds=not forbids)


def delete(run: Run) -> None:
    """Say that it takes a backup, and delete the instance."""
    run.tools.admin.instances.delete(run.target.instance, final_backup=False)


def take(run: Run) -> None:
    """Take a backup, and no more."""
    run.tools.admin.within(0).backup_runs.insert(run.target.instance)


def left(run: Run) -> list[str]:
    """Tell what is left."""
    obey(run, "left")
    return ["pulumi refresh"]


THREE = Procedure(
    name="toy-three",
    title="Three steps",
    when="In tests.",
    inputs=Asked,
    steps=(
        Step("one", one, nothing),
        Step("two", two, nothing, changes=("backupRuns.insert",), undo={CODE: undo_two}),
        Step("three", three, nothing),
    ),
    preconditions=(allowed,),
    after=left,
)
DESTROYS = Procedure(
    name="toy-destroys",
    title="Destroys",
    when="In tests.",
    inputs=Asked,
    steps=(Step("one", one, nothing), Step("two", two, nothing, changes=("instances.restart",))),
    destroys=True,
)
READS = Procedure(
    name="toy-reads", title="Reads", when="In tests.", inputs=Asked, steps=(Step("three", three, nothing),)
)
UNDECLARED = Procedure(
    name="toy-undeclared",
    title="Does what it does not declare",
    when="In tests.",
    inputs=Asked,
    steps=(Step("delete", delete, nothing, changes=("backupRuns.insert",)),),
)
DECLARED = Procedure(
    name="toy-declared",
    title="Does what it declares",
    when="In tests.",
    inputs=Asked,
    steps=(Step("take", take, nothing, changes=("backupRuns.insert",)),),
)
TOYS = (THREE, DESTROYS, READS, UNDECLARED, DECLARED)


# Of this process: an instance is changed by one run on a machine at a time, and tests run beside each other.
NOBODY = f"http://127.0.0.1:9/{os.getpid()}"


def target(endpoint: str = NOBODY, instance: str = "main") -> Target:
    """An environment that nobody asks."""
    return Target(
        version=1,
        name="toy",
        project="p",
        region="us-central1",
        instance=instance,
        operator=Operator(user="postgres", secret="projects/p/secrets/operator"),
        endpoints=Endpoints(sql=endpoint, secretmanager=endpoint),
    )


if __name__ == "__main__":
    procedures.PROCEDURES = (*procedures.PROCEDURES, *TOYS)
    console()
