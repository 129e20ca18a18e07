"""The alerts' policies."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.components.monitoring.conditions import conditions
from infra.components.monitoring.names import Names
from infra.environment import Environment
from infra.monitoring.alert import Alert, BurnRate, LogMatch

# An incident whose series ended, or whose entry does not come again.
CLOSED_AFTER = {True: "3600s", False: "86400s"}
# Of one policy on a log: Google asks for it.
TOLD_EVERY = "300s"


@dataclass(frozen=True)
class AlertsArgs:
    """What there is to be told, and to whom.

    Args:
        alerts: one a policy.
        channels: their names; none is nobody.
        names: what the alerts speak of.
        after: what makes the metrics that they read.
    """

    alerts: Sequence[Alert]
    channels: Sequence[pulumi.Input[str]]
    names: Names
    after: Sequence[pulumi.Resource]


class Alerts(pulumi.ComponentResource):
    """One policy an alert."""

    def __init__(self, env: Environment, args: AlertsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Alerts", env.name("alerts"), None, opts)
        for alert in args.alerts:
            gcp.monitoring.AlertPolicy(
                env.name(alert.name),
                _policy(env, alert, args),
                pulumi.ResourceOptions(parent=self, depends_on=args.after),
            )
        self.register_outputs({})


def _policy(env: Environment, alert: Alert, args: AlertsArgs) -> gcp.monitoring.AlertPolicyArgs:
    is_of_log = isinstance(alert.conditions, LogMatch)
    text = alert.documentation(env.stack, has_bastion=env.config.access.bastion)
    limit = gcp.monitoring.AlertPolicyAlertStrategyNotificationRateLimitArgs(period=TOLD_EVERY)
    return gcp.monitoring.AlertPolicyArgs(
        display_name=f"{env.config.name} {env.stack}: {alert.title}",
        combiner="AND" if isinstance(alert.conditions, BurnRate) else "OR",
        conditions=conditions(alert, args.names),
        severity=alert.severity.value,
        notification_channels=list(args.channels),
        documentation=gcp.monitoring.AlertPolicyDocumentationArgs(
            content=args.names.fill(text), mime_type="text/markdown"
        ),
        alert_strategy=gcp.monitoring.AlertPolicyAlertStrategyArgs(
            auto_close=CLOSED_AFTER[is_of_log], notification_rate_limit=limit if is_of_log else None
        ),
        user_labels={**env.labels, "procedure": alert.procedure},
    )
