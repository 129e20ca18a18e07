"""Deleting an instance: what protects it, and what is left of it."""

import datetime as dt
import shutil

from runbooks.sandbox.engine.archive import Archive
from runbooks.sandbox.sql import backups, replicas
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.errors import invalid_operation
from runbooks.sandbox.sql.expiry import EXPIRES, asked
from runbooks.sandbox.sql.operations import Task
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

FINAL = "sandbox.final"
# A final backup is kept for, when nobody says.
DAYS = 30


def delete(sql: Sql, call: Call) -> Document:
    """`instances.delete`."""
    instance = sql.instances.get(call.project, call.instance)
    if instance.settings.get("deletionProtectionEnabled"):
        message = (
            "The instance is protected. Please disable the deletion protection and try again. To disable deletion "
            "protection, update the instance settings with deletionProtectionEnabled set to false."
        )
        raise invalid_operation(message)
    if instance.replicas:
        message = f"The instance has replicas, which are deleted first: {', '.join(instance.replicas)}."
        raise invalid_operation(message)
    configured = instance.settings.get("finalBackupConfig", {})
    wants_backup = call.flag("enableFinalBackup") or (
        "enableFinalBackup" not in call.query and bool(configured.get("enabled"))
    )
    expires = _expiry(call, configured)
    if wants_backup:
        instance.require_running()

    def work(task: Task) -> None:
        task.checkpoint()
        if wants_backup:
            _final_backup(sql, instance, call, task, expires)
        bury(sql, sql.instances.change(instance, state="PENDING_DELETE"))

    also = [instance.primary] if instance.primary else []
    return sql.operations.begin(call, "DELETE", instance.name, work, also=also)


def bury(sql: Sql, instance: Instance) -> None:
    """End an instance. It can be done again when it was cut short."""
    keeps = keeps_recovery(instance)
    if keeps and instance.runs and sql.fleet.cluster(instance).is_running:
        cluster = sql.fleet.cluster(instance)
        Archive(cluster.archive_folder, programs=cluster.programs).switch(cluster)
    primary = sql.instances.find(instance.project, instance.primary) if instance.primary else None
    if primary is not None:
        replicas.detach(sql, instance)
        sql.fleet.cut(instance)
        sql.fleet.cluster(instance).kill()
        replicas.release(sql, instance, primary)
    sql.fleet.remove(instance)
    if not instance.settings.get("retainBackupsOnDelete"):
        for run in backups.runs_of(sql, instance):
            if not run.get(FINAL):
                backups.remove(sql, instance, run)
    if not keeps:
        shutil.rmtree(sql.fleet.archive(instance).parent, ignore_errors=True)
    sql.instances.bury(instance)


def keeps_recovery(instance: Instance) -> bool:
    """Whether a deleted instance can be recovered to a moment: it had its logs and was told to keep them."""
    configured = instance.settings.get("backupConfiguration", {})
    return bool(configured.get("pointInTimeRecoveryEnabled") and instance.settings.get("retainBackupsOnDelete"))


def _expiry(call: Call, configured: Document) -> str | None:
    said = {field: call.query.get(f"finalBackup{field[0].upper()}{field[1:]}") for field in ("ttlDays", "expiryTime")}
    if not any(said.values()):
        said["ttlDays"] = str(configured.get("retentionDays") or DAYS)
    return asked(said, dt.datetime.now(dt.UTC))


def _final_backup(sql: Sql, instance: Instance, call: Call, task: Task, expires: str | None) -> None:
    run = backups.new_run(sql, instance, "ON_DEMAND", call, call.query.get("finalBackupDescription", "final backup"))
    backups.take(sql, instance, run | {FINAL: True, EXPIRES: expires}, task)
