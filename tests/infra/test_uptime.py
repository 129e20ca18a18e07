"""Whether the API answers, and how often it may not."""

from typing import Any

import pytest

from runbooks.plan.errors import PlanError
from runbooks.plan.model import Plan
from tests.contract.plans import planned
from tests.infra.other_monitoring import changed

CHECK = "gcp:monitoring/uptimeCheckConfig:UptimeCheckConfig"
SLO = "gcp:monitoring/slo:Slo"


def check(plan: Plan) -> dict[str, Any]:
    (one,) = plan.of_type(CHECK)
    return one.inputs


def objective(name: str, plan: Plan) -> dict[str, Any]:
    (one,) = [one for one in plan.of_type(SLO) if one.name.endswith(name)]
    return one.inputs


def test_it_asks_as_a_client_does_and_checks_the_certificate() -> None:
    asked = check(planned("prod", resolve=True))
    assert asked["monitoredResource"]["labels"]["host"] == "api.holdfast.example"
    http = asked["httpCheck"]
    assert (http["path"], http["useSsl"], http["validateSsl"]) == ("/health/ready", True, True)
    assert http["acceptedResponseStatusCodes"] == [{"statusValue": 200}]
    assert len(asked["selectedRegions"]) >= 3


def test_without_a_load_balancer_it_asks_the_service() -> None:
    host = check(planned("dev", resolve=True))["monitoredResource"]["labels"]["host"]
    assert host.endswith(".run.app")
    assert "/" not in host


def test_without_an_image_nobody_is_asked() -> None:
    plan = planned("prod", image=False, resolve=True)
    assert plan.of_type(CHECK) == []
    assert plan.of_type(SLO) == []


def test_the_period_is_one_that_google_has() -> None:
    assert check(changed())["period"] == "300s"
    with pytest.raises(PlanError, match=r"monitoring\.uptime_period_seconds: 120 cannot be"):
        planned("prod", changes=(("monitoring.uptime_period_seconds", "120"),))


def test_availability_is_what_the_balancers_clients_see() -> None:
    found = objective("availability", planned("prod", resolve=True))
    assert found["goal"] == 0.999
    ratio = found["requestBasedSli"]["goodTotalRatio"]
    assert 'url_map_name = "holdfast-' in ratio["totalServiceFilter"]
    assert 'response_code_class = "500"' in ratio["badServiceFilter"]


def test_without_one_it_is_what_the_service_saw() -> None:
    ratio = objective("availability", planned("dev", resolve=True))["requestBasedSli"]["goodTotalRatio"]
    assert 'service_name = "holdfast-api"' in ratio["totalServiceFilter"]
    assert 'response_code_class = "5xx"' in ratio["badServiceFilter"]


def test_latency_is_of_the_same_limit_as_its_alert() -> None:
    found = objective("latency", changed())
    assert found["goal"] == 0.95
    assert found["requestBasedSli"]["distributionCut"]["range"] == {"max": 150}


def test_an_objective_above_what_google_takes_is_refused() -> None:
    assert objective("availability", changed())["goal"] == 0.9999
    with pytest.raises(PlanError, match=r"monitoring\.availability_objective: "):
        planned("prod", changes=(("monitoring.availability_objective", "0.99999"),))
