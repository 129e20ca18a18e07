"""Counts of the logs' entries."""

import pulumi
import pulumi_gcp as gcp

from infra.components.monitoring.names import Names
from infra.environment import Environment
from infra.monitoring.security_alerts import LOG_METRICS


class LogMetrics(pulumi.ComponentResource):
    """One metric a kind of entry."""

    def __init__(self, env: Environment, names: Names, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:LogMetrics", env.name("log-metrics"), None, opts)
        for metric in LOG_METRICS:
            gcp.logging.Metric(
                env.name(metric.name),
                gcp.logging.MetricArgs(
                    name=env.name(metric.name),
                    description=metric.description,
                    filter=names.fill(metric.filter),
                    metric_descriptor=gcp.logging.MetricMetricDescriptorArgs(
                        metric_kind="DELTA", value_type="INT64", unit="1"
                    ),
                ),
                pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})
