"""The budget: who is told, and when."""

import pytest

from runbooks.plan.errors import PlanError
from runbooks.plan.model import Resource
from tests.contract.plans import planned

BUDGET = "gcp:billing/budget:Budget"
ACCOUNT = ("budget.billing_account", "01AB23-CD45EF-678901")


def budget(*changes: tuple[str, str]) -> Resource:
    (found,) = planned("prod", resolve=True, changes=(ACCOUNT, *changes)).of_type(BUDGET)
    return found


def test_without_a_billing_account_there_is_none() -> None:
    assert planned("prod").of_type(BUDGET) == []


def test_it_counts_this_project_alone_by_its_number() -> None:
    (project,) = budget().inputs["budgetFilter"]["projects"]
    assert project.removeprefix("projects/").isdigit()
    assert budget().inputs["billingAccount"] == ACCOUNT[1]


def test_its_requests_are_counted_on_the_project_whoever_makes_them() -> None:
    plan = planned("prod", resolve=True, changes=(ACCOUNT,))
    name = (budget().provider or "").rpartition("::")[0]
    (provider,) = [one for one in plan.resources if one.urn == name]
    assert (provider.inputs["userProjectOverride"], provider.inputs["billingProject"]) == ("true", "holdfast-prod")


def test_each_threshold_is_told_and_the_forecast() -> None:
    rules = budget(("budget.thresholds", "[0.25, 1.0]"), ("budget.monthly_usd", "900")).inputs
    assert rules["amount"]["specifiedAmount"] == {"currencyCode": "USD", "units": "900"}
    assert [(rule["spendBasis"], rule["thresholdPercent"]) for rule in rules["thresholdRules"]] == [
        ("CURRENT_SPEND", 0.25),
        ("CURRENT_SPEND", 1),
        ("FORECASTED_SPEND", 1),
    ]


def test_it_tells_whom_the_alerts_tell() -> None:
    told = budget().inputs["allUpdatesRule"]["monitoringNotificationChannels"]
    channels = planned("prod", resolve=True).of_type("gcp:monitoring/notificationChannel:NotificationChannel")
    assert channels
    assert len(told) == len(channels)


def test_a_threshold_that_is_there_twice_is_refused() -> None:
    with pytest.raises(PlanError, match=r"budget.thresholds: \[0.5, 0.5\] has one twice; write each once"):
        planned("prod", changes=(("budget.thresholds", "[0.5, 0.5]"),))
