"""dr-drill: whether the other region could take over, tried on a throwaway replica while production serves."""

import datetime as dt
import hashlib

import psycopg2
from pydantic import AwareDatetime, Field

from runbooks.engine.findings import Result
from runbooks.engine.procedure import Change, Inputs, Output, Procedure, Step
from runbooks.engine.run import Run
from runbooks.procedures import objectives, recovered, replicas
from runbooks.procedures.create_replica import REGION, can_have_replicas
from runbooks.procedures.gate import RESULTS
from runbooks.procedures.preconditions import instance_serves
from runtime.cloudsql.errors import AlreadyExistsError
from runtime.cloudsql.models import Instance
from runtime.errors import first_line
from runtime.verification import gate
from runtime.verification.expectation import Expectation, Volumes
from runtime.verification.source import extensions, revision_at
from runtime.verification.volumes import count_rows

MEASUREMENTS = 5
KIND = "throwaway"
PROMOTION = "PROMOTE_REPLICA"
MOST_TRIES = 3


class Asked(Inputs):
    """What is asked."""

    region: str = Field(default="", pattern=REGION, description="where, by default the target's dr_region")


class Made(Output):
    """The throwaway replica, and what production was before."""

    name: str
    replicas_before: tuple[str, ...]


class Measured(Output):
    """How far the replica was behind."""

    lag_seconds: float


class Promoted(Output):
    """When the drill's disaster was, and when writes were taken again."""

    called_at: AwareDatetime
    first_write: AwareDatetime


def other_region_is_known(run: Run) -> None:
    """A region is known that is not the instance's own."""
    region, own = region_of(run), run.instance().region
    run.require(
        "A region for the drill is known, and is another one",
        f"{region or 'none'}; {run.target.instance} is in {own}",
        "say region=…, or dr_region in the target",
        holds=bool(region) and region != own,
    )


def region_of(run: Run) -> str:
    """Where it shall be."""
    return run.inputs(Asked).region or run.target.dr_region or ""


def make(run: Run) -> Made:
    """Make a throwaway replica in the other region."""
    before = tuple(one for one in run.instance().replica_names if one not in _names(run))
    made = _make(run)
    run.find("A replica can be made in the other region", Result.OK, f"{made.name} in {made.region}")
    return Made(name=made.name, replicas_before=before)


def plan_making(run: Run) -> Change:
    """What there is."""
    names = ", ".join(run.instance().replica_names) or "none"
    return Change(f"replicas: {names}", f"a throwaway one in {region_of(run)} besides, until the end")


def measure(run: Run) -> Measured:
    """Measure how much would be lost: how long a commit takes to be there."""
    name = run.output(Made).name
    lag = replicas.lag(run, name, limit=run.target.objectives.rpo_seconds, times=MEASUREMENTS)
    run.find(f"What is committed on {run.target.instance} is on {name}", Result.OK, f"{lag:.3f} s later at most")
    return Measured(lag_seconds=lag)


def plan_measuring(_: Run) -> Change:
    """What would be measured."""
    return Change("not measured", f"{MEASUREMENTS} commits that touch no table, and how long each takes")


def promote(run: Run) -> Promoted:
    """Promote the throwaway replica, as if the region were gone, and see it acknowledge a write."""
    name, called_at = run.output(Made).name, dt.datetime.now(dt.UTC)
    if replicas.primary_of(run.instance(name)) is None:
        # An earlier attempt was cut off after the call.
        earlier = [one for one in run.tools.admin.operations.list(name) if one.operation_type == PROMOTION]
        called_at = next((one.insert_time for one in earlier if one.insert_time), called_at)
    written = replicas.promote(run, name)
    run.find(f"{name} acknowledges writes", Result.OK, f"since {written.isoformat()}")
    objectives.judge(
        run,
        rto_seconds=(written - called_at).total_seconds(),
        rpo_seconds=run.output(Measured).lag_seconds,
    )
    return Promoted(called_at=called_at, first_write=written)


def plan_promoting(_: Run) -> Change:
    """What is promoted."""
    return Change("the throwaway replica follows", "it takes writes; the one that serves knows nothing of it")


def examine(run: Run) -> None:
    """Let the promoted instance pass the gate: all that production had by then has to be there."""
    name, called_at = run.output(Made).name, run.output(Promoted).called_at
    test = f"{name} passes the gate"
    try:
        with run.tools.connect() as production, run.tools.connect(name) as promoted:
            expectation = Expectation(
                revision=revision_at(production, called_at),
                databases=(run.target.database,),
                extensions=extensions(production),
                # What production deleted since, the promoted one still has.
                volumes=[Volumes("production", count_rows(production, made_before=called_at), may_exceed=None)],
                # The weekly verification compares each index with its table.
                is_deep=False,
            )
            checks = gate.examine(promoted, expectation, progress=run.progress)
    except psycopg2.Error as error:
        # Not the end: what was made is deleted all the same.
        run.find(test, Result.UNKNOWN, first_line(error), "run the drill again")
        return
    for check in checks:
        run.find(check.name, RESULTS[check.outcome], check.found, check.action)


def plan_examining(_: Run) -> Change:
    """What is looked at."""
    return Change("not looked at", "every check of the gate, reading only")


def delete(run: Run) -> None:
    """Delete the throwaway instance, and see that it is gone and that production is as it was."""
    made = run.output(Made)
    _delete(run)
    instance = run.instance()
    is_gone = recovered.find(run, made.name) is None
    run.find(
        f"{made.name} is gone",
        Result.OK if is_gone else Result.FAULT,
        "not in the list" if is_gone else "it is still there, and costs",
        "" if is_gone else f"gcloud sql instances delete {made.name} --project={run.target.project}",
    )
    is_same = set(instance.replica_names) == set(made.replicas_before)
    run.find(
        f"{instance.name} is as it was",
        Result.OK if is_same and instance.state == "RUNNABLE" else Result.FAULT,
        f"{instance.state}, replicas: {', '.join(instance.replica_names) or 'none'}",
        "" if is_same else f"before: {', '.join(made.replicas_before) or 'none'}",
    )


def plan_deleting(run: Run) -> Change:
    """What there is in the end."""
    names = ", ".join(run.instance().replica_names) or "none"
    return Change("the throwaway instance", f"gone; replicas as now: {names}")


def throw_away(run: Run) -> None:
    """Deletes the throwaway instance."""
    _delete(run)


def _make(run: Run) -> Instance:
    *earlier, last = _names(run)
    for name in earlier:
        found = recovered.find(run, name)
        if found is not None and found.state == recovered.FAILED:
            continue
        try:
            return replicas.make(run, name, region_of(run), deletion_protection=False)
        except AlreadyExistsError:
            # One that failed and was deleted: its name is taken for a week.
            run.progress(f"{name} is taken")
    return replicas.make(run, last, region_of(run), deletion_protection=False)


def _delete(run: Run) -> None:
    there = {one.name for one in run.tools.admin.instances.list()}
    for name in _names(run):
        if name in there:
            replicas.settle(run, name)
            run.wait(run.tools.admin.instances.delete(name, final_backup=False))


def _names(run: Run) -> list[str]:
    """The names that this run may give, the first one first."""
    others = (hashlib.sha256(f"{run.id} {number}".encode()).hexdigest()[:6] for number in range(2, MOST_TRIES + 1))
    return [recovered.named(run, KIND), *(f"{run.target.instance}-{KIND}-{other}" for other in others)]


THROWN_AWAY = {
    "DATABASE_UNREACHABLE": throw_away,
    "NO_WRITES": throw_away,
    "REPLICA_BEHIND": throw_away,
    "REPLICA_FAILED": throw_away,
}

PROCEDURE = Procedure(
    name="dr-drill",
    title="Try whether the other region could take over",
    when="On the calendar's day, and after each change of the network, the edition or the size of the database. "
    "Production serves meanwhile, and is as before in the end.",
    inputs=Asked,
    preconditions=(instance_serves, other_region_is_known, can_have_replicas),
    steps=(
        Step("make", make, plan_making, changes=("instances.insert", "throwaway.delete"), undo=THROWN_AWAY),
        Step("measure", measure, plan_measuring, changes=("database.write", "throwaway.delete"), undo=THROWN_AWAY),
        Step(
            "promote",
            promote,
            plan_promoting,
            changes=("throwaway.promote", "throwaway.delete", "database.write"),
            undo=THROWN_AWAY,
        ),
        Step("examine", examine, plan_examining),
        Step("delete", delete, plan_deleting, changes=("throwaway.delete",)),
    ),
)
