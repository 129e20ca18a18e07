"""The synchronous standby of an instance with high availability, and failing over to it.

Whatever happens to the sandbox in between, the record tells what is true. Its `node` is the primary, from before that
is promoted. Its `standby` has everything that was acknowledged: it is written there once commits wait for it, and
taken away before they no longer do.
"""

from dataclasses import replace

from runbooks.sandbox.engine import standby
from runbooks.sandbox.sql import replication, resources
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
        fail_over(sql, sql.instances.get(call.project, call.instance), task)

    return sql.operations.begin(call, "FAILOVER", instance.name, work)


def fail_over(sql: Sql, instance: Instance, task: Task) -> None:
    """Let the standby of an instance take over, whatever is left of the primary, and make the next one."""
    old, new = sql.fleet.cluster(instance), sql.fleet.cluster(instance, instance.standby)
    old.kill()
    # Before the promotion: nobody may still be told of a commit that the new primary does not have.
    sql.fleet.cut(instance)
    task.step("killed")
    promoted = replace(resources.moved(instance), node=str(instance.standby), standby=None)
    sql.instances.put(promoted)
    task.step("decided")
    standby.promote(new)
    task.step("promoted")
    sql.fleet.serve(promoted)
    task.step("served")
    # Only now: the address serves again while replicas turn to it and the next standby is made.
    for name in promoted.replicas:
        replica = sql.instances.get(instance.project, name)
        # One that is down is started later, by the watcher.
        if replication.is_on(replica) and sql.fleet.is_served(replica):
            standby.rejoin(new, sql.fleet.cluster(replica))
    add_standby(sql, promoted)
    task.step("followed")
    sql.fleet.discard(instance, instance.node)


def add_standby(sql: Sql, instance: Instance) -> Instance:
    """Give a running instance its standby.

    Returns:
        The instance as it is now.
    """
    node = instance.next_node()
    primary, new = sql.fleet.cluster(instance), sql.fleet.cluster(instance, node)
    if new.folder.exists():
        # What work that failed left.
        new.remove()
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
    sql.instances.put(without)
    standby.synchronous(primary, None)
    old.kill()
    standby.release(primary, old)
    sql.fleet.discard(instance, instance.standby)
    return without


def resume_standby(sql: Sql, instance: Instance) -> Instance:
    """Let the standby of an instance that was started follow it; one that cannot is made again.

    Returns:
        The instance as it is now.
    """
    if instance.primary:
        return instance
    primary = sql.fleet.cluster(instance)
    if instance.standby is None:
        # A standby may have been taken away without the primary's knowledge.
        standby.synchronous(primary, None)
        return add_standby(sql, instance) if instance.is_regional else instance
    cluster = sql.fleet.cluster(instance, instance.standby)
    # One that a killed sandbox left still follows where the primary was.
    cluster.stop()
    standby.rejoin(primary, cluster)
    standby.synchronous(primary, standby.name_of(cluster))
    return instance


def renew_standby(sql: Sql, instance: Instance) -> Instance:
    """Make the standby of a running instance again.

    Returns:
        The instance as it is now.
    """
    return add_standby(sql, remove_standby(sql, instance))


def _other_zone(instance: Instance) -> str:
    return str(resources.moved(instance).resource["gceZone"])
