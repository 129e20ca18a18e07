"""A real Cloud Monitoring over gRPC, and what Google's client reads there."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.api_core.exceptions import NotFound
from google.cloud import monitoring_v3
from google.cloud.monitoring_v3.services.metric_service.transports import MetricServiceGrpcTransport

from runbooks.local.ports import HOST
from runbooks.sandbox.catalogue import read_fault
from runbooks.sandbox.faults import Faults
from runbooks.sandbox.services.monitoring import MonitoringServer
from runbooks.sandbox.store import Store
from runtime.observability.published import CATALOGUE

PROJECT = "holdfast-test"
Points = list[tuple[float, object]]


class Monitoring:
    """One at `endpoint`, whose faults can be changed."""

    def __init__(self, endpoint: str, faults: Faults) -> None:
        self.endpoint = endpoint
        self._faults = faults

    def fault(self, text: str) -> None:
        self._faults.clear()
        self._faults.add(read_fault(f"monitoring.CreateTimeSeries:{text}"))

    def mend(self) -> None:
        self._faults.clear()

    def series(self, metric_type: str, project: str = PROJECT) -> list[Any]:
        return series_at(self.endpoint, metric_type, project)

    def points(self, metric_type: str, project: str = PROJECT) -> Points:
        """Of a metric that has one series: moments and values, oldest first."""
        (series,) = self.series(metric_type, project)
        return points_of(series)

    def types(self, project: str = PROJECT) -> set[str]:
        """The metrics that have a point."""
        return {metric_type for metric_type in CATALOGUE if self.series(metric_type, project)}


def points_of(series: Any) -> Points:
    return [
        (point.interval.end_time.timestamp(), getattr(point.value, point.value._pb.WhichOneof("value")))
        for point in reversed(series.points)
    ]


@contextmanager
def reader(endpoint: str) -> Iterator[monitoring_v3.MetricServiceClient]:
    with monitoring_v3.MetricServiceClient(
        transport=MetricServiceGrpcTransport(channel=grpc.insecure_channel(endpoint))
    ) as client:
        yield client


def series_at(endpoint: str, metric_type: str, project: str = PROJECT) -> list[Any]:
    now = int(time.time())
    request = {
        "name": f"projects/{project}",
        "filter": f'metric.type = "{metric_type}"',
        "interval": {"start_time": {"seconds": now - 3600}, "end_time": {"seconds": now + 300}},
    }
    with reader(endpoint) as client:
        try:
            return list(client.list_time_series(request=request))
        except NotFound:
            return []


@contextmanager
def monitoring(folder: Path) -> Iterator[Monitoring]:
    faults, store = Faults([]), Store(folder / "monitoring.db")
    server = MonitoringServer(store, faults=faults)
    server.start()
    try:
        yield Monitoring(f"{HOST}:{server.port}", faults)
    finally:
        server.stop()
        store.close()
