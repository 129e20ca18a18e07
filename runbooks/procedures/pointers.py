"""Who comes in as itself: a secret with the instance's name says where."""

from pydantic import SecretStr

from runbooks.engine.errors import FailedError
from runbooks.engine.findings import Result
from runbooks.engine.run import Run
from runbooks.engine.target import Service
from runtime.cloudsql.models import Instance

NEWEST = "the newest version"
# What tells the kind of an IAM user in PostgreSQL: https://cloud.google.com/sql/docs/postgres/iam-authentication.
MEMBERS = """
    SELECT member.rolname FROM pg_auth_members AS membership
    JOIN pg_roles AS granted ON granted.oid = membership.roleid
    JOIN pg_roles AS member ON member.oid = membership.member
    WHERE granted.rolname = 'cloudsqliamserviceaccount' ORDER BY 1
"""


def move(run: Run, service: Service, there: Instance) -> str:
    """Let a service's secret name an instance.

    Returns:
        The version that does; another one if the newest does not.
    """
    if _named(run, service) == there.connection_name:
        return NEWEST
    return run.tools.secrets.add(service.secret, SecretStr(there.connection_name))


def see(run: Run, instance: str) -> None:
    """See that each service is told of an instance, and that this knows it. To come in as it, nobody else can.

    Raises:
        FailedError: APPLICATION_SHUT_OUT.
    """
    services = run.target.services
    if not services:
        return
    wanted = run.instance(instance).connection_name
    for service in services:
        named = _named(run, service)
        test = f"Application {service.name} is told of {instance}"
        if named != wanted:
            action = f"printf %s {wanted} | gcloud secrets versions add {service.secret} --data-file=-"
            run.find(test, Result.FAULT, f"{service.secret} says {named}", action)
            code = "APPLICATION_SHUT_OUT"
            message = f"{service.name}: {service.secret} says {named}, not {wanted}"
            raise FailedError(code, message)
        run.find(test, Result.OK, f"{service.secret} says so")
    _see_listed(run, instance)


def _see_listed(run: Run, instance: str) -> None:
    """See that Google's list of users has the service accounts of an instance's PostgreSQL.

    There they are data, which backups, clones and replicas have. Google's pages do not say, as of 2026-11, that its own
    list goes with it: so it is looked at.
    """
    listed = {user.name for user in run.tools.admin.users.list(instance)}
    unlisted = [name for (name,) in run.tools.query(MEMBERS, instance=instance) if name not in listed]
    run.find(
        f"Google lists the service accounts of {instance}",
        Result.FAULT if unlisted else Result.OK,
        f"not {', '.join(unlisted)}" if unlisted else "all that PostgreSQL has",
        "; ".join(
            f"gcloud sql users create {name} --instance={instance} --type=cloud_iam_service_account "
            f"--project={run.target.project}"
            for name in unlisted
        ),
    )


def _named(run: Run, service: Service) -> str:
    return run.tools.secrets.newest(service.secret).get_secret_value()
