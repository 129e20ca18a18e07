"""The schedule: when, as whom, and what a setting changes."""

import pytest

from tests.contract.plans import STACKS, planned
from tests.contract.workloads import JOB, OTHER_JOBS, only

SCHEDULED = "gcp:cloudscheduler/job:Job"
INVOKER = "gcp:cloudrunv2/jobIamMember:JobIamMember"


@pytest.mark.parametrize("stack", STACKS)
def test_each_comes_as_the_schedule_and_says_so(stack: str) -> None:
    plan = planned(stack, resolve=True)
    who = f"holdfast-schedule@holdfast-{stack}.iam.gserviceaccount.com"
    for one in plan.of_type(SCHEDULED):
        target = one.inputs["httpTarget"]
        token = target.get("oidcToken") or target["oauthToken"]
        assert token["serviceAccountEmail"] == who
        assert token.get("audience") or token.get("scope")
        assert 15 <= int(one.inputs["attemptDeadline"].removesuffix("s")) <= 1800


@pytest.mark.parametrize("stack", STACKS)
def test_it_may_start_what_it_starts_and_nothing_else(stack: str) -> None:
    plan = planned(stack, resolve=True)
    may = {one.inputs["name"] for one in plan.of_type(INVOKER)}
    assert may == {one.inputs["name"] for one in plan.of_type(JOB)} - {"holdfast-migrate"}


def test_production_is_called_by_its_name_and_not_by_the_address_that_is_closed() -> None:
    target = only(planned("prod", resolve=True), SCHEDULED, "holdfast-publish-database-metrics").inputs["httpTarget"]
    assert target["uri"].startswith("https://api.holdfast.example/")


def test_a_setting_moves_a_job_to_another_hour() -> None:
    plan = planned("prod", resolve=True, changes=OTHER_JOBS)
    assert only(plan, SCHEDULED, "holdfast-partitions").inputs["schedule"] == "0 4 * * 1-5"
