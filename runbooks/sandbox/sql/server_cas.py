"""The CAs of an instance's own certificate: one is added, clients get to know it, then the instance turns to it."""

from runbooks.sandbox.front.certificates import describe
from runbooks.sandbox.sql import client_certificates, resources
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.errors import invalid_request, not_implemented
from runbooks.sandbox.sql.operations import Task
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document


def list_(sql: Sql, call: Call) -> Document:
    """`instances.listServerCas`."""
    instance = sql.instances.get(call.project, call.instance)
    pems = sql.fleet.certificates(instance).server_cas
    return {
        "kind": "sql#instancesListServerCas",
        "certs": [resources.certificate(pem, instance) for pem in pems],
        "activeVersion": describe(pems[0]).sha1,
    }


def add(sql: Sql, call: Call) -> Document:
    """`instances.addServerCa`."""
    instance = _running(sql, call)

    def work(task: Task) -> None:
        task.checkpoint()
        sql.fleet.certificates(instance).add_ca()
        sql.fleet.front(instance).renew()

    return sql.operations.begin(call, "UPDATE", instance.name, work)


def rotate(sql: Sql, call: Call) -> Document:
    """`instances.rotateServerCa`: clients that know the CA connect on, and who is connected stays."""
    instance = _running(sql, call)
    wanted = call.body.get("rotateServerCaContext", {}).get("nextVersion")
    if not sql.fleet.certificates(instance).can_rotate(wanted):
        message = "there is no such CA to rotate to; add one first."
        raise invalid_request(message)

    def work(task: Task) -> None:
        task.checkpoint()
        sql.fleet.certificates(instance).rotate(wanted)
        _show(sql, instance)

    return sql.operations.begin(call, "UPDATE", instance.name, work)


def reset(sql: Sql, call: Call) -> Document:
    """`instances.resetSslConfig`: a new CA at once, and no client's certificate is good any more."""
    instance = _running(sql, call)
    if call.query.get("mode") == "SYNC_FROM_PRIMARY":
        raise not_implemented(call.method, "mode=SYNC_FROM_PRIMARY")

    def work(task: Task) -> None:
        task.checkpoint()
        client_certificates.forget(sql, instance)
        sql.fleet.certificates(instance).reset()
        _show(sql, instance)

    return sql.operations.begin(call, "UPDATE", instance.name, work)


def _running(sql: Sql, call: Call) -> Instance:
    instance = sql.instances.get(call.project, call.instance)
    instance.require_running()
    return instance


def _show(sql: Sql, instance: Instance) -> None:
    sql.fleet.front(instance).renew()
    current = sql.instances.get(instance.project, instance.name)
    sql.instances.change(current, serverCaCert=resources.server_ca(sql, current))
