"""Google's own metrics, as of 2026-11: those that alerts, objectives and dashboards read.

From https://cloud.google.com/sql/docs/postgres/admin-api/metrics, whose table is of 2026-04-10, and the lists at
https://cloud.google.com/monitoring/api/metrics_gcp. Labels of resources: https://cloud.google.com/monitoring/api/resources.
"""

from typing import NamedTuple


class Metric(NamedTuple):
    """What a descriptor says."""

    kind: str
    value: str
    resource: str
    labels: tuple[str, ...] = ()


SQL = "cloudsql.googleapis.com/database"
GOOGLES = {
    f"{SQL}/cpu/utilization": Metric("GAUGE", "DOUBLE", "cloudsql_database"),
    f"{SQL}/disk/utilization": Metric("GAUGE", "DOUBLE", "cloudsql_database"),
    f"{SQL}/memory/utilization": Metric("GAUGE", "DOUBLE", "cloudsql_database"),
    f"{SQL}/postgresql/transaction_count": Metric(
        "DELTA", "INT64", "cloudsql_database", ("database", "transaction_type")
    ),
    f"{SQL}/postgresql/transaction_id_utilization": Metric("GAUGE", "DOUBLE", "cloudsql_database"),
    f"{SQL}/replication/replica_lag": Metric("GAUGE", "DOUBLE", "cloudsql_database"),
    f"{SQL}/up": Metric("GAUGE", "INT64", "cloudsql_database"),
    "loadbalancing.googleapis.com/https/request_count": Metric(
        "DELTA", "INT64", "https_lb_rule", ("response_code", "response_code_class", "protocol", "cache_result")
    ),
    "loadbalancing.googleapis.com/https/total_latencies": Metric(
        "DELTA", "DISTRIBUTION", "https_lb_rule", ("response_code", "response_code_class", "protocol", "cache_result")
    ),
    "monitoring.googleapis.com/uptime_check/check_passed": Metric(
        "GAUGE", "BOOL", "uptime_url", ("check_id", "checked_resource_id", "checker_location")
    ),
    "redis.googleapis.com/stats/memory/usage_ratio": Metric("GAUGE", "DOUBLE", "redis_instance", ("role",)),
    "run.googleapis.com/container/instance_count": Metric("GAUGE", "INT64", "cloud_run_revision", ("state",)),
    "run.googleapis.com/job/completed_execution_count": Metric("DELTA", "INT64", "cloud_run_job", ("result",)),
    "run.googleapis.com/request_count": Metric(
        "DELTA", "INT64", "cloud_run_revision", ("response_code", "response_code_class", "route")
    ),
    "run.googleapis.com/request_latencies": Metric(
        "DELTA", "DISTRIBUTION", "cloud_run_revision", ("response_code", "response_code_class", "route")
    ),
}
RESOURCES = {
    "cloud_run_job": {"project_id", "location", "job_name"},
    "cloud_run_revision": {"project_id", "location", "service_name", "revision_name", "configuration_name"},
    "cloud_scheduler_job": {"project_id", "location", "job_id"},
    "cloudsql_database": {"project_id", "region", "database_id"},
    "generic_task": {"project_id", "location", "namespace", "job", "task_id"},
    "https_lb_rule": {
        *("project_id", "region", "backend_name", "backend_target_name", "backend_type", "forwarding_rule_name"),
        *("matched_url_path_rule", "target_proxy_name", "url_map_name"),
    },
    "redis_instance": {"project_id", "region", "instance_id", "node_id"},
    "uptime_url": {"project_id", "host"},
}
