"""What the monitoring of the database is asked, and answers."""

import datetime as dt
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from runtime.fields import Input, Output

State = Literal["ok", "alert"]
Percent = Annotated[float, Field(ge=0, le=100)]
Milliseconds = Annotated[float, Field(ge=0)]


class Order(StrEnum):
    """What the statements are ordered by, highest first."""

    TOTAL = "total"
    MEAN = "mean"
    P95 = "p95"
    CALLS = "calls"
    ERRORS = "errors"
    SLOW = "slow"


class StatementFilter(Input):
    """How many statements, and which first."""

    limit: Annotated[int, Field(ge=1, le=1000, description="Most statements of the answer.")] = 20
    order: Order = Order.TOTAL


class PoolThresholds(Output):
    """Above it is an alert."""

    utilisation_percent: float


class ServerConnections(Output):
    """What PostgreSQL says of this login's connections to this database, those of other instances included."""

    total: int
    active: int
    idle: int
    idle_in_transaction: int
    waiting_for_lock: int
    longest_transaction_seconds: float | None
    max_connections: int = Field(description="That the server takes, from everybody.")


class PoolReport(Output):
    """The connections of this instance, all its workers together."""

    status: State = Field(description="alert: a worker uses more of its connections than the threshold.")
    workers: int
    size: int = Field(description="Connections that are open.")
    min: int
    max: int
    in_use: int
    idle: int = Field(description="Open and not in use.")
    waiting: int = Field(description="Requests that wait for a connection.")
    utilisation: float = Field(ge=0, le=1, description="In use, of max.")
    utilisation_percent: Percent
    busiest_worker_percent: Percent = Field(description="Of the worker that uses most of its part.")
    most_in_use: int = Field(description="Since the start: the sum of each worker's most.")
    most_in_use_last_minute: int
    wait_p95_ms: Milliseconds | None = Field(description="Estimated within buckets; null: none was taken yet.")
    timeouts: int = Field(description="Waits that ended without a connection, since the start.")
    thresholds: PoolThresholds
    server: ServerConnections | None
    server_detail: str | None = Field(description="Why `server` is null.")


class StatementReport(Output):
    """One compiled statement. Durations do not include the wait for a connection."""

    summary: str = Field(description="The operation and the tables.")
    query_hash: str = Field(description="Tells statements of one summary apart; the log and /metrics have it too.")
    sql: str = Field(description="Without values.")
    calls: int
    errors: int
    total_ms: Milliseconds
    mean_ms: Milliseconds
    p50_ms: Milliseconds
    p95_ms: Milliseconds
    p99_ms: Milliseconds
    max_ms: Milliseconds
    slow: int = Field(description="Calls that took longer than slow_ms; exact.")
    slow_percent: Percent


class QueryThresholds(Output):
    """Above it is an alert; slow_ms makes a call a slow one."""

    slow_ms: float
    p95_ms: float
    slow_percent: float


class ServerStatement(Output):
    """What pg_stat_statements says of a statement of this login, in all instances."""

    query_id: str
    sql: str
    calls: int
    rows: int
    total_ms: Milliseconds
    mean_ms: Milliseconds
    max_ms: Milliseconds


class QueryReport(Output):
    """This instance's statements since it started, all its workers together; percentiles are estimates in buckets."""

    status: State = Field(description="alert: one of the other two is.")
    p95_status: State
    slow_status: State
    since: dt.datetime
    calls: int
    errors: int
    p50_ms: Milliseconds | None
    p95_ms: Milliseconds | None
    p99_ms: Milliseconds | None
    slow: int
    slow_percent: Percent
    thresholds: QueryThresholds
    queries: list[StatementReport]
    count: int
    pg_stat_statements: list[ServerStatement] | None
    pg_stat_statements_detail: str | None = Field(description="Why `pg_stat_statements` is null.")


class PublishedSeries(Output):
    """One point of one series."""

    metric_type: str = Field(description="As alerts and dashboards name it.")
    unit: str = Field(description="As Cloud Monitoring writes units: `1` is a share or a number.")
    value: bool | int | float


class PublicationReport(Output):
    """What of this instance is in Cloud Monitoring now. Shares and percentiles are of the interval."""

    published_at: dt.datetime
    is_new: bool = Field(description="false: it was written less than six seconds ago, and is not written again.")
    interval_seconds: float = Field(description="Since the publication before, or since the instance's start.")
    resource: dict[str, str] = Field(
        description="The labels of generic_task. `task_id` is the instance that answered: each has series of its own, "
        "and alerts take the worst."
    )
    series: list[PublishedSeries] = Field(description="Without those for which there was nothing to measure.")
    count: int
