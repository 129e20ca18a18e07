"""Cloud Monitoring by Google's client.

Its import takes 35 MB and a quarter of a second: only who publishes does it.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import google.auth
import grpc  # type: ignore[import-untyped]
from google.api import metric_pb2  # type: ignore[import-untyped]
from google.api_core.exceptions import GoogleAPICallError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud.monitoring_v3 import MetricServiceClient, TimeSeries
from google.cloud.monitoring_v3.services.metric_service.transports import MetricServiceGrpcTransport

from runtime.errors import first_line
from runtime.observability.place import Place, PublishingError
from runtime.observability.published import CATALOGUE, Kind, Metric, Reading, ValueType

SCOPE = "https://www.googleapis.com/auth/monitoring"
# Without the environment's proxies: it is on this machine.
_LOCAL = (("grpc.enable_http_proxy", 0),)
# Of a descriptor, besides its labels. What comes back has more.
_DESCRIBED = ("metric_kind", "value_type", "unit", "description", "display_name")
_VALUES = {ValueType.BOOL: "bool_value", ValueType.DOUBLE: "double_value", ValueType.INT64: "int64_value"}


def write(place: Place, readings: Sequence[Reading], *, began_at: float, at: float, seconds: float) -> None:
    """Write one point to each series.

    Args:
        place: whose series, and where to.
        readings: at most 200.
        began_at: since when counters count, in seconds since 1970.
        at: the points' moment, in seconds since 1970.
        seconds: that it may take.

    Raises:
        PublishingError: not all is written.
    """
    series = [_series(place, one, began_at=began_at, at=at) for one in readings]
    with _client(place) as client, _judged():
        client.create_time_series(name=_project(place), time_series=series, retry=None, timeout=seconds)


def describe(place: Place, metrics: Iterable[Metric], *, seconds: float) -> list[Metric]:
    """Make the descriptors that are not there, or are not as they should be: a point that comes first makes a bare one.

    Args:
        place: the project, and where to.
        metrics: all of them.
        seconds: that each call may take.

    Returns:
        Those that were made.

    Raises:
        PublishingError: not all are there.
    """
    made = []
    with _client(place) as client, _judged():
        for metric in metrics:
            wanted = _descriptor(metric)
            if _is_described(client, f"{_project(place)}/metricDescriptors/{metric.type}", wanted, seconds):
                continue
            client.create_metric_descriptor(name=_project(place), metric_descriptor=wanted, retry=None, timeout=seconds)
            made.append(metric)
    return made


@contextmanager
def _client(place: Place) -> Iterator[MetricServiceClient]:
    # One a publication: where the CPU sleeps between requests, a connection that is kept is a broken one.
    with _judged():
        client = MetricServiceClient(transport=_local(place)) if place.endpoint else _googles()
    with client:
        yield client


def _local(place: Place) -> MetricServiceGrpcTransport:
    return MetricServiceGrpcTransport(channel=grpc.insecure_channel(place.endpoint, options=_LOCAL))


def _googles() -> MetricServiceClient:
    return MetricServiceClient(credentials=google.auth.default([SCOPE])[0])


@contextmanager
def _judged() -> Iterator[None]:
    try:
        yield
    except GoogleAPICallError as error:
        name = type(error).__name__
        raise PublishingError(name, error.message or "") from None
    except GoogleAuthError as error:
        raise PublishingError(type(error).__name__, first_line(error)) from None


def _series(place: Place, reading: Reading, *, began_at: float, at: float) -> TimeSeries:
    metric = CATALOGUE[reading.metric_type]
    interval = {"end_time": _moment(at)}
    if metric.kind is Kind.CUMULATIVE:
        interval["start_time"] = _moment(began_at)
    return TimeSeries(
        {
            "metric": {"type": metric.type, "labels": dict(reading.labels)},
            "resource": {"type": Place.RESOURCE, "labels": place.labels},
            "metric_kind": metric.kind.value,
            "value_type": metric.value_type.value,
            "points": [{"interval": interval, "value": {_VALUES[metric.value_type]: reading.value}}],
        }
    )


def _descriptor(metric: Metric) -> Any:
    return metric_pb2.MetricDescriptor(
        type=metric.type,
        metric_kind=metric.kind.value,
        value_type=metric.value_type.value,
        unit=metric.unit,
        description=metric.description,
        display_name=f"holdfast/{metric.name}",
        labels=[{"key": key, "description": text} for key, text in metric.labels.items()],
    )


def _is_described(client: MetricServiceClient, name: str, wanted: Any, seconds: float) -> bool:
    try:
        found = client.get_metric_descriptor(name=name, retry=None, timeout=seconds)
    except NotFound:
        return False
    return all(getattr(found, part) == getattr(wanted, part) for part in _DESCRIBED) and [
        (label.key, label.description) for label in found.labels
    ] == [(label.key, label.description) for label in wanted.labels]


def _project(place: Place) -> str:
    return f"projects/{place.project}"


def _moment(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
