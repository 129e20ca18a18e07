"""Bringing an instance to what its record says, after an accident or a crash of the sandbox."""

from runbooks.sandbox.engine import standby
from runbooks.sandbox.sql import high_availability, replicas, replication
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql


def bring_up(sql: Sql, instance: Instance) -> None:
    """Let an instance serve, as its record says, whatever runs or lies about. It can be done again.

    Raises:
        EngineError: PostgreSQL does not start, or does not answer.
    """
    if instance.successor:
        replicas.exchange(sql, instance, lambda _: None)
        return
    sql.fleet.sweep(instance)
    if instance.primary:
        _start_replica(sql, instance, str(instance.primary))
    else:
        instance = _start_primary(sql, instance)
    sql.fleet.serve(instance)
    sql.instances.change(instance, state="RUNNABLE")


def _start_primary(sql: Sql, instance: Instance) -> Instance:
    cluster = sql.fleet.cluster(instance)
    cluster.start()
    # A failover that was cut short had chosen it.
    standby.promote(cluster)
    # What became a replica or ceased to be one, when only one of two records could be written.
    names = [one.name for one in sql.instances.all(instance.project) if _follows(one, instance)]
    if set(names) != set(instance.replicas):
        instance = instance.has(replicaNames=names or None).bumped()
        sql.instances.put(instance)
    return high_availability.resume_standby(sql, instance)


def _start_replica(sql: Sql, replica: Instance, name: str) -> None:
    cluster = sql.fleet.cluster(replica)
    primary = sql.instances.find(replica.project, name)
    if primary is not None and replication.is_on(replica) and sql.fleet.is_served(primary):
        if not sql.fleet.is_served(replica):
            # One that a killed sandbox left still follows where the primary was.
            cluster.stop()
        standby.rejoin(sql.fleet.cluster(primary), cluster)
    else:
        # It serves what it has.
        cluster.start()


def _follows(replica: Instance, primary: Instance) -> bool:
    return replica.primary == primary.name and replica.state not in ("PENDING_CREATE", "FAILED", "PENDING_DELETE")
