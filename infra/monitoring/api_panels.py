"""Panels of the API and its cache."""

from infra.monitoring.panel import Line, Panel, percentiles, quantiles
from infra.monitoring.published import CACHE_HIT_RATIO
from infra.monitoring.series import Series
from infra.sections.monitoring import AlertsConfig

RUN = "run.googleapis.com"
SERVICE = {"resource.labels.service_name": "$service"}


def api() -> tuple[Panel, ...]:
    """What callers see."""
    return (
        Panel(
            "Requests by status",
            "reqps",
            (
                Line(
                    "",
                    Series(
                        f"{RUN}/request_count",
                        "cloud_run_revision",
                        SERVICE,
                        "ALIGN_RATE",
                        "REDUCE_SUM",
                        ("metric.labels.response_code_class",),
                    ),
                ),
            ),
            (
                (
                    "{{http_response_status_code}}",
                    "sum by (http_response_status_code) (rate(http_server_request_duration_seconds_count[5m]))",
                ),
            ),
        ),
        Panel(
            "Request latency",
            "s",
            percentiles(Series(f"{RUN}/request_latencies", "cloud_run_revision", SERVICE)),
            quantiles("http_server_request_duration_seconds"),
        ),
        Panel(
            "Instances",
            "short",
            (
                Line(
                    "",
                    Series(
                        f"{RUN}/container/instance_count",
                        "cloud_run_revision",
                        SERVICE,
                        "ALIGN_MAX",
                        "REDUCE_SUM",
                        ("metric.labels.state",),
                    ),
                ),
            ),
        ),
    )


def cache(limits: AlertsConfig) -> tuple[Panel, ...]:
    """What the cache does for it."""
    memory = Series(
        "redis.googleapis.com/stats/memory/usage_ratio",
        "redis_instance",
        {"resource.labels.instance_id": "$cache"},
        "ALIGN_MEAN",
        "REDUCE_MAX",
    )
    return (
        Panel(
            "Cache hit ratio",
            "percentunit",
            (Line("of reads", CACHE_HIT_RATIO.series("ALIGN_MEAN", "REDUCE_MEAN")),),
            (
                (
                    "of reads",
                    (
                        'sum(rate(holdfast_cache_requests_total{outcome="hit"}[5m])) '
                        "/ sum(rate(holdfast_cache_requests_total[5m]))"
                    ),
                ),
            ),
            limits.cache_hit_ratio,
        ),
        Panel("Cache memory", "percentunit", (Line("used", memory),)),
    )
