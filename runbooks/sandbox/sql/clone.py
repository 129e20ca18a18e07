"""Clones: of an instance now, at a moment, and of a deleted one."""

import datetime as dt
import secrets
import shutil

from runbooks.sandbox.engine import backup as engine
from runbooks.sandbox.engine import recovery
from runbooks.sandbox.engine.archive import Archive
from runbooks.sandbox.sql import backups, instances, resources, restore, rules, times
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.errors import (
    NO_BACKUP,
    OperationFailedError,
    invalid_operation,
    invalid_request,
    not_authorized,
    not_implemented,
)
from runbooks.sandbox.sql.operations import Task
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

ABSENT = ("databaseNames", "destinationProject", "destinationNetwork", "binLogCoordinates", "pitrTimestampMs")


def clone(sql: Sql, call: Call) -> Document:
    """`instances.clone`."""
    name = str(call.required("cloneContext", "destinationInstanceName"))
    context = call.body["cloneContext"]
    for field in ABSENT:
        if context.get(field):
            raise not_implemented(call.method, field)
    rules.check_name(name)
    source = source_of(sql, call, context.get("sourceInstanceDeletionTime"))
    target = times.read(context["pointInTime"], "pointInTime") if "pointInTime" in context else None
    if target is None:
        _refuse_now(source)
    else:
        check_window(sql, source, target)
    sql.instances.check_free(call.project, name)
    instance = resources.new(sql, call, _wanted(source, name, context.get("preferredZone")))

    def work(task: Task) -> None:
        instances.with_cleanup(sql, instance, lambda: _copy(sql, source, instance, call, task, target=target))

    also = [] if source.deleted else [source.name]
    return sql.operations.begin(call, "CLONE", name, work, also=also, prepare=lambda: sql.instances.add(instance))


def latest_recovery_time(sql: Sql, call: Call) -> Document:
    """`projects.instances.getLatestRecoveryTime`."""
    source = source_of(sql, call, call.query.get("sourceInstanceDeletionTime"))
    require_recovery(source)
    earliest, latest = _window(sql, source)
    if earliest is None or latest is None:
        message = "There is no backup yet from which to recover."
        raise invalid_operation(message)
    return {
        "kind": "sql#getLatestRecoveryTime",
        "earliestRecoveryTime": times.written(earliest),
        "latestRecoveryTime": times.written(max(latest, earliest)),
    }


def source_of(sql: Sql, call: Call, deleted: str | None) -> Instance:
    """The instance that a call is about, which may be deleted.

    Raises:
        ApiError: there is none.
    """
    if not deleted:
        return sql.instances.get(call.project, call.instance)
    moment = times.read(deleted, "sourceInstanceDeletionTime")
    for one in reversed(sql.instances.all_deleted(call.project, call.instance)):
        # Callers may have it to the second only.
        if abs(times.read(str(one.deleted), "deleted") - moment) < dt.timedelta(seconds=1):
            return one
    raise not_authorized()


def require_recovery(source: Instance) -> None:
    """See that an instance can be recovered to a moment.

    Raises:
        ApiError: it cannot.
    """
    if not source.settings.get("backupConfiguration", {}).get("pointInTimeRecoveryEnabled"):
        message = "Point in time recovery is not enabled for this instance."
        raise invalid_operation(message)


def check_window(sql: Sql, source: Instance, target: dt.datetime) -> None:
    """See that a moment can be recovered to.

    Raises:
        ApiError: it cannot.
    """
    require_recovery(source)
    earliest, latest = _window(sql, source)
    # A running instance goes on writing: up to now everything can be recovered.
    last = dt.datetime.now(dt.UTC) if source.serves else latest
    if earliest is None or last is None or not earliest <= target <= last:
        window = f"from {times.written(earliest)} to {times.written(last)}" if earliest and last else "empty"
        message = f"pointInTime {times.written(target)} is outside the recovery window, which is {window}."
        raise invalid_request(message)


def _window(sql: Sql, source: Instance) -> tuple[dt.datetime | None, dt.datetime | None]:
    # No moment before an upgrade of the major version: its backups are of the other one.
    version = source.resource["databaseVersion"]
    whole = [
        run
        for run in backups.runs_of(sql, source)
        if run["status"] == "SUCCESSFUL" and run["databaseVersion"] == version
    ]
    days = source.settings.get("backupConfiguration", {}).get("transactionLogRetentionDays", 7)
    ends = [times.read(run["endTime"], "endTime") for run in whole]
    earliest = max(min(ends), dt.datetime.now(dt.UTC) - dt.timedelta(days=days)) if ends else None
    return earliest, _archive(sql, source).latest()


def _archive(sql: Sql, source: Instance) -> Archive:
    return Archive(sql.fleet.archive(source), programs=sql.fleet.programs(source))


def _refuse_now(source: Instance) -> None:
    if source.deleted:
        message = "A deleted instance is recovered to a pointInTime."
        raise invalid_request(message)
    source.require_running()
    if source.primary:
        message = "A replica cannot be cloned."
        raise invalid_operation(message)


def _wanted(source: Instance, name: str, zone: str | None) -> Document:
    settings = dict(source.settings)
    if zone:
        settings["locationPreference"] = {"kind": "sql#locationPreference", "zone": zone}
    kept = ("region", "databaseVersion")
    return {"name": name, "settings": settings, **{field: source.resource[field] for field in kept}}


def _copy(
    sql: Sql, source: Instance, instance: Instance, call: Call, task: Task, *, target: dt.datetime | None
) -> None:
    task.checkpoint()
    if target is None:
        _copy_now(sql, source, instance, task)
    else:
        _recover(sql, source, instance, target)
    task.step("copied")
    task.checkpoint()
    instances.finish(sql, instance, call, task)


def _copy_now(sql: Sql, source: Instance, instance: Instance, task: Task) -> None:
    folder = sql.fleet.home(instance) / f"copy-{secrets.token_hex(4)}"
    with task.interruptible():
        engine.take(sql.fleet.cluster(source), folder)
    try:
        restore.restore_alone(sql, instance, folder, uses_up=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _recover(sql: Sql, source: Instance, instance: Instance, target: dt.datetime) -> None:
    run = backups.before(sql, source, target)
    if run is None:
        message = "There is no backup that ended before pointInTime."
        raise OperationFailedError(NO_BACKUP, message)
    archive = backups.archive_of(sql, source, run)
    if source.serves and archive == sql.fleet.archive(source):
        # What was written until now has to be in the archive.
        _archive(sql, source).switch(sql.fleet.cluster(source))
    taken = engine.load(backups.folder_of(sql, source, run))
    recovery.recover(taken, archive, sql.fleet.cluster(instance), target=target)
