"""restore-backup: the data of a backup, in a new instance to which applications are sent, or over the present one."""

import datetime as dt
from typing import Literal

from pydantic import AwareDatetime, Field

from runbooks.engine.errors import FailedError
from runbooks.engine.findings import Result
from runbooks.engine.procedure import Change, Output, Procedure, Step
from runbooks.engine.run import Run
from runbooks.procedures import cutover, gate, handover, losses, reconcile, recovered
from runbooks.procedures.gate import Witness
from runbooks.procedures.handover import Handover, Verified
from runbooks.procedures.losses import Losses
from runbooks.procedures.preconditions import instance_serves, no_operation_runs
from runbooks.procedures.recovered import Recovered
from runtime.cloudsql.instance_settings import ip_configuration_of
from runtime.cloudsql.models import Availability, BackupRun, Instance, Operation

NEWEST = "newest"
SUCCESSFUL = "SUCCESSFUL"
RESTORE = "RESTORE_VOLUME"


class Asked(Handover):
    """What is asked."""

    backup: str = Field(
        default=NEWEST,
        pattern=r"^(newest|[0-9]+)$",
        description="the backup's id, as gcloud sql backups list shows it, or newest",
    )
    place: Literal["another", "in-place"] = Field(
        default="another",
        description="another: a new instance; in-place: over the present data, of which a backup is taken first",
    )


class Chosen(Output):
    """The backup, and what the source says of how its data has to be."""

    backup_run: int
    started_at: AwareDatetime
    ended_at: AwareDatetime
    source: Witness | None


class Saved(Output):
    """The backup of the present state, and what is in that one only."""

    backup_run: int
    ended_at: AwareDatetime
    losses: Losses | None


def backup_can_be_restored(run: Run) -> None:
    """The backup succeeded, and is of the instance's major version."""
    if run.done(Chosen) is not None:
        return
    asked, instance = run.inputs(Asked).backup, run.instance()
    backup = _chosen(run)
    run.require(
        f"Backup {asked} of {instance.name} is there",
        f"{backup.id}, ended {_at(backup.end_time)}" if backup else "there is none",
        f"gcloud sql backups list --instance={instance.name} shows all",
        holds=backup is not None,
    )
    assert backup is not None  # noqa: S101  # it was just required
    run.require(
        f"Backup {backup.id} is whole",
        backup.status,
        "choose one that is SUCCESSFUL",
        holds=backup.status == SUCCESSFUL and backup.start_time is not None and backup.end_time is not None,
    )
    run.require(
        f"Backup {backup.id} is of {instance.database_version}",
        backup.database_version or "not said",
        "restore it into an instance of its own version by hand, and upgrade that one",
        holds=backup.database_version in (None, instance.database_version),
    )


def may_be_overwritten(run: Run) -> None:
    """In place: the instance serves, has no replicas, and no operation runs on it."""
    if not in_place(run) or run.done(Saved) is not None:
        return
    instance = run.instance()
    names = ", ".join(instance.replica_names)
    run.require(
        f"{instance.name} has no replicas",
        names or "none",
        f"delete them first: {'; '.join(f'gcloud sql instances delete {one}' for one in instance.replica_names)}",
        holds=not instance.replica_names,
    )
    instance_serves(run)
    if run.done(Chosen) is None:
        no_operation_runs(run)


def choose(run: Run) -> Chosen:
    """See which backup it is, and what the instance says of that time."""
    backup = _chosen(run)
    if backup is None or backup.start_time is None or backup.end_time is None:
        code = "ERROR_BACKUP_NOT_FOUND"
        message = f"backup {run.inputs(Asked).backup} is gone"
        raise FailedError(code, message)
    source = gate.witness(run, backup.start_time, backup.end_time, backup_run=backup.id)
    rows = "nothing is known of its rows" if source is None else f"{sum(source.rows.values())} rows are older than it"
    run.find("The backup", Result.OK, f"{backup.id}, ended {_at(backup.end_time)}; {rows}")
    return Chosen(backup_run=backup.id, started_at=backup.start_time, ended_at=backup.end_time, source=source)


def save(run: Run) -> Saved:
    """Take a backup of the present state, so that the restore can be undone."""
    backups, instance = run.tools.admin.backup_runs, run.target.instance
    found = _ours(run)
    if found is None or found.status not in (SUCCESSFUL, "ENQUEUED", "RUNNING"):
        run.wait(backups.insert(instance, description=run.id))
    else:
        _settle(run)
    found = _ours(run)
    if found is None or found.status != SUCCESSFUL or found.end_time is None:
        code = "BACKUP_FAILED"
        message = (
            f"the backup of the present state is {found.status if found else 'not there'}; nothing was overwritten"
        )
        raise FailedError(code, message)
    run.find(
        "The present state is kept",
        Result.OK,
        f"backup {found.id}",
        f"to undo: holdfast runbook run restore-backup backup={found.id} place=in-place",
    )
    counted = losses.count(run, run.output(Chosen).ended_at)
    return Saved(backup_run=found.id, ended_at=found.end_time, losses=counted)


def overwrite(run: Run) -> Recovered:
    """Restore the backup over the instance."""
    name, saved = run.target.instance, run.output(Saved)
    begun = _restoring(run, name, saved.ended_at)
    if begun is None:
        begun = run.tools.admin.instances.restore_backup(name, backup_run=run.output(Chosen).backup_run)
    run.wait(begun)
    run.find("The backup is restored", Result.OK, f"over {name}")
    return Recovered(instance=name)


def make(run: Run) -> Recovered:
    """Make an empty instance like the present one."""
    source = run.instance()
    made = recovered.bring(run, recovered.named(run, "restored"), lambda name: _insert(run, source, name))
    run.find("There is an instance for it", Result.OK, made.instance)
    return made


def fill(run: Run) -> None:
    """Restore the backup into the new instance."""
    name, source = run.output(Recovered).instance, run.target.instance
    begun = _restoring(run, name, None)
    if begun is None:
        backup_run = run.output(Chosen).backup_run
        begun = run.tools.admin.instances.restore_backup(name, backup_run=backup_run, source=source)
    run.wait(begun)
    run.find("The backup is restored", Result.OK, f"into {name}; {source} is as it was")


def complete(run: Run) -> None:
    """Give the new instance its standby and its own backups, as the present one has them."""
    source, name = run.instance(), run.output(Recovered).instance
    wanted = alike(source)
    there = run.instance(name).settings
    backups = wanted.get("backupConfiguration", {"enabled": False})
    availability: Availability = "REGIONAL" if source.settings.availability_type == "REGIONAL" else "ZONAL"
    if there.availability_type != availability or _kept(there.backup_configuration) != _kept(
        source.settings.backup_configuration
    ):
        settings = {"backupConfiguration": backups}
        run.wait(run.tools.admin.instances.patch(name, availability=availability, settings=settings))


def verify(run: Run) -> Verified:
    """See that the instance passes the gate, and has the backup's rows."""
    chosen = run.output(Chosen)
    gate.pass_gate(run, run.output(Recovered).instance, chosen.ended_at, chosen.source)
    return handover.verified(run)


def account(run: Run) -> None:
    """Count what was written after the backup, and say where it is."""
    ended_at = run.output(Chosen).ended_at
    saved = run.done(Saved)
    if saved is not None:
        losses.tell(run, saved.losses, ended_at, f"they are in backup {saved.backup_run} only")
    else:
        losses.tell(run, losses.count(run, ended_at), ended_at, f"they are in {run.target.instance} only")


def in_place(run: Run) -> bool:
    """Whether the present data is to be overwritten."""
    return run.inputs(Asked).place == "in-place"


def elsewhere(run: Run) -> bool:
    """Whether there is to be another instance."""
    return not in_place(run)


def is_sent(run: Run) -> bool:
    """Whether applications are to be sent to another instance."""
    return elsewhere(run) and handover.is_sent(run)


def is_served(run: Run) -> bool:
    """Whether applications use the restored data in the end."""
    return in_place(run) or handover.is_sent(run)


def after(run: Run) -> list[str]:
    """What is left to do."""
    saved, new = run.done(Saved), run.output(Recovered).instance
    if saved is not None:
        undo = f"holdfast runbook run restore-backup backup={saved.backup_run} place=in-place"
        return [f"To undo it: {undo}", *reconcile.with_refresh(run)]
    return reconcile.with_replaced_instance(run, new) if is_sent(run) else reconcile.of_unused_instance(run, new)


def _chosen(run: Run) -> BackupRun | None:
    asked = run.inputs(Asked).backup
    for one in run.tools.admin.backup_runs.list(run.target.instance):
        if str(one.id) == asked or (asked == NEWEST and one.status == SUCCESSFUL):
            return one
    return None


def _ours(run: Run) -> BackupRun | None:
    # By the run's name: a step that was cut off after the call finds what it asked for.
    found = run.tools.admin.backup_runs.list(run.target.instance)
    return next((one for one in found if (one.description or "").startswith(run.id)), None)


def _settle(run: Run) -> None:
    for operation in run.tools.admin.operations.list(run.target.instance):
        if not operation.is_done:
            run.wait(operation)


def _restoring(run: Run, name: str, since: dt.datetime | None) -> Operation | None:
    """The restore that this step began before it was cut off, unless it failed."""
    for one in run.tools.admin.operations.list(name):
        is_ours = since is None or (one.insert_time is not None and one.insert_time > since)
        if one.operation_type == RESTORE and is_ours and not (one.is_done and one.error):
            return one
    return None


def _insert(run: Run, source: Instance, name: str) -> Operation:
    settings = source.settings
    return run.tools.admin.instances.insert(
        name,
        database_version=source.database_version,
        region=source.region,
        tier=settings.tier,
        edition="ENTERPRISE_PLUS" if settings.edition == "ENTERPRISE_PLUS" else "ENTERPRISE",
        # What is empty needs neither a standby nor a backup, and both would have to be made again.
        availability="ZONAL",
        deletion_protection=settings.deletion_protection_enabled,
        settings={**alike(source), "backupConfiguration": {"enabled": False}},
        encryption_key=source.encryption_key,
    )


def alike(source: Instance) -> dict[str, object]:
    """The instance's settings, as it can be made with them again."""
    given = source.settings.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for field in ("settingsVersion", "activationPolicy"):
        given.pop(field, None)
    given["ipConfiguration"] = ip_configuration_of(source.settings)
    if "dataDiskSizeGb" in given:
        # An int64, which Google's JSON has as a string.
        given["dataDiskSizeGb"] = str(given["dataDiskSizeGb"])
    return given


def _kept(configuration: object) -> object:
    return (getattr(configuration, "enabled", None), getattr(configuration, "point_in_time_recovery_enabled", None))


def _at(moment: dt.datetime | None) -> str:
    return moment.isoformat().replace("+00:00", "Z") if moment else "never"


def _plan_choose(run: Run) -> Change:
    backup = _chosen(run)
    return Change(f"backup {backup.id if backup else 'none'}", "the same: it is only read")


def _plan_save(run: Run) -> Change:
    return Change(f"the present state of {run.target.instance} is in no backup", "it is in one, by which to undo this")


def _plan_overwrite(run: Run) -> Change:
    counted = losses.count(run, run.started_at)
    backup = _chosen(run)
    if backup is not None and backup.end_time is not None:
        counted = losses.count(run, backup.end_time)
    number = "not known how many" if counted is None else str(sum(counted.rows.values()))
    return Change(f"{number} rows of {run.target.instance} are newer than the backup", "they are gone from it")


def _plan_make(run: Run) -> Change:
    return Change("no instance for it", f"{recovered.named(run, 'restored')}, like {run.target.instance}")


def _plan_fill(run: Run) -> Change:
    return Change(f"{recovered.named(run, 'restored')} is empty", "it has the backup's data")


def _plan_complete(run: Run) -> Change:
    kind = run.instance().settings.availability_type
    return Change("without a standby and backups", f"{kind}, with backups as {run.target.instance}")


def _plan_verify(_: Run) -> Change:
    return Change("nothing is known of the restored data", "it is known whether it is sound and the backup's")


def _plan_account(_: Run) -> Change:
    return Change("rows are newer than the backup", "they are counted, and it is said where they are")


PROCEDURE = Procedure(
    name="restore-backup",
    title="Bring back the data of a backup",
    when="Data is spoiled or gone, and the moment is not known or lies before the log. Where it is known, "
    "point-in-time-recovery loses less.",
    inputs=Asked,
    preconditions=(backup_can_be_restored, may_be_overwritten),
    steps=(
        Step("choose", choose, _plan_choose),
        Step("save", save, _plan_save, changes=("backupRuns.insert",), wanted=in_place),
        Step("overwrite", overwrite, _plan_overwrite, changes=("instances.restoreBackup",), wanted=in_place),
        Step("make", make, _plan_make, changes=("instances.insert",), wanted=elsewhere),
        Step("fill", fill, _plan_fill, changes=("fresh.restoreBackup",), wanted=elsewhere),
        Step("complete", complete, _plan_complete, changes=("instances.patch",), wanted=elsewhere),
        Step("passwords", handover.passwords, handover.plan_passwords, changes=("users.update",)),
        Step("verify", verify, _plan_verify),
        Step("cut-over", handover.cut_over, handover.plan_cut_over, changes=cutover.CHANGES, wanted=is_sent),
        Step("serve", handover.serve, handover.plan_serve, wanted=is_served),
        Step("account", account, _plan_account),
    ),
    destroys=True,
    after=after,
)
