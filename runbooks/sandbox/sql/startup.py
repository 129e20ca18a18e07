"""Starting Cloud SQL on a state folder, whatever an earlier process left there."""

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import typer

from runbooks.local.files import write_private
from runbooks.sandbox.engine.errors import EngineError
from runbooks.sandbox.faults import Faults
from runbooks.sandbox.sql import backups, deletion, healing
from runbooks.sandbox.sql.fleet import Fleet
from runbooks.sandbox.sql.operations import Operations
from runbooks.sandbox.sql.records import Instance, Instances
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.sql.watcher import Watcher
from runbooks.sandbox.store import Store

STOP_SECONDS = 10.0


def start(folder: Path, store: Store, faults: Faults) -> Sql:
    """Start it: operations that were under way end as failed, and what served before serves again.

    A deletion that was under way is carried to its end, and so is an exchange of a primary with its replica. An
    instance that was being made is failed.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    operations = Operations(store, faults)
    operations.fail_unfinished()
    sql = Sql(folder, store, faults, operations, Instances(store), Fleet(folder, _password(folder)))
    backups.fail_unfinished(sql)
    # First who is to be primary; replicas after their primaries, since they turn to where those are now.
    _resume_all(sql, lambda one: one.successor is not None)
    _resume_all(sql, lambda one: not one.primary)
    _resume_all(sql, lambda one: one.primary is not None)
    watcher = Watcher(sql)
    watcher.start()
    sql.at_stop.callback(watcher.stop)
    return sql


def stop(sql: Sql) -> None:
    """Stop it. Operations get a while; the rest end as failed at the next start."""
    sql.at_stop.close()
    sql.operations.close(STOP_SECONDS)
    sql.fleet.close()


def _resume_all(sql: Sql, concerns: Callable[[Instance], bool]) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda one: _resume(sql, one), filter(concerns, sql.instances.all())))


def _resume(sql: Sql, instance: Instance) -> None:
    try:
        if instance.state == "PENDING_DELETE":
            deletion.bury(sql, instance)
        elif instance.state == "PENDING_CREATE":
            sql.fleet.remove(instance)
            sql.instances.change(instance, state="FAILED")
        elif instance.state in ("RUNNABLE", "MAINTENANCE") and instance.runs:
            healing.bring_up(sql, instance)
    except (EngineError, OSError) as error:
        sql.instances.change(instance, state="FAILED")
        typer.echo(f"sandbox: {instance.name} does not start: {error}", err=True)


def _password(folder: Path) -> str:
    path = folder / "password"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text()
