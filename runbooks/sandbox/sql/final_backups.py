"""Backups by the project, where those of deleted instances are found too."""

from collections.abc import Iterator
from pathlib import Path

from runbooks.sandbox.sql import backups, errors
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.deletion import DAYS, FINAL
from runbooks.sandbox.sql.errors import backup_not_found, not_found
from runbooks.sandbox.sql.pages import page
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document


def list_(sql: Sql, call: Call) -> Document:
    """`Backups.ListBackups`: newest first."""
    found = [_shown(call, instance, run) for instance, run in _all(sql, call.project)]
    items, token = page(sorted(found, key=lambda one: str(one["name"]), reverse=True), call)
    return {"backups": items, **token}


def get(sql: Sql, call: Call) -> Document:
    """`Backups.GetBackup`."""
    for instance, run in _all(sql, call.project):
        if _name(instance, run) == call.path["backup"]:
            return _shown(call, instance, run)
    raise not_found(errors.BACKUP)


def restorable(sql: Sql, name: str) -> tuple[Path, str]:
    """The folder and the database version of a backup, by its full name.

    Raises:
        ApiError: there is none that can be restored.
    """
    match name.split("/"):
        case ["projects", project, "backups", wanted]:
            for instance, run in _all(sql, project):
                if _name(instance, run) == wanted and run["status"] == "SUCCESSFUL":
                    return backups.folder_of(sql, instance, run), run["databaseVersion"]
    raise backup_not_found()


def _all(sql: Sql, project: str) -> Iterator[tuple[Instance, Document]]:
    for instance in (*sql.instances.all(project), *sql.instances.all_deleted(project)):
        for run in backups.runs_of(sql, instance):
            yield instance, run


def _name(instance: Instance, run: Document) -> str:
    return f"{run['id']}-{instance.uid}"


def _shown(call: Call, instance: Instance, run: Document) -> Document:
    name = _name(instance, run)
    same = ("databaseVersion", "description", "location", "maxChargeableBytes", "backupKind", "error")
    shown = {
        "kind": "sql#backup",
        "name": f"projects/{instance.project}/backups/{name}",
        "selfLink": call.link("backups", name),
        "instance": instance.name,
        "type": "FINAL" if run.get(FINAL) else run["type"],
        "state": run["status"],
        "backupRun": "projects/" + run["selfLink"].partition("/projects/")[2],
        **{field: run[field] for field in same if field in run},
    }
    if "startTime" in run and "endTime" in run:
        shown["backupInterval"] = {"startTime": run["startTime"], "endTime": run["endTime"]}
    if run.get(DAYS):
        shown["ttlDays"] = run[DAYS]
    if instance.deleted:
        shown["instanceDeletionTime"] = instance.deleted
    return shown
