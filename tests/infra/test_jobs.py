"""The jobs: what each runs, as whom, and how often it is tried."""

import pytest

from runbooks.plan.model import Plan
from tests.contract.plans import STACKS, planned
from tests.contract.workloads import JOB, OTHER_JOBS, OTHER_SERVICE, container_of, only, programs


def tasks(plan: Plan) -> dict[str, dict[str, object]]:
    """What each job's task is, by the job's name."""
    return {one.name: one.inputs["template"]["template"] for one in plan.of_type(JOB)}


@pytest.mark.parametrize("stack", STACKS)
def test_each_runs_as_the_account_of_its_duty(stack: str) -> None:
    accounts = {name: task["serviceAccount"] for name, task in tasks(planned(stack, resolve=True)).items()}
    host = f"@holdfast-{stack}.iam.gserviceaccount.com"
    assert accounts.pop("holdfast-migrate") == f"holdfast-migrate{host}"
    assert accounts.pop("holdfast-verify-backup") == f"holdfast-verify{host}"
    assert set(accounts.values()) == {f"holdfast-jobs{host}"}


def test_what_says_by_its_code_that_something_failed_is_not_tried_again() -> None:
    retries = {name: task["maxRetries"] for name, task in tasks(planned("prod", resolve=True)).items()}
    assert retries["holdfast-migrate"] == retries["holdfast-verify-backup"] == 0
    assert retries["holdfast-partitions"] == 3


def test_each_is_one_task_and_has_ones_own_key_where_that_is_asked_for() -> None:
    for one in planned("prod", resolve=True, changes=OTHER_SERVICE).of_type(JOB):
        assert one.inputs["template"]["taskCount"] == 1
        assert one.inputs["template"]["template"]["encryptionKey"].endswith("/holdfast-key-service")


def test_what_gcloud_writes_of_itself_is_no_change() -> None:
    # Else `gcloud run jobs execute` would be a difference, and a change of the migrate job runs it.
    for one in programs(planned("prod", resolve=True)).values():
        assert one.ignore_changes == ["client", "clientVersion"]


def test_expired_keys_are_deleted_and_not_only_counted() -> None:
    job = only(planned("prod", resolve=True), JOB, "holdfast-forget-idempotency-keys")
    assert container_of(job)["args"] == ["forget-idempotency-keys", "--apply"]


def test_each_reaches_the_database_by_the_network_and_no_socket_is_mounted() -> None:
    for name, task in tasks(planned("prod", resolve=True)).items():
        assert "networkInterfaces" in task["vpcAccess"], name
        assert "volumes" not in task, name


def test_a_setting_changes_one_job() -> None:
    plan = planned("prod", resolve=True, changes=OTHER_JOBS)
    task = tasks(plan)["holdfast-partitions"]
    assert task["timeout"] == "900s"
    assert container_of(only(plan, JOB, "holdfast-partitions"))["resources"]["limits"]["memory"] == "1024Mi"
    assert tasks(plan)["holdfast-verify-backup"] == tasks(planned("prod", resolve=True))["holdfast-verify-backup"]
