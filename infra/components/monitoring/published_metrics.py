"""The descriptors of what the runtime publishes: a policy on a metric that nobody has written is refused."""

import pulumi
import pulumi_gcp as gcp

from infra.environment import Environment
from infra.monitoring.published import PUBLISHED, Published


class PublishedMetrics(pulumi.ComponentResource):
    """One descriptor a metric."""

    def __init__(self, env: Environment, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:PublishedMetrics", env.name("published-metrics"), None, opts)
        for metric in PUBLISHED:
            gcp.monitoring.MetricDescriptor(
                env.name(f"metric-{metric.name.partition('/')[2].replace('/', '-').replace('_', '-')}"),
                _args(metric),
                # With a descriptor goes all that was written.
                pulumi.ResourceOptions(parent=self, retain_on_delete=True),
            )
        self.register_outputs({})


def _args(metric: Published) -> gcp.monitoring.MetricDescriptorArgs:
    return gcp.monitoring.MetricDescriptorArgs(
        type=metric.type,
        metric_kind=metric.kind,
        value_type=metric.value,
        unit=metric.unit or None,
        display_name=metric.name,
        description=metric.description,
        labels=[
            gcp.monitoring.MetricDescriptorLabelArgs(key=key, value_type="STRING", description=description)
            for key, description in metric.labels.items()
        ],
    )
