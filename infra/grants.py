"""Who may do what in the project, and for which calls: a table. A contract test holds it against the code.

What is about one resource is given there and not here: reading a secret by what stores it, starting a job by what
schedules it, writing into a bucket by what makes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from infra.config import StackConfig
from infra.duties import Duty

OPERATORS: Final = "operators"
Who = Duty | Literal["operators"]


@dataclass(frozen=True)
class Role:
    """A role of our own: exactly these permissions.

    Args:
        name: ends its id.
        title: for people, in Google's console.
        permissions: of Google's.
    """

    name: str
    title: str
    permissions: tuple[str, ...]


@dataclass(frozen=True)
class Condition:
    """When a grant holds, in Google's CEL."""

    title: str
    expression: str


@dataclass(frozen=True)
class Grant:
    """One row.

    Args:
        who: a duty's service account, or the people in `access.operators`.
        role: Google's, or one of ours.
        calls: what needs it, as `service.method`.
        why: in words.
        condition: when it holds; None for always.
    """

    who: Who
    role: str | Role
    calls: tuple[str, ...]
    why: str
    condition: Condition | None = None


CONNECT = ("sql.connect.get", "sql.connect.generateEphemeral")
CLIENT = "roles/cloudsql.client"
LOGIN = "roles/cloudsql.instanceUser"
METRICS = "roles/monitoring.metricWriter"
WRITE = "monitoring.timeSeries.create"

VERIFIER = Role(
    "verifier",
    "Holdfast: reads instances and backups",
    ("cloudsql.backupRuns.get", "cloudsql.backupRuns.list", "cloudsql.instances.get", "cloudsql.instances.list"),
)
THROWAWAY = Role(
    "throwaway",
    "Holdfast: makes, fills and deletes throwaway instances",
    ("cloudsql.instances.create", "cloudsql.instances.delete", "cloudsql.instances.restoreBackup"),
)
OBSERVER = Role(
    "observer",
    "Holdfast: reads how old backups and secrets are",
    ("cloudsql.backupRuns.list", "secretmanager.versions.list"),
)
OPERATOR = Role(
    "operator",
    "Holdfast: runs the procedures",
    (
        "cloudsql.backupRuns.create",
        "cloudsql.backupRuns.get",
        "cloudsql.backupRuns.list",
        "cloudsql.instances.clone",
        "cloudsql.instances.create",
        "cloudsql.instances.failover",
        "cloudsql.instances.get",
        "cloudsql.instances.list",
        "cloudsql.instances.promoteReplica",
        "cloudsql.instances.restoreBackup",
        "cloudsql.instances.update",
        "cloudsql.users.list",
        "cloudsql.users.update",
        "run.operations.get",
        "run.services.get",
        "run.services.update",
    ),
)
FINDER = Role("finder", "Holdfast: reads what gcloud asks of a project", ("compute.projects.get",))
# Given to operators on each secret that a procedure reads or changes, and on no other.
SECRET_KEEPER = Role(
    "secret_keeper",
    "Holdfast: rotates a secret",
    (
        "secretmanager.versions.access",
        "secretmanager.versions.add",
        "secretmanager.versions.disable",
        "secretmanager.versions.list",
    ),
)
# Given to operators on the API's service account: a new revision runs as it.
ACT_AS = "roles/iam.serviceAccountUser"

READS = ("sql.backupRuns.list", "sql.instances.get", "sql.instances.list", "sql.operations.get", "sql.operations.list")
THROWAWAY_CALLS = ("sql.instances.insert", "sql.instances.delete", "sql.instances.restoreBackup")
OPERATOR_CALLS = (
    *READS,
    "run.operations.get",
    "run.services.get",
    "run.services.patch",
    "sql.backupRuns.get",
    "sql.backupRuns.insert",
    "sql.instances.clone",
    "sql.instances.failover",
    "sql.instances.insert",
    "sql.instances.patch",
    "sql.instances.promoteReplica",
    "sql.instances.restoreBackup",
    "sql.projects.instances.getLatestRecoveryTime",
    "sql.users.list",
    "sql.users.update",
)


def throwaways(config: StackConfig) -> Condition:
    """Of the instances, only those that are made to be looked at and deleted.

    Google's https://cloud.google.com/sql/docs/postgres/iam-conditions, as of 2026-11: instances and backups can be
    told apart so, a new one by the name that it will have; lists and what is inside an instance cannot.
    """
    instances = f"projects/{config.project}/instances/"
    return Condition(
        "throwaway instances only",
        "resource.type == 'sqladmin.googleapis.com/Instance'"
        f" && resource.name.startsWith('{instances}{config.name}-')"
        " && resource.name.extract('/instances/{source}-throwaway-') != ''",
    )


def grants(config: StackConfig) -> Iterator[Grant]:
    """Every grant on the project."""
    for who in (Duty.API, Duty.JOBS, Duty.VERIFY):
        yield Grant(who, CLIENT, CONNECT, "Cloud SQL's connector asks where the instance is, and for a certificate.")
        yield Grant(who, LOGIN, ("sql.login",), "It comes into the database without a password.")
    yield Grant(Duty.MIGRATE, CLIENT, CONNECT, "The connector; its login makes roles, and has a password for it.")
    yield Grant(
        Duty.JOBS,
        METRICS,
        ("monitoring.metricDescriptors.create", "monitoring.metricDescriptors.get", WRITE),
        "What only the database and Google's lists know, such as a backup's age, becomes a metric.",
    )
    yield Grant(Duty.API, METRICS, (WRITE,), "What an instance counts becomes a metric each minute.")
    yield Grant(
        Duty.JOBS,
        OBSERVER,
        ("sql.backupRuns.list", "secretmanager.versions.list"),
        "How old the newest backup and each secret is, and never what is in them.",
    )
    yield Grant(
        Duty.VERIFY,
        VERIFIER,
        (*READS, "sql.instances.restoreBackup"),
        "Which backup is the newest, how its instance is made, and what it is restored from.",
    )
    yield Grant(
        Duty.VERIFY,
        THROWAWAY,
        THROWAWAY_CALLS,
        "A backup is verified in an instance that is deleted afterwards. The one that serves cannot be.",
        throwaways(config),
    )
    yield from _of_operators(config)


def _of_operators(config: StackConfig) -> Iterator[Grant]:
    if not config.access.operators:
        return
    yield Grant(OPERATORS, OPERATOR, OPERATOR_CALLS, "What the procedures read, and each change that one declares.")
    yield Grant(
        OPERATORS,
        THROWAWAY,
        THROWAWAY_CALLS,
        "The verification and the drill delete what they made. No procedure deletes an instance that serves.",
        throwaways(config),
    )
    yield Grant(OPERATORS, CLIENT, CONNECT, "Procedures reach the database by the connector.")
    yield Grant(OPERATORS, LOGIN, ("sql.login",), "People look into the database under their own names.")
    if config.access.bastion:
        why = "gcloud compute ssh asks whether the whole project uses OS Login. What is on the bastion is given there."
        yield Grant(OPERATORS, FINDER, ("compute.projects.get",), why)
