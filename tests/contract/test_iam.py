"""Each role is needed by a call that the code makes, and each call's permission is granted."""

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infra import grants
from infra.duties import Duty
from infra.grants import OPERATORS
from runbooks.plan.model import Plan
from runtime.verification.throwaway import new_name
from tests.contract.google_iam import PERMISSIONS, ROLES
from tests.contract.iam import (
    ACCOUNT,
    CUSTOM,
    MEMBER,
    Granted,
    Needs,
    accounts,
    calls_of_commands,
    granted,
    needs,
    settings,
)
from tests.contract.plans import STACKS, planned

INSTANCE = "gcp:sql/databaseInstance:DatabaseInstance"
FIREWALL = "gcp:compute/firewall:Firewall"
LOGIN = "gcp:compute/instanceIAMMember:InstanceIAMMember"
PRIMITIVE = {"roles/owner", "roles/editor", "roles/viewer"}
# Given before there is code that needs it: that code is the next to come, and takes its line from here.
AHEAD = {
    "jobs: nothing needs roles/storage.objectCreator": "retention writes archives",
    "jobs: nothing needs roles/storage.objectViewer": "retention reads them back before it deletes",
}
READS = re.compile(r"cloudsql\.\w+\.(get|list|connect|login)")


def faults(needed: Needs, given: list[Granted]) -> list[str]:
    """What is granted and not needed, or needed and not granted."""
    return sorted({*_missing(needed, given), *_idle(needed, given)})


def _missing(needed: Needs, given: list[Granted]) -> Iterator[str]:
    for who, calls in needed.items():
        has = frozenset[str]().union(*(one.permissions for one in given if one.who == who))
        for call in calls:
            yield from (f"{who}: {call} needs {one}, which nothing grants" for one in PERMISSIONS[call] - has)


def _idle(needed: Needs, given: list[Granted]) -> Iterator[str]:
    for one in given:
        used = frozenset[str]().union(*(PERMISSIONS[call] for call in needed.get(one.who, ())))
        if one.role in PRIMITIVE or re.search("admin$", one.role, re.IGNORECASE):
            yield f"{one.who}: {one.role} is far more than anybody needs"
        elif one.is_own:
            yield from (f"{one.who}: nothing needs {each} of {one.role}" for each in one.permissions - used)
        elif not one.permissions & used:
            yield f"{one.who}: nothing needs {one.role}"


@pytest.mark.parametrize("stack", STACKS)
def test_each_call_is_granted_and_each_grant_is_called(stack: str) -> None:
    assert faults(needs(stack), granted(planned(stack), stack)) == sorted(AHEAD)


@pytest.mark.parametrize("stack", STACKS)
def test_each_duty_has_an_account_and_calls_something(stack: str) -> None:
    found = needs(stack)
    assert set(found) - {OPERATORS} == set(accounts(planned(stack), stack).values())
    assert all(found.values())


@pytest.mark.parametrize("stack", STACKS)
def test_each_row_says_the_calls_that_need_it(stack: str) -> None:
    for row in grants.grants(settings(stack)):
        assert set(row.calls) <= needs(stack)[row.who], row
        wanted = frozenset[str]().union(*(PERMISSIONS[call] for call in row.calls))
        if isinstance(row.role, grants.Role):
            assert set(row.role.permissions) <= wanted, row
        else:
            assert ROLES[row.role] & wanted, row


def without(kept: Callable[[Any], bool]) -> Callable[[Plan], None]:
    def change(plan: Plan) -> None:
        plan.resources[:] = [one for one in plan.resources if not MEMBER.search(one.type) or kept(one)]

    return change


def gives(role: str) -> Callable[[Plan], None]:
    def change(plan: Plan) -> None:
        next(one for one in plan.resources if one.name == "holdfast-api-cloudsql.client").inputs["role"] = role

    return change


def permissions(role: str, change: Callable[[list[str]], None]) -> Callable[[Plan], None]:
    def apply(plan: Plan) -> None:
        change(next(one for one in plan.of_type(CUSTOM) if one.name == role).inputs["permissions"])

    return apply


BROKEN = {
    "a bastion that nobody may log into": (
        without(lambda one: one.type != LOGIN),
        "operators: oslogin.login needs compute.instances.osLogin, which nothing grants",
    ),
    "a project of which gcloud may ask nothing": (
        without(lambda one: "-finder" not in one.name),
        "operators: compute.projects.get needs compute.projects.get, which nothing grants",
    ),
    "a grant that is missing": (
        without(lambda one: one.name != "holdfast-verify-throwaway"),
        "verify: sql.instances.delete needs cloudsql.instances.delete, which nothing grants",
    ),
    "a permission that is missing": (
        permissions("holdfast-operator", lambda given: given.remove("cloudsql.instances.failover")),
        "operators: sql.instances.failover needs cloudsql.instances.failover, which nothing grants",
    ),
    "a permission too many": (
        permissions("holdfast-operator", lambda given: given.append("cloudsql.instances.import")),
        "operators: nothing needs cloudsql.instances.import of holdfast-operator",
    ),
    "a role that nobody needs": (gives("roles/logging.logWriter"), "api: nothing needs roles/logging.logWriter"),
    "an owner": (gives("roles/owner"), "api: roles/owner is far more than anybody needs"),
    "an administrator": (gives("roles/cloudsql.admin"), "api: roles/cloudsql.admin is far more than anybody needs"),
    "secrets that no procedure may change": (
        without(lambda one: "secretmanager" not in one.type),
        "operators: secretmanager.versions.add needs secretmanager.versions.add, which nothing grants",
    ),
    "secrets that Cloud Run cannot read": (
        without(lambda one: "secretmanager" not in one.type),
        "migrate: secretmanager.versions.access needs secretmanager.versions.access, which nothing grants",
    ),
    "jobs that the schedule cannot start": (
        without(lambda one: "cloudrunv2" not in one.type),
        "schedule: run.jobs.run needs run.jobs.run, which nothing grants",
    ),
}


@pytest.mark.parametrize(("change", "line"), BROKEN.values(), ids=BROKEN)
def test_a_plan_that_gives_other_than_the_code_needs_is_told(change: Callable[[Plan], None], line: str) -> None:
    plan = Plan.model_validate(copy.deepcopy(planned("prod").model_dump(by_alias=True)))
    change(plan)
    assert line in faults(needs("prod"), granted(plan, "prod"))


def test_code_that_calls_other_than_the_plan_grants_is_told() -> None:
    given = granted(planned("prod"), "prod")
    commands = calls_of_commands()
    more = {**needs("prod"), Duty.API: commands["serve"] | commands["verify-backup"]}
    assert "api: sql.instances.delete needs cloudsql.instances.delete, which nothing grants" in faults(more, given)
    less = {**needs("prod"), Duty.JOBS: commands["partitions"] | {"sql.login"}}
    assert "jobs: nothing needs roles/monitoring.metricWriter" in faults(less, given)
    assert "jobs: nothing needs cloudsql.backupRuns.list of holdfast-observer" in faults(less, given)


def holds(expression: str, instance: str) -> bool:
    """Whether Google lets a call on an instance through, as far as our conditions go."""
    name = f"projects/holdfast-prod/instances/{instance}"
    return all(_holds(part, name) for part in expression.split(" && "))


def _holds(part: str, name: str) -> bool:
    if part == "resource.type == 'sqladmin.googleapis.com/Instance'":
        return True
    if found := re.fullmatch(r"resource\.name\.startsWith\('([^']*)'\)", part):
        return name.startswith(found[1])
    found = re.fullmatch(r"resource\.name\.extract\('([^{']*)\{\w+\}([^}']*)'\) != ''", part)
    assert found, part
    return bool(re.search(f"{re.escape(found[1])}.+{re.escape(found[2])}", name))


def test_only_throwaway_instances_can_be_deleted() -> None:
    deleting = [one for one in granted(planned("prod"), "prod") if "cloudsql.instances.delete" in one.permissions]
    assert {one.who for one in deleting} == {Duty.VERIFY, OPERATORS}
    serving = [f"{one.name}-0a1b2c3" for one in planned("prod").of_type(INSTANCE)]
    assert serving
    for one in deleting:
        assert one.condition is not None
        for instance in serving:
            assert holds(one.condition, new_name(instance))
            assert not holds(one.condition, instance)
            assert not holds(one.condition, f"{instance}-restored-0a1b2c")
        assert not holds(one.condition, new_name("others-database"))


def test_no_service_account_changes_an_instance_that_serves() -> None:
    for one in granted(planned("prod"), "prod"):
        if one.who != OPERATORS and one.condition is None:
            of_instances = [each for each in one.permissions if each.startswith("cloudsql.")]
            assert all(READS.fullmatch(each) for each in of_instances), one


def test_operators_reach_one_port_of_the_bastion_and_act_as_the_api_alone() -> None:
    plan = planned("prod")
    (tunnel,) = (one for one in granted(plan, "prod") if one.role == "roles/iap.tunnelResourceAccessor")
    (login,) = (one for one in granted(plan, "prod") if one.role == "roles/compute.osLogin")
    on_the_machine = ("gcp:iap/tunnelInstanceIAMMember:TunnelInstanceIAMMember", LOGIN)
    assert (tunnel.kind, login.kind) == on_the_machine
    (opened,) = (
        one.inputs["allows"][0]["ports"]
        for one in plan.of_type(FIREWALL)
        if one.inputs["direction"] == "INGRESS" and "allows" in one.inputs
    )
    assert [tunnel.condition] == [f"destination.port == {port}" for port in opened]
    (acting,) = plan.of_type("gcp:serviceaccount/iAMMember:IAMMember")
    names = {one.urn: one.inputs["accountId"] for one in plan.of_type(ACCOUNT)}
    assert [names[urn] for urn in acting.property_dependencies["serviceAccountId"]] == ["holdfast-api"]
