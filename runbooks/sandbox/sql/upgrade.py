"""A newer major version for an instance, in place: by pg_upgrade, with a backup before and one after."""

import contextlib
import secrets
import shutil
from dataclasses import replace

from runbooks.sandbox.engine import backup as base_backup
from runbooks.sandbox.engine import upgrade as engine
from runbooks.sandbox.sql import backups, high_availability, restore, rules
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.errors import (
    RDBMS,
    OperationCancelledError,
    OperationFailedError,
    invalid_operation,
    invalid_request,
)
from runbooks.sandbox.sql.fleet import known_flags
from runbooks.sandbox.sql.operations import Task
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

CONTEXT = "preCheckMajorVersionUpgradeContext"
# The archive of a copy that is only looked at.
CHECKED = "archive-0"


def is_asked(call: Call, instance: Instance) -> bool:
    """Whether a call asks for another version."""
    return bool(call.body.get("databaseVersion", instance.resource["databaseVersion"]) != _version(instance))


def begin(sql: Sql, call: Call, instance: Instance) -> Document:
    """`instances.patch` with another `databaseVersion`."""
    wanted = str(call.body["databaseVersion"])
    check(instance, wanted)
    others = sorted(set(call.body) - {"databaseVersion", "name", "project", "region"})
    if others:
        message = f"databaseVersion is changed alone, without {', '.join(others)}."
        raise invalid_request(message)

    def work(task: Task) -> None:
        instance = sql.instances.get(call.project, call.instance)
        _take_backup(sql, instance, f"Pre-upgrade backup, {_version(instance)} to {wanted}.", call, task)
        task.checkpoint()
        upgraded = _upgrade(sql, instance, wanted, task)
        # Too late for cancelling: only this backup can still be left out.
        with contextlib.suppress(OperationCancelledError):
            _take_backup(sql, upgraded, f"Post-upgrade backup, {_version(instance)} to {wanted}.", call, task)

    return sql.operations.begin(call, "MAJOR_VERSION_UPGRADE", instance.name, work)


def precheck(sql: Sql, call: Call) -> Document:
    """`instances.preCheckMajorVersionUpgrade`: on a copy, while the instance serves."""
    instance = sql.instances.get(call.project, call.instance)
    wanted = str(call.required(CONTEXT, "targetDatabaseVersion"))
    check(instance, wanted)
    context = {"kind": "sql#preCheckMajorVersionUpgradeContext", "targetDatabaseVersion": wanted}

    def work(task: Task) -> None:
        task.checkpoint()
        try:
            _check_copy(sql, sql.instances.get(call.project, call.instance), wanted)
            response = {"messageType": "INFO", "message": f"The instance can be upgraded to {wanted}."}
        except engine.NotUpgradableError as error:
            response = {"messageType": "ERROR", "message": str(error)}
        task.update(**{CONTEXT: {**context, "preCheckResponse": [response]}})

    fields = {CONTEXT: context}
    return sql.operations.begin(call, "PRE_CHECK_MAJOR_VERSION_UPGRADE", instance.name, work, fields=fields)


def check(instance: Instance, wanted: str) -> None:
    """See that an instance may be upgraded.

    Raises:
        ApiError: it may not.
    """
    instance.require_running()
    targets = [one["name"] for one in rules.newer(_version(instance))]
    if wanted not in targets:
        possible = f"to {', '.join(targets)}" if targets else "to no version of the sandbox"
        message = f"{_version(instance)} can be upgraded {possible}, not {wanted}."
        raise invalid_request(message)
    if instance.primary or instance.replicas:
        message = "The sandbox upgrades instances without replicas. Delete the replicas and make them again."
        raise invalid_operation(message)
    rules.check_flags(instance.settings, known_flags(rules.VERSIONS[wanted]))


def _version(instance: Instance) -> str:
    return str(instance.resource["databaseVersion"])


def _check_copy(sql: Sql, instance: Instance, wanted: str) -> None:
    copy = replace(instance, node=instance.next_node(), archive=CHECKED)
    newer = replace(copy, node=copy.next_node()).has(databaseVersion=wanted)
    folder = sql.fleet.home(instance) / f"copy-{secrets.token_hex(4)}"
    try:
        base_backup.take(sql.fleet.cluster(instance), folder)
        restore.restore_alone(sql, copy, folder)
        sql.fleet.cluster(copy).stop()
        engine.check(sql.fleet.cluster(copy), sql.fleet.cluster(newer))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for node in (copy.node, newer.node):
            sql.fleet.discard(copy, node)
        shutil.rmtree(sql.fleet.archive(copy), ignore_errors=True)


def _take_backup(sql: Sql, instance: Instance, description: str, call: Call, task: Task) -> None:
    backups.take(sql, instance, backups.new_run(sql, instance, "ON_DEMAND", call, description), task)


def _upgrade(sql: Sql, instance: Instance, wanted: str, task: Task) -> Instance:
    sql.instances.change(instance, state="MAINTENANCE")
    sql.fleet.cut(instance)
    upgraded = replace(instance, node=instance.next_node(), standby=None, archive=instance.next_archive())
    upgraded = upgraded.has(
        state="MAINTENANCE",
        databaseVersion=wanted,
        databaseInstalledVersion=wanted,
        upgradableDatabaseVersions=rules.newer(wanted) or None,
        secondaryGceZone=None,
    ).bumped()
    old, new = sql.fleet.cluster(instance), sql.fleet.cluster(upgraded)
    try:
        old.stop()
        task.step("stopped")
        engine.upgrade(old, new)
        new.start()
        task.step("upgraded")
    except BaseException as error:
        # The old data is as it was, and goes on.
        sql.fleet.discard(upgraded, upgraded.node)
        old.start()
        sql.fleet.serve(instance)
        sql.instances.put(instance)
        high_availability.resume_standby(sql, instance)
        if isinstance(error, engine.NotUpgradableError):
            raise OperationFailedError(RDBMS, str(error)) from None
        raise
    sql.instances.put(upgraded)
    task.step("decided")
    for node in filter(None, (instance.node, instance.standby)):
        sql.fleet.discard(instance, node)
    sql.fleet.serve(upgraded)
    upgraded = sql.instances.change(upgraded, state="RUNNABLE")
    return high_availability.add_standby(sql, upgraded) if upgraded.is_regional else upgraded
