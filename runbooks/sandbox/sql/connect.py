"""What a connector asks: where an instance is, and a certificate for an hour."""

import datetime as dt
import re

from runbooks.sandbox.front.certificates import EPHEMERAL_LIFETIME, UnusableKeyError
from runbooks.sandbox.sql import resources
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.errors import invalid_request, not_authorized
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

SAME = ("backendType", "connectionName", "databaseVersion", "dnsName", "ipAddresses", "region", "serverCaCert")

DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
MOST_SECONDS = 86_400


def settings(sql: Sql, call: Call) -> Document:
    """`connect.get`."""
    return _settings(sql.instances.get(call.project, call.instance))


def resolve(sql: Sql, call: Call) -> Document:
    """`connect.resolve`: by the instance's name for name servers, and its region."""
    for instance in sql.instances.all():
        where = instance.resource.get("dnsName"), instance.resource["region"]
        if where == (call.path["dns"].rstrip("."), call.path["location"]):
            return _settings(instance)
    raise not_authorized()


def ephemeral(sql: Sql, call: Call) -> Document:
    """`connect.generateEphemeral`."""
    return {"ephemeralCert": sign(sql, call)}


def sign(sql: Sql, call: Call) -> Document:
    """`sslCerts.createEphemeral`, which answers the same certificate by itself."""
    instance = sql.instances.get(call.project, call.instance)
    instance.require_running()
    key = str(call.required("public_key"))
    try:
        lifetime = _lifetime(call.body.get("validDuration"))
        pem = sql.fleet.certificates(instance).sign(key, lifetime=lifetime, access_token=call.body.get("access_token"))
    except UnusableKeyError as error:
        raise invalid_request(str(error)) from None
    return resources.certificate(pem, instance)


def _lifetime(duration: str | None) -> dt.timedelta:
    if duration is None:
        return EPHEMERAL_LIFETIME
    match = DURATION.fullmatch(duration)
    if match is None or not 0 < float(match[1]) <= MOST_SECONDS:
        message = "validDuration must be seconds, from 1s to 86400s."
        raise invalid_request(message)
    return dt.timedelta(seconds=float(match[1]))


def _settings(instance: Instance) -> Document:
    instance.require_running()
    return {
        "kind": "sql#connectSettings",
        "serverCaMode": "GOOGLE_MANAGED_INTERNAL_CA",
        "pscEnabled": _is_by_endpoints(instance),
        **{field: instance.resource[field] for field in SAME},
    }


def _is_by_endpoints(instance: Instance) -> bool:
    return bool(instance.settings.get("ipConfiguration", {}).get("pscConfig", {}).get("pscEnabled"))
