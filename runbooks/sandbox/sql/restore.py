"""Restoring a backup over an instance: its own, or another's."""

from dataclasses import replace
from pathlib import Path

from runbooks.sandbox.engine import backup as engine
from runbooks.sandbox.engine import recovery
from runbooks.sandbox.sql import backups, final_backups, high_availability
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.errors import (
    backup_not_found,
    invalid_operation,
    invalid_request,
    not_implemented,
)
from runbooks.sandbox.sql.operations import Task
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

ABSENT = ("backupdrBackup", "restoreInstanceSettings")


def restore_backup(sql: Sql, call: Call) -> Document:
    """`instances.restoreBackup`: overwrites everything."""
    instance = sql.instances.get(call.project, call.instance)
    for field in ABSENT:
        if call.body.get(field):
            raise not_implemented(call.method, field)
    folder, version = _backup(sql, call)
    instance.require_running()
    if instance.replicas or instance.primary:
        message = "Replicas must be deleted before their primary is restored, and cannot be restored themselves."
        raise invalid_operation(message)
    if version != instance.resource["databaseVersion"]:
        message = f"The backup is of {version} and the instance is {instance.resource['databaseVersion']}."
        raise invalid_request(message)

    def work(task: Task) -> None:
        task.checkpoint()
        _overwrite(sql, sql.instances.get(call.project, call.instance), folder, call, task)

    return sql.operations.begin(call, "RESTORE_VOLUME", instance.name, work)


def restore_alone(sql: Sql, instance: Instance, folder: Path, *, uses_up: bool = False) -> None:
    """Make an instance's cluster out of a backup, without what came after it; the backup may be used up by that."""
    nothing = sql.fleet.home(instance) / "no-archive"
    nothing.mkdir(parents=True, exist_ok=True)
    taken = engine.load(folder)
    recovery.recover(taken, nothing, sql.fleet.cluster(instance), target=None, uses_up=uses_up)


def _backup(sql: Sql, call: Call) -> tuple[Path, str]:
    if "backup" in call.body:
        return final_backups.restorable(sql, str(call.body["backup"]))
    run_id = str(call.required("restoreBackupContext", "backupRunId"))
    context = call.body["restoreBackupContext"]
    project = context.get("project", call.project)
    source = sql.instances.get(project, context.get("instanceId", call.instance))
    run = backups.restorable(sql, source, run_id)
    if run is None:
        raise backup_not_found()
    return backups.folder_of(sql, source, run), run["databaseVersion"]


def _overwrite(sql: Sql, instance: Instance, folder: Path, call: Call, task: Task) -> None:
    engine.verify(engine.load(folder))
    task.checkpoint()
    sql.instances.change(instance, state="MAINTENANCE")
    sql.fleet.cut(instance)
    restored = replace(instance, node=instance.next_node(), standby=None, archive=instance.next_archive())
    try:
        restore_alone(sql, restored, folder)
        task.step("restored")
    except BaseException:
        # The old data is still there, and goes on.
        sql.fleet.discard(restored, restored.node)
        sql.fleet.serve(instance)
        sql.instances.put(instance)
        raise
    sql.instances.put(restored.has(state="MAINTENANCE"))
    task.step("decided")
    for node in filter(None, (instance.node, instance.standby)):
        sql.fleet.discard(instance, node)
    sql.fleet.serve(restored)
    restored = sql.instances.change(restored, state="RUNNABLE")
    if restored.is_regional:
        restored = high_availability.add_standby(sql, restored)
    backups.automatic(sql, restored, call, task)
