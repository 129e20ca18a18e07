"""Read replicas: made by streaming replication, promoted, and exchanged with their primary."""

from collections.abc import Callable
from dataclasses import replace

from runbooks.sandbox.engine import standby
from runbooks.sandbox.sql import backups, high_availability, replication, rules
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.errors import invalid_operation, invalid_request
from runbooks.sandbox.sql.operations import Task
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document


def primary_for(sql: Sql, call: Call) -> Instance | None:
    """The primary of an instance that is to be made, if it is to be a replica.

    Raises:
        ApiError: it cannot have a replica.
    """
    given = call.body.get("masterInstanceName")
    if not given:
        return None
    primary = sql.instances.get(call.project, str(given).rpartition(":")[2])
    primary.require_running()
    if primary.primary:
        message = "The sandbox has no replicas of replicas."
        raise invalid_operation(message)
    if not primary.settings.get("backupConfiguration", {}).get("enabled"):
        message = "The primary needs automated backups to be enabled."
        raise invalid_operation(message)
    asked = call.body.get("databaseVersion", primary.resource["databaseVersion"])
    if asked != primary.resource["databaseVersion"]:
        message = "A replica has its primary's databaseVersion."
        raise invalid_request(message)
    return primary


def create(sql: Sql, instance: Instance, primary: Instance) -> None:
    """Make a replica of a running primary."""
    standby.make(sql.fleet.cluster(primary), sql.fleet.cluster(instance))
    sql.fleet.serve(instance)
    sql.instances.change(instance, state="RUNNABLE")
    attach(sql, instance)


def attach(sql: Sql, replica: Instance) -> None:
    """Let the primary name a replica."""
    primary = sql.instances.get(replica.project, str(replica.primary))
    names = [*primary.replicas, replica.name]
    sql.instances.put(primary.has(replicaNames=names).bumped())


def detach(sql: Sql, replica: Instance) -> None:
    """Let the primary name it no more, which is a change of the primary's settings version."""
    primary = sql.instances.find(replica.project, str(replica.primary))
    if primary is None or replica.name not in primary.replicas:
        return
    names = [name for name in primary.replicas if name != replica.name]
    dr = primary.resource.get("replicationCluster", {}).get("failoverDrReplicaName", "").rpartition(":")[2]
    cluster = None if dr == replica.name else primary.resource.get("replicationCluster")
    sql.instances.put(primary.has(replicaNames=names or None, replicationCluster=cluster).bumped())


def release(sql: Sql, replica: Instance, primary: Instance) -> None:
    """Let a running primary keep no log for what was its replica."""
    if primary.runs and primary.state == "RUNNABLE":
        standby.release(sql.fleet.cluster(primary), sql.fleet.cluster(replica))


def check_dr_replica(sql: Sql, primary: Instance, wanted: Document) -> None:
    """See that a replica can be the one for disasters.

    Raises:
        ApiError: it cannot.
    """
    name = wanted.get("replicationCluster", {}).get("failoverDrReplicaName", "").rpartition(":")[2]
    if not name:
        return
    rules.require_plus(primary.resource, "A disaster recovery replica")
    replica = sql.instances.get(primary.project, name)
    if replica.primary != primary.name:
        message = f"{name} is not a replica of {primary.name}."
        raise invalid_request(message)
    if replica.resource["region"] == primary.resource["region"]:
        message = "A disaster recovery replica is in another region than its primary."
        raise invalid_request(message)


def promote(sql: Sql, call: Call) -> Document:
    """`instances.promoteReplica`; with `failover=true` the old primary becomes a replica of the new one."""
    replica, primary = _pair(sql, call)
    exchanges = call.flag("failover")
    if exchanges:
        _require_dr(replica, primary)

    def work(task: Task) -> None:
        task.checkpoint()
        # What an operation that just ended left.
        replica, primary = _pair(sql, call)
        if exchanges:
            sql.fleet.halt(primary)
            promoted = _decide(sql, replica, primary, task.step)
        else:
            promoted = _promote(sql, replica, task.step)
            detach(sql, replica)
            release(sql, replica, primary)
            promoted = _with_standby(sql, promoted)
        backups.automatic(sql, promoted, call, task)

    return sql.operations.begin(call, "PROMOTE_REPLICA", replica.name, work, also=[primary.name])


def switchover(sql: Sql, call: Call) -> Document:
    """`instances.switchover`: nothing is lost, and the old primary becomes a replica of the new one."""
    replica, primary = _pair(sql, call)
    _require_dr(replica, primary)
    replication.require_on(replica)
    primary.require_running()

    def work(task: Task) -> None:
        task.checkpoint()
        replica, primary = _pair(sql, call)
        sql.fleet.cut(primary)
        # A fast shutdown sends everything to the replicas before it ends.
        sql.fleet.cluster(primary).stop()
        backups.automatic(sql, _decide(sql, replica, primary, task.step), call, task)

    return sql.operations.begin(call, "SWITCHOVER", replica.name, work, also=[primary.name])


def _pair(sql: Sql, call: Call) -> tuple[Instance, Instance]:
    replica = sql.instances.get(call.project, call.instance)
    if not replica.primary:
        message = "The instance is not a replica."
        raise invalid_operation(message)
    replica.require_running()
    return replica, sql.instances.get(call.project, replica.primary)


def _require_dr(replica: Instance, primary: Instance) -> None:
    rules.require_plus(primary.resource, "Switchover and replica failover")
    rules.require_plus(replica.resource, "Switchover and replica failover")
    named = primary.resource.get("replicationCluster", {}).get("failoverDrReplicaName", "").rpartition(":")[2]
    if named != replica.name:
        message = f"{replica.name} is not the disaster recovery replica of {primary.name}."
        raise invalid_operation(message)
    if len(primary.replicas) > 1:
        message = "The sandbox exchanges a primary with its only replica."
        raise invalid_operation(message)


def exchange(sql: Sql, primary: Instance, step: Callable[[str], None]) -> Instance:
    """Let a primary's successor take its role, and the primary follow that; carries on what was cut short.

    Args:
        sql: the service.
        primary: its record names the successor, so the decision is made.
        step: told how far it is.

    Returns:
        The new primary.
    """
    sql.fleet.halt(primary)
    promoted = sql.instances.get(primary.project, str(primary.successor))
    if promoted.primary:
        promoted = _as_primary(promoted).has(
            replicaNames=[primary.name],
            replicationCluster={"failoverDrReplicaName": f"{primary.project}:{primary.name}"},
        )
        sql.instances.put(promoted)
    step("named")
    _serve_as_primary(sql, promoted)
    step("promoted")
    old = replace(primary, node=primary.next_node(), standby=None, archive=primary.next_archive(), successor=None).has(
        instanceType="READ_REPLICA_INSTANCE",
        masterInstanceName=f"{primary.project}:{promoted.name}",
        replicaNames=None,
        replicationCluster={"drReplica": True},
        secondaryGceZone=None,
        # Its data is made anew, whatever was the matter with it.
        state="RUNNABLE",
        suspensionReason=None,
        outOfDiskReport=None,
    )
    sql.instances.put(old.bumped())
    step("demoted")
    sql.fleet.sweep(old)
    standby.make(sql.fleet.cluster(promoted), sql.fleet.cluster(old))
    sql.fleet.serve(old)
    return _with_standby(sql, promoted)


def _decide(sql: Sql, replica: Instance, primary: Instance, step: Callable[[str], None]) -> Instance:
    step("stopped")
    decided = replace(primary, successor=replica.name)
    sql.instances.put(decided)
    step("decided")
    return exchange(sql, decided, step)


def _promote(sql: Sql, replica: Instance, step: Callable[[str], None]) -> Instance:
    promoted = _as_primary(replica)
    # Before it takes writes: it will never follow again.
    sql.instances.put(promoted)
    step("named")
    _serve_as_primary(sql, promoted)
    step("promoted")
    return promoted


def _as_primary(replica: Instance) -> Instance:
    return replica.has(
        instanceType="CLOUD_SQL_INSTANCE",
        masterInstanceName=None,
        replicationCluster=None,
        settings={name: value for name, value in replica.settings.items() if name != replication.ENABLED},
    ).bumped()


def _serve_as_primary(sql: Sql, promoted: Instance) -> None:
    cluster = sql.fleet.cluster(promoted)
    cluster.start()
    standby.promote(cluster)
    standby.delay(cluster, 0)
    sql.fleet.serve(promoted)


def _with_standby(sql: Sql, promoted: Instance) -> Instance:
    return high_availability.add_standby(sql, promoted) if promoted.is_regional else promoted
