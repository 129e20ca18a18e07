"""What infra looks at is what the runtime writes, what the API says at /metrics, or what Google documents."""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from google.api.metric_pb2 import MetricDescriptor
from prometheus_client import parser

from infra.monitoring import grafana
from infra.monitoring.series import promql_name
from runbooks.plan.model import Resource
from runbooks.sandbox.discovery import Discovery
from runbooks.sandbox.services.monitoring_filter import SeriesFilter
from runtime.observability import cloud_monitoring
from runtime.observability.place import Place
from runtime.observability.published import CATALOGUE
from tests.contract.google_metrics import GOOGLES, RESOURCES, Metric
from tests.contract.plans import STACKS, planned
from tests.contract.reading import POLICY, Read, reads
from tests.runtime.api.world import EXPERIMENTS, FEEDBACK, post
from tests.runtime.observability.clouds import Monitoring, monitoring, reader

each_stack = pytest.mark.parametrize("stack", STACKS)
NUMBERS = frozenset({"INT64", "DOUBLE"})
WORDS = {"numeric": NUMBERS, "distribution": {"DISTRIBUTION"}, "Boolean": {"BOOL"}}
CONVERTED = {"ALIGN_DELTA": "DELTA", "ALIGN_RATE": "GAUGE"}
DESCRIPTOR = "gcp:monitoring/metricDescriptor:MetricDescriptor"


def published(resources: list[Resource]) -> dict[str, Metric]:
    """All that there is to be read: what the runtime writes, what this plan counts in logs, and Google's own."""
    ours = {
        one.type: Metric(one.kind.value, one.value_type.value, Place.RESOURCE, tuple(one.labels))
        for one in CATALOGUE.values()
    }
    counted = {
        f"logging.googleapis.com/user/{one.inputs['name']}": Metric("DELTA", "INT64", "cloudsql_database")
        for one in resources
        if one.type == "gcp:logging/metric:Metric"
    }
    return {**ours, **counted, **GOOGLES}


def faults(resources: list[Resource]) -> list[str]:
    """A line for each filter that would select nothing, and each aggregation that Google would refuse."""
    known = published(resources)
    lines = [f"{read.of}: {line}" for read in reads(resources) for line in _faults(read, known)]
    promql = {promql_name(name) for name in known}
    for one, query in queries(resources):
        # A name of Cloud Monitoring in PromQL has a colon: https://cloud.google.com/monitoring/promql/promql-mapping.
        names = re.findall(r"\w+:\w+", query)
        lines += [f"{one.name}: nobody writes {name}" for name in names if name not in promql]
        lines += [] if names else [f"{one.name}: its query reads nothing"]
    return lines


def queries(resources: list[Resource]) -> Iterator[tuple[Resource, str]]:
    for one in resources:
        for condition in one.inputs["conditions"] if one.type == POLICY else ():
            if "conditionPrometheusQueryLanguage" in condition:
                yield one, condition["conditionPrometheusQueryLanguage"]["query"]


def _faults(read: Read, known: Mapping[str, Metric]) -> Iterator[str]:
    wanted = read.filter
    metric = known.get(wanted.metric_type)
    if metric is None:
        yield f"nobody writes {wanted.metric_type}"
        return
    if wanted.resource_type != metric.resource:
        yield f"{wanted.metric_type} is of {metric.resource}, not {wanted.resource_type}"
    yield from _labels(wanted, metric, read.aggregation.get("groupByFields", ()))
    if aligner := read.aggregation.get("perSeriesAligner"):
        kind, value = metric.kind, metric.value
        if not fits("perSeriesAligner", aligner, kind, value):
            yield f"{aligner} does not take {kind} {value}"
        kind = CONVERTED.get(aligner, kind)
        value = "DOUBLE" if aligner in {"ALIGN_MEAN", "ALIGN_RATE"} else value
        reducer = read.aggregation.get("crossSeriesReducer")
        if reducer and not fits("crossSeriesReducer", reducer, kind, value):
            yield f"{reducer} does not take {kind} {value}"


def _labels(wanted: SeriesFilter, metric: Metric, by: list[str]) -> Iterator[str]:
    groups = [name.split(".labels.") for name in by]
    own = {*wanted.metric_labels, *(name for whose, name in groups if whose == "metric")}
    yield from (f"{wanted.metric_type} has no label {name}" for name in sorted(own - set(metric.labels)))
    resources = {*wanted.resource_labels, *(name for whose, name in groups if whose == "resource")}
    yield from (f"{metric.resource} has no label {name}" for name in sorted(resources - RESOURCES[metric.resource]))


@functools.cache
def aggregation() -> dict[str, Any]:
    installed = Discovery.installed("monitoring.v3")
    assert installed
    properties: dict[str, Any] = installed._schemas["Aggregation"]["properties"]
    return properties


def fits(what: str, name: str, kind: str, value: str) -> bool:
    """Whether an aggregation takes series of a kind, by Google's own description of it."""
    described = aggregation()[what]
    text = described["enumDescriptions"][described["enum"].index(name)]
    (taken,) = re.findall(r"is valid for ([^.]*)\.", text)
    types = {one for word, found in WORDS.items() if word in taken for one in found}
    return kind in taken and (not types or value in types)


@each_stack
@pytest.mark.parametrize("image", [True, False])
def test_everything_that_is_read_is_written_and_can_be_aggregated_so(stack: str, *, image: bool) -> None:
    assert faults(planned(stack, image=image, resolve=True).resources) == []


def changed(resources: list[Resource], name: str, before: str, after: str) -> list[Resource]:
    """The plan with one text changed in one resource."""
    found = [one.model_copy(deep=True) for one in resources]
    # A dashboard is JSON in JSON.
    pairs = ((before, after), (json.dumps(before)[1:-1], json.dumps(after)[1:-1]))
    (one,) = [one for one in found if one.name == name and any(was in json.dumps(one.inputs) for was, _ in pairs)]
    text = json.dumps(one.inputs)
    one.inputs = json.loads(next(text.replace(was, now) for was, now in pairs if was in text))
    return found


@pytest.mark.parametrize(
    ("name", "before", "after", "line"),
    [
        ("pool", "pool/utilization", "pool/used", "nobody writes custom.googleapis.com/holdfast/pool/used"),
        ("pool", "generic_task", "global", "pool/utilization is of generic_task, not global"),
        ("cpu", "cpu/utilization", "cpu/load", "nobody writes cloudsql.googleapis.com/database/cpu/load"),
        ("cpu", "database_id", "instance_id", "cloudsql_database has no label instance_id"),
        ("slow-queries", "ALIGN_DELTA", "ALIGN_MEAN", "ALIGN_MEAN does not take CUMULATIVE INT64"),
        ("verification-stale", "REDUCE_COUNT_FALSE", "REDUCE_MEAN", "REDUCE_MEAN does not take GAUGE BOOL"),
        ("secret-overdue", "labels.secret", "labels.name", "secret/overdue has no label name"),
        ("figures-missing", "holdfast_backup_age", "holdfast_age", "nobody writes custom_googleapis_com:holdfast_age"),
        ("failed-logins", "user_holdfast_failed", "user_failed", "nobody writes logging_googleapis_com:user_failed"),
        ("dashboard", "transaction_type", "kind", "transaction_count has no label kind"),
        ("availability", "https/request_count", "https/requests", "nobody writes loadbalancing.googleapis.com/https"),
    ],
)
def test_a_change_of_one_side_is_told(name: str, before: str, after: str, line: str) -> None:
    plan = changed(planned("prod", resolve=True).resources, f"holdfast-{name}", before, after)
    (found,) = {text for text in faults(plan) if line in text}
    assert found.startswith(f"holdfast-{name}: ")


def test_what_the_runtime_no_longer_writes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(CATALOGUE, "custom.googleapis.com/holdfast/query/p95")  # type: ignore[arg-type]  # a dictionary
    told = faults(planned("prod", resolve=True).resources)
    assert {line.partition(":")[0] for line in told} == {"holdfast-query-p95", "holdfast-dashboard"}


# Descriptors


def descriptors(stack: str) -> list[dict[str, Any]]:
    return [one.inputs for one in planned(stack, resolve=True).of_type(DESCRIPTOR)]


def to_message(inputs: Mapping[str, Any]) -> MetricDescriptor:
    return MetricDescriptor(
        type=inputs["type"],
        metric_kind=inputs["metricKind"],
        value_type=inputs["valueType"],
        unit=inputs.get("unit", ""),
        description=inputs["description"],
        display_name=inputs["displayName"],
        labels=[
            {"key": one["key"], "value_type": one["valueType"], "description": one["description"]}
            for one in inputs["labels"]
        ],
    )


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitoring]:
    with monitoring(tmp_path_factory.mktemp("cloud")) as served:
        yield served


@pytest.fixture
def place(cloud: Monitoring, request: pytest.FixtureRequest) -> Place:
    """A project of the test's own."""
    project = re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:30].strip("-")
    return Place(project, "us-central1", "holdfast-api", "api", "one", cloud.endpoint)


@each_stack
def test_each_descriptor_is_the_runtimes_own(stack: str, place: Place) -> None:
    with reader(place.endpoint or "") as client:
        for inputs in descriptors(stack):
            client.create_metric_descriptor(name=f"projects/{place.project}", metric_descriptor=to_message(inputs))
    # The runtime would make those that are not as it has them.
    assert cloud_monitoring.describe(place, CATALOGUE.values(), seconds=10) == []


@pytest.mark.parametrize("field", ["unit", "description", "displayName"])
def test_a_descriptor_that_differs_is_made_anew(field: str, place: Place) -> None:
    first, *others = descriptors("dev")
    with reader(place.endpoint or "") as client:
        for inputs in ({**first, field: "else"}, *others):
            client.create_metric_descriptor(name=f"projects/{place.project}", metric_descriptor=to_message(inputs))
    (made,) = cloud_monitoring.describe(place, CATALOGUE.values(), seconds=10)
    assert made.type == first["type"]


# Grafana over /metrics

# Prometheus adds these itself, or they are of its language.
PROMETHEUS = {"instance", "le", "histogram_quantile"}


def scraped_names(expressions: list[str]) -> set[str]:
    """Metrics and labels that expressions speak of."""
    found = {name for text in expressions for name in re.findall(r"[a-z_]+(?=[\s{}\[=~),/]|$)", text) if "_" in name}
    return {*found, *(name for text in expressions for name in re.findall(r"(\w+)=~?\"", text))} - PROMETHEUS


def expressions() -> list[str]:
    return [target["expr"] for panel in grafana.document()["panels"] for target in panel["targets"] if "expr" in target]


async def test_grafana_reads_what_a_scrape_of_the_api_has(client: httpx.AsyncClient) -> None:
    await post(client, EXPERIMENTS, {"id": "e"})
    await client.get(f"{FEEDBACK}/stats", params={"insight_id": "i"})
    answer = await client.get("/metrics")
    names: set[str] = set()
    for family in parser.text_string_to_metric_families(answer.text):
        names |= {family.name} | {sample.name for sample in family.samples}
        names |= {label for sample in family.samples for label in sample.labels}
        # A counter that nobody has counted yet has a name only.
        names |= {f"{family.name}_total"} if family.type == "counter" else set()
        if any(sample.labels.get("le") == "0.2" for sample in family.samples):
            names.add(f"{family.name} has 0.2")
    wanted = scraped_names(expressions())
    assert {"db_client_operation_duration_seconds_bucket", "holdfast_cache_requests_total", "outcome"} <= wanted
    assert wanted - names == set()
    assert "db_client_operation_duration_seconds has 0.2" in names
    assert scraped_names(["rate(http_requests_total[5m])"]) - names == {"http_requests_total"}


def test_the_file_that_grafana_imports_is_up_to_date() -> None:
    assert grafana.FILE.read_text(encoding="utf-8") == grafana.text(), "run: python -m infra.monitoring.grafana"
