"""Who calls what, from the code and from what the plan runs it as; and who may do what, from the plan."""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import typer

from infra import config, stack_files
from infra.config import StackConfig
from infra.grants import OPERATORS
from runbooks.connect.commands import connect
from runbooks.engine.permissions import ADMIN_API, OF_THROWAWAYS
from runbooks.engine.run import Run
from runbooks.engine.secrets import Secrets
from runbooks.engine.tools import Tools
from runbooks.plan.model import Plan, Resource
from runbooks.procedures import PROCEDURES
from runtime.commands.app import register
from tests.contract.calls import calls_from, modules_of
from tests.contract.google_iam import ROLES
from tests.contract.plans import planned

ACCOUNT = "gcp:serviceaccount/account:Account"
CUSTOM = "gcp:projects/iAMCustomRole:IAMCustomRole"
SERVICE = "gcp:cloudrunv2/service:Service"
JOB = "gcp:cloudrunv2/job:Job"
MEMBER = re.compile(r"IAMMember$|IamMember$")
# What a step declares that is no call of a Google service by its own name.
OF_DECLARED = {
    **{special: f"sql.{name}" for name, special in OF_THROWAWAYS.items()},
    "fresh.restoreBackup": "sql.instances.restoreBackup",
}
IN_DATABASE = ("cutover", "database.")
# None of it is our code: what `gcloud compute ssh` asks, and the bastion's OS Login; SQL on the archive.
OF_TUNNEL = frozenset(("compute.instances.get", "compute.projects.get", "iap.tunnel", "oslogin.login"))
OF_QUERIES = frozenset(("bigquery.jobs.insert", "bigquery.tables.read", "storage.objects.get", "storage.objects.list"))
Needs = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Granted:
    """One grant in the plan.

    Attributes:
        who: a duty, or operators.
        role: Google's, or the name of one of ours.
        kind: what it is on: the resource's type.
    """

    who: str
    role: str
    kind: str
    permissions: frozenset[str]
    is_own: bool
    condition: str | None


@functools.cache
def settings(stack: str) -> StackConfig:
    """What the stack says."""
    return config.load(stack_files.read(stack))


@functools.cache
def calls_of_commands() -> dict[str, frozenset[str]]:
    """The calls of each command of the container. What serves is the application, which no command names."""
    app = typer.Typer()
    register(app)
    found = {str(one.name): calls_from([one.callback]) for one in app.registered_commands if one.callback}
    return {**found, "serve": calls_from(modules_of("runtime.api.app"))}


@functools.cache
def calls_of_procedures() -> frozenset[str]:
    """What procedures read, by their code, and what they change, by what their steps declare."""
    steps = [step for procedure in PROCEDURES for step in procedure.steps]
    functions = [function for one in steps for function in (one.do, one.plan, one.wanted, *one.undo.values())]
    functions += [function for procedure in PROCEDURES for function in procedure.preconditions]
    found = calls_from([Run, Tools, Secrets, *(one for one in functions if one.__name__ != "<lambda>")])
    return found | {_call_of(change) for one in steps for change in one.changes if not change.startswith(IN_DATABASE)}


def _call_of(change: str) -> str:
    return OF_DECLARED.get(change, f"sql.{change}" if change in ADMIN_API else change)


def needs(stack: str) -> Needs:
    """Who calls what, in the plan of a stack."""
    plan = planned(stack, resolve=True)
    found: dict[str, set[str]] = {who: set() for who in accounts(plan, stack).values()}
    for who, call in (*_of_containers(plan, stack), *_of_logins(plan, stack), *_of_schedule(plan, stack)):
        found[who].add(call)
    access = settings(stack).access
    if access.operators:
        found[OPERATORS] = {*calls_of_procedures(), "sql.login"}
        found[OPERATORS] |= OF_QUERIES if settings(stack).analytics else set()
    if access.bastion:
        found[OPERATORS] |= OF_TUNNEL | calls_from([connect])
    return {who: frozenset(calls) for who, calls in found.items()}


def accounts(plan: Plan, stack: str) -> dict[str, str]:
    """The duty of each account, by the account's URN."""
    prefix = f"{settings(stack).name}-"
    return {one.urn: one.inputs["accountId"].removeprefix(prefix) for one in plan.of_type(ACCOUNT)}


def _of_email(email: str, stack: str) -> str:
    return email.partition("@")[0].removeprefix(f"{settings(stack).name}-")


def _of_containers(plan: Plan, stack: str) -> Iterator[tuple[str, str]]:
    templates = [one.inputs["template"] for one in plan.of_type(SERVICE)]
    templates += [one.inputs["template"]["template"] for one in plan.of_type(JOB)]
    for template in templates:
        who = _of_email(template["serviceAccount"], stack)
        for container in template["containers"]:
            yield from ((who, call) for call in calls_of_commands()[container["args"][0]])
        # Cloud Run reads secrets in the account's name.
        if '"secret"' in json.dumps(template):
            yield who, "secretmanager.versions.access"


def _of_logins(plan: Plan, stack: str) -> Iterator[tuple[str, str]]:
    """Whoever comes in without a password asks for a permission instead."""
    for user in plan.of_type("gcp:sql/user:User"):
        if user.inputs["type"] == "CLOUD_IAM_SERVICE_ACCOUNT":
            yield _of_email(user.inputs["name"], stack), "sql.login"


def _of_schedule(plan: Plan, stack: str) -> Iterator[tuple[str, str]]:
    for one in plan.of_type("gcp:cloudscheduler/job:Job"):
        target: dict[str, Any] = one.inputs["httpTarget"]
        if target["uri"].endswith(":run"):
            yield _of_email(target["oauthToken"]["serviceAccountEmail"], stack), "run.jobs.run"


def granted(plan: Plan, stack: str) -> list[Granted]:
    """Every grant of the plan to a duty or to operators, whatever it is on. Google's own agents are none of these."""
    members, roles = accounts(plan, stack), {one.urn: one for one in plan.of_type(CUSTOM)}
    found = (_granted(one, members, roles, stack) for one in plan.resources if MEMBER.search(one.type))
    return [one for one in found if one.who]


def _granted(one: Resource, members: Mapping[str, str], roles: Mapping[str, Resource], stack: str) -> Granted:
    known = [members[urn] for urn in one.property_dependencies.get("member", []) if urn in members]
    is_operator = one.inputs["member"] in settings(stack).access.operators
    who = known[0] if known else OPERATORS if is_operator else ""
    condition = one.inputs.get("condition", {}).get("expression")
    for urn in one.property_dependencies.get("role", []):
        if urn in roles:
            permissions = frozenset(roles[urn].inputs["permissions"])
            return Granted(who, roles[urn].name, one.type, permissions, is_own=True, condition=condition)
    role = one.inputs["role"]
    return Granted(who, role, one.type, ROLES.get(role, frozenset()), is_own=False, condition=condition)
