"""Memorystore for Redis v1: each instance is a real Valkey on this machine."""

import re
import secrets
import threading
from collections.abc import Callable
from pathlib import Path

import redis
from starlette.applications import Starlette

from runbooks.local.binaries import valkey_program
from runbooks.local.errors import LocalPlatformError
from runbooks.local.ports import HOST, free_port, is_free
from runbooks.local.processes import Identity
from runbooks.local.valkey import ValkeyServer
from runbooks.sandbox.faults import Faults
from runbooks.sandbox.front.certificates import Certificates, describe
from runbooks.sandbox.front.thread import LoopThread
from runbooks.sandbox.services.calls import Call, Document
from runbooks.sandbox.services.clock import now
from runbooks.sandbox.services.errors import ServiceError, absent, invalid, precondition
from runbooks.sandbox.services.operations import Operations
from runbooks.sandbox.services.resources import Resources
from runbooks.sandbox.services.rest import Handler, Rest, support
from runbooks.sandbox.services.task_process import end_leftovers
from runbooks.sandbox.services.tls_front import TlsFront
from runbooks.sandbox.sql import times
from runbooks.sandbox.store import Store

INSTANCE = "redis.instance"
# What no answer shows: the AUTH string and the process.
HIDDEN = "redis.hidden"
OPERATION = "redis.operation"
TYPE = "type.googleapis.com/google.cloud.redis.v1."
NAME = "[a-z]([a-z0-9-]{0,38}[a-z0-9])?"
WRITABLE = (
    *("displayName", "labels", "locationId", "alternativeLocationId", "redisVersion", "redisConfigs", "tier"),
    *("memorySizeGb", "authorizedNetwork", "connectMode", "authEnabled", "transitEncryptionMode", "reservedIpRange"),
    *("maintenancePolicy", "replicaCount", "readReplicasMode", "persistenceConfig", "customerManagedKey"),
    *("secondaryIpRange", "maintenanceVersion", "tags"),
)
OUTPUT = (
    *("name", "createTime", "state", "statusMessage", "host", "port", "currentLocationId", "nodes", "readEndpoint"),
    *("readEndpointPort", "persistenceIamIdentity", "serverCaCerts", "maintenanceSchedule", "satisfiesPzi"),
    *("satisfiesPzs", "suspensionReasons", "availableMaintenanceVersions"),
)
CHANGEABLE = ("displayName", "labels", "memorySizeGb", "redisConfigs", "authEnabled")
CONFIGS = (
    *("maxmemory-policy", "notify-keyspace-events", "activedefrag", "lfu-decay-time", "lfu-log-factor"),
    *("stream-node-max-bytes", "stream-node-max-entries"),
)
TIERS = ("BASIC", "STANDARD_HA")
VERSIONS = ("REDIS_3_2", "REDIS_4_0", "REDIS_5_0", "REDIS_6_X", "REDIS_7_0", "REDIS_7_2")
MOST_GB = 300
READY_SECONDS = 20.0
STOP_SECONDS = 30.0
WITH_TLS = "SERVER_AUTHENTICATION"
TLS_MODES = ("DISABLED", WITH_TLS)

METHODS = support(
    full="""projects.locations.instances.get projects.locations.instances.list projects.locations.instances.delete
        projects.locations.instances.getAuthString
        projects.locations.operations.get projects.locations.operations.delete""",
    partial={
        "projects.locations.instances.create": "a server takes 64 MB whatever memorySizeGb says; its version is the "
        "installed Valkey's; no read replicas, persistence or keys of one's own (501)",
        "projects.locations.instances.patch": "displayName, labels, memorySizeGb (a basic instance restarts empty), "
        "redisConfigs, authEnabled",
        "projects.locations.instances.failover": "STANDARD_HA only, as there; the new primary is empty, since no "
        "replica is kept",
        "projects.locations.operations.list": "a filter is ignored",
    },
    without="""projects.locations.get projects.locations.getSharedRegionalCertificateAuthority projects.locations.list
        projects.locations.aclPolicies.create projects.locations.aclPolicies.delete
        projects.locations.aclPolicies.get projects.locations.aclPolicies.list projects.locations.aclPolicies.patch
        projects.locations.aclPolicies.revisions.get projects.locations.aclPolicies.revisions.list
        projects.locations.backupCollections.get projects.locations.backupCollections.list
        projects.locations.backupCollections.backups.delete projects.locations.backupCollections.backups.export
        projects.locations.backupCollections.backups.get projects.locations.backupCollections.backups.list
        projects.locations.clusters.addTokenAuthUser projects.locations.clusters.backup
        projects.locations.clusters.create projects.locations.clusters.delete projects.locations.clusters.get
        projects.locations.clusters.getCertificateAuthority projects.locations.clusters.list
        projects.locations.clusters.patch projects.locations.clusters.rescheduleClusterMaintenance
        projects.locations.clusters.tokenAuthUsers.addAuthToken projects.locations.clusters.tokenAuthUsers.delete
        projects.locations.clusters.tokenAuthUsers.get projects.locations.clusters.tokenAuthUsers.list
        projects.locations.clusters.tokenAuthUsers.authTokens.delete
        projects.locations.clusters.tokenAuthUsers.authTokens.get
        projects.locations.clusters.tokenAuthUsers.authTokens.list
        projects.locations.instances.export projects.locations.instances.import
        projects.locations.instances.rescheduleMaintenance projects.locations.instances.upgrade
        projects.locations.operations.cancel""",
)
IRREGULAR = {
    "projects.locations.instances.authString.list": "projects.locations.instances.getAuthString",
    "projects.locations.sharedRegionalCertificateAuthority.list": (
        "projects.locations.getSharedRegionalCertificateAuthority"
    ),
    "projects.locations.clusters.certificateAuthority.list": "projects.locations.clusters.getCertificateAuthority",
}


class Memorystore:
    """Instances in a store, and their servers.

    Args:
        store: where instances are kept. What is in their caches is not.
        folder: for the servers.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        missing, taken = "Resource '{name}' was not found", "Resource '{name}' already exists"
        self._instances = Resources(store, INSTANCE, missing=missing, taken=taken, size=1000)
        self._folder = folder
        self.operations = Operations(store, OPERATION)
        self.lock = threading.RLock()
        self._servers: dict[str, ValkeyServer] = {}
        self._fronts: dict[str, TlsFront] = {}
        self._loop: LoopThread | None = None
        self._working: set[threading.Thread] = set()

    def handlers(self) -> dict[str, Handler]:
        """By method id."""
        return {
            "projects.locations.instances.create": self.create,
            "projects.locations.instances.get": self._instances.get,
            "projects.locations.instances.list": self.list_all,
            "projects.locations.instances.patch": self.patch,
            "projects.locations.instances.delete": self.delete,
            "projects.locations.instances.failover": self.failover,
            "projects.locations.instances.getAuthString": self.auth_string,
            "projects.locations.operations.get": self.operations.get,
            "projects.locations.operations.list": self.operations.list_all,
            "projects.locations.operations.delete": self.operations.delete,
        }

    def start(self) -> None:
        """Start every instance's server, at its port. One that cannot be started waits for repair."""
        self.operations.abandon()
        for hidden in self._store.all(HIDDEN):
            if hidden.get("process"):
                end_leftovers([Identity(**hidden["process"])])
        for instance in self._instances.all():
            if instance["state"] == "DELETING":
                self._remove(instance)
                continue
            try:
                self._serve(instance)
            except (LocalPlatformError, OSError, redis.RedisError) as error:
                self._instances.put({**instance, "state": "REPAIRING", "statusMessage": str(error)})

    def stop(self) -> None:
        """Stop every server; what they hold is lost."""
        for thread in self._working:
            thread.join(STOP_SECONDS)
        for name in list(self._servers):
            self._end(name)
        if self._loop is not None:
            self._loop.stop()

    def create(self, call: Call) -> Document:
        """An instance, which is ready when the operation is done."""
        name = self._instances.new_name(call, NAME)
        self._instances.refuse_taken(name)
        body = _checked({"tier": "BASIC", "redisVersion": "REDIS_7_2", **call.fields(WRITABLE, OUTPUT)})
        zone = f"{call.name.rpartition('/')[2]}-a"
        instance = {
            "locationId": zone,
            "connectMode": "DIRECT_PEERING",
            "transitEncryptionMode": "DISABLED",
            "readReplicasMode": "READ_REPLICAS_DISABLED",
            "authEnabled": False,
            **body,
            "currentLocationId": body.get("locationId", zone),
            "name": name,
            "createTime": now(),
            "state": "CREATING",
        }
        auth = secrets.token_hex(18) if instance["authEnabled"] else ""
        self._store.put(HIDDEN, name, {"name": name, "auth": auth})
        return self._work(instance, "create", "CREATING", self._serve)

    def list_all(self, call: Call) -> Document:
        """A location's instances; those of all when the location is `-`."""
        if not call.name.endswith("/locations/-"):
            return self._instances.list_all(call)
        return self._instances.page(call, self._instances.all(call.name.removesuffix("-")))

    def patch(self, call: Call) -> Document:
        """Another size, configuration or AUTH."""
        instance = self._idle(call.name, "READY")
        body = call.fields(WRITABLE, OUTPUT)
        before = dict(instance)
        for field in call.mask(CHANGEABLE):
            instance[field] = body.get(field, {"authEnabled": False}.get(field))
        _checked({field: value for field, value in instance.items() if field in WRITABLE})
        if instance["authEnabled"] != before["authEnabled"]:
            auth = secrets.token_hex(18) if instance["authEnabled"] else ""
            self._store.put(HIDDEN, call.name, {**self._hidden(call.name), "auth": auth})
        # A basic instance has nobody to serve while it is scaled: it comes back empty.
        is_emptied = before["tier"] == "BASIC" and instance["memorySizeGb"] != before["memorySizeGb"]
        is_restarted = is_emptied or instance["authEnabled"] != before["authEnabled"]
        return self._work(instance, "update", "UPDATING", self._restart if is_restarted else self._configure)

    def delete(self, call: Call) -> Document:
        """The instance with what it holds."""
        instance = self._idle(call.name, "READY", "REPAIRING")
        return self._work(instance, "delete", "DELETING", self._remove)

    def failover(self, call: Call) -> Document:
        """Kill the primary. What takes over is empty."""
        mode = call.fields(("dataProtectionMode",)).get("dataProtectionMode", "LIMITED_DATA_LOSS")
        if mode not in ("LIMITED_DATA_LOSS", "FORCE_DATA_LOSS", "DATA_PROTECTION_MODE_UNSPECIFIED"):
            message = f"Invalid value at 'data_protection_mode', {mode!r}"
            raise invalid(message)
        instance = self._idle(call.name, "READY")
        if instance["tier"] != "STANDARD_HA":
            message = "Failover is supported for STANDARD_HA tier instances only."
            raise precondition(message)
        return self._work(instance, "failover", "FAILING_OVER", self._restart)

    def auth_string(self, call: Call) -> Document:
        """The AUTH string; nothing when AUTH is off."""
        self._instances.read(call.name)
        auth = self._hidden(call.name)["auth"]
        return {"authString": auth} if auth else {}

    def _work(self, instance: Document, verb: str, state: str, work: Callable[[Document], None]) -> Document:
        """Do it in the background, in an operation."""
        name = instance["name"]
        metadata = {
            "@type": TYPE + "OperationMetadata",
            "createTime": now(),
            "target": name,
            "verb": verb,
            "apiVersion": "v1",
        }
        self._instances.put({**instance, "state": state})
        operation = self.operations.begin(name, metadata)

        def run() -> None:
            try:
                work(instance)
                kept = self._instances.find(name)
                answer: Document | ServiceError = (
                    {"@type": TYPE + "Instance", **kept}
                    if kept
                    else {"@type": "type.googleapis.com/google.protobuf.Empty"}
                )
            except (LocalPlatformError, redis.RedisError, OSError) as error:
                answer = ServiceError("INTERNAL", f"The server of {name} does not start: {error}")
                self._instances.put({**instance, "state": "REPAIRING", "statusMessage": str(answer)})
            self.operations.end(operation["name"], answer, {**metadata, "endTime": now()})

        thread = threading.Thread(target=run, daemon=True, name=f"memorystore-{verb}")
        self._working = {other for other in self._working if other.is_alive()} | {thread}
        thread.start()
        return operation

    def _serve(self, instance: Document) -> None:
        """Start its server where it was, or where it can be."""
        name, hidden = instance["name"], self._hidden(instance["name"])
        port = instance.get("port")
        port = port if port and is_free(port) else free_port()
        folder = self._folder.joinpath(*name.split("/")[1::2])
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        has_tls = instance.get("transitEncryptionMode") == WITH_TLS
        inner = free_port() if has_tls else port
        server = ValkeyServer(
            program=valkey_program(), folder=folder, log=folder / "log", port=inner, password=hidden["auth"]
        )
        server.start()
        try:
            server.wait_ready(READY_SECONDS)
        except LocalPlatformError:
            server.stop()
            raise
        self._servers[name] = server
        if server.pid is not None:
            self._store.put(HIDDEN, name, {**hidden, "process": Identity.of(server.pid).model_dump()})
        if has_tls:
            instance |= {"serverCaCerts": [self._encrypt(name, folder, port, inner)]}
        instance |= {"host": HOST, "port": port}
        self._configure(instance)

    def _encrypt(self, name: str, folder: Path, port: int, target: int) -> Document:
        """Let clients come by TLS. The server itself is not told to anybody."""
        project, own = name.split("/")[1::4]
        certificates = Certificates(
            folder / "tls", project=project, instance=own, address=HOST, dns_name=f"{own}.redis.invalid"
        )
        certificates.create()
        with self.lock:
            if self._loop is None:
                self._loop = LoopThread()
                self._loop.start()
        front = TlsFront(self._loop, certificates.server_context(requires_client=False), port=port, target=target)
        front.start()
        self._fronts[name] = front
        described = describe(certificates.server_ca)
        return {
            "cert": certificates.server_ca,
            "serialNumber": described.serial,
            "sha1Fingerprint": described.sha1,
            "createTime": times.written(described.created_at),
            "expireTime": times.written(described.expires_at),
        }

    def _end(self, name: str) -> None:
        front = self._fronts.pop(name, None)
        if front is not None:
            front.stop()
        server = self._servers.pop(name, None)
        if server is not None:
            server.stop()

    def _configure(self, instance: Document) -> None:
        with redis.Redis.from_url(self._servers[instance["name"]].url, socket_timeout=READY_SECONDS) as client:
            for option, value in (instance.get("redisConfigs") or {}).items():
                client.config_set(option, value)
        instance.pop("statusMessage", None)
        self._instances.put({**instance, "state": "READY"})

    def _restart(self, instance: Document) -> None:
        self._end(instance["name"])
        self._serve(instance)

    def _remove(self, instance: Document) -> None:
        self._end(instance["name"])
        self._instances.forget(instance["name"])
        self._store.delete(HIDDEN, instance["name"])

    def _idle(self, name: str, *states: str) -> Document:
        """The instance, in one of the states in which nobody works on it."""
        instance = self._instances.read(name)
        if instance["state"] not in states:
            message = f"The instance is {instance['state']}; it must be {' or '.join(states)}."
            raise precondition(message)
        return instance

    def _hidden(self, name: str) -> Document:
        return self._store.get(HIDDEN, name) or {"name": name, "auth": ""}


def app(store: Store, folder: Path, faults: Faults | None = None) -> Starlette:
    """The service.

    Args:
        store: where instances are kept.
        folder: for the servers' files and logs.
        faults: those in force.
    """
    memorystore = Memorystore(store, folder)
    rest = Rest("redis", "v1", memorystore.handlers(), lock=memorystore.lock, irregular=IRREGULAR, faults=faults)
    return rest.app(start=memorystore.start, stop=memorystore.stop)


def _checked(body: Document) -> Document:
    if body.get("tier") not in TIERS:
        message = f"tier must be one of {', '.join(TIERS)}"
        raise invalid(message)
    if body.get("redisVersion") not in VERSIONS:
        message = f"redis_version must be one of {', '.join(VERSIONS)}"
        raise invalid(message)
    if body.get("transitEncryptionMode", "DISABLED") not in TLS_MODES:
        message = f"transit_encryption_mode must be one of {', '.join(TLS_MODES)}"
        raise invalid(message)
    size = body.get("memorySizeGb")
    if type(size) is not int or not 1 <= size <= MOST_GB:
        message = f"memory_size_gb must be between 1 and {MOST_GB}"
        raise invalid(message)
    for field, usual in (
        ("readReplicasMode", "READ_REPLICAS_DISABLED"),
        ("persistenceConfig", {"persistenceMode": "DISABLED"}),
        ("customerManagedKey", ""),
    ):
        if body.get(field, usual) != usual:
            message = f"an instance with {field} {body[field]!r}"
            raise absent(message)
    for option, value in (body.get("redisConfigs") or {}).items():
        if option not in CONFIGS or not re.fullmatch(r"[\w-]{0,40}", str(value)):
            message = f"redis_configs: {option} = {value!r} is not supported"
            raise invalid(message)
    return body
