"""Dashboards: the panels that were asked for, the same in Cloud Monitoring and in Grafana."""

import json
import re
from typing import Any

import pytest

from infra.monitoring import grafana
from infra.monitoring.panels import panels
from infra.monitoring.series import variables
from infra.sections.monitoring import AlertsConfig
from runbooks.plan.model import Plan
from tests.contract.plans import STACKS, planned
from tests.infra.other_monitoring import changed

# Of the second source, and what its alerts are on.
ASKED = {
    *("Connection pool utilization", "Query latency", "Slow queries, above 200 ms", "Transactions a second"),
    *("CPU and memory", "Disk", "Replication lag", "Cache hit ratio", "Requests by status", "Request latency"),
    "Age of backup and verification",
}


def shown(stack: str, *, image: bool = True) -> dict[str, Any]:
    return of(planned(stack, image=image, resolve=True))


def of(plan: Plan) -> dict[str, Any]:
    (one,) = plan.of_type("gcp:monitoring/dashboard:Dashboard")
    found: dict[str, Any] = json.loads(one.inputs["dashboardJson"])
    return found


def tiles(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["widget"]["title"]: one for one in document["mosaicLayout"]["tiles"]}


@pytest.mark.parametrize("stack", STACKS)
def test_the_panels_that_were_asked_for_are_shown(stack: str) -> None:
    assert set(tiles(shown(stack))) >= ASKED
    assert {one["title"] for one in grafana.document()["panels"]} >= ASKED


@pytest.mark.parametrize("title", ["Query latency", "Request latency"])
def test_latency_is_shown_as_three_percentiles(title: str) -> None:
    lines = tiles(shown("prod"))[title]["widget"]["xyChart"]["dataSets"]
    assert [line["legendTemplate"][:3] for line in lines] == ["p50", "p95", "p99"]
    (panel,) = [one for one in grafana.document()["panels"] if one["title"] == title]
    assert [target["legendFormat"] for target in panel["targets"]] == ["p50", "p95", "p99"]


@pytest.mark.parametrize("stack", STACKS)
def test_names_are_in_place_of_variables(stack: str) -> None:
    text = json.dumps(shown(stack))
    assert "$" not in text
    assert f"holdfast-{stack}:holdfast-database" in text


def test_before_there_is_an_image_what_it_would_say_is_not_shown() -> None:
    found = set(tiles(shown("prod", image=False)))
    assert {"CPU and memory", "Disk", "Replication lag"} <= found
    assert "Requests by status" not in found


def test_the_line_is_where_the_alert_is() -> None:
    chart = tiles(of(changed()))["Connection pool utilization"]["widget"]["xyChart"]
    assert chart["thresholds"] == [{"value": 0.5}]


def test_no_tile_lies_on_another() -> None:
    places = [(one["xPos"], one["yPos"]) for one in tiles(shown("prod")).values()]
    assert len(set(places)) == len(places)
    assert all(one["xPos"] + one["width"] <= 48 for one in tiles(shown("prod")).values())


def test_grafana_asks_for_every_name_that_its_panels_need() -> None:
    document = grafana.document()
    given = {one["name"] for one in document["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(document["panels"])))
    assert used <= given
    assert {"prometheus", "stackdriver", "project", "database"} <= used
    lines = [line.series for panel in panels(AlertsConfig()) for line in panel.lines]
    assert {name for one in lines for name in variables(one.filter)} <= given


def test_grafana_has_no_name_that_is_used_nowhere() -> None:
    document = grafana.document()
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(document["panels"])))
    assert {one["name"] for one in document["templating"]["list"]} == used
