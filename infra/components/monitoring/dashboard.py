"""The dashboard of Cloud Monitoring; Grafana's is a file, infra/dashboards/grafana.json."""

import json

import pulumi
import pulumi_gcp as gcp

from infra.components.monitoring.names import Names
from infra.environment import Environment
from infra.monitoring.charts import dashboard
from infra.monitoring.panels import panels


class Dashboard(pulumi.ComponentResource):
    """One dashboard, of all that there is to be shown."""

    def __init__(self, env: Environment, names: Names, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Dashboard", env.name("dashboards"), None, opts)
        shown = [
            panel
            for panel in panels(env.config.monitoring.alerts)
            if all(names.have(line.series.filter) for line in panel.lines)
        ]
        # Its quotes are within a text of JSON: names are put in before it is written.
        filled = {line.series.filter: names.fill(line.series.filter) for panel in shown for line in panel.lines}
        title = f"{env.config.name} {env.stack}"
        # By place: Pulumi would take a key with dots for a path.
        text = pulumi.Output.all(*filled.values()).apply(
            lambda texts: json.dumps(dashboard(title, shown, dict(zip(filled, texts, strict=True)).__getitem__))
        )
        gcp.monitoring.Dashboard(
            env.name("dashboard"),
            gcp.monitoring.DashboardArgs(dashboard_json=text),
            pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
