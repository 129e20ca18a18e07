"""What a connector asks: where an instance is, and a certificate for an hour."""

from runbooks.sandbox.front.certificates import UnusableKeyError
from runbooks.sandbox.sql import resources
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.errors import invalid_request
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

SAME = ("backendType", "connectionName", "databaseVersion", "dnsName", "ipAddresses", "region", "serverCaCert")


def settings(sql: Sql, call: Call) -> Document:
    """`connect.get`."""
    instance = sql.instances.get(call.project, call.instance)
    instance.require_running()
    return {
        "kind": "sql#connectSettings",
        "serverCaMode": "GOOGLE_MANAGED_INTERNAL_CA",
        "pscEnabled": False,
        **{field: instance.resource[field] for field in SAME},
    }


def ephemeral(sql: Sql, call: Call) -> Document:
    """`connect.generateEphemeral`."""
    instance = sql.instances.get(call.project, call.instance)
    instance.require_running()
    key = str(call.required("public_key"))
    try:
        pem = sql.fleet.certificates(instance).sign(key, access_token=call.body.get("access_token"))
    except UnusableKeyError as error:
        raise invalid_request(str(error)) from None
    return {"ephemeralCert": resources.certificate(pem, instance)}
