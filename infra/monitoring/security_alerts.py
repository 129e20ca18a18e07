"""Alerts on who did what: from the audit log, and from PostgreSQL's own."""

from collections.abc import Iterator
from dataclasses import dataclass

from infra.config import StackConfig
from infra.monitoring.alert import Alert, LogMatch, Query, Severity
from infra.monitoring.series import promql_name

# Who changed it. Reads are in another log, data_access.
ACTIVITY = 'log_id("cloudaudit.googleapis.com/activity")'
WHO = {
    "who": "EXTRACT(protoPayload.authenticationInfo.principalEmail)",
    "method": "EXTRACT(protoPayload.methodName)",
}
POSTGRESQL = (
    'log_id("cloudsql.googleapis.com/postgres.log")\n'
    'resource.type="cloudsql_database"\nresource.labels.database_id="$database"\n'
)
# Nobody logs in as these: the owner cannot, and postgres has no password that anybody knows.
NEVER = ("postgres", "holdfast_owner")


@dataclass(frozen=True)
class LogMetric:
    """A count of a log's entries.

    Args:
        name: ends its name.
        filter: of the entries, as `series` says.
        description: what is counted.
    """

    name: str
    filter: str
    description: str

    def within(self, prefix: str, minutes: int) -> str:
        """How many in a window, in PromQL: a policy with a filter is refused while Google does not know the metric.

        That is for up to ten minutes after the metric was made, so for all of a first `pulumi up`:
        https://github.com/hashicorp/terraform-provider-google/issues/11102.

        Args:
            prefix: begins each resource's name.
            minutes: the window; two at least, as there is a point a minute.
        """
        metric = promql_name(f"logging.googleapis.com/user/{prefix}-{self.name}")
        return f'sum(increase({metric}{{monitored_resource="cloudsql_database"}}[{minutes}m]))'


FAILED_LOGINS = LogMetric(
    "failed-logins",
    # "password authentication failed for user", "Cloud SQL IAM user authentication failed for user", and who has no
    # line that lets him in.
    f'{POSTGRESQL}textPayload=~"FATAL: .*(authentication failed for user|no pg_hba.conf entry)"',
    "Logins that PostgreSQL refused",
)
LOG_METRICS = (FAILED_LOGINS,)
# In which failed logins are counted.
LOGINS_MINUTES = 2


def alerts(config: StackConfig) -> Iterator[Alert]:
    """Of changes, logins and reads of secrets."""
    yield from _changes(config)
    yield from _logins(config)


def _changes(config: StackConfig) -> Iterator[Alert]:
    yield Alert(
        "iam-changed",
        "Who may do what was changed",
        Severity.WARNING,
        "diagnose-connection",
        LogMatch(
            f'{ACTIVITY}\nprotoPayload.methodName=~"SetIamPolicy$$|setIamPolicy$$|setIamPermissions$$|ServiceAccountKey$$|'
            '(Create|Update|Delete|Undelete)Role$$|(Create|Delete|Enable|Disable)ServiceAccount$$"',
            WHO,
        ),
        "A grant, a role, an account or its key was changed. A release of the infrastructure does so; else it is a "
        "person.",
        "The incident's labels say who and by which method; the entry's `serviceData.policyDelta` what.",
    )
    yield Alert(
        "network-changed",
        "The network was changed",
        Severity.WARNING,
        "diagnose-connection",
        LogMatch(
            f"{ACTIVITY}\n"
            'resource.type=("gce_network" OR "gce_subnetwork" OR "gce_firewall_rule" OR "gce_route" OR "gce_router")',
            WHO,
        ),
        "A network, a range, a firewall rule or a route was changed. The database is reached through them.",
        "The incident's labels say who and by which method; the entry's `protoPayload.request` what. Nobody's "
        "release: `pulumi preview --refresh --stack $stack` shows what is not as it should be.",
    )
    yield Alert(
        "secrets-changed",
        "A secret was changed",
        Severity.WARNING,
        "rotate-password",
        LogMatch(f'{ACTIVITY}\nprotoPayload.serviceName="secretmanager.googleapis.com"', WHO),
        "A secret, one of its versions or who may read it was changed. A rotation does so; else it is a person.",
        "The incident's labels say who; the entry's `protoPayload.resourceName` which. Somebody you do not know: the "
        "procedure replaces a login's password.",
        ("login=operator",),
    )
    if config.audit.data_access:
        yield Alert(
            "secret-read",
            "Somebody read a secret",
            Severity.WARNING,
            "rotate-password",
            LogMatch(
                'log_id("cloudaudit.googleapis.com/data_access")\n'
                'protoPayload.serviceName="secretmanager.googleapis.com"\n'
                'protoPayload.methodName=~"AccessSecretVersion$$"\n'
                'NOT protoPayload.authenticationInfo.principalEmail=~"gserviceaccount.com$$"',
                WHO,
            ),
            "A person read what only services read. A procedure that needs a password does so in its operator's name.",
            "The incident's labels say who; the entry's `protoPayload.resourceName` which. Somebody you do not know: "
            "replace it, `login=reader` for the readers'.",
            ("login=operator",),
        )


def _logins(config: StackConfig) -> Iterator[Alert]:
    limit = config.monitoring.alerts.failed_logins
    yield Alert(
        "failed-logins",
        f"More than {limit} logins failed within {LOGINS_MINUTES} minutes",
        Severity.ERROR,
        "rotate-password",
        Query(f"{FAILED_LOGINS.within(config.name, LOGINS_MINUTES)} > {limit}", lasting=0),
        "Somebody guesses, or a service has an old password: then it does not answer either.",
        "`gcloud logging read 'resource.type=cloudsql_database textPayload:FATAL' --project $project --freshness 1h` "
        "names the user and the host. A service: its secret and the login's password differ.",
        ("login=operator",),
    )
    yield Alert(
        "owner-login",
        "Somebody logged in as owner or postgres",
        Severity.CRITICAL,
        "rotate-password",
        # Cloud SQL's own agent is cloudsqladmin, and is not among them.
        LogMatch(
            f'{POSTGRESQL}textPayload=~"connection authorized: user=({"|".join(NEVER)}) "',
            {"user": 'REGEXP_EXTRACT(textPayload, "authorized: user=([^ ]+)")'},
        ),
        "Nobody has a reason to: services have their own logins, and operators theirs.",
        "`gcloud logging read 'resource.type=cloudsql_database textPayload:authorized' --project $project --freshness "
        "1h` names the host; lines with `AUDIT:` say what the session changed. Lock it out: `gcloud sql users "
        "set-password postgres --project $project --instance $instance --prompt-for-password`.",
        ("login=operator",),
    )
