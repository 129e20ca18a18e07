"""What the runtime publishes: infra makes each descriptor, since no alert can be made on a metric that is not there.

The runtime's own catalogue is runtime/observability/published.py, and a contract holds the two together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.monitoring.series import Series

PREFIX = "custom.googleapis.com/"
# What user-defined metrics of a task without a machine are written for.
RESOURCE = "generic_task"


@dataclass(frozen=True)
class Published:
    """A metric of the runtime's.

    Args:
        name: ends its type, and is its name in the console.
        value: DOUBLE, INT64 or BOOL.
        unit: as https://ucum.org has them.
        description: for who looks at it in the console.
        kind: GAUGE or CUMULATIVE.
        labels: its own, each with a description.
    """

    name: str
    value: str
    unit: str
    description: str
    kind: str = "GAUGE"
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """Its whole name."""
        return PREFIX + self.name

    def series(self, aligner: str, reducer: str, *by: str) -> Series:
        """All series of it: instances and executions come and go, so they are always reduced."""
        return Series(self.type, RESOURCE, {}, aligner, reducer, by)


def _gauge(name: str, unit: str, description: str) -> Published:
    return Published(f"holdfast/{name}", "DOUBLE", unit, description)


def _number(name: str, description: str, kind: str = "GAUGE") -> Published:
    return Published(f"holdfast/{name}", "INT64", "1", description, kind)


POOL_UTILIZATION = _gauge("pool/utilization", "1", "Connections in use of the worker that uses most of its part.")
POOL_WAITING = _number("pool/waiting", "Requests that wait for a connection.")
QUERY_P50 = _gauge("query/p50", "ms", "Half of the statements since the last point took at most this.")
QUERY_P95 = _gauge("query/p95", "ms", "95% of the statements since the last point took at most this.")
QUERY_P99 = _gauge("query/p99", "ms", "99% of the statements since the last point took at most this.")
QUERY_COUNT = _number("query/count", "Statements, those that failed included.", "CUMULATIVE")
QUERY_SLOW_COUNT = _number("query/slow_count", "Statements that took longer than 200 ms.", "CUMULATIVE")
QUERY_SLOW_RATIO = _gauge("query/slow_ratio", "1", "Of the statements since the last point: longer than 200 ms.")
CACHE_HIT_RATIO = _gauge(
    "cache/hit_ratio", "1", "Of the reads since the last point that might be cached: answered by the cache."
)
BACKUP_AGE = _gauge(
    "backup/age", "s", "Since the end of the newest backup that succeeded; since the instance was made if none did."
)
VERIFICATION_AGE = _gauge(
    "verification/age",
    "s",
    "Since the end of the newest verification of a backup; since the instance was made if none.",
)
VERIFICATION_PASSED = Published(
    "holdfast/verification/passed", "BOOL", "", "Whether the newest verification of a backup passed."
)
SECRET_OVERDUE = Published(
    "holdfast/secret/overdue",
    "DOUBLE",
    "s",
    "How much older than its period a secret's newest enabled version is; 0: not.",
    labels={"secret": "Its id."},
)
PARTITIONS_MONTHS_AHEAD = _number(
    "partitions/months_ahead",
    "Months after this one for which system_metrics has partitions; -1: not even for this one.",
)

PUBLISHED = (
    POOL_UTILIZATION,
    POOL_WAITING,
    QUERY_P50,
    QUERY_P95,
    QUERY_P99,
    QUERY_COUNT,
    QUERY_SLOW_COUNT,
    QUERY_SLOW_RATIO,
    CACHE_HIT_RATIO,
    BACKUP_AGE,
    VERIFICATION_AGE,
    VERIFICATION_PASSED,
    SECRET_OVERDUE,
    PARTITIONS_MONTHS_AHEAD,
)
