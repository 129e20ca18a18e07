"""Which function answers which method. What is not here is answered 501, by name."""

from collections.abc import Callable
from functools import partial

from runbooks.sandbox.sql import (
    backups,
    changes,
    client_certificates,
    clone,
    connect,
    databases,
    deletion,
    final_backups,
    flags,
    high_availability,
    instances,
    replicas,
    replication,
    restore,
    server_cas,
    tiers,
    upgrade,
    users,
)
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.pages import page
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document


def operations_get(sql: Sql, call: Call) -> Document:
    """`operations.get`."""
    return sql.operations.get(call.project, call.path["operation"])


def operations_list(sql: Sql, call: Call) -> Document:
    """`operations.list`: newest first."""
    items, token = page(sql.operations.all(call.project, call.query.get("instance")), call)
    return {"kind": "sql#operationsList", "items": items, **token}


def operations_cancel(sql: Sql, call: Call) -> Document:
    """`operations.cancel`."""
    sql.operations.cancel(call.project, call.path["operation"])
    return {}


HANDLERS: dict[str, Callable[[Sql, Call], Document]] = {
    "Backups.CreateBackup": final_backups.create,
    "Backups.DeleteBackup": final_backups.delete,
    "Backups.GetBackup": final_backups.get,
    "Backups.ListBackups": final_backups.list_,
    "Backups.UpdateBackup": final_backups.update,
    "backupRuns.delete": backups.delete,
    "backupRuns.get": backups.get,
    "backupRuns.insert": backups.insert,
    "backupRuns.list": backups.list_,
    "connect.generateEphemeral": connect.ephemeral,
    "connect.get": connect.settings,
    "connect.resolve": connect.resolve,
    "databases.delete": databases.delete,
    "databases.get": databases.get,
    "databases.insert": databases.insert,
    "databases.list": databases.list_,
    "databases.patch": databases.update,
    "databases.update": databases.update,
    "flags.list": flags.list_,
    "instances.addServerCa": server_cas.add,
    "instances.clone": clone.clone,
    "instances.delete": deletion.delete,
    "instances.failover": high_availability.failover,
    "instances.get": instances.get,
    "instances.insert": instances.insert,
    "instances.list": instances.list_,
    "instances.listServerCas": server_cas.list_,
    "instances.patch": changes.patch,
    "instances.preCheckMajorVersionUpgrade": upgrade.precheck,
    "instances.promoteReplica": replicas.promote,
    "instances.resetSslConfig": server_cas.reset,
    "instances.restart": instances.restart,
    "instances.restoreBackup": restore.restore_backup,
    "instances.rotateServerCa": server_cas.rotate,
    "instances.startReplica": replication.start,
    "instances.stopReplica": replication.stop,
    "instances.switchover": replicas.switchover,
    "instances.update": changes.update,
    "operations.cancel": operations_cancel,
    "operations.get": operations_get,
    "operations.list": operations_list,
    "projects.instances.getLatestRecoveryTime": clone.latest_recovery_time,
    "sslCerts.createEphemeral": connect.sign,
    "sslCerts.delete": client_certificates.delete,
    "sslCerts.get": client_certificates.get,
    "sslCerts.insert": client_certificates.insert,
    "sslCerts.list": client_certificates.list_,
    "tiers.list": tiers.list_,
    "users.delete": users.delete,
    "users.get": users.get,
    "users.insert": users.insert,
    "users.list": users.list_,
    "users.update": users.update,
}


def bound(sql: Sql) -> dict[str, Callable[[Call], Document]]:
    """The functions, with their service."""
    return {name: partial(handler, sql) for name, handler in HANDLERS.items()}
