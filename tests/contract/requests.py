"""A plan's resources as the requests that the provider sends: mostly the same names; where not, it is said here."""

import base64
from collections.abc import Mapping
from typing import Any

from runbooks.plan.model import Resource

Document = dict[str, Any]

# Of Cloud SQL's settings: the program's name, and Google's.
SQL_SETTINGS = {
    "diskSize": "dataDiskSizeGb",
    "diskType": "dataDiskType",
    "diskAutoresize": "storageAutoResize",
    "diskAutoresizeLimit": "storageAutoResizeLimit",
}
# What is Pulumi's or the provider's own, and no field of Google's.
OWN = frozenset({"deletionProtection", "deletionPolicy", "forceDestroy"})


def sql_instance(resource: Resource, name: str) -> Document:
    """`instances.insert`. Which replica is for disasters is said by an update alone."""
    inputs = _without(resource.inputs, *OWN, "settings", "encryptionKeyName", "replicationCluster")
    settings = {SQL_SETTINGS.get(field, field): value for field, value in resource.inputs["settings"].items()}
    _one_for_many(settings, "connectionPoolConfigs", "connectionPoolConfig")
    if "denyMaintenancePeriod" in settings:
        settings["denyMaintenancePeriods"] = [settings.pop("denyMaintenancePeriod")]
    settings["ipConfiguration"] = dict(settings["ipConfiguration"])
    _one_for_many(settings["ipConfiguration"], "pscConfigs", "pscConfig")
    if "pscConfig" in settings["ipConfiguration"]:
        settings["ipConfiguration"]["pscConfig"] = _psc(settings["ipConfiguration"]["pscConfig"])
    return {**inputs, "name": name, "settings": settings}


def dr_replica(resource: Resource) -> Document:
    """What the update after the insertion adds to the body of a primary that has a DR replica."""
    return {"replicationCluster": resource.inputs["replicationCluster"]}


def sql_user(resource: Resource, password: str) -> Document:
    """`users.insert`."""
    body = _without(resource.inputs, *OWN, "instance")
    return body | ({"password": password} if "password" in body else {})


def sql_database(resource: Resource) -> Document:
    """`databases.insert`."""
    return _without(resource.inputs, *OWN, "instance")


def redis_instance(resource: Resource) -> Document:
    """`projects.locations.instances.create`."""
    body = _without(resource.inputs, *OWN, "name", "region")
    policy = dict(body["maintenancePolicy"])
    policy["weeklyMaintenanceWindow"] = policy.pop("weeklyMaintenanceWindows")
    return body | {"maintenancePolicy": policy}


def secret(resource: Resource) -> Document:
    """`projects.secrets.create`."""
    return _without(resource.inputs, *OWN, "secretId")


def secret_version(value: bytes) -> Document:
    """`projects.secrets.addVersion`."""
    return {"payload": {"data": base64.b64encode(value).decode()}}


def scheduler_job(resource: Resource, parent: str) -> Document:
    """`projects.locations.jobs.create`."""
    body = _without(resource.inputs, "region")
    return body | {"name": f"{parent}/jobs/{resource.inputs['name']}"}


def missing(sent: Any, kept: Any, path: str = "") -> list[str]:
    """What of a request is not in what is read back. An int64 is a text there."""
    if isinstance(sent, Mapping):
        if not isinstance(kept, Mapping):
            return [f"{path}: {kept!r}"]
        return [line for name, value in sent.items() for line in missing(value, kept.get(name), f"{path}.{name}")]
    if isinstance(sent, list) and isinstance(kept, list) and len(sent) == len(kept):
        pairs = enumerate(zip(sent, kept, strict=True))
        return [line for index, (one, other) in pairs for line in missing(one, other, f"{path}[{index}]")]
    is_same = sent == kept or (type(sent) is int and kept == str(sent))
    return [] if is_same else [f"{path}: sent {sent!r}, kept {kept!r}"]


def _without(inputs: Document, *names: str) -> Document:
    return {name: value for name, value in inputs.items() if name not in names}


def _psc(config: Document) -> Document:
    connections = [
        {"consumerNetwork": one["consumerNetwork"], "consumerProject": one["consumerServiceProjectId"]}
        for one in config["pscAutoConnections"]
    ]
    return config | {"pscAutoConnections": connections}


def _one_for_many(document: Document, many: str, one: str) -> None:
    if many in document:
        (document[one],) = document.pop(many)
