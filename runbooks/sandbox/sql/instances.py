"""Instances: made, read, started again and deleted. What changes them is in `changes`."""

from collections.abc import Callable

from runbooks.sandbox.sql import backups, filters, high_availability, replicas, replication, resources, roles, rules
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.errors import invalid_operation, invalid_request
from runbooks.sandbox.sql.fleet import known_flags
from runbooks.sandbox.sql.operations import Task
from runbooks.sandbox.sql.pages import page
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

FILTERED = frozenset(
    (
        "backendType",
        "connectionName",
        "createTime",
        "databaseVersion",
        "gceZone",
        "instanceType",
        "ipAddresses",
        "masterInstanceName",
        "name",
        "project",
        "region",
        "replicaNames",
        "settings",
        "state",
    )
)


def insert(sql: Sql, call: Call) -> Document:
    """`instances.insert`: a new instance, or a replica of one."""
    name = str(call.required("name"))
    rules.check_name(name)
    call.required("settings", "tier")
    primary = replicas.primary_for(sql, call)
    wanted = dict(call.body)
    if primary is not None:
        wanted["databaseVersion"] = primary.resource["databaseVersion"]
    wanted["settings"] = rules.completed(call.body["settings"])
    if primary is not None:
        wanted["settings"][replication.ENABLED] = True
    rules.check(wanted["settings"], is_replica=primary is not None)
    rules.check_flags(wanted["settings"], known_flags(rules.version_of(wanted)))
    _check_kind(wanted)
    sql.instances.check_free(call.project, name)
    instance = resources.new(sql, call, wanted)
    password = call.body.get("rootPassword")

    def work(task: Task) -> None:
        with_cleanup(sql, instance, lambda: _create(sql, instance, call, task, primary=primary, password=password))

    kind, also = ("CREATE", []) if primary is None else ("CREATE_REPLICA", [primary.name])
    return sql.operations.begin(call, kind, name, work, also=also, prepare=lambda: sql.instances.add(instance))


def get(sql: Sql, call: Call) -> Document:
    """`instances.get`."""
    return sql.instances.get(call.project, call.instance).resource


def list_(sql: Sql, call: Call) -> Document:
    """`instances.list`."""
    found = [one.resource for one in sql.instances.all(call.project)]
    found = filters.chosen(found, call.query.get("filter"), FILTERED)
    items, token = page(found, call)
    return {"kind": "sql#instancesList", "items": items, **token}


def restart(sql: Sql, call: Call) -> Document:
    """`instances.restart`."""
    instance = sql.instances.get(call.project, call.instance)
    instance.require_running()

    def work(task: Task) -> None:
        task.checkpoint()
        sql.fleet.cut(instance)
        sql.fleet.cluster(instance).restart()
        sql.fleet.serve(instance)

    return sql.operations.begin(call, "RESTART", instance.name, work)


def with_cleanup(sql: Sql, instance: Instance, make: Callable[[], None]) -> None:
    """Make an instance; if that fails, its data is removed and callers see it as failed."""
    try:
        make()
    except BaseException:
        sql.fleet.remove(sql.instances.find(instance.project, instance.name) or instance)
        sql.instances.change(instance, state="FAILED")
        raise


def finish(sql: Sql, instance: Instance, call: Call, task: Task) -> Instance:
    """Give a running new cluster all that its instance has: a standby, an address, a first backup.

    Returns:
        The instance as it is now.
    """
    if instance.is_regional:
        instance = high_availability.add_standby(sql, instance)
    sql.fleet.serve(instance)
    backups.automatic(sql, instance, call, task)
    return sql.instances.change(instance, state="RUNNABLE")


def _create(
    sql: Sql, instance: Instance, call: Call, task: Task, *, primary: Instance | None, password: str | None
) -> None:
    task.checkpoint()
    if primary is not None:
        replicas.create(sql, instance, primary)
        return
    cluster = sql.fleet.cluster(instance)
    cluster.create()
    cluster.start()
    roles.prepare(cluster, password)
    task.checkpoint()
    finish(sql, instance, call, task)


def _check_kind(wanted: Document) -> None:
    if wanted.get("instanceType", "CLOUD_SQL_INSTANCE") not in ("CLOUD_SQL_INSTANCE", "READ_REPLICA_INSTANCE"):
        message = f"The sandbox has no {wanted['instanceType']}."
        raise invalid_operation(message)
    if wanted["settings"].get("activationPolicy") == "NEVER":
        message = "An instance cannot be created stopped."
        raise invalid_request(message)
