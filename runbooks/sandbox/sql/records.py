"""Instances as the sandbox keeps them: what callers see, and where the data is."""

import datetime as dt
import secrets
import threading
from dataclasses import asdict, dataclass, field, replace

from runbooks.sandbox.sql import times
from runbooks.sandbox.sql.errors import already_exists, invalid_operation, not_authorized
from runbooks.sandbox.store import Document, Store

KIND = "instance"
DELETED = "deleted"
# How long a deleted instance's name cannot be used again.
RESERVED = dt.timedelta(days=7)


@dataclass(frozen=True)
class Instance:
    """One instance.

    Attributes:
        project: its project.
        name: its name.
        resource: what callers see.
        uid: its folder's name, which no other instance ever has.
        node: the folder, in that, of the data that is served.
        address: its own address on this machine, which it keeps.
        port: PostgreSQL's there.
        standby: the folder of the synchronous standby's data, with high availability.
        archive: the folder of the log archive, which restoring begins anew.
        successor: the replica that is taking its role, from the decision on until both records say so.
        deleted: when it was deleted.
    """

    project: str
    name: str
    resource: Document
    address: str
    port: int
    uid: str = field(default_factory=lambda: secrets.token_hex(8))
    node: str = "node-1"
    standby: str | None = None
    archive: str = "archive-1"
    successor: str | None = None
    deleted: str | None = None

    @property
    def key(self) -> str:
        """By which it is stored."""
        return f"{self.project}/{self.name}"

    @property
    def settings(self) -> Document:
        """Its settings."""
        found: Document = self.resource["settings"]
        return found

    @property
    def state(self) -> str:
        """Its serving state."""
        return str(self.resource["state"])

    @property
    def primary(self) -> str | None:
        """The name of the instance that it is a replica of."""
        master = self.resource.get("masterInstanceName")
        return str(master).rpartition(":")[2] if master else None

    @property
    def replicas(self) -> list[str]:
        """The names of its replicas."""
        return list(self.resource.get("replicaNames", []))

    @property
    def runs(self) -> bool:
        """Whether it is meant to run, not stopped by its owner."""
        return self.settings.get("activationPolicy") != "NEVER"

    @property
    def serves(self) -> bool:
        """Whether it is there and takes connections."""
        return self.state == "RUNNABLE" and self.runs and not self.deleted

    @property
    def is_regional(self) -> bool:
        """Whether it has a standby."""
        return self.settings.get("availabilityType") == "REGIONAL"

    def has(self, **fields: object) -> "Instance":
        """The same instance with other fields of what callers see; None removes one."""
        changed = {name: value for name, value in (self.resource | fields).items() if value is not None}
        return replace(self, resource=changed)

    def bumped(self) -> "Instance":
        """The same instance with the next version of its settings."""
        version = str(int(self.settings.get("settingsVersion", "0")) + 1)
        return self.has(settings=self.settings | {"settingsVersion": version})

    def next_node(self) -> str:
        """A folder that neither its data nor its standby has."""
        used = [int(name.rpartition("-")[2]) for name in (self.node, self.standby) if name]
        return f"node-{max(used) + 1}"

    def next_archive(self) -> str:
        """The folder of an archive to begin."""
        return f"archive-{int(self.archive.rpartition('-')[2]) + 1}"

    def require_running(self) -> None:
        """See that it serves.

        Raises:
            ApiError: it does not.
        """
        if not self.serves:
            message = "Invalid request since instance is not running."
            raise invalid_operation(message)


class Instances:
    """All instances."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()

    def get(self, project: str, name: str) -> Instance:
        """One instance.

        Raises:
            ApiError: there is none, which looks as if the caller had no right to it.
        """
        found = self.find(project, name)
        if found is None:
            raise not_authorized()
        return found

    def find(self, project: str, name: str) -> Instance | None:
        """One instance, or none."""
        document = self._store.get(KIND, f"{project}/{name}")
        return Instance(**document) if document else None

    def all(self, project: str | None = None) -> list[Instance]:
        """Those of a project, or all."""
        return [Instance(**one) for one in self._store.all(KIND, f"{project}/" if project else "")]

    def add(self, instance: Instance) -> None:
        """Write a new one.

        Raises:
            ApiError: the name is taken, or was within a week.
        """
        with self._lock:
            self.check_free(instance.project, instance.name)
            self.put(instance)

    def check_free(self, project: str, name: str) -> None:
        """See that a name can be used.

        Raises:
            ApiError: it cannot.
        """
        least = dt.datetime.now(dt.UTC) - RESERVED
        if self.find(project, name) or any(
            times.read(str(one.deleted), "deleted") > least for one in self.all_deleted(project, name)
        ):
            raise already_exists()

    def put(self, instance: Instance) -> None:
        """Write one."""
        self._store.put(KIND, instance.key, asdict(instance))

    def change(self, instance: Instance, **fields: object) -> Instance:
        """Write one with other fields of what callers see.

        Returns:
            As it is now.
        """
        changed = instance.has(**fields)
        self.put(changed)
        return changed

    def forget(self, instance: Instance) -> None:
        """Remove one that never was."""
        self._store.delete(KIND, instance.key)

    def bury(self, instance: Instance) -> Instance:
        """Remove one, and remember that it was.

        Returns:
            As it is remembered.
        """
        gone = replace(instance, deleted=times.now())
        self._store.put(DELETED, f"{gone.key}/{gone.deleted}", asdict(gone))
        self._store.delete(KIND, instance.key)
        return gone

    def all_deleted(self, project: str, name: str | None = None) -> list[Instance]:
        """Those of a project that are no more, or of them those that had a name; oldest first."""
        prefix = f"{project}/{name}/" if name else f"{project}/"
        return [Instance(**one) for one in self._store.all(DELETED, prefix)]
