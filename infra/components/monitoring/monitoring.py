"""All that is looked at, in reading order."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from infra.components.monitoring.alerts import Alerts, AlertsArgs
from infra.components.monitoring.channels import Channels
from infra.components.monitoring.dashboard import Dashboard
from infra.components.monitoring.log_metrics import LogMetrics
from infra.components.monitoring.names import Names
from infra.components.monitoring.objective import Objective, ObjectiveArgs
from infra.components.monitoring.published_metrics import PublishedMetrics
from infra.components.monitoring.uptime import Uptime, UptimeArgs
from infra.environment import Environment
from infra.monitoring import database_alerts, security_alerts, service_alerts


@dataclass(frozen=True)
class MonitoringArgs:
    """What is looked at.

    Args:
        database: the primary's name.
        cache: its id, projects/P/locations/R/instances/I.
        replicas: their instances' names, by part.
        service: the API's name in Cloud Run; with an image.
        url: the API's address in Cloud Run; with an image.
        url_map: the load balancer's, where there is one.
        jobs: their names in Cloud Run, by their settings'.
    """

    database: pulumi.Input[str]
    cache: pulumi.Input[str]
    replicas: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    service: pulumi.Input[str] | None = None
    url: pulumi.Input[str] | None = None
    url_map: pulumi.Input[str] | None = None
    jobs: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)


class Monitoring(pulumi.ComponentResource):
    """Channels, metrics, objectives, alerts, a dashboard.

    Attributes:
        channels: who is told; the budget tells them too.
    """

    def __init__(self, env: Environment, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Monitoring", env.name("monitoring"), None, opts)
        config, options = env.config, pulumi.ResourceOptions(parent=self)
        replicas = {part: f"replica_{part.replace('-', '_')}" for part in args.replicas}
        names = _names(env, args, replicas)
        self.channels = Channels(env, options)
        published = PublishedMetrics(env, options)
        counted = LogMetrics(env, names, options)
        if args.service is not None:
            names = names.plus(slo=Objective(env, ObjectiveArgs(names), options).availability)
        if args.url is not None:
            host = _host(env, args.url)
            names = names.plus(host=host, check=Uptime(env, UptimeArgs(host), options).check_id)
        alerts = [
            *database_alerts.alerts(config, replicas),
            *service_alerts.alerts(config, args.jobs),
            *security_alerts.alerts(config),
        ]
        Alerts(env, AlertsArgs(alerts, self.channels.names, names, [published, counted]), options)
        Dashboard(env, names, options)
        self.register_outputs({})


def _names(env: Environment, args: MonitoringArgs, replicas: Mapping[str, str]) -> Names:
    optional = {"service": args.service, "url_map": args.url_map}
    return Names(
        {
            "prefix": env.config.name,
            "stack": env.stack,
            "project": env.config.project,
            "region": env.config.region,
            "instance": args.database,
            "database": _database_id(env, args.database),
            "cache": args.cache,
            **{variable: _database_id(env, args.replicas[part]) for part, variable in replicas.items()},
            **{name: value for name, value in optional.items() if value is not None},
            **{f"job_{name}": job for name, job in args.jobs.items()},
        }
    )


def _database_id(env: Environment, instance: pulumi.Input[str]) -> pulumi.Output[str]:
    return pulumi.Output.concat(env.config.project, ":", instance)


def _host(env: Environment, url: pulumi.Input[str]) -> pulumi.Input[str]:
    """The address that callers have."""
    service = env.config.service
    if service.load_balancer and service.domain is not None:
        return service.domain
    return pulumi.Output.from_input(url).apply(lambda text: text.removeprefix("https://").rstrip("/"))
