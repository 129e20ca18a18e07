"""Stopping and starting a replica's replication: stopped, it serves what it has, and its primary keeps the log."""

from runbooks.sandbox.engine import standby
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.errors import invalid_operation, invalid_request
from runbooks.sandbox.sql.operations import Task
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

ENABLED = "databaseReplicationEnabled"


def start(sql: Sql, call: Call) -> Document:
    """`instances.startReplica`: it gets what it missed."""
    return _switch(sql, call, "START_REPLICA", is_on=True)


def stop(sql: Sql, call: Call) -> Document:
    """`instances.stopReplica`."""
    return _switch(sql, call, "STOP_REPLICA", is_on=False)


def is_on(replica: Instance) -> bool:
    """Whether a replica shall follow its primary."""
    return bool(replica.settings.get(ENABLED, True))


def check(instance: Instance, settings: Document) -> None:
    """See that settings do not speak of replication where there is none.

    Raises:
        ApiError: they do.
    """
    if ENABLED in settings and not instance.primary:
        message = f"settings.{ENABLED} is for read replicas only."
        raise invalid_request(message)


def require_on(replica: Instance) -> None:
    """See that a replica follows its primary: what it lacks would be lost.

    Raises:
        ApiError: it does not.
    """
    if not is_on(replica):
        message = f"The replication of {replica.name} is stopped. Start it first."
        raise invalid_operation(message)


def carry_out(sql: Sql, replica: Instance) -> None:
    """Let a running replica follow its primary or not, as its settings say."""
    cluster = sql.fleet.cluster(replica)
    if is_on(replica):
        standby.follow(sql.fleet.cluster(sql.instances.get(replica.project, str(replica.primary))), cluster)
    else:
        standby.stay(cluster)


def _switch(sql: Sql, call: Call, kind: str, *, is_on: bool) -> Document:
    replica = sql.instances.get(call.project, call.instance)
    if not replica.primary:
        message = "The instance is not a replica."
        raise invalid_operation(message)
    replica.require_running()
    primary = sql.instances.get(call.project, replica.primary)
    if is_on:
        primary.require_running()

    def work(task: Task) -> None:
        task.checkpoint()
        current = sql.instances.get(call.project, call.instance)
        wanted = current.has(settings=current.settings | {ENABLED: is_on}).bumped()
        carry_out(sql, wanted)
        sql.instances.put(wanted)

    return sql.operations.begin(call, kind, replica.name, work, also=[primary.name])
