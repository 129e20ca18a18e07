"""Read replicas: made by streaming replication, promoted, and exchanged with their primary."""

from dataclasses import replace

from runbooks.sandbox.engine import standby
from runbooks.sandbox.sql import backups, rules
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
        if exchanges:
            sql.fleet.cut(primary)
            sql.fleet.cluster(primary).kill()
            promoted = _exchange(sql, replica, primary)
        else:
            promoted = _promote(sql, replica)
            detach(sql, replica)
            release(sql, replica, primary)
        backups.automatic(sql, promoted, call, task)

    return sql.operations.begin(call, "PROMOTE_REPLICA", replica.name, work, also=[primary.name])


def switchover(sql: Sql, call: Call) -> Document:
    """`instances.switchover`: nothing is lost, and the old primary becomes a replica of the new one."""
    replica, primary = _pair(sql, call)
    _require_dr(replica, primary)
    primary.require_running()

    def work(task: Task) -> None:
        task.checkpoint()
        sql.fleet.cut(primary)
        # A fast shutdown sends everything to the replicas before it ends.
        sql.fleet.cluster(primary).stop()
        backups.automatic(sql, _exchange(sql, replica, primary), call, task)

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


def _promote(sql: Sql, replica: Instance) -> Instance:
    standby.promote(sql.fleet.cluster(replica))
    promoted = replica.has(instanceType="CLOUD_SQL_INSTANCE", masterInstanceName=None, replicationCluster=None).bumped()
    sql.instances.put(promoted)
    sql.fleet.serve(promoted)
    return promoted


def _exchange(sql: Sql, replica: Instance, primary: Instance) -> Instance:
    promoted = _promote(sql, replica)
    if primary.standby:
        sql.fleet.discard(primary, primary.standby)
    node = primary.next_node()
    old = replace(primary, node=node, standby=None, archive=primary.next_archive()).has(
        instanceType="READ_REPLICA_INSTANCE",
        masterInstanceName=f"{primary.project}:{promoted.name}",
        replicaNames=None,
        replicationCluster={"drReplica": True},
        secondaryGceZone=None,
    )
    try:
        standby.make(sql.fleet.cluster(promoted), sql.fleet.cluster(old))
    finally:
        sql.fleet.discard(primary, primary.node)
        sql.instances.put(old.bumped())
    cluster = {"failoverDrReplicaName": f"{primary.project}:{old.name}"}
    promoted = sql.instances.change(promoted, replicaNames=[old.name], replicationCluster=cluster)
    sql.fleet.serve(old)
    return promoted
