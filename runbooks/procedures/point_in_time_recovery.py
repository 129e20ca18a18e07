"""point-in-time-recovery: the data as it was at a moment, in a new instance, to which applications are then sent."""

import contextlib
import datetime as dt
from typing import Annotated

from pydantic import AfterValidator, Field

from runbooks.engine.errors import FailedError
from runbooks.engine.findings import Result
from runbooks.engine.procedure import Change, Output, Procedure, Step
from runbooks.engine.run import Run
from runbooks.procedures import cutover, gate, handover, losses, reconcile, recovered
from runbooks.procedures.handover import Handover, Verified
from runbooks.procedures.recovered import Recovered
from runtime.cloudsql.errors import InvalidRequestError

MARKER = "INSERT INTO recovery_markers DEFAULT VALUES"
NAME = r"^[a-z]([a-z0-9-]{0,78}[a-z0-9])?$"


def _with_time_zone(moment: dt.datetime) -> dt.datetime:
    if moment.tzinfo is None:
        message = f"{moment.isoformat()} has no time zone; write it with one, as {moment.isoformat()}Z or …+02:00"
        raise ValueError(message)
    return moment


class Asked(Handover):
    """What is asked."""

    moment: Annotated[dt.datetime, AfterValidator(_with_time_zone)] = Field(
        description="the moment before what went wrong, with its time zone, as 2026-11-20T14:03:00Z"
    )
    name: str | None = Field(default=None, pattern=NAME, description="the new instance's name")


class Surveyed(Output):
    """What the instance says of itself before anything is done."""

    answers: bool


def can_be_recovered(run: Run) -> None:
    """Point-in-time recovery is on, and the moment is within the recovery window."""
    if run.done(Recovered):
        return
    instance, moment = run.instance(), run.inputs(Asked).moment
    on = instance.settings.backup_configuration.point_in_time_recovery_enabled
    run.require(
        f"{instance.name} has point-in-time recovery",
        "on" if on else "off",
        "there is no log to recover from; holdfast runbook run restore-backup has the newest backup",
        holds=on,
    )
    try:
        window = run.tools.admin.instances.recovery_window(instance.name)
    except InvalidRequestError as error:
        run.require(f"{instance.name} can be recovered", str(error), "wait for its first backup", holds=False)
        return
    earliest, latest = window.earliest_recovery_time, window.latest_recovery_time
    serves = instance.state == "RUNNABLE" and instance.settings.activation_policy != "NEVER"
    # Of an instance that serves, what is not yet in the archive is brought there by the recovery itself.
    last = dt.datetime.now(dt.UTC) if serves else latest
    holds = earliest is not None and last is not None and earliest <= moment <= last
    words = f"from {_at(earliest)} to {'now, ' if serves else ''}{_at(last)}" if earliest and last else "empty"
    run.require(
        f"{_at(moment)} is within the recovery window",
        f"the window is {words}",
        "choose a moment within it; before it, holdfast runbook run restore-backup",
        holds=holds,
    )


def name_is_free(run: Run) -> None:
    """The new instance's name is not taken."""
    if run.done(Surveyed) is None:
        name = _name(run)
        taken = recovered.find(run, name)
        run.require(
            f"The name {name} is free",
            "taken" if taken else "it is",
            "choose another one: name=…",
            holds=taken is None,
        )


def survey(run: Run) -> Surveyed:
    """See what the instance says of the moment."""
    moment = run.inputs(Asked).moment
    source = gate.witness(run, moment, moment)
    if source is not None and source.next_marker is None:
        # By its absence in the new instance it is seen that the recovery did not go too far.
        with contextlib.suppress(FailedError):
            run.tools.query(MARKER)
    if source is None:
        found = "nothing; what is lost cannot be counted, and markers cannot be compared"
    else:
        found = f"the last marker before it is of {_at(source.marker)}; {sum(source.rows.values())} older rows"
    run.find(f"What {run.target.instance} says of {_at(moment)}", Result.OK, found)
    return Surveyed(answers=source is not None)


def clone(run: Run) -> Recovered:
    """Recover the moment into a new instance."""
    moment, source = run.inputs(Asked).moment, run.target.instance
    made = recovered.bring(
        run, _name(run), lambda name: run.tools.admin.instances.clone(source, name, point_in_time=moment)
    )
    run.find(f"{_at(moment)} is recovered", Result.OK, f"instance {made.instance}; {source} is as it was")
    return made


def verify(run: Run) -> Verified:
    """See that the new instance passes the gate, and ends just at the moment."""
    moment = run.inputs(Asked).moment
    gate.pass_gate(run, run.output(Recovered).instance, moment, gate.witness(run, moment, moment))
    return handover.verified(run)


def account(run: Run) -> None:
    """Count what was written after the moment and is not in the new instance."""
    moment = run.inputs(Asked).moment
    losses.tell(run, losses.count(run, moment), moment, f"they are in {run.target.instance} only")


def after(run: Run) -> list[str]:
    """What is left to do."""
    new = run.output(Recovered).instance
    if not handover.is_sent(run):
        return reconcile.of_unused_instance(run, new)
    return reconcile.with_replaced_instance(run, new)


def _name(run: Run) -> str:
    return run.inputs(Asked).name or recovered.named(run, "pitr")


def _at(moment: dt.datetime | None) -> str:
    return moment.isoformat().replace("+00:00", "Z") if moment else "none"


def _plan_survey(run: Run) -> Change:
    return Change(f"{run.target.instance} serves", "the same, with a recovery marker of now")


def _plan_clone(run: Run) -> Change:
    return Change(f"no instance {_name(run)}", f"one with the data of {_at(run.inputs(Asked).moment)}")


def _plan_verify(run: Run) -> Change:
    return Change(f"nothing is known of {_name(run)}", "it is known whether it is sound and ends at the moment")


def _plan_account(run: Run) -> Change:
    counted = losses.count(run, run.inputs(Asked).moment)
    number = "not known how many" if counted is None else str(sum(counted.rows.values()))
    return Change(
        f"{number} rows are newer than the moment", f"they stay in {run.target.instance} only, and are listed"
    )


PROCEDURE = Procedure(
    name="point-in-time-recovery",
    title="Bring back the data of a moment",
    when="Rows were deleted or spoiled, and it is known when: everything until just before is brought back, in a new "
    "instance beside the present one, which is kept as it is.",
    inputs=Asked,
    preconditions=(can_be_recovered, name_is_free),
    steps=(
        Step("survey", survey, _plan_survey, changes=("database.write",)),
        Step("clone", clone, _plan_clone, changes=("instances.clone",)),
        Step("passwords", handover.passwords, handover.plan_passwords, changes=("users.update",)),
        Step("verify", verify, _plan_verify),
        Step("cut-over", handover.cut_over, handover.plan_cut_over, changes=cutover.CHANGES, wanted=handover.is_sent),
        Step("serve", handover.serve, handover.plan_serve, wanted=handover.is_sent),
        Step("account", account, _plan_account),
    ),
    destroys=True,
    after=after,
)
