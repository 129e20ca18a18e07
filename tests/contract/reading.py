"""What a plan's alerts, objectives and dashboard read of Cloud Monitoring."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from runbooks.plan.model import Resource
from runbooks.sandbox.services.monitoring_filter import SeriesFilter, parse

POLICY = "gcp:monitoring/alertPolicy:AlertPolicy"
DASHBOARD = "gcp:monitoring/dashboard:Dashboard"
SLO = "gcp:monitoring/slo:Slo"
BURN = re.compile(
    r'select_slo_burn_rate\("projects/([^/]+)/services/([^/]+)/serviceLevelObjectives/([^/"]+)", "\d+s"\)'
)


@dataclass(frozen=True)
class Read:
    """One filter and what is done with its series.

    Attributes:
        of: the resource's name, for whoever mends it.
    """

    of: str
    filter: SeriesFilter
    aggregation: dict[str, Any]


def reads(resources: list[Resource]) -> list[Read]:
    """All of them. A filter that the sandbox's Monitoring does not understand is an error."""
    return [
        Read(one.name, parse(text), aggregation)
        for one in resources
        for text, aggregation in _filters(one)
        if not BURN.fullmatch(text)
    ]


def thresholds(resources: list[Resource]) -> Iterator[tuple[Resource, dict[str, Any]]]:
    """Each condition on series, and its policy."""
    for one in resources:
        for condition in one.inputs["conditions"] if one.type == POLICY else ():
            if "conditionThreshold" in condition:
                yield one, condition["conditionThreshold"]


def log_filters(resources: list[Resource]) -> dict[str, str]:
    """The filters on logs by name."""
    found = {one.name: one.inputs["filter"] for one in resources if one.type == "gcp:logging/metric:Metric"}
    for one in resources:
        for condition in one.inputs["conditions"] if one.type == POLICY else ():
            if "conditionMatchedLog" in condition:
                found[one.name] = condition["conditionMatchedLog"]["filter"]
    return found


def _filters(one: Resource) -> Iterator[tuple[str, dict[str, Any]]]:
    if one.type == POLICY:
        for _, condition in thresholds([one]):
            yield condition["filter"], next(iter(condition.get("aggregations", ())), {})
            if "denominatorFilter" in condition:
                yield condition["denominatorFilter"], condition["denominatorAggregations"][0]
    elif one.type == DASHBOARD:
        for tile in json.loads(one.inputs["dashboardJson"])["mosaicLayout"]["tiles"]:
            for data in tile["widget"]["xyChart"]["dataSets"]:
                found = data["timeSeriesQuery"]["timeSeriesFilter"]
                yield found["filter"], found["aggregation"]
    elif one.type == SLO:
        indicator = one.inputs["requestBasedSli"]
        ratio = indicator.get("goodTotalRatio", {})
        yield from ((text, {}) for text in ratio.values())
        if "distributionCut" in indicator:
            yield indicator["distributionCut"]["distributionFilter"], {}
