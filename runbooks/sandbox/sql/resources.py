"""An instance as callers see it."""

from runbooks.sandbox.front.certificates import describe
from runbooks.sandbox.sql import times
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.fleet import dns_name
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.rules import newer, version_of
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

REGION = "us-central1"
ZONES = "a", "b"


def new(sql: Sql, call: Call, wanted: Document) -> Instance:
    """A new instance's record, with an address of its own.

    Args:
        sql: the service.
        call: the call that asks for it.
        wanted: what the caller said of it, with a name and complete settings.
    """
    name = str(wanted["name"])
    version = version_of(wanted)
    region = wanted.get("region", REGION)
    address, port = sql.fleet.addresses.next({one.address for one in sql.instances.all()})
    settings = wanted["settings"] | {"settingsVersion": "1"}
    kept = ("replicationCluster", "diskEncryptionConfiguration", "maintenanceVersion")
    resource: Document = {
        "kind": "sql#instance",
        "name": name,
        "project": call.project,
        "region": region,
        "gceZone": settings.get("locationPreference", {}).get("zone", f"{region}-a"),
        "databaseVersion": wanted.get("databaseVersion", f"POSTGRES_{version}"),
        "databaseInstalledVersion": f"POSTGRES_{version}",
        "connectionName": f"{call.project}:{region}:{name}",
        "backendType": "SECOND_GEN",
        "instanceType": "READ_REPLICA_INSTANCE" if wanted.get("masterInstanceName") else "CLOUD_SQL_INSTANCE",
        "state": "PENDING_CREATE",
        "createTime": times.now(),
        "selfLink": call.link("instances", name),
        "settings": settings,
        "ipAddresses": addresses(settings, address),
        "serviceAccountEmailAddress": f"p-sandbox@{call.project}.invalid",
        **{field: wanted[field] for field in kept if field in wanted},
    }
    if upgradable := newer(resource["databaseVersion"]):
        resource["upgradableDatabaseVersions"] = upgradable
    if wanted.get("masterInstanceName"):
        resource["masterInstanceName"] = f"{call.project}:{wanted['masterInstanceName'].rpartition(':')[2]}"
    instance = Instance(call.project, name, resource, address, port)
    return instance.has(serverCaCert=server_ca(sql, instance), dnsName=dns_name(instance))


def addresses(settings: Document, address: str) -> list[Document]:
    """An instance's addresses: the same one in each network that it is in."""
    ip = settings.get("ipConfiguration", {})
    found = [{"type": "PRIMARY", "ipAddress": address}] if ip.get("ipv4Enabled", True) else []
    return [*found, *([{"type": "PRIVATE", "ipAddress": address}] if ip.get("privateNetwork") else [])]


def server_ca(sql: Sql, instance: Instance) -> Document:
    """The certificate by which clients know the instance."""
    return certificate(sql.fleet.certificates(instance).server_ca, instance)


def certificate(pem: str, instance: Instance) -> Document:
    """A certificate as callers see it."""
    described = describe(pem)
    return {
        "kind": "sql#sslCert",
        "instance": instance.name,
        "cert": pem,
        "commonName": described.common_name,
        "certSerialNumber": described.serial,
        "sha1Fingerprint": described.sha1,
        "createTime": times.written(described.created_at),
        "expirationTime": times.written(described.expires_at),
    }


def moved(instance: Instance) -> Instance:
    """The instance in its other zone."""
    zone = str(instance.resource["gceZone"])
    other = zone[:-1] + (ZONES[1] if zone.endswith(ZONES[0]) else ZONES[0])
    return instance.has(gceZone=other, secondaryGceZone=zone)
