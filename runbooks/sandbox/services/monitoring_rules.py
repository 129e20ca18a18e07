"""What Cloud Monitoring refuses to take, in its words where they are known."""

import re
from dataclasses import dataclass
from typing import Any

from google.api.metric_pb2 import MetricDescriptor  # type: ignore[import-untyped]

from runbooks.sandbox.services.errors import absent, invalid

MOST_SERIES = 200
MOST_LABELS = 30
MOST_DESCRIPTORS = 10_000
LABEL_KEY_LENGTH = 100
LABEL_VALUE_LENGTH = 1024
TYPE_LENGTH = 200
# Seconds, by the ends of points.
OLDEST = 25 * 3600
NEWEST = 5 * 60
APART = 5

TYPE = re.compile(r"(custom|workload|external)\.googleapis\.com(/[A-Za-z][A-Za-z0-9_.-]*)+")
LABEL_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# The resources that user-defined metrics are written for, as far as the platform does, with their labels.
RESOURCES = {
    "global": ("project_id",),
    "generic_node": ("project_id", "location", "namespace", "node_id"),
    "generic_task": ("project_id", "location", "namespace", "job", "task_id"),
}

IN_ORDER = (
    "Points must be written in order. One or more of the points specified had an older start time than the most "
    "recent point."
)
TOO_OFTEN = (
    "One or more points were written more frequently than the maximum sampling period configured for the metric."
)
TWICE = "Duplicate TimeSeries encountered. Only one point can be written per TimeSeries per request."
VALUE_FIELDS = {
    "bool_value": MetricDescriptor.BOOL,
    "int64_value": MetricDescriptor.INT64,
    "double_value": MetricDescriptor.DOUBLE,
    "string_value": MetricDescriptor.STRING,
    "distribution_value": MetricDescriptor.DISTRIBUTION,
}
# These count, so they cannot be summed up over time.
NOT_CUMULATIVE = (MetricDescriptor.BOOL, MetricDescriptor.STRING)


class RefusedError(Exception):
    """A series that is not written."""


@dataclass(frozen=True)
class Last:
    """The newest point of a series: its start and end in seconds."""

    start: float
    end: float


def field_error(message: str, field: str, value: object = None) -> RefusedError:
    """As Monitoring says which field is wrong."""
    of = "" if value is None else f' of "{value}"'
    return RefusedError(f"Field {field} had an invalid value{of}: {message}")


def check_type(name: str, field: str) -> None:
    """See that a metric's type is one that users may write.

    Raises:
        RefusedError: it is not.
    """
    if len(name) > TYPE_LENGTH or not TYPE.fullmatch(name):
        message = (
            "The metric type must be a URL-formatted string with a domain and non-empty path, such as "
            "custom.googleapis.com/NAME."
        )
        raise field_error(message, field, name)


def check_label_key(key: str, field: str) -> None:
    """See that a label's key can be one.

    Raises:
        RefusedError: it cannot.
    """
    if len(key) > LABEL_KEY_LENGTH or not LABEL_KEY.fullmatch(key):
        message = f"The label key must match {LABEL_KEY.pattern} and have at most {LABEL_KEY_LENGTH} characters."
        raise field_error(message, field, key)


def check_descriptor(descriptor: Any) -> None:
    """See that a descriptor can be made.

    Raises:
        ServiceError: it cannot.
    """
    try:
        check_type(descriptor.type, "metricDescriptor.type")
        check_kind(descriptor.metric_kind, descriptor.value_type, "metricDescriptor")
        if len(descriptor.labels) > MOST_LABELS:
            message = f"A metric can have at most {MOST_LABELS} labels."
            raise field_error(message, "metricDescriptor.labels")
        for number, label in enumerate(descriptor.labels):
            check_label_key(label.key, f"metricDescriptor.labels[{number}].key")
    except RefusedError as error:
        raise invalid(str(error)) from None


def check_kind(kind: int, value: int, field: str) -> None:
    """See that a user-defined metric can have this kind and type of value.

    Raises:
        RefusedError: it cannot.
    """
    if kind not in (MetricDescriptor.GAUGE, MetricDescriptor.CUMULATIVE):
        name = MetricDescriptor.MetricKind.Name(kind)
        message = "User-defined metrics are GAUGE or CUMULATIVE."
        raise field_error(message, f"{field}.metricKind", name)
    if value not in VALUE_FIELDS.values():
        message = "The value type must be set."
        raise field_error(message, f"{field}.valueType")
    if kind == MetricDescriptor.CUMULATIVE and value in NOT_CUMULATIVE:
        name = MetricDescriptor.ValueType.Name(value)
        message = "The value type is not one of a CUMULATIVE metric."
        raise field_error(message, f"{field}.valueType", name)


def check_labels(series: Any, field: str) -> None:
    """See that a series is wholly named by its labels.

    Raises:
        RefusedError: it is not.
        ServiceError: its resource is not one that the sandbox knows.
    """
    if len(series.metric.labels) > MOST_LABELS:
        message = f"A metric can have at most {MOST_LABELS} labels."
        raise field_error(message, f"{field}.metric.labels")
    for key, value in series.metric.labels.items():
        check_label_key(key, f"{field}.metric.labels")
        if len(value) > LABEL_VALUE_LENGTH:
            message = f"The value of label {key} has more than {LABEL_VALUE_LENGTH} characters."
            raise field_error(message, f"{field}.metric.labels")
    known = RESOURCES.get(series.resource.type)
    if known is None:
        message = f"the monitored resource {series.resource.type!r}; it has {', '.join(RESOURCES)}"
        raise absent(message)
    given = set(series.resource.labels)
    if unknown := sorted(given - set(known)):
        message = f"unrecognized resource labels: {unknown}"
        raise field_error(message, f"{field}.resource.labels")
    # The project is the call's when it is left out.
    if missing := [label for label in known if label not in given and label != "project_id"]:
        message = f"missing resource labels: {missing}"
        raise field_error(message, f"{field}.resource.labels")


def value_type(series: Any, field: str) -> int:
    """The type of the one value that a series brings.

    Raises:
        RefusedError: it brings none, or several points.
    """
    if len(series.points) != 1:
        message = "Exactly one point must be written per TimeSeries."
        raise field_error(message, f"{field}.points")
    kind = series.points[0].value.WhichOneof("value")
    if kind is None:
        message = "The point must have a value."
        raise field_error(message, f"{field}.points[0].value")
    found: int = VALUE_FIELDS[kind]
    return found


def check_types(series: Any, descriptor: Any, found: int, field: str) -> None:
    """See that a series is what its descriptor says.

    Raises:
        RefusedError: it is not.
    """
    names = MetricDescriptor.ValueType
    declared = series.value_type or found
    if found != descriptor.value_type or declared != descriptor.value_type:
        message = (
            f"Value type for metric {descriptor.type} must be {names.Name(descriptor.value_type)}, but is "
            f"{names.Name(found if found != descriptor.value_type else declared)}."
        )
        raise field_error(
            message, f"{field}.points[0].value" if found != descriptor.value_type else f"{field}.valueType"
        )
    if series.metric_kind and series.metric_kind != descriptor.metric_kind:
        kinds = MetricDescriptor.MetricKind
        message = (
            f"Metric kind for metric {descriptor.type} must be {kinds.Name(descriptor.metric_kind)}, but is "
            f"{kinds.Name(series.metric_kind)}."
        )
        raise field_error(message, f"{field}.metricKind")


def interval(point: Any, kind: int, field: str, *, now: float) -> Last:
    """When a point begins and ends, in seconds.

    Raises:
        RefusedError: it is of no time that may be written now.
    """
    times = point.interval
    if not times.HasField("end_time"):
        message = "The end time must be set."
        raise field_error(message, f"{field}.interval.endTime")
    end = times.end_time.ToNanoseconds() / 1e9
    start = times.start_time.ToNanoseconds() / 1e9 if times.HasField("start_time") else end
    if kind == MetricDescriptor.GAUGE and start != end:
        message = "The start time of a GAUGE point must be its end time, or not be set."
        raise field_error(message, f"{field}.interval.startTime", times.start_time.ToJsonString())
    if kind == MetricDescriptor.CUMULATIVE and start >= end:
        message = "The start time must be before the end time for the metric kind CUMULATIVE."
        raise field_error(message, f"{field}.interval.startTime")
    if end < now - OLDEST:
        message = "Data points cannot be written more than 25h0s in the past."
        raise field_error(message, f"{field}.interval.endTime", times.end_time.ToJsonString())
    if end > now + NEWEST:
        message = "Data points cannot be written more than 5m0s in the future."
        raise field_error(message, f"{field}.interval.endTime", times.end_time.ToJsonString())
    return Last(start, end)


def check_order(new: Last, last: Last | None) -> None:
    """See that a point follows the last one, and not too soon.

    Raises:
        RefusedError: it does not.
    """
    if last is None:
        return
    if new.end <= last.end or new.start < last.start:
        raise RefusedError(IN_ORDER)
    if new.end - last.end < APART:
        raise RefusedError(TOO_OFTEN)
