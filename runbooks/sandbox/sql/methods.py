"""Every method of the Admin API, and how much of it the sandbox does."""

import re
from dataclasses import dataclass
from functools import cached_property

# Both versions have the same methods at the same paths below these.
PREFIXES = ("/v1/", "/sql/v1beta4/")
INSTANCE = "projects/{project}/instances/{instance}"
DEPLOYMENTS = "projects/{project}/locations/{location}/blueGreenDeployments"

# Name, verb and path below the version; @ is an instance, & are deployments.
TABLE = """
backupRuns.delete DELETE @/backupRuns/{id}
backupRuns.get GET @/backupRuns/{id}
backupRuns.insert POST @/backupRuns
backupRuns.list GET @/backupRuns
Backups.CreateBackup POST projects/{project}/backups
Backups.DeleteBackup DELETE projects/{project}/backups/{backup}
Backups.GetBackup GET projects/{project}/backups/{backup}
Backups.ListBackups GET projects/{project}/backups
Backups.UpdateBackup PATCH projects/{project}/backups/{backup}
blueGreenDeployments.create POST &
blueGreenDeployments.delete DELETE &/{deployment}
blueGreenDeployments.get GET &/{deployment}
blueGreenDeployments.list GET &
blueGreenDeployments.switchover POST &/{deployment}:switchover
connect.generateEphemeral POST @:generateEphemeralCert
connect.get GET @/connectSettings
connect.resolve GET locations/{location}/dns/{dns}:resolveConnectSettings
databases.delete DELETE @/databases/{database}
databases.get GET @/databases/{database}
databases.insert POST @/databases
databases.list GET @/databases
databases.patch PATCH @/databases/{database}
databases.update PUT @/databases/{database}
flags.list GET flags
instances.acquireSsrsLease POST @/acquireSsrsLease
instances.addEntraIdCertificate POST @/addEntraIdCertificate
instances.addServerCa POST @/addServerCa
instances.addServerCertificate POST @/addServerCertificate
instances.clone POST @/clone
instances.delete DELETE @
instances.demote POST @/demote
instances.demoteMaster POST @/demoteMaster
instances.executeSql POST @/executeSql
instances.export POST @/export
instances.failover POST @/failover
instances.get GET @
instances.import POST @/import
instances.insert POST projects/{project}/instances
instances.list GET projects/{project}/instances
instances.ListEntraIdCertificates GET @/listEntraIdCertificates
instances.listServerCas GET @/listServerCas
instances.ListServerCertificates GET @/listServerCertificates
instances.patch PATCH @
instances.pointInTimeRestore POST projects/{project}:pointInTimeRestore
instances.preCheckMajorVersionUpgrade POST @/preCheckMajorVersionUpgrade
instances.promoteReplica POST @/promoteReplica
instances.reencrypt POST @/reencrypt
instances.releaseSsrsLease POST @/releaseSsrsLease
instances.resetSslConfig POST @/resetSslConfig
instances.restart POST @/restart
instances.restoreBackup POST @/restoreBackup
instances.RotateEntraIdCertificate POST @/rotateEntraIdCertificate
instances.rotateServerCa POST @/rotateServerCa
instances.RotateServerCertificate POST @/rotateServerCertificate
instances.startReplica POST @/startReplica
instances.stopReplica POST @/stopReplica
instances.switchover POST @/switchover
instances.truncateLog POST @/truncateLog
instances.update PUT @
operations.cancel POST projects/{project}/operations/{operation}/cancel
operations.get GET projects/{project}/operations/{operation}
operations.list GET projects/{project}/operations
projects.instances.getDiskShrinkConfig GET @/getDiskShrinkConfig
projects.instances.getLatestRecoveryTime GET @/getLatestRecoveryTime
projects.instances.performDiskShrink POST @/performDiskShrink
projects.instances.rescheduleMaintenance POST @/rescheduleMaintenance
projects.instances.resetReplicaSize POST @/resetReplicaSize
projects.instances.startExternalSync POST @/startExternalSync
projects.instances.verifyExternalSyncSettings POST @/verifyExternalSyncSettings
sslCerts.createEphemeral POST @/createEphemeral
sslCerts.delete DELETE @/sslCerts/{fingerprint}
sslCerts.get GET @/sslCerts/{fingerprint}
sslCerts.insert POST @/sslCerts
sslCerts.list GET @/sslCerts
tiers.list GET projects/{project}/tiers
users.delete DELETE @/users
users.get GET @/users/{name}
users.insert POST @/users
users.list GET @/users
users.update PUT @/users
workloadCaptures.list GET @/workloadCaptures
workloadCaptures.start POST @/workloadCaptures:start
workloadCaptures.startReplay POST @/workloadCaptures/{workload}:startReplay
workloadCaptures.stop POST @/workloadCaptures:stop
workloadCaptures.stopReplay POST @/workloadCaptures:stopReplay
"""

# What those lack that are there. All others that have a handler are full.
PARTIAL = {
    "instances.insert": "PostgreSQL 16 and 18; no scheduled backups; sizes, networks and keys have no effect",
    "instances.list": "a filter has no brackets and asks for an instance's name, place, version, state and settings",
    "instances.patch": "tier, flags, availability, activation, TLS, connectors, replication and databaseVersion have "
    "effect; other settings are kept",
    "instances.update": "as patch, without databaseVersion",
    "instances.clone": "no single databases, other projects or networks",
    "instances.promoteReplica": "with failover=true the old primary becomes a replica at once",
    "instances.switchover": "no name of the write endpoint: each instance keeps its address; no dbTimeout",
    "instances.restoreBackup": "no settings for the restored instance; no Backup and DR Service",
    "users.insert": "no password policy, no dual passwords",
    "users.update": "no password policy, no dual passwords",
    "operations.cancel": "a backup and the copying of a clone end at once, all else between its steps",
    "databases.insert": "one collation, C.UTF-8, for which en_US.UTF8 is taken",
    "flags.list": "all that PostgreSQL knows, of which Google offers a part; none of cloudsql.*",
    "instances.resetSslConfig": "no mode SYNC_FROM_PRIMARY",
    "tiers.list": "one region; db-perf-optimized-N and the usual custom sizes",
    "Backups.CreateBackup": "the location is shown only",
}

# Methods that change something and begin no operation. All others that are no GET begin one.
WITHOUT_OPERATION = frozenset(
    (
        "connect.generateEphemeral",
        "instances.acquireSsrsLease",
        "instances.executeSql",
        "instances.releaseSsrsLease",
        "operations.cancel",
        "projects.instances.verifyExternalSyncSettings",
        "sslCerts.createEphemeral",
    )
)


@dataclass(frozen=True)
class Method:
    """One method: where it is called."""

    name: str
    verb: str
    path: str

    @property
    def begins_operation(self) -> bool:
        """Whether what it does is done in an operation."""
        return self.verb != "GET" and self.name not in WITHOUT_OPERATION

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What its path looks like."""
        parts = re.split(r"(\{\w+\})", self.path)
        return re.compile("".join(f"(?P<{p[1:-1]}>[^/:]+)" if p.startswith("{") else re.escape(p) for p in parts))


def _methods() -> tuple[Method, ...]:
    rows = (line.split() for line in TABLE.strip().splitlines())
    return tuple(Method(name, verb, path.replace("@", INSTANCE).replace("&", DEPLOYMENTS)) for name, verb, path in rows)


METHODS = _methods()


def find(verb: str, path: str) -> tuple[Method, str, dict[str, str]] | None:
    """The method that is called so, the prefix of the version, and the path's parameters."""
    for prefix in PREFIXES:
        if path.startswith(prefix):
            below = path.removeprefix(prefix)
            for method in METHODS:
                if method.verb == verb and (match := method.pattern.fullmatch(below)):
                    return method, prefix, match.groupdict()
    return None
