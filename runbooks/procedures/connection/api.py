"""The Admin API: it is on in the project, these credentials may ask it, and the instance is there and runs.

A 403 is never read as "it exists": the service answers a missing instance and a missing right alike. What the project's
list says tells them apart.
"""

import difflib
import shlex
from collections.abc import Iterator

from runbooks.engine.findings import Finding
from runbooks.procedures.connection.credentials import LOG_IN_APPLICATION
from runbooks.procedures.connection.probe import SECONDS, Probe, fault, ok, unknown
from runtime.cloudsql.errors import CloudSqlError, CredentialsRefusedError, NotFoundOrForbiddenError

ENABLED = "The Cloud SQL Admin API is enabled"
ALLOWED = "The credentials may see the project's instances"
EXISTS = "The instance exists"
RUNS = "The instance runs"
SERVICE = "sqladmin.googleapis.com"
# What a proxy needs, and what a procedure that only reads needs.
ROLES = ("roles/cloudsql.client", "roles/cloudsql.viewer")
DISABLED = ("accessNotConfigured", "SERVICE_DISABLED")


def enabled(probe: Probe) -> Iterator[Finding]:
    """Whether the API answers for the project."""
    try:
        probe.instance = probe.tools.admin.within(SECONDS).instances.get(probe.target.instance)
    except NotFoundOrForbiddenError as error:
        probe.refusal = error
        if error.reason in DISABLED:
            yield fault(ENABLED, f"not in project {probe.target.project}", probe.gcloud("services", "enable", SERVICE))
            return
    except CredentialsRefusedError as error:
        yield fault("The Admin API accepts the credentials", str(error), LOG_IN_APPLICATION)
        return
    except CloudSqlError as error:
        yield unknown(ENABLED, str(error), "try again in a minute; see https://status.cloud.google.com")
        return
    yield ok(ENABLED, f"in project {probe.target.project}")


def allowed(probe: Probe) -> Iterator[Finding]:
    """Whether it is a right that is missing, or the instance."""
    if probe.instance is not None:
        yield ok(ALLOWED, f"{probe.target.instance} was shown")
    elif probe.refusal is not None:
        yield from _told_apart(probe)


def runs(probe: Probe) -> Iterator[Finding]:
    """Whether it takes connections at all."""
    instance = probe.instance
    if instance is None:
        return
    policy = instance.settings.activation_policy
    found = f"{instance.state}, activation policy {policy}"
    if policy == "NEVER":
        start = probe.gcloud("sql", "instances", "patch", instance.name, "--activation-policy=ALWAYS")
        yield fault(RUNS, found, start)
    elif instance.state != "RUNNABLE":
        yield fault(RUNS, found, probe.gcloud("sql", "operations", "list", f"--instance={instance.name}"))
    else:
        yield ok(RUNS, found)


def _told_apart(probe: Probe) -> Iterator[Finding]:
    name, project = probe.target.instance, probe.target.project
    grant = "; ".join(
        # The member may have a command in it, for the shell.
        f"gcloud projects add-iam-policy-binding {shlex.quote(project)} --member={probe.member} --role={role}"
        for role in ROLES
    )
    try:
        names = [one.name for one in probe.tools.admin.within(SECONDS).instances.list()]
    except NotFoundOrForbiddenError:
        yield fault(ALLOWED, f"neither {name} nor the list of project {project}'s instances, if there is one", grant)
        return
    except CloudSqlError as error:
        yield unknown(ALLOWED, str(error), "try again in a minute")
        return
    if name in names:
        yield fault(ALLOWED, f"the list has {name}, and they may not read it", grant)
        return
    yield ok(ALLOWED, f"the list of project {project}'s instances")
    near = difflib.get_close_matches(name, names, n=1)
    correct = f'write "instance": "{near[0]}" into the target; ' if near else "correct `instance` in the target; "
    there = ", ".join(names) or "none"
    yield fault(
        EXISTS, f"no {name} in project {project}; there: {there}", correct + probe.gcloud("sql", "instances", "list")
    )
