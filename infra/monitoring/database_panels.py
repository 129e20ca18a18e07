"""Panels of the database, its backups and its jobs."""

from infra.monitoring.panel import PERCENTILES, Line, Panel, quantiles
from infra.monitoring.published import (
    BACKUP_AGE,
    POOL_UTILIZATION,
    QUERY_P50,
    QUERY_P95,
    QUERY_P99,
    QUERY_SLOW_COUNT,
    VERIFICATION_AGE,
)
from infra.monitoring.series import CLOUD_SQL, INSTANCE, Series, instance
from infra.sections.monitoring import AlertsConfig

HOUR = 3600


def database(limits: AlertsConfig) -> tuple[Panel, ...]:
    """The server, and the way to it."""
    lag = Series(
        f"{CLOUD_SQL}/replication/replica_lag",
        "cloudsql_database",
        {},
        "ALIGN_MAX",
        "REDUCE_MAX",
        ("resource.labels.database_id",),
    )
    return (
        Panel(
            "Connection pool utilization",
            "percentunit",
            (Line("fullest instance", POOL_UTILIZATION.series("ALIGN_MAX", "REDUCE_MAX")),),
            (
                (
                    "{{instance}}",
                    (
                        'sum by (instance) (db_client_connection_count{state="used"}) '
                        "/ sum by (instance) (db_client_connection_max)"
                    ),
                ),
            ),
            limits.pool_utilization,
        ),
        Panel(
            "Query latency",
            "s",
            tuple(
                Line(f"p{part}, ms", metric.series("ALIGN_MAX", "REDUCE_MAX"))
                for part, metric in zip(PERCENTILES, (QUERY_P50, QUERY_P95, QUERY_P99), strict=True)
            ),
            quantiles("db_client_operation_duration_seconds"),
        ),
        Panel(
            "Slow queries, above 200 ms",
            "short",
            (Line("a minute", QUERY_SLOW_COUNT.series("ALIGN_DELTA", "REDUCE_SUM")),),
            (
                (
                    "a minute",
                    (
                        "sum(increase(db_client_operation_duration_seconds_count[1m])) "
                        '- sum(increase(db_client_operation_duration_seconds_bucket{le="0.2"}[1m]))'
                    ),
                ),
            ),
        ),
        Panel(
            "Transactions a second",
            "short",
            (
                Line(
                    "",
                    Series(
                        f"{CLOUD_SQL}/postgresql/transaction_count",
                        "cloudsql_database",
                        INSTANCE,
                        "ALIGN_RATE",
                        "REDUCE_SUM",
                        ("metric.labels.transaction_type",),
                    ),
                ),
            ),
        ),
        Panel(
            "CPU and memory",
            "percentunit",
            (Line("CPU", instance("cpu/utilization")), Line("memory", instance("memory/utilization"))),
            limit=limits.cpu_utilization,
        ),
        Panel(
            "Disk",
            "percentunit",
            (Line("used", instance("disk/utilization")),),
            limit=limits.disk_utilization,
        ),
        Panel("Replication lag", "s", (Line("", lag),), limit=limits.replication_lag_seconds),
        Panel(
            "Transaction ids used",
            "percentunit",
            (Line("used", instance("postgresql/transaction_id_utilization")),),
            limit=limits.transaction_id_utilization,
        ),
    )


def recovery(limits: AlertsConfig) -> tuple[Panel, ...]:
    """What could be had back, and what runs on its own."""
    executions = Series(
        "run.googleapis.com/job/completed_execution_count",
        "cloud_run_job",
        {},
        "ALIGN_DELTA",
        "REDUCE_SUM",
        ("resource.labels.job_name", "metric.labels.result"),
    )
    return (
        Panel(
            "Age of backup and verification",
            "s",
            (
                Line("newest backup", BACKUP_AGE.series("ALIGN_MIN", "REDUCE_MIN")),
                Line("last verification", VERIFICATION_AGE.series("ALIGN_MIN", "REDUCE_MIN")),
            ),
            limit=limits.backup_age_hours * HOUR,
        ),
        Panel("Executions of jobs", "short", (Line("", executions),)),
    )
