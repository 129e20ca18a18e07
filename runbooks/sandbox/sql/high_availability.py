"""The synchronous standby of an instance with high availability, and failing over to it."""

from dataclasses import replace

from runbooks.sandbox.engine import standby
from runbooks.sandbox.engine.errors import EngineError
from runbooks.sandbox.sql import resources
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.errors import invalid_operation, stale_data
from runbooks.sandbox.sql.operations import Task
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document


def failover(sql: Sql, call: Call) -> Document:
    """`instances.failover`."""
    instance = sql.instances.get(call.project, call.instance)
    version = str(call.required("failoverContext", "settingsVersion"))
    if version != instance.settings["settingsVersion"]:
        raise stale_data()
    instance.require_running()
    if not instance.is_regional or instance.standby is None:
        message = "The instance is not configured for high availability."
        raise invalid_operation(message)

    def work(task: Task) -> None:
        task.checkpoint()
        _fail_over(sql, instance)

    return sql.operations.begin(call, "FAILOVER", instance.name, work)


def add_standby(sql: Sql, instance: Instance) -> Instance:
    """Give a running instance its standby.

    Returns:
        The instance as it is now.
    """
    node = instance.next_node()
    primary, new = sql.fleet.cluster(instance), sql.fleet.cluster(instance, node)
    standby.make(primary, new)
    standby.synchronous(primary, standby.name_of(new))
    made = replace(instance, standby=node).has(secondaryGceZone=_other_zone(instance))
    sql.instances.put(made)
    return made


def remove_standby(sql: Sql, instance: Instance) -> Instance:
    """Take its standby away.

    Returns:
        The instance as it is now.
    """
    if instance.standby is None:
        return instance
    without = replace(instance, standby=None).has(secondaryGceZone=None)
    primary, old = sql.fleet.cluster(instance), sql.fleet.cluster(instance, instance.standby)
    standby.synchronous(primary, None)
    old.kill()
    standby.release(primary, old)
    sql.fleet.discard(instance, instance.standby)
    sql.instances.put(without)
    return without


def _fail_over(sql: Sql, instance: Instance) -> None:
    old, new = sql.fleet.cluster(instance), sql.fleet.cluster(instance, instance.standby)
    old.kill()
    # Before the promotion: nobody may still be told of a commit that the new primary does not have.
    sql.fleet.cut(instance)
    standby.promote(new)
    promoted = replace(resources.moved(instance), node=str(instance.standby), standby=None)
    sql.instances.put(promoted)
    sql.fleet.serve(promoted)
    # Only now: the address serves again while replicas turn to it and the next standby is made.
    for name in promoted.replicas:
        standby.follow(new, sql.fleet.cluster(sql.instances.get(instance.project, name)))
    add_standby(sql, promoted)
    sql.fleet.discard(instance, instance.node)


def _other_zone(instance: Instance) -> str:
    return str(resources.moved(instance).resource["gceZone"])


def resume_standby(sql: Sql, instance: Instance) -> None:
    """Start the standby of an instance that was started, and let it follow."""
    cluster = sql.fleet.standby(instance)
    if cluster is None or instance.standby is None:
        return
    primary = sql.fleet.cluster(instance)
    # One that a killed sandbox left still follows where the primary was.
    cluster.stop()
    try:
        standby.follow(primary, cluster)
    except EngineError:
        # A failover that was cut short may have promoted it: it is made again.
        standby.synchronous(primary, None)
        sql.fleet.discard(instance, instance.standby)
        add_standby(sql, replace(instance, standby=None))
