"""Every metric that the platform writes to Cloud Monitoring. Alerts and dashboards read them by these names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

PREFIX = "custom.googleapis.com/holdfast/"


class Kind(StrEnum):
    """Google's word for how a series' points are to be read."""

    GAUGE = "GAUGE"
    CUMULATIVE = "CUMULATIVE"


class ValueType(StrEnum):
    """Google's word for what a point's value is."""

    BOOL = "BOOL"
    DOUBLE = "DOUBLE"
    INT64 = "INT64"


@dataclass(slots=True, frozen=True)
class Metric:
    """What Cloud Monitoring is told of a metric once, by its descriptor.

    Attributes:
        name: below `PREFIX`.
        unit: in UCUM, as Google takes it.
        labels: what each tells series apart by.
    """

    name: str
    kind: Kind
    value_type: ValueType
    unit: str
    description: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """Its name in Cloud Monitoring."""
        return PREFIX + self.name


@dataclass(slots=True, frozen=True)
class Reading:
    """A metric's value, of the series with these labels."""

    metric_type: str
    value: bool | int | float
    labels: Mapping[str, str] = field(default_factory=dict)


def _gauge(name: str, unit: str, description: str) -> Metric:
    return Metric(name, Kind.GAUGE, ValueType.DOUBLE, unit, description)


def _counter(name: str, description: str) -> Metric:
    return Metric(name, Kind.CUMULATIVE, ValueType.INT64, "1", description)


# Of an instance of the API, all its workers together; each instance has series of its own.
POOL_UTILIZATION = _gauge("pool/utilization", "1", "Connections in use of the worker that uses most of its part.")
POOL_WAITING = Metric("pool/waiting", Kind.GAUGE, ValueType.INT64, "1", "Requests that wait for a connection.")
QUERY_P50 = _gauge("query/p50", "ms", "Half of the statements since the last point took at most this.")
QUERY_P95 = _gauge("query/p95", "ms", "95% of the statements since the last point took at most this.")
QUERY_P99 = _gauge("query/p99", "ms", "99% of the statements since the last point took at most this.")
QUERY_COUNT = _counter("query/count", "Statements, those that failed included.")
QUERY_SLOW_COUNT = _counter("query/slow_count", "Statements that took longer than 200 ms.")
QUERY_SLOW_RATIO = _gauge("query/slow_ratio", "1", "Of the statements since the last point: longer than 200 ms.")
CACHE_HIT_RATIO = _gauge(
    "cache/hit_ratio", "1", "Of the reads since the last point that might be cached: answered by the cache."
)
# Of the whole platform.
BACKUP_AGE = _gauge(
    "backup/age", "s", "Since the end of the newest backup that succeeded; since the instance was made if none did."
)
VERIFICATION_AGE = _gauge(
    "verification/age",
    "s",
    "Since the end of the newest verification of a backup; since the instance was made if none.",
)
VERIFICATION_PASSED = Metric(
    "verification/passed", Kind.GAUGE, ValueType.BOOL, "", "Whether the newest verification of a backup passed."
)
SECRET_OVERDUE = Metric(
    "secret/overdue",
    Kind.GAUGE,
    ValueType.DOUBLE,
    "s",
    "How much older than its period a secret's newest enabled version is; 0: not.",
    {"secret": "Its id."},
)
PARTITIONS_MONTHS_AHEAD = Metric(
    "partitions/months_ahead",
    Kind.GAUGE,
    ValueType.INT64,
    "1",
    "Months after this one for which system_metrics has partitions; -1: not even for this one.",
)

OF_AN_INSTANCE = (
    POOL_UTILIZATION,
    POOL_WAITING,
    QUERY_P50,
    QUERY_P95,
    QUERY_P99,
    QUERY_COUNT,
    QUERY_SLOW_COUNT,
    QUERY_SLOW_RATIO,
    CACHE_HIT_RATIO,
)
OF_THE_PLATFORM = (BACKUP_AGE, VERIFICATION_AGE, VERIFICATION_PASSED, SECRET_OVERDUE, PARTITIONS_MONTHS_AHEAD)
CATALOGUE: Mapping[str, Metric] = {metric.type: metric for metric in (*OF_AN_INSTANCE, *OF_THE_PLATFORM)}


def reading(metric: Metric, value: float, **labels: str) -> Reading:
    """A value of a metric, as its type has it.

    Raises:
        ValueError: the labels are not the metric's.
    """
    if labels.keys() != metric.labels.keys():
        message = f"{metric.name} has the labels {sorted(metric.labels)}"
        raise ValueError(message)
    as_declared = {ValueType.BOOL: bool, ValueType.DOUBLE: float, ValueType.INT64: int}[metric.value_type]
    return Reading(metric.type, as_declared(value), labels)
