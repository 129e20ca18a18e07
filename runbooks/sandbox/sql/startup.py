"""Starting Cloud SQL on a state folder, whatever an earlier process left there."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import typer

from runbooks.local.files import write_private
from runbooks.sandbox.engine import standby
from runbooks.sandbox.engine.errors import EngineError
from runbooks.sandbox.sql import backups, deletion, high_availability
from runbooks.sandbox.sql.faults import Faults
from runbooks.sandbox.sql.fleet import Fleet
from runbooks.sandbox.sql.operations import Operations
from runbooks.sandbox.sql.records import Instance, Instances
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Store

STOP_SECONDS = 10.0


def start(folder: Path, store: Store, faults: Faults) -> Sql:
    """Start it: operations that were under way end as failed, and what served before serves again.

    A deletion that was under way is carried to its end. An instance that was being made is failed.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    operations = Operations(store, faults)
    operations.fail_unfinished()
    sql = Sql(folder, store, faults, operations, Instances(store), Fleet(folder, _password(folder)))
    backups.fail_unfinished(sql)
    found = sql.instances.all()
    # Replicas after their primaries: they turn to where those are now.
    for group in ([one for one in found if not one.primary], [one for one in found if one.primary]):
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda one: _resume(sql, one), group))
    return sql


def stop(sql: Sql) -> None:
    """Stop it. Operations get a while; the rest end as failed at the next start."""
    sql.operations.close(STOP_SECONDS)
    sql.fleet.close()


def _resume(sql: Sql, instance: Instance) -> None:
    try:
        if instance.state == "PENDING_DELETE":
            deletion.bury(sql, instance)
        elif instance.state == "PENDING_CREATE":
            sql.fleet.remove(instance)
            sql.instances.change(instance, state="FAILED")
        elif instance.state in ("RUNNABLE", "MAINTENANCE") and instance.runs:
            _start(sql, instance)
            instance = sql.instances.get(instance.project, instance.name)
            sql.fleet.serve(instance)
            sql.instances.change(instance, state="RUNNABLE")
    except (EngineError, OSError) as error:
        sql.instances.change(instance, state="FAILED")
        typer.echo(f"sandbox: {instance.name} does not start: {error}", err=True)


def _start(sql: Sql, instance: Instance) -> None:
    sql.fleet.sweep(instance)
    cluster = sql.fleet.cluster(instance)
    primary = sql.instances.find(instance.project, instance.primary) if instance.primary else None
    if primary is not None and primary.runs:
        # One that a killed sandbox left still follows where the primary was.
        cluster.stop()
        standby.follow(sql.fleet.cluster(primary), cluster)
        return
    cluster.start()
    high_availability.resume_standby(sql, instance)


def _password(folder: Path) -> str:
    path = folder / "password"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text()
