"""The metrics of a project in a store: descriptors, time series and their points."""

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from google.api.metric_pb2 import MetricDescriptor  # type: ignore[import-untyped]
from google.cloud.monitoring_v3.types import metric, metric_service
from google.protobuf import empty_pb2, json_format  # type: ignore[import-untyped]
from google.rpc import status_pb2  # type: ignore[import-untyped]

from runbooks.sandbox.services import monitoring_filter
from runbooks.sandbox.services import monitoring_rules as rules
from runbooks.sandbox.services.calls import Document
from runbooks.sandbox.services.errors import CODES, ServiceError, absent, invalid, not_found
from runbooks.sandbox.services.monitoring_rules import Last, RefusedError
from runbooks.sandbox.store import Store

DESCRIPTOR = "monitoring.descriptor"
SERIES = "monitoring.series"
POINT = "monitoring.point"
PAGE = 100_000
VIEW_FULL = metric_service.ListTimeSeriesRequest.TimeSeriesView.FULL

# Generated messages have no types of their own here.
Message = Any
Item = TypeVar("Item")


class Metrics:
    """The service's methods on a store.

    Args:
        store: where descriptors and points are kept.
        clock: the seconds since 1970.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()

    def create_time_series(self, request: Message) -> Message:
        """Write a point to each series; those that are refused do not hold the others up."""
        _check_project(request.name)
        if not 0 < len(request.time_series) <= rules.MOST_SERIES:
            message = (
                f"Field timeSeries had an invalid value: {len(request.time_series)} TimeSeries were given; a request "
                f"writes 1 to {rules.MOST_SERIES}."
            )
            raise invalid(message)
        refused: dict[int, str] = {}
        seen: set[str] = set()
        with self._lock:
            for number, series in enumerate(request.time_series):
                try:
                    self._write(request.name, series, f"timeSeries[{number}]", seen)
                except RefusedError as error:
                    where = _resource(series)
                    refused[number] = f"timeSeries[{number}]: write for resource={where} failed with: {error}"
        if refused:
            raise NotAllWrittenError(len(request.time_series), refused)
        return empty_pb2.Empty()

    def list_time_series(self, request: Message) -> Message:
        """Series with their points in an interval, newest first."""
        _check_project(request.name)
        for field in ("aggregation", "secondary_aggregation"):
            if request.HasField(field):
                message = f"ListTimeSeries with {field}"
                raise absent(message)
        if request.order_by:
            message = "ListTimeSeries with order_by"
            raise absent(message)
        wanted = monitoring_filter.parse(request.filter)
        if not request.interval.HasField("end_time"):
            message = "Field interval.endTime had an invalid value: it must be set."
            raise invalid(message)
        end = request.interval.end_time.ToNanoseconds()
        start = request.interval.start_time.ToNanoseconds() if request.interval.HasField("start_time") else end - 1
        if start >= end:
            message = "Field interval had an invalid value: the start time must be before the end time."
            raise invalid(message)
        with self._lock:
            self._descriptor_that_is_there(request.name, wanted.metric_type)
            found = [
                self._read(document, start, end, with_points=request.view == VIEW_FULL)
                for document in self._store.all(SERIES, f"{request.name}|{wanted.metric_type}|")
                if _fits(document, wanted)
            ]
        found = [series for series in found if series is not None]
        page, token = _page(found, request)
        answer = metric_service.ListTimeSeriesResponse.pb()(next_page_token=token)
        answer.time_series.extend(page)
        return answer

    def create_metric_descriptor(self, request: Message) -> Message:
        """A descriptor, or more labels for one that is there."""
        _check_project(request.name)
        descriptor = request.metric_descriptor
        rules.check_descriptor(descriptor)
        with self._lock:
            before = self._descriptor(request.name, descriptor.type)
            if before is not None and (before.metric_kind, before.value_type) != (
                descriptor.metric_kind,
                descriptor.value_type,
            ):
                message = f"Metric {descriptor.type} is there with another kind or value type; delete it first."
                raise invalid(message)
            return self._keep(request.name, descriptor)

    def get_metric_descriptor(self, request: Message) -> Message:
        """The descriptor."""
        project, kind = _split(request.name)
        with self._lock:
            return self._descriptor_that_is_there(project, kind)

    def list_metric_descriptors(self, request: Message) -> Message:
        """A project's descriptors."""
        _check_project(request.name)
        with self._lock:
            documents = self._store.all(DESCRIPTOR, f"{request.name}/metricDescriptors/")
        if request.filter:
            wanted = monitoring_filter.parse(request.filter).metric_type
            documents = [document for document in documents if document["type"] == wanted]
        page, token = _page(documents, request)
        answer = metric_service.ListMetricDescriptorsResponse.pb()(next_page_token=token)
        answer.metric_descriptors.extend(json_format.ParseDict(document, MetricDescriptor()) for document in page)
        return answer

    def delete_metric_descriptor(self, request: Message) -> Message:
        """The descriptor with everything that was written."""
        project, kind = _split(request.name)
        with self._lock:
            self._descriptor_that_is_there(project, kind)
            for series in self._store.all(SERIES, f"{project}|{kind}|"):
                for point in self._store.all(POINT, f"{series['key']}|"):
                    self._store.delete(POINT, point["key"])
                self._store.delete(SERIES, series["key"])
            self._store.delete(DESCRIPTOR, request.name)
        return empty_pb2.Empty()

    def _write(self, project: str, series: Message, field: str, seen: set[str]) -> None:
        rules.check_type(series.metric.type, f"{field}.metric.type")
        rules.check_labels(series, field)
        found = rules.value_type(series, field)
        descriptor = self._descriptor(project, series.metric.type)
        is_new = descriptor is None
        if descriptor is None:
            descriptor = MetricDescriptor(
                type=series.metric.type,
                metric_kind=series.metric_kind or MetricDescriptor.GAUGE,
                value_type=series.value_type or found,
                unit=series.unit,
            )
            rules.check_kind(descriptor.metric_kind, descriptor.value_type, field)
            self._check_room(project)
        rules.check_types(series, descriptor, found, field)
        times = rules.interval(series.points[0], descriptor.metric_kind, f"{field}.points[0]", now=self._clock())
        key = _key(project, series)
        if key in seen:
            raise rules.field_error(rules.TWICE, field)
        seen.add(key)
        known = self._store.get(SERIES, key)
        rules.check_order(times, Last(**known["last"]) if known else None)
        keys = {label.key for label in descriptor.labels}
        new_keys = sorted(set(series.metric.labels) - keys)
        if len(keys) + len(new_keys) > rules.MOST_LABELS:
            message = f"A metric can have at most {rules.MOST_LABELS} labels."
            raise rules.field_error(message, f"{field}.metric.labels")
        if is_new or new_keys:
            for label in new_keys:
                descriptor.labels.add(key=label)
            self._keep(project, descriptor)
        self._put(project, key, series, descriptor, times)

    def _put(self, project: str, key: str, series: Message, descriptor: Message, times: Last) -> None:
        head = metric.TimeSeries.pb()()
        head.CopyFrom(series)
        del head.points[:]
        head.metric_kind, head.value_type = descriptor.metric_kind, descriptor.value_type
        if "project_id" not in head.resource.labels:
            head.resource.labels["project_id"] = project.partition("/")[2]
        point = series.points[0]
        end = point.interval.end_time.ToNanoseconds()
        document: Document = {"key": f"{key}|{end:020}", "end": end, "point": json_format.MessageToDict(point)}
        # The point first: one that is written twice after a crash is one, and one that is not written can be.
        self._store.put(POINT, document["key"], document)
        known = {
            "key": key,
            "last": {"start": times.start, "end": times.end},
            "series": json_format.MessageToDict(head),
        }
        self._store.put(SERIES, key, known)

    def _read(self, document: Document, start: int, end: int, *, with_points: bool) -> Message | None:
        points = [one for one in self._store.all(POINT, f"{document['key']}|") if start < one["end"] <= end]
        if not points:
            return None
        series = json_format.ParseDict(document["series"], metric.TimeSeries.pb()())
        if with_points:
            for one in reversed(points):
                json_format.ParseDict(one["point"], series.points.add())
        return series

    def _check_room(self, project: str) -> None:
        if len(self._store.all(DESCRIPTOR, f"{project}/metricDescriptors/")) >= rules.MOST_DESCRIPTORS:
            message = f"A project can have at most {rules.MOST_DESCRIPTORS} metric descriptors."
            raise RefusedError(message)

    def _keep(self, project: str, descriptor: Message) -> Message:
        descriptor.name = f"{project}/metricDescriptors/{descriptor.type}"
        self._store.put(DESCRIPTOR, descriptor.name, json_format.MessageToDict(descriptor))
        return descriptor

    def _descriptor(self, project: str, kind: str) -> Message | None:
        document = self._store.get(DESCRIPTOR, f"{project}/metricDescriptors/{kind}")
        return None if document is None else json_format.ParseDict(document, MetricDescriptor())

    def _descriptor_that_is_there(self, project: str, kind: str) -> Message:
        descriptor = self._descriptor(project, kind)
        if descriptor is None:
            message = (
                f'Cannot find metric(s) that match type = "{kind}". If a metric was created recently, it could take up '
                "to 10 minutes to become available. Please try again soon."
            )
            raise not_found(message)
        return descriptor


class NotAllWrittenError(ServiceError):
    """Some series were refused; the others are written."""

    def __init__(self, given: int, refused: dict[int, str]) -> None:
        reasons = "; ".join(refused.values())
        super().__init__("INVALID_ARGUMENT", f"One or more TimeSeries could not be written: {reasons}")
        self.given = given
        self.refused = refused

    def summary(self) -> Message:
        """How many points were written, as the error's detail says."""
        summary = metric_service.CreateTimeSeriesSummary.pb()()
        summary.total_point_count = self.given
        summary.success_point_count = self.given - len(self.refused)
        summary.errors.add(status=status_pb2.Status(code=CODES[self.code][1]), point_count=len(self.refused))
        return summary


def _check_project(name: str) -> None:
    if len(name.split("/")) != len(("projects", "id")) or not name.startswith("projects/"):
        message = f'Field name had an invalid value of "{name}": it must be projects/PROJECT_ID.'
        raise invalid(message)


def _split(name: str) -> tuple[str, str]:
    project, _, kind = name.partition("/metricDescriptors/")
    _check_project(project)
    return project, kind


def _page(found: Sequence[Item], request: Message) -> tuple[Sequence[Item], str]:
    """What a list's request asks for of what was found, and the next page's token where there is one."""
    if request.page_token and not request.page_token.isdecimal():
        message = "Field pageToken had an invalid value."
        raise invalid(message)
    begin = int(request.page_token or 0)
    end = begin + min(request.page_size or PAGE, PAGE)
    return found[begin:end], str(end) if end < len(found) else ""


def _key(project: str, series: Message) -> str:
    resource = {"project_id": project.partition("/")[2], **series.resource.labels}
    labels = [sorted(series.metric.labels.items()), series.resource.type, sorted(resource.items())]
    return f"{project}|{series.metric.type}|{json.dumps(labels)}"


def _resource(series: Message) -> str:
    labels = ",".join(f"{key}:{value}" for key, value in sorted(series.resource.labels.items()) if key != "project_id")
    return f"{series.resource.type}{{{labels}}}"


def _fits(document: Document, wanted: monitoring_filter.SeriesFilter) -> bool:
    series = document["series"]
    resource = series["resource"]
    return (
        wanted.resource_type in ("", resource["type"])
        and wanted.metric_labels.items() <= series["metric"].get("labels", {}).items()
        and wanted.resource_labels.items() <= resource.get("labels", {}).items()
    )
