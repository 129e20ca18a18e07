"""Client certificates of an instance: made with their keys, listed, and good no more once they are deleted."""

import datetime as dt

from runbooks.sandbox.front.certificates import LIFETIME, new_key
from runbooks.sandbox.sql import errors, resources
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.errors import invalid_request, invalid_state, not_found
from runbooks.sandbox.sql.operations import Task
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

KIND = "sslCert"


def insert(sql: Sql, call: Call) -> Document:
    """`sslCerts.insert`: only this answer ever has the private key."""
    instance = sql.instances.get(call.project, call.instance)
    instance.require_running()
    name = str(call.required("commonName"))
    if any(one["commonName"] == name for one in _all(sql, instance)):
        message = f"A certificate with the common name {name} exists already."
        raise invalid_state(message)
    private, public = new_key()
    # A year less than the CA's own: a certificate is not good for longer than what it is signed with.
    lifetime = LIFETIME - dt.timedelta(days=365)
    try:
        pem = sql.fleet.certificates(instance).sign(public, common_name=name, lifetime=lifetime)
    except ValueError as error:
        message = f"commonName cannot be a certificate's: {error}"
        raise invalid_request(message) from None
    made = resources.certificate(pem, instance)
    made["selfLink"] = call.link("instances", instance.name, "sslCerts", made["sha1Fingerprint"])
    operation = sql.operations.begin(
        call, "UPDATE", instance.name, Task.checkpoint, prepare=lambda: sql.store.put(KIND, _key(instance, made), made)
    )
    return {
        "kind": "sql#sslCertsInsert",
        "operation": operation,
        "serverCaCert": resources.server_ca(sql, instance),
        "clientCert": {"certInfo": made, "certPrivateKey": private},
    }


def list_(sql: Sql, call: Call) -> Document:
    """`sslCerts.list`."""
    return {"kind": "sql#sslCertsList", "items": _all(sql, sql.instances.get(call.project, call.instance))}


def get(sql: Sql, call: Call) -> Document:
    """`sslCerts.get`."""
    return _get(sql, sql.instances.get(call.project, call.instance), call)


def delete(sql: Sql, call: Call) -> Document:
    """`sslCerts.delete`: who is connected stays, and nobody comes in with it."""
    instance = sql.instances.get(call.project, call.instance)
    instance.require_running()
    found = _get(sql, instance, call)

    def work(task: Task) -> None:
        task.checkpoint()
        sql.fleet.certificates(instance).revoke(found["certSerialNumber"])
        sql.fleet.front(instance).renew()
        sql.store.delete(KIND, _key(instance, found))

    return sql.operations.begin(call, "UPDATE", instance.name, work)


def forget(sql: Sql, instance: Instance) -> None:
    """Delete all."""
    for one in _all(sql, instance):
        sql.store.delete(KIND, _key(instance, one))


def _all(sql: Sql, instance: Instance) -> list[Document]:
    return sql.store.all(KIND, f"{instance.uid}/")


def _get(sql: Sql, instance: Instance, call: Call) -> Document:
    found = sql.store.get(KIND, f"{instance.uid}/{call.path['fingerprint']}")
    if found is None:
        raise not_found(errors.SSL_CERT)
    return found


def _key(instance: Instance, certificate: Document) -> str:
    return f"{instance.uid}/{certificate['sha1Fingerprint']}"
