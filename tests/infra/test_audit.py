"""The audit log: all of it, kept long enough, and with who read what."""

import pytest

from runbooks.plan.model import Plan, Resource
from tests.contract.plans import planned

BUCKET = "gcp:logging/projectBucketConfig:ProjectBucketConfig"
SINK = "gcp:logging/projectSink:ProjectSink"
CONFIG = "gcp:projects/iAMAuditConfig:IAMAuditConfig"


def bucket(plan: Plan) -> Resource:
    (found,) = plan.of_type(BUCKET)
    return found


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_all_audit_logs_are_kept_for_400_days_in_the_region(stack: str) -> None:
    plan = planned(stack)
    assert bucket(plan).inputs["retentionDays"] == 400
    assert bucket(plan).inputs["location"] == "us-central1"
    assert bucket(plan).inputs["locked"] is False
    (sink,) = plan.of_type(SINK)
    # Its %2F is the slash in a log's name.
    assert sink.inputs["filter"] == 'logName:"/logs/cloudaudit.googleapis.com%2F"'
    assert sink.property_dependencies["destination"] == [bucket(plan).urn]


def test_only_a_setting_locks_it_for_ever() -> None:
    assert bucket(planned("prod", changes=(("audit.locked", "true"),))).inputs["locked"] is True


def test_in_production_it_is_not_deleted_by_the_way() -> None:
    assert bucket(planned("prod")).protect
    assert not bucket(planned("dev")).protect


def test_reads_and_writes_of_data_are_logged_of_everybody() -> None:
    configs = {one.inputs["service"]: one.inputs["auditLogConfigs"] for one in planned("prod").of_type(CONFIG)}
    assert {"cloudsql.googleapis.com", "secretmanager.googleapis.com", "storage.googleapis.com"} <= set(configs)
    for logged in configs.values():
        assert logged == [{"logType": kind} for kind in ("ADMIN_READ", "DATA_READ", "DATA_WRITE")]


def test_a_smaller_environment_may_do_without() -> None:
    assert planned("dev").of_type(CONFIG) == []
