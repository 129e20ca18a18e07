"""Backup runs: real base backups of an instance."""

import datetime as dt
import shutil
import time
from pathlib import Path

from runbooks.sandbox.engine import backup as engine
from runbooks.sandbox.sql import errors, times
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.errors import invalid_request, not_found
from runbooks.sandbox.sql.expiry import is_over
from runbooks.sandbox.sql.failures import code_of
from runbooks.sandbox.sql.operations import FollowUp, Task, visible
from runbooks.sandbox.sql.pages import page
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

KIND = "backupRun"
ARCHIVE = "sandbox.archive"
# In an instance's place: those of all instances.
ALL = "-"


def insert(sql: Sql, call: Call) -> Document:
    """`backupRuns.insert`."""
    instance = sql.instances.get(call.project, call.instance)
    instance.require_running()
    run = new_run(sql, instance, "ON_DEMAND", call, str(call.body.get("description", "")))

    def work(task: Task) -> None:
        take(sql, instance, run, task, damaged=sql.faults.corrupts(call.method))

    return sql.operations.begin(
        call,
        "BACKUP",
        instance.name,
        work,
        prepare=lambda: put(sql, instance, run),
        fields=_context(run),
    )


def list_(sql: Sql, call: Call) -> Document:
    """`backupRuns.list`: newest first."""
    names = call.instance != ALL
    chosen = [sql.instances.get(call.project, call.instance)] if names else sql.instances.all(call.project)
    runs = [run for instance in chosen for run in runs_of(sql, instance)]
    runs.sort(key=lambda run: int(run["id"]), reverse=True)
    items, token = page([visible(run) for run in runs], call)
    return {"kind": "sql#backupRunsList", "items": items, **token}


def get(sql: Sql, call: Call) -> Document:
    """`backupRuns.get`."""
    return visible(_get(sql, sql.instances.get(call.project, call.instance), call.path["id"]))


def delete(sql: Sql, call: Call) -> Document:
    """`backupRuns.delete`."""
    instance = sql.instances.get(call.project, call.instance)
    run = _get(sql, instance, call.path["id"])

    def work(task: Task) -> None:
        task.checkpoint()
        remove(sql, instance, run)

    return sql.operations.begin(
        call,
        "DELETE_BACKUP",
        instance.name,
        work,
        fields=_context(run),
    )


def new_run(sql: Sql, instance: Instance, kind: str, call: Call, description: str = "") -> Document:
    """The document of a run that is to be."""
    known = {int(run["id"]) for run in runs_of(sql, instance)}
    number = max([time.time_ns() // 1_000_000, *(one + 1 for one in known)])
    return {
        "kind": "sql#backupRun",
        "id": str(number),
        "instance": instance.name,
        "status": "ENQUEUED",
        "type": kind,
        "backupKind": "PHYSICAL",
        "databaseVersion": instance.resource["databaseVersion"],
        "location": instance.settings.get("backupConfiguration", {}).get("location", "us"),
        "enqueuedTime": times.now(),
        "windowStartTime": times.now(),
        "description": description,
        "selfLink": call.link("instances", instance.name, "backupRuns", str(number)),
        ARCHIVE: instance.archive,
    }


def take(sql: Sql, instance: Instance, run: Document, task: Task, *, damaged: bool = False) -> Document:
    """Take a backup. If that fails, the run says so too."""
    folder = folder_of(sql, instance, run)
    run = run | {"status": "RUNNING", "startTime": times.now()}
    try:
        task.checkpoint()
        put(sql, instance, run)
        with task.interruptible():
            taken = engine.take(sql.fleet.cluster(instance), folder)
        task.checkpoint()
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        failure = {"kind": "sql#operationError", "code": code_of(error), "message": str(error)}
        put(sql, instance, run | {"status": "FAILED", "endTime": times.now(), "error": failure})
        raise
    if damaged:
        damage(folder)
    done = run | {
        "status": "SUCCESSFUL",
        "startTime": times.written(taken.started_at),
        "endTime": times.written(taken.ended_at),
        "maxChargeableBytes": str(taken.bytes),
    }
    put(sql, instance, done)
    return done


def automatic(sql: Sql, instance: Instance, call: Call, task: Task) -> None:
    """Let the backup that Cloud SQL takes by itself follow an operation: recovery to a moment starts from one.

    As there, the operation ends without it: until the backup is SUCCESSFUL, no moment can be recovered to.
    """
    if not instance.settings.get("backupConfiguration", {}).get("enabled"):
        return
    run = new_run(sql, instance, "AUTOMATED", call)

    def work(own: Task) -> None:
        take(sql, instance, run, own)

    task.follow_up = FollowUp("BACKUP_VOLUME", instance.name, work, lambda: put(sql, instance, run), _context(run))


def put(sql: Sql, instance: Instance, run: Document) -> None:
    """Write a run."""
    sql.store.put(KIND, _key(instance, run["id"]), run)


def runs_of(sql: Sql, instance: Instance) -> list[Document]:
    """All runs of an instance, oldest first. Those whose time is over go."""
    runs = sql.store.all(KIND, f"{instance.uid}/")
    for run in filter(is_over, runs):
        remove(sql, instance, run)
    return [run for run in runs if not is_over(run)]


def remove(sql: Sql, instance: Instance, run: Document) -> None:
    """Delete a run and its data."""
    shutil.rmtree(folder_of(sql, instance, run), ignore_errors=True)
    sql.store.delete(KIND, _key(instance, run["id"]))


def restorable(sql: Sql, instance: Instance, run_id: str) -> Document | None:
    """A run that can be restored, if it is there."""
    run = sql.store.get(KIND, _key(instance, run_id))
    return run if run and run["status"] == "SUCCESSFUL" and not is_over(run) else None


def before(sql: Sql, instance: Instance, moment: dt.datetime) -> Document | None:
    """The newest run that ended at a moment or before."""
    whole = [run for run in runs_of(sql, instance) if run["status"] == "SUCCESSFUL"]
    return next((run for run in reversed(whole) if times.read(run["endTime"], "endTime") <= moment), None)


def folder_of(sql: Sql, instance: Instance, run: Document) -> Path:
    """Where a run's data is."""
    return sql.fleet.backups(instance) / str(run["id"])


def archive_of(sql: Sql, instance: Instance, run: Document) -> Path:
    """The log archive that goes on from a run."""
    return sql.fleet.archive(instance).with_name(run[ARCHIVE])


def fail_unfinished(sql: Sql) -> None:
    """Runs that an earlier process left are failed, and what they wrote is removed."""
    for instance in sql.instances.all():
        for run in runs_of(sql, instance):
            if run["status"] in ("ENQUEUED", "RUNNING"):
                shutil.rmtree(folder_of(sql, instance, run), ignore_errors=True)
                put(sql, instance, run | {"status": "FAILED", "endTime": times.now()})


def damage(folder: Path) -> None:
    """Change a byte of a backup."""
    victim = max((folder / "data" / "base").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 0xFF
    victim.write_bytes(content)


def _get(sql: Sql, instance: Instance, run_id: str) -> Document:
    if not run_id.isdigit():
        message = "The backup run's id must be a number."
        raise invalid_request(message)
    run = sql.store.get(KIND, _key(instance, run_id))
    if run is None or is_over(run):
        raise not_found(errors.BACKUP_RUN)
    return run


def _context(run: Document) -> Document:
    return {"backupContext": {"kind": "sql#backupContext", "backupId": run["id"]}}


def _key(instance: Instance, run_id: str) -> str:
    return f"{instance.uid}/{run_id}"
