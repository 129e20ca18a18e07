"""The servers and addresses behind the instances."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from runbooks.local.ports import free_port
from runbooks.sandbox.engine.cluster import Cluster
from runbooks.sandbox.engine.programs import programs_of, run
from runbooks.sandbox.front.certificates import Certificates
from runbooks.sandbox.front.front import Front
from runbooks.sandbox.front.logins import derived_password
from runbooks.sandbox.front.state import SslMode
from runbooks.sandbox.front.thread import LoopThread
from runbooks.sandbox.sql.addresses import Addresses
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.rules import flags_of, version_of

OPEN = SslMode.ALLOW_UNENCRYPTED_AND_ENCRYPTED


class IamLogins:
    """IAM users have an @ in their name. Any token is good, as any is for the API."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def password_of(self, user: str) -> str | None:
        """An IAM user's password in the cluster."""
        return derived_password(self._secret, user) if "@" in user else None

    def accepts(self, user: str, token: str) -> bool:
        """Whether the token lets the user in."""
        return bool(user and token)


class Fleet:
    """Clusters by instance and node, and the front of each instance. All state is in the folder.

    Args:
        folder: of everything that instances have.
        password: the engine's own, of all clusters: copies of data go between them.
    """

    def __init__(self, folder: Path, password: str) -> None:
        self.folder = folder
        self.addresses = Addresses(folder)
        self.logins = IamLogins(password.encode())
        self._password = password
        self._clusters: dict[Path, Cluster] = {}
        self._fronts: dict[str, Front] = {}
        self._served: dict[str, int] = {}
        self._lock = threading.RLock()
        self._loop = LoopThread()
        self._loop.start()

    def home(self, instance: Instance) -> Path:
        """The folder of an instance."""
        return self.folder / "instances" / instance.uid

    def backups(self, instance: Instance) -> Path:
        """The folder of an instance's backups, which outlives it."""
        return self.folder / "backups" / instance.uid

    def archive(self, instance: Instance) -> Path:
        """The folder of an instance's log archive, which outlives it."""
        return self.folder / "archives" / instance.uid / instance.archive

    def programs(self, instance: Instance) -> Path:
        """PostgreSQL's programs of an instance's version."""
        return programs_of(version_of(instance.resource))

    def cluster(self, instance: Instance, node: str | None = None) -> Cluster:
        """The cluster of a node; without one, that which is served."""
        folder = self.home(instance) / (node or instance.node)
        with self._lock:
            if folder not in self._clusters:
                self._clusters[folder] = Cluster(
                    folder,
                    programs=self.programs(instance),
                    port=free_port(),
                    password=self._password,
                    flags=flags_of(instance.resource),
                    archive=self.archive(instance),
                )
            return self._clusters[folder]

    def standby(self, instance: Instance) -> Cluster | None:
        """The standby of an instance with high availability."""
        return self.cluster(instance, instance.standby) if instance.standby else None

    def discard(self, instance: Instance, node: str) -> None:
        """End the cluster of a node and delete its data."""
        cluster = self.cluster(instance, node)
        cluster.remove()
        with self._lock:
            self._clusters.pop(cluster.folder, None)

    def sweep(self, instance: Instance) -> None:
        """Remove what work that was cut short left beside an instance's data."""
        self._discard_all(instance, but={instance.node, instance.standby})

    def certificates(self, instance: Instance) -> Certificates:
        """The certificates of an instance."""
        made = Certificates(
            self.folder / "certificates" / instance.uid,
            project=instance.project,
            instance=instance.name,
            address=instance.address,
            dns_name=dns_name(instance),
        )
        made.create()
        return made

    def serve(self, instance: Instance) -> None:
        """Let the instance's address lead to its cluster, or to nothing while that does not run."""
        front = self.front(instance)
        front.ask_for(
            SslMode(instance.settings.get("ipConfiguration", {}).get("sslMode", OPEN)),
            requires_connector=instance.settings.get("connectorEnforcement") == "REQUIRED",
        )
        port = self.cluster(instance).port
        front.point_at(port)
        self._served[instance.uid] = port

    def is_served(self, instance: Instance) -> bool:
        """Whether the instance's address leads to its cluster, and that runs."""
        cluster = self.cluster(instance)
        return self._served.get(instance.uid) == cluster.port and cluster.is_running

    def cut(self, instance: Instance) -> None:
        """End the connections of an instance and let no more in."""
        self._served.pop(instance.uid, None)
        front = self._fronts.get(instance.uid)
        if front is not None:
            front.point_at(None)
            front.cut()

    def halt(self, instance: Instance) -> None:
        """Kill an instance's servers. Its address leads nowhere."""
        self.cut(instance)
        for node in filter(None, (instance.node, instance.standby)):
            self.cluster(instance, node).kill()

    def remove(self, instance: Instance) -> None:
        """End an instance's servers and address, and delete its data. Backups and archive stay."""
        self.cut(instance)
        with self._lock:
            front = self._fronts.pop(instance.uid, None)
        if front is not None:
            front.stop()
        self._discard_all(instance, but=set())
        shutil.rmtree(self.home(instance), ignore_errors=True)
        shutil.rmtree(self.folder / "certificates" / instance.uid, ignore_errors=True)

    def close(self) -> None:
        """End every server and address. The data stays."""
        for front in self._fronts.values():
            front.point_at(None)
            front.stop()
        with ThreadPoolExecutor() as pool:
            list(pool.map(Cluster.stop, self._clusters.values()))
        self._loop.stop()

    def _discard_all(self, instance: Instance, but: set[str | None]) -> None:
        home = self.home(instance)
        for left in {path.name for path in home.iterdir()} - but if home.exists() else ():
            self.discard(instance, left)

    def front(self, instance: Instance) -> Front:
        """The address of an instance, which listens."""
        with self._lock:
            front = self._fronts.get(instance.uid)
            if front is None:
                front = Front(
                    instance.address,
                    instance.port,
                    self.certificates(instance),
                    thread=self._loop,
                    connector_port=self.addresses.connector_port(instance.address),
                    logins=self.logins,
                )
                front.start()
                self._fronts[instance.uid] = front
            return front


def dns_name(instance: Instance) -> str:
    """A name for the certificate, which no name server knows."""
    return f"{instance.uid}.sandbox.invalid"


@cache
def known_flags(version: int) -> frozenset[str]:
    """The names of all settings of a major version."""
    lines = run(programs_of(version) / "postgres", "--describe-config", as_ordinary_user=True).splitlines()
    return frozenset(line.split("\t", maxsplit=1)[0].lower() for line in lines)
