"""Secret Manager v1: secrets and their versions, global and regional."""

import base64
import binascii
import datetime as dt
import re
import secrets
import threading

from starlette.applications import Starlette

from runbooks.sandbox.faults import Faults
from runbooks.sandbox.services.calls import Call, Document, known_fields, seconds
from runbooks.sandbox.services.clock import now
from runbooks.sandbox.services.crc32c import crc32c
from runbooks.sandbox.services.errors import absent, invalid, not_found, precondition
from runbooks.sandbox.services.resources import Resources
from runbooks.sandbox.services.rest import Handler, Rest, support
from runbooks.sandbox.store import Store

SECRET = "secretmanager.secret"  # noqa: S105  # a kind of document
VERSION = "secretmanager.version"
MOST_BYTES = 65_536
PAGE = 25_000
WRITABLE = ("labels", "annotations", "replication", "versionAliases", "rotation", "topics")
OUTPUT = ("name", "createTime", "etag")
SHORTEST_ROTATION, LONGEST_ROTATION = 3600, 3_153_600_000
CHANGEABLE = ("labels", "annotations", "versionAliases")

PARENTS = ("projects", "projects.locations")
METHODS = {
    f"{parent}.{method}": how
    for parent in PARENTS
    for method, how in support(
        full="""secrets.get secrets.delete secrets.addVersion
            secrets.versions.get secrets.versions.access secrets.versions.enable secrets.versions.disable
            secrets.versions.destroy""",
        partial={
            "secrets.create": "no expiry, keys of one's own or delayed destruction (501); nobody is reminded to rotate",
            "secrets.patch": "labels, annotations and versionAliases only",
            "secrets.list": "a filter is refused (501)",
            "secrets.versions.list": "a filter by state only",
        },
        without="""secrets.enableManagedRotation secrets.rotateSecret secrets.getIamPolicy secrets.setIamPolicy
            secrets.testIamPermissions""",
    ).items()
} | support(without="projects.locations.get projects.locations.list")


class SecretManager:
    """Secrets in a store. A destroyed version's data is gone from it."""

    def __init__(self, store: Store) -> None:
        missing, taken = "Secret [{name}] not found.", "Secret [{name}] already exists."
        self._secrets = Resources(store, SECRET, missing=missing, taken=taken, size=PAGE, newest_first=True)
        missing = "Secret Version [{name}] not found."
        self._versions = Resources(store, VERSION, missing=missing, size=PAGE, newest_first=True)

    def handlers(self) -> dict[str, Handler]:
        """By method id."""
        each: dict[str, Handler] = {
            "secrets.create": self.create,
            "secrets.get": self._secrets.get,
            "secrets.list": self.list_all,
            "secrets.patch": self.patch,
            "secrets.delete": self.delete,
            "secrets.addVersion": self.add_version,
            "secrets.versions.get": self.get_version,
            "secrets.versions.list": self.list_versions,
            "secrets.versions.access": self.access,
            "secrets.versions.enable": self.enable,
            "secrets.versions.disable": self.disable,
            "secrets.versions.destroy": self.destroy,
        }
        return {f"{parent}.{method}": handler for parent in PARENTS for method, handler in each.items()}

    def create(self, call: Call) -> Document:
        """A secret without a version."""
        name = self._secrets.new_name(call, "[A-Za-z0-9_-]{1,255}")
        for field in ("expireTime", "ttl", "customerManagedEncryption", "versionDestroyTtl"):
            if field in call.body:
                message = f"the field {field} of a secret"
                raise absent(message)
        body = call.fields(WRITABLE, OUTPUT)
        is_regional = "/locations/" in name
        if is_regional == ("replication" in body):
            message = "replication is for global secrets" if is_regional else "Secret replication is required."
            raise invalid(message)
        _check_rotation(body)
        self._secrets.refuse_taken(name)
        return self._secrets.put(_changed({**body, "name": name, "createTime": now()}))

    def list_all(self, call: Call) -> Document:
        """A project's secrets, newest first."""
        if call.query.get("filter"):
            message = f"the filter {call.query['filter']!r}"
            raise absent(message)
        found = self._secrets.below(call.name)
        return {**self._secrets.page(call, found), "totalSize": len(found)}

    def patch(self, call: Call) -> Document:
        """Labels, annotations, aliases."""
        secret = self._secrets.read(call.name)
        _check_etag(secret, call.body.get("etag"))
        body = call.fields(WRITABLE, OUTPUT)
        for field in call.mask(CHANGEABLE):
            secret[field] = body.get(field, {})
        for number in secret.get("versionAliases", {}).values():
            if self._versions.find(f"{call.name}/versions/{number}") is None:
                message = f"Version aliases refer to a version that does not exist: {number}"
                raise invalid(message)
        return self._secrets.put(_changed(secret))

    def delete(self, call: Call) -> Document:
        """The secret with all of its versions."""
        _check_etag(self._secrets.read(call.name), call.query.get("etag"))
        for version in self._versions.below(call.name):
            self._versions.forget(version["name"])
        self._secrets.forget(call.name)
        return {}

    def add_version(self, call: Call) -> Document:
        """A new version with data."""
        self._secrets.read(call.name)
        payload = known_fields(call.fields(("payload",)).get("payload") or {}, ("data", "dataCrc32c"))
        data = _decoded(payload.get("data"))
        checksum = payload.get("dataCrc32c")
        if checksum is not None and str(checksum) != str(crc32c(data)):
            message = "The payload's checksum (data_crc32c) does not fit its data."
            raise invalid(message)
        numbers = [_number(version["name"]) for version in self._versions.below(call.name)]
        version: Document = {
            "name": f"{call.name}/versions/{max(numbers, default=0) + 1}",
            "createTime": now(),
            "state": "ENABLED",
            "data": base64.b64encode(data).decode(),
        }
        if "/locations/" not in call.name:
            version["replicationStatus"] = {"automatic": {}}
        if checksum is not None:
            version["clientSpecifiedPayloadChecksum"] = True
        return _shown(self._versions.put(_changed(version)))

    def get_version(self, call: Call) -> Document:
        """A version, without its data."""
        return _shown(self._version(call.name))

    def list_versions(self, call: Call) -> Document:
        """A secret's versions, newest first."""
        self._secrets.read(call.name)
        found = [_shown(version) for version in self._versions.below(call.name)]
        if wanted := call.query.get("filter"):
            match = re.fullmatch(r"\s*state\s*[:=]\s*\"?([A-Za-z]+)\"?\s*", wanted)
            if match is None:
                message = f"the filter {wanted!r}"
                raise absent(message)
            found = [version for version in found if version["state"] == match[1].upper()]
        return {**self._versions.page(call, found), "totalSize": len(found)}

    def access(self, call: Call) -> Document:
        """A version's data."""
        version = self._version(call.name)
        if version["state"] != "ENABLED":
            message = f"Secret Version [{version['name']}] is in {version['state']} state."
            raise precondition(message)
        data = base64.b64decode(version["data"])
        return {"name": version["name"], "payload": {"data": version["data"], "dataCrc32c": str(crc32c(data))}}

    def enable(self, call: Call) -> Document:
        """Let a disabled version be read again."""
        return self._turn(call, "ENABLED")

    def disable(self, call: Call) -> Document:
        """Let nobody read a version."""
        return self._turn(call, "DISABLED")

    def destroy(self, call: Call) -> Document:
        """Take a version's data away, for ever."""
        return self._turn(call, "DESTROYED")

    def read(self, secret: str, version: str) -> str:
        """What a workload is given of a secret.

        Raises:
            ServiceError: it cannot be read.
        """
        answer = self.access(Call("", f"{secret}/versions/{version}", {}, {}))
        return base64.b64decode(answer["payload"]["data"]).decode()

    def _turn(self, call: Call, state: str) -> Document:
        version = self._version(call.name)
        _check_etag(version, call.fields(("etag",)).get("etag"))
        if version["state"] == "DESTROYED":
            message = f"Secret Version [{version['name']}] is in DESTROYED state."
            raise precondition(message)
        version["state"] = state
        if state == "DESTROYED":
            del version["data"]
            version["destroyTime"] = now()
        return _shown(self._versions.put(_changed(version)))

    def _version(self, name: str) -> Document:
        parent, _, wanted = name.rpartition("/versions/")
        secret = self._secrets.read(parent)
        if wanted == "latest":
            # Whatever its state: the last one that was added.
            numbers = [_number(version["name"]) for version in self._versions.below(parent)]
            if not numbers:
                message = f"Secret [{parent}] not found or has no versions."
                raise not_found(message)
            wanted = str(max(numbers))
        wanted = str(secret.get("versionAliases", {}).get(wanted, wanted))
        version = self._versions.find(f"{parent}/versions/{wanted}")
        if version is None:
            raise self._versions.missing(name)
        return version


def app(store: Store, faults: Faults | None = None) -> Starlette:
    """The service."""
    handlers = SecretManager(store).handlers()
    return Rest("secretmanager", "v1", handlers, lock=threading.RLock(), faults=faults).app()


def _decoded(text: object) -> bytes:
    try:
        # Both alphabets, as Google takes them.
        standard = text.replace("-", "+").replace("_", "/") if isinstance(text, str) else ""
        data = base64.b64decode(standard, validate=True)
    except (binascii.Error, ValueError):
        message = "Invalid value at 'payload.data' (TYPE_BYTES), Base64 decoding failed."
        raise invalid(message) from None
    if not data:
        message = "Secret Payload cannot be empty."
        raise invalid(message)
    if len(data) > MOST_BYTES:
        message = f"Secret Payload cannot be larger than {MOST_BYTES} bytes."
        raise invalid(message)
    return data


def _number(name: str) -> int:
    return int(name.rpartition("/")[2])


def _changed(document: Document) -> Document:
    return document | {"etag": f'"{secrets.token_hex(7)}"'}


def _shown(version: Document) -> Document:
    return {field: value for field, value in version.items() if field != "data"}


def _check_rotation(secret: Document) -> None:
    """As https://cloud.google.com/secret-manager/docs/secret-rotation has it."""
    rotation = secret.get("rotation")
    if not rotation:
        return
    if not secret.get("topics"):
        message = "Secret rotation requires at least one topic."
        raise invalid(message)
    if "nextRotationTime" not in rotation:
        message = "next_rotation_time must be set when rotation_period is."
        raise invalid(message)
    if not SHORTEST_ROTATION <= seconds(rotation.get("rotationPeriod", "3600s"), "rotation_period") <= LONGEST_ROTATION:
        message = "rotation_period must be from 3600s to 3153600000s."
        raise invalid(message)
    if dt.datetime.fromisoformat(rotation["nextRotationTime"]) < dt.datetime.now(dt.UTC):
        message = "next_rotation_time must be in the future."
        raise invalid(message)


def _check_etag(document: Document, given: str | None) -> None:
    if given and given != document["etag"]:
        message = f"The etag {given} is not the current one. Read [{document['name']}] again."
        raise precondition(message)
