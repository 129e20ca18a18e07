"""Backups by the project, where those of deleted instances are found too."""

from collections.abc import Iterator
from pathlib import Path

from runbooks.sandbox.sql import backups, errors, expiry, filters, times
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.deletion import FINAL
from runbooks.sandbox.sql.errors import backup_not_found, invalid_request, not_found
from runbooks.sandbox.sql.operations import Task
from runbooks.sandbox.sql.pages import page
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

FILTERED = frozenset(("backupInterval", "instance", "location", "name", "state", "type"))
# What an update may change, and how its mask names that.
CHANGED = {"description": "description", "ttlDays": "ttl_days", "expiryTime": "expiry_time"}


def list_(sql: Sql, call: Call) -> Document:
    """`Backups.ListBackups`: newest first."""
    found = [_shown(call, instance, run) for instance, run in _all(sql, call.project)]
    found = filters.chosen(found, call.query.get("filter"), FILTERED)
    items, token = page(sorted(found, key=lambda one: str(one["name"]), reverse=True), call)
    return {"backups": items, **token}


def get(sql: Sql, call: Call) -> Document:
    """`Backups.GetBackup`."""
    return _shown(call, *_get(sql, call))


def create(sql: Sql, call: Call) -> Document:
    """`Backups.CreateBackup`: on demand, which may expire."""
    instance = sql.instances.get(call.project, str(call.required("instance")).rpartition("/")[2])
    instance.require_running()
    run = backups.new_run(sql, instance, "ON_DEMAND", call, str(call.body.get("description", "")))
    if call.body.get("location"):
        run["location"] = call.body["location"]
    expires = expiry.asked(call.body, times.read(run["enqueuedTime"], "enqueuedTime"))
    if expires:
        run[expiry.EXPIRES] = expires

    def work(task: Task) -> None:
        backups.take(sql, instance, run, task, damaged=sql.faults.corrupts(call.method))

    return sql.operations.begin(
        call,
        "BACKUP",
        instance.name,
        work,
        prepare=lambda: backups.put(sql, instance, run),
        fields=_context(instance, run),
    )


def update(sql: Sql, call: Call) -> Document:
    """`Backups.UpdateBackup`: a final backup's description, and when it expires."""
    instance, run = _get(sql, call)
    if not run.get(FINAL):
        message = "only final backups can be updated."
        raise invalid_request(message)
    changes = {field: call.body.get(field) for field in _mask(call)}
    expires = expiry.asked(changes, times.read(run["enqueuedTime"], "enqueuedTime"))
    changed = run | ({expiry.EXPIRES: expires} if expires else {})
    if "description" in changes:
        changed["description"] = str(changes["description"] or "")

    def work(task: Task) -> None:
        task.checkpoint()
        backups.put(sql, instance, changed)

    return sql.operations.begin(call, "UPDATE_BACKUP", instance.name, work, fields=_context(instance, run))


def delete(sql: Sql, call: Call) -> Document:
    """`Backups.DeleteBackup`."""
    instance, run = _get(sql, call)

    def work(task: Task) -> None:
        task.checkpoint()
        backups.remove(sql, instance, run)

    return sql.operations.begin(call, "DELETE_BACKUP", instance.name, work, fields=_context(instance, run))


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


def _get(sql: Sql, call: Call) -> tuple[Instance, Document]:
    for instance, run in _all(sql, call.project):
        if _name(instance, run) == call.path["backup"]:
            return instance, run
    raise not_found(errors.BACKUP)


def _mask(call: Call) -> list[str]:
    given = [word.strip() for word in call.query.get("updateMask", "").split(",") if word.strip()]
    if not given:
        given = [field for field in CHANGED if field in call.body]
    by_name = {name: field for field, other in CHANGED.items() for name in (field, other)}
    unknown = sorted(set(given) - set(by_name))
    if unknown or not given:
        message = f"updateMask may have {', '.join(CHANGED)}, not {', '.join(unknown) or 'nothing'}."
        raise invalid_request(message)
    return [by_name[name] for name in given]


def _name(instance: Instance, run: Document) -> str:
    return f"{run['id']}-{instance.uid}"


def _full_name(instance: Instance, run: Document) -> str:
    return f"projects/{instance.project}/backups/{_name(instance, run)}"


def _context(instance: Instance, run: Document) -> Document:
    context = {"kind": "sql#backupContext", "backupId": run["id"], "name": _full_name(instance, run)}
    return {"backupContext": context}


def _shown(call: Call, instance: Instance, run: Document) -> Document:
    same = ("databaseVersion", "description", "location", "maxChargeableBytes", "backupKind", "error")
    shown = {
        "kind": "sql#backup",
        "name": _full_name(instance, run),
        "selfLink": call.link("backups", _name(instance, run)),
        "instance": instance.name,
        "type": "FINAL" if run.get(FINAL) else run["type"],
        "state": run["status"],
        "backupRun": "projects/" + run["selfLink"].partition("/projects/")[2],
        **{field: run[field] for field in same if field in run},
    }
    if "startTime" in run and "endTime" in run:
        shown["backupInterval"] = {"startTime": run["startTime"], "endTime": run["endTime"]}
    if run.get(expiry.EXPIRES):
        shown["expiryTime"] = run[expiry.EXPIRES]
    if instance.deleted:
        shown["instanceDeletionTime"] = instance.deleted
    return shown
