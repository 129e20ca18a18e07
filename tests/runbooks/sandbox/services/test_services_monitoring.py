"""Cloud Monitoring, driven by Google's own client over gRPC: it refuses what the real one refuses."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import monitoring_v3
from google.cloud.monitoring_v3.services.metric_service.transports import MetricServiceGrpcTransport

from runbooks.local.ports import HOST
from runbooks.sandbox.errors import SandboxError
from runbooks.sandbox.services.monitoring import MonitoringServer
from runbooks.sandbox.store import Store

PROJECT = "projects/holdfast"
NOW = int(time.time())


@pytest.fixture(scope="module")
def channel(store: Store) -> Iterator[tuple[grpc.Channel, int]]:
    server = MonitoringServer(store, clock=lambda: NOW)
    server.start()
    with grpc.insecure_channel(f"{HOST}:{server.port}") as opened:
        yield opened, server.port
    server.stop()


@pytest.fixture
def metrics(channel: tuple[grpc.Channel, int]) -> Iterator[monitoring_v3.MetricServiceClient]:
    client = client_of(channel[0])
    yield client
    for descriptor in client.list_metric_descriptors(name=PROJECT):
        client.delete_metric_descriptor(name=descriptor.name)


def client_of(channel: grpc.Channel) -> monitoring_v3.MetricServiceClient:
    return monitoring_v3.MetricServiceClient(transport=MetricServiceGrpcTransport(channel=channel))


def series(
    value: object = 1.5, *, end: float = NOW, name: str = "custom.googleapis.com/holdfast/dead_tuples", **labels: str
) -> Any:
    kind = {float: "double_value", int: "int64_value", bool: "bool_value", str: "string_value"}[type(value)]
    point = {"interval": {"end_time": {"seconds": int(end)}}, "value": {kind: value}}
    return monitoring_v3.TimeSeries(
        {"metric": {"type": name, "labels": labels}, "resource": {"type": "global"}, "points": [point]}
    )


def write(metrics: monitoring_v3.MetricServiceClient, *given: Any) -> None:
    metrics.create_time_series(name=PROJECT, time_series=list(given))


def read(metrics: monitoring_v3.MetricServiceClient, more: str = "", **interval: Any) -> list[Any]:
    wanted = {"start_time": {"seconds": NOW - 90_000}, "end_time": {"seconds": NOW + 600}, **interval}
    request = {
        "name": PROJECT,
        "filter": f'metric.type = "custom.googleapis.com/holdfast/dead_tuples"{more}',
        "interval": wanted,
    }
    return list(metrics.list_time_series(request=request))


def refusal(metrics: monitoring_v3.MetricServiceClient, *given: Any) -> str:
    with pytest.raises(exceptions.InvalidArgument) as refused:
        write(metrics, *given)
    return str(refused.value)


def values(one: Any) -> list[float]:
    return [point.value.double_value for point in one.points]


def test_what_is_written_is_read_newest_first(metrics: Any) -> None:
    for age in (60, 30, 0):
        write(metrics, series(float(age), end=NOW - age, table="feedback"), series(0.5, end=NOW - age, table="jobs"))
    (one,) = read(metrics, ' AND metric.labels.table = "feedback"')
    assert values(one) == [0.0, 30.0, 60.0]
    assert one.resource.labels["project_id"] == "holdfast"
    # The start is not part of the interval, the end is.
    (one,) = read(
        metrics,
        ' AND metric.labels.table = "feedback"',
        start_time={"seconds": NOW - 60},
        end_time={"seconds": NOW - 30},
    )
    assert values(one) == [30.0]
    assert len(read(metrics)) == 2
    assert read(metrics, ' AND resource.type="generic_task"') == []
    descriptor = metrics.get_metric_descriptor(
        name=f"{PROJECT}/metricDescriptors/custom.googleapis.com/holdfast/dead_tuples"
    )
    assert ([label.key for label in descriptor.labels], descriptor.metric_kind, descriptor.value_type) == (
        ["table"],
        1,
        3,
    )


def test_a_point_follows_the_last_by_five_seconds(metrics: Any) -> None:
    write(metrics, series(end=NOW - 20))
    assert "Points must be written in order." in refusal(metrics, series(end=NOW - 21))
    assert "Points must be written in order." in refusal(metrics, series(end=NOW - 20))
    assert "more frequently than the maximum sampling period" in refusal(metrics, series(end=NOW - 16))
    write(metrics, series(end=NOW - 15))
    (one,) = read(metrics)
    assert len(one.points) == 2


def test_what_is_refused_does_not_hold_the_others_up_and_is_counted(metrics: Any) -> None:
    write(metrics, series(table="a"))
    with pytest.raises(exceptions.InvalidArgument) as refused:
        write(metrics, series(table="b"), series(table="a"), series(table="c"))
    message = refused.value.message
    assert message.startswith("One or more TimeSeries could not be written: timeSeries[1]: write for resource=global{}")
    (detail,) = refused.value.details
    summary = monitoring_v3.CreateTimeSeriesSummary.deserialize(detail.value)
    assert (summary.total_point_count, summary.success_point_count) == (3, 2)
    assert len(read(metrics)) == 3


def test_a_request_has_200_series_at_most_and_each_once(metrics: Any) -> None:
    many = [series(table=str(number)) for number in range(201)]
    assert "200" in refusal(metrics, *many)
    with pytest.raises(exceptions.NotFound):
        read(metrics)
    write(metrics, *many[:200])
    assert len(read(metrics)) == 200
    assert "Duplicate TimeSeries" in refusal(metrics, series(table="x"), series(table="x"))


@pytest.mark.parametrize(
    ("age", "words"),
    [(25 * 3600 + 1, "25h0s in the past"), (-301, "5m0s in the future"), (25 * 3600, ""), (-300, "")],
)
def test_a_point_is_of_now(metrics: Any, age: int, words: str) -> None:
    if words:
        assert words in refusal(metrics, series(end=NOW - age))
    else:
        write(metrics, series(end=NOW - age))


@pytest.mark.parametrize(
    "name",
    [
        "dead_tuples",
        "custom.googleapis.com",
        "custom.googleapis.com/",
        "compute.googleapis.com/x",
        "custom.googleapis.com/a b",
        "custom.googleapis.com/ü",
        "custom.googleapis.com/" + "x" * 200,
    ],
)
def test_a_metrics_type_is_a_users_own(metrics: Any, name: str) -> None:
    assert "The metric type must be" in refusal(metrics, series(name=name))
    descriptor = {"type": name, "metric_kind": 1, "value_type": 3}
    with pytest.raises(exceptions.InvalidArgument):
        metrics.create_metric_descriptor(name=PROJECT, metric_descriptor=descriptor)


def test_labels_have_their_limits(metrics: Any) -> None:
    assert "label key" in refusal(metrics, series(**{"x" * 101: "v"}))
    assert "label key" in refusal(metrics, series(**{"a-b": "v"}))
    assert "1024 characters" in refusal(metrics, series(x="v" * 1025))
    assert "at most 30 labels" in refusal(metrics, series(**{f"l{number}": "v" for number in range(31)}))
    write(metrics, series(**{"x" * 100: "v" * 1024}))


def test_a_value_is_of_its_descriptors_type(metrics: Any) -> None:
    descriptor = {
        "type": "custom.googleapis.com/holdfast/dead_tuples",
        "metric_kind": "GAUGE",
        "value_type": "INT64",
        "labels": [{"key": "table"}],
    }
    made = metrics.create_metric_descriptor(name=PROJECT, metric_descriptor=descriptor)
    assert made.name == f"{PROJECT}/metricDescriptors/custom.googleapis.com/holdfast/dead_tuples"
    assert "must be INT64, but is DOUBLE." in refusal(metrics, series(1.0))
    cumulative = series(1)
    cumulative.metric_kind = 3
    assert "must be GAUGE, but is CUMULATIVE." in refusal(metrics, cumulative)
    write(metrics, series(7))
    with pytest.raises(exceptions.InvalidArgument):
        metrics.create_metric_descriptor(name=PROJECT, metric_descriptor={**descriptor, "value_type": "DOUBLE"})


def test_a_counter_has_a_start(metrics: Any) -> None:
    counter = series(1)
    counter.metric_kind = 3
    assert "start time must be before the end time" in refusal(metrics, counter)
    counter.points[0].interval.start_time = {"seconds": NOW - 60}
    write(metrics, counter)
    gauge = series(name="custom.googleapis.com/holdfast/gauge")
    gauge.points[0].interval.start_time = {"seconds": NOW - 60}
    assert "GAUGE" in refusal(metrics, gauge)


def test_a_deleted_metric_is_gone_with_its_points(metrics: Any) -> None:
    write(metrics, series())
    metrics.delete_metric_descriptor(name=f"{PROJECT}/metricDescriptors/custom.googleapis.com/holdfast/dead_tuples")
    with pytest.raises(exceptions.NotFound):
        read(metrics)
    write(metrics, series(2.5, end=NOW - 60))
    (one,) = read(metrics)
    assert values(one) == [2.5]


def test_what_is_not_understood_is_named(metrics: Any) -> None:
    write(metrics, series())
    with pytest.raises(exceptions.MethodNotImplemented, match="starts_with"):
        read(metrics, ' AND metric.labels.table = starts_with("a")')
    with pytest.raises(exceptions.MethodNotImplemented, match="ListMonitoredResourceDescriptors"):
        list(metrics.list_monitored_resource_descriptors(name=PROJECT))
    other = series(name="custom.googleapis.com/other")
    other.resource.type = "k8s_pod"
    with pytest.raises(exceptions.MethodNotImplemented, match="k8s_pod"):
        write(metrics, other)
    with pytest.raises(exceptions.InvalidArgument, match="single metric type"):
        list(
            metrics.list_time_series(
                request={
                    "name": PROJECT,
                    "filter": 'resource.type = "global"',
                    "interval": {"end_time": {"seconds": NOW}},
                }
            )
        )


def test_a_taken_port_is_told(channel: tuple[grpc.Channel, int], store: Store) -> None:
    with pytest.raises(SandboxError, match=str(channel[1])):
        MonitoringServer(store, channel[1])


def test_points_survive_a_restart(tmp_path: Path) -> None:
    for boot in range(2):
        store = Store(tmp_path / "kept.db")
        server = MonitoringServer(store)
        server.start()
        with grpc.insecure_channel(f"{HOST}:{server.port}") as opened:
            metrics = client_of(opened)
            if not boot:
                write(metrics, series())
            else:
                assert "in order" in refusal(metrics, series())
            assert len(read(metrics)) == 1
        server.stop()
        store.close()
