"""Alerts: each that was asked for is there, from where the settings say, and tells whom the settings name."""

import json
from typing import Any

import pytest

from runbooks.plan.model import Plan
from tests.contract.plans import STACKS, planned
from tests.contract.workloads import before
from tests.infra.other_monitoring import OWN, changed

POLICY = "gcp:monitoring/alertPolicy:AlertPolicy"
CHANNEL = "gcp:monitoring/notificationChannel:NotificationChannel"
HOUR, DAY = 3600, 86400


def policies(stack: str = "prod", *, image: bool = True) -> dict[str, dict[str, Any]]:
    return by_name(planned(stack, image=image, resolve=True))


def by_name(plan: Plan) -> dict[str, dict[str, Any]]:
    return {one.name.removeprefix("holdfast-"): one.inputs for one in plan.of_type(POLICY)}


def limits(policy: dict[str, Any]) -> set[tuple[str, float]]:
    """Above (>) or below (<) what each condition is met."""
    signs = {"COMPARISON_GT": ">", "COMPARISON_LT": "<"}
    found = [one["conditionThreshold"] for one in policy["conditions"]]
    return {(signs[one["comparison"]], one["thresholdValue"]) for one in found}


ASKED = {
    "pool": {(">", 0.9)},
    "query-p95": {(">", 200)},
    "slow-queries": {(">", 0.05)},
    "backup-stale": {(">", 28 * HOUR)},
    "verification-stale": {(">", 8 * DAY), (">", 0)},
    "replication-lag": {(">", 60), ("<", 0)},
    "cpu": {(">", 0.8)},
    "memory": {(">", 0.9)},
    "disk": {(">", 0.8)},
    "cache-hits": {("<", 0.9)},
    "transaction-ids": {(">", 0.5)},
    "budget-fast": {(">", 14.4)},
    "budget-slow": {(">", 6)},
    "secret-overdue": {(">", 7 * DAY)},
    "partitions-missing": {("<", 2)},
    "database-down": {("<", 1)},
    "uptime": {(">", 1)},
}
OF_LOGS = {
    *("backup-failed", "iam-changed", "network-changed", "secrets-changed", "secret-read", "owner-login"),
    "schedule-failed",
}

# Nothing that Google does not know yet, or that may not be there, is in a filter: the policy would be refused.
QUERIES = {"failed-logins", "figures-missing"}


def query(policy: dict[str, Any]) -> str:
    (condition,) = policy["conditions"]
    assert condition["conditionPrometheusQueryLanguage"]["disableMetricValidation"]
    text: str = condition["conditionPrometheusQueryLanguage"]["query"]
    return text


def test_each_alert_that_was_asked_for_is_there() -> None:
    found = policies()
    assert {name: limits(found[name]) for name in ASKED} == ASKED
    assert {name for name, one in found.items() if "conditionMatchedLog" in one["conditions"][0]} == OF_LOGS
    jobs = {name for name in found if name.startswith("job-")}
    assert {"job-partitions-failed", "job-verify-backup-failed", "job-publish-metrics-failed"} <= jobs
    assert set(found) == {*ASKED, *OF_LOGS, *jobs, *QUERIES}
    assert query(found["failed-logins"]).endswith("[2m])) > 10")


def test_a_setting_moves_the_limit() -> None:
    found = by_name(changed())
    moved = {
        "pool": (">", 0.5),
        "query-p95": (">", 150),
        "backup-stale": (">", 30 * HOUR),
        "verification-stale": (">", 9 * DAY),
        "cache-hits": ("<", 0.7),
        "secret-overdue": (">", 3 * DAY),
    }
    assert {name for name, limit in moved.items() if limit in limits(found[name])} == set(moved)


def test_everybody_whom_the_settings_name_is_told_of_everything() -> None:
    addresses = {one.inputs["labels"]["email_address"] for one in changed().of_type(CHANNEL)}
    assert addresses == {"a@example.com", OWN}
    told = [one["notificationChannels"] for one in by_name(changed()).values()]
    assert told
    assert all(len(one) == 2 for one in told)


@pytest.mark.parametrize("stack", STACKS)
def test_a_first_up_is_not_refused_for_a_count_of_a_log_that_google_does_not_know_yet(stack: str) -> None:
    filters = [json.dumps(one["conditions"]) for name, one in policies(stack).items() if name not in QUERIES]
    assert not [text for text in filters if "logging.googleapis.com/user" in text]


def test_with_nobody_to_tell_the_alerts_are_there_all_the_same() -> None:
    found = policies("dev")
    assert found["cpu"]["notificationChannels"] == []
    assert planned("dev", resolve=True).of_type(CHANNEL) == []


def test_an_address_keeps_its_channel_when_another_comes_before_it() -> None:
    (own,) = planned("prod", resolve=True).of_type(CHANNEL)
    assert own.urn in {one.urn for one in changed().of_type(CHANNEL)}


def test_before_there_is_an_image_the_base_is_looked_at() -> None:
    found = policies(image=False)
    assert {"cpu", "disk", "replication-lag", "backup-failed", "iam-changed", "failed-logins"} <= set(found)
    assert not {"pool", "uptime", "budget-fast", "backup-stale", "schedule-failed", "figures-missing"} & set(found)


def test_a_database_without_a_standby_is_not_failed_over() -> None:
    found = {stack: policies(stack)["database-down"]["userLabels"]["procedure"] for stack in STACKS}
    assert found == {"dev": "diagnose-connection", "prod": "failover"}


def test_without_replicas_none_is_behind() -> None:
    assert "replication-lag" not in policies("dev")


def test_an_instance_that_is_only_restored_for_a_test_is_not_looked_at() -> None:
    for name in ("cpu", "memory", "disk", "transaction-ids", "database-down"):
        (condition,) = policies()[name]["conditions"]
        assert 'database_id = "holdfast-prod:' in condition["conditionThreshold"]["filter"]


def test_the_budget_must_burn_over_both_windows() -> None:
    for name, windows in (("budget-fast", {"3600s", "300s"}), ("budget-slow", {"21600s", "1800s"})):
        policy = policies()[name]
        assert policy["combiner"] == "AND"
        filters = [one["conditionThreshold"]["filter"] for one in policy["conditions"]]
        assert {text.rsplit('"', 2)[1] for text in filters} == windows


@pytest.mark.parametrize("stack", STACKS)
def test_every_policy_is_one_that_google_takes(stack: str) -> None:
    found = policies(stack)
    assert len({one["displayName"] for one in found.values()}) == len(found)
    for name, one in found.items():
        assert 1 <= len(one["conditions"]) <= 6, name
        assert len(one["documentation"]["content"].encode()) < 8192, name
        assert "$" not in one["documentation"]["content"], name
        assert one["severity"] in {"CRITICAL", "ERROR", "WARNING"}, name
        assert 1800 <= int(one["alertStrategy"]["autoClose"].removesuffix("s")) <= 7 * DAY, name
        # Google asks for a limit where an entry is an alert, and refuses it elsewhere.
        assert ("notificationRateLimit" in one["alertStrategy"]) == (name in OF_LOGS), name
        for condition in one["conditions"]:
            threshold = condition.get("conditionThreshold", {})
            assert int(threshold.get("duration", "0s").removesuffix("s")) % 60 == 0, name
            for aggregation in threshold.get("aggregations", ()):
                assert int(aggregation["alignmentPeriod"].removesuffix("s")) % 60 == 0, name


def test_no_policy_is_made_before_what_it_reads() -> None:
    plan = planned("prod", resolve=True)
    read = {
        one.urn
        for one in plan.resources
        if one.type in {"gcp:monitoring/metricDescriptor:MetricDescriptor", "gcp:logging/metric:Metric"}
    }
    assert read
    for one in plan.of_type(POLICY):
        assert read <= before(plan, one), one.name


def test_what_was_written_stays_when_its_descriptor_goes() -> None:
    descriptors = planned("prod", resolve=True).of_type("gcp:monitoring/metricDescriptor:MetricDescriptor")
    assert descriptors
    assert all(one.retain_on_delete for one in descriptors)


def test_each_has_the_series_and_the_time_that_it_speaks_of() -> None:
    found = {
        name: [one["conditionThreshold"] for one in policy["conditions"]]
        for name, policy in policies().items()
        if "conditionThreshold" in policy["conditions"][0]
    }
    for condition in found["replication-lag"]:
        assert 'database_id = "holdfast-prod:holdfast-database-dr-' in condition["filter"]
    for name in (name for name in found if name.startswith("job-")):
        (condition,) = found[name]
        assert 'metric.labels.result = "failed"' in condition["filter"]
    windows = {"database-down": "180s", "cpu": "600s", "pool": "300s", "cache-hits": "3600s"}
    assert {name: found[name][0]["aggregations"][0]["alignmentPeriod"] for name in windows} == windows
    assert found["uptime"][0]["duration"] == "60s"
    (missing,) = policies()["figures-missing"]["conditions"]
    assert missing["conditionPrometheusQueryLanguage"]["duration"] == "1800s"
