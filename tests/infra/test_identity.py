"""Who is who: an account a duty, and people by what the stack says."""

import pytest

from tests.contract.plans import STACKS, planned

ACCOUNT = "gcp:serviceaccount/account:Account"
MEMBER = "gcp:projects/iAMMember:IAMMember"
CUSTOM = "gcp:projects/iAMCustomRole:IAMCustomRole"
TWO = (("access.operators", '["group:oncall@example.com", "user:a@example.com"]'),)


def members(stack: str, changes: tuple[tuple[str, str], ...] = ()) -> set[str]:
    return {one.inputs["member"] for one in planned(stack, resolve=True, changes=changes).of_type(MEMBER)}


def people(given: set[str]) -> set[str]:
    return {one for one in given if not one.startswith("serviceAccount:")}


@pytest.mark.parametrize("stack", STACKS)
def test_each_duty_has_an_account_of_its_own(stack: str) -> None:
    accounts = {one.inputs["accountId"].removeprefix("holdfast-") for one in planned(stack).of_type(ACCOUNT)}
    assert accounts == {"api", "jobs", "migrate", "schedule", "verify"}


@pytest.mark.parametrize("stack", STACKS)
def test_the_schedule_may_do_nothing_in_the_project(stack: str) -> None:
    assert not [one for one in members(stack) if "holdfast-schedule@" in one]


def test_everybody_in_operators_is_one_and_nobody_else() -> None:
    assert people(members("prod", TWO)) == {"group:oncall@example.com", "user:a@example.com"}
    assert people(members("prod")) == {"group:holdfast-oncall@holdfast.example"}
    assert people(members("dev")) == {"group:holdfast-dev@holdfast.example"}
    assert not people(members("dev", (("access.operators", "[]"), ("access.bastion", "false"))))


@pytest.mark.parametrize("stack", STACKS)
def test_a_role_of_ours_has_an_id_that_google_takes(stack: str) -> None:
    for role in planned(stack).of_type(CUSTOM):
        assert role.inputs["roleId"].replace("_", "").isalnum()
        assert not {"*", ""} & {permission.rpartition(".")[2] for permission in role.inputs["permissions"]}


def test_a_database_user_is_the_account_without_googles_domain() -> None:
    users = {one.inputs["name"] for one in planned("prod", resolve=True).of_type("gcp:sql/user:User")}
    assert "holdfast-api@holdfast-prod.iam" in users
