"""backup-now: a backup that is seen to be there."""

from pydantic import AwareDatetime, Field

from runbooks.engine.errors import FailedError
from runbooks.engine.findings import Result
from runbooks.engine.procedure import Change, Inputs, Output, Procedure, Step
from runbooks.engine.run import Run
from runbooks.procedures.preconditions import instance_serves
from runtime.cloudsql.models import BackupRun


class Asked(Inputs):
    """What is asked."""

    reason: str = Field(default="", max_length=200, description="why, for whoever reads the list of backups")


class Taken(Output):
    """The backup."""

    backup_run: int
    ended_at: AwareDatetime


def take(run: Run) -> Taken:
    """Take a backup of the instance now, and see that it succeeded."""
    backups, instance = run.tools.admin.backup_runs, run.target.instance
    if _ours(run) is None:
        reason = run.inputs(Asked).reason
        run.wait(backups.insert(instance, description=f"{run.id} {reason}".strip()))
    for operation in run.tools.admin.operations.list(instance):
        # Of a step that was cut off while it waited.
        if not operation.is_done:
            run.wait(operation)
    found = _ours(run)
    if found is None or found.status != "SUCCESSFUL" or found.end_time is None:
        code = "BACKUP_FAILED"
        message = f"the backup of {instance} is {found.status if found else 'not there'}"
        raise FailedError(code, message)
    run.find("The backup succeeded", Result.OK, f"{found.id}, ended {found.end_time.isoformat()}")
    return Taken(backup_run=found.id, ended_at=found.end_time)


def plan(run: Run) -> Change:
    """How many backups there are, and one more."""
    known = run.tools.admin.backup_runs.list(run.target.instance)
    newest = next((one for one in known if one.status == "SUCCESSFUL"), None)
    seen = f"the newest of {len(known)} ended {newest.end_time}" if newest else "no backup that succeeded"
    return Change(seen, "one more, of now")


def _ours(run: Run) -> BackupRun | None:
    # By the run's name: a step that was cut off after the call finds what it asked for. One that failed is no backup.
    return next(
        (
            one
            for one in run.tools.admin.backup_runs.list(run.target.instance)
            if (one.description or "").startswith(run.id) and one.status != "FAILED"
        ),
        None,
    )


PROCEDURE = Procedure(
    name="backup-now",
    title="Take a backup and see that it is there",
    when="Before a risky change, and whenever the newest backup is older than it should be.",
    inputs=Asked,
    preconditions=(instance_serves,),
    steps=(Step("take", take, plan, changes=("backupRuns.insert",)),),
)
