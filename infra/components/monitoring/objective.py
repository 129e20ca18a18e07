"""The objective: how many requests may fail, and how many be slow."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.components.monitoring.names import Names
from infra.environment import Environment
from infra.monitoring.objective import P95, failed, latencies, requests

DAYS = 28


@dataclass(frozen=True)
class ObjectiveArgs:
    """What is measured.

    Args:
        names: the service's or, where it is behind a load balancer, the balancer's too.
    """

    names: Names


class Objective(pulumi.ComponentResource):
    """A service of Monitoring with two objectives: availability, and latency.

    Attributes:
        availability: the objective's whole name, for its burn rate.
    """

    def __init__(self, env: Environment, args: ObjectiveArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Objective", env.name("objective"), None, opts)
        options = pulumi.ResourceOptions(parent=self)
        # A client's view is the balancer's: it also sees what the service never did.
        is_balanced = args.names.have("$url_map")
        fill = args.names.fill
        limit = env.config.monitoring.alerts.p95_ms
        service = gcp.monitoring.CustomService(
            env.name("api-objectives"),
            gcp.monitoring.CustomServiceArgs(
                service_id=env.name("api"),
                display_name=f"{env.config.name} {env.stack}: API",
                user_labels=env.labels,
            ),
            options,
        )
        availability = gcp.monitoring.Slo(
            env.name("availability"),
            gcp.monitoring.SloArgs(
                service=service.service_id,
                slo_id=env.name("availability"),
                display_name="Requests that did not fail",
                goal=env.config.monitoring.availability_objective,
                rolling_period_days=DAYS,
                request_based_sli=gcp.monitoring.SloRequestBasedSliArgs(
                    good_total_ratio=gcp.monitoring.SloRequestBasedSliGoodTotalRatioArgs(
                        bad_service_filter=fill(failed(is_balanced=is_balanced).filter),
                        total_service_filter=fill(requests(is_balanced=is_balanced).filter),
                    )
                ),
                user_labels=env.labels,
            ),
            options,
        )
        gcp.monitoring.Slo(
            env.name("latency"),
            gcp.monitoring.SloArgs(
                service=service.service_id,
                slo_id=env.name("latency"),
                display_name=f"Requests within {limit} ms",
                goal=P95,
                rolling_period_days=DAYS,
                request_based_sli=gcp.monitoring.SloRequestBasedSliArgs(
                    distribution_cut=gcp.monitoring.SloRequestBasedSliDistributionCutArgs(
                        distribution_filter=fill(latencies(is_balanced=is_balanced).filter),
                        range=gcp.monitoring.SloRequestBasedSliDistributionCutRangeArgs(max=limit),
                    )
                ),
                user_labels=env.labels,
            ),
            options,
        )
        self.availability = pulumi.Output.concat(
            "projects/",
            env.config.project,
            "/services/",
            service.service_id,
            "/serviceLevelObjectives/",
            availability.slo_id,
        )
        self.register_outputs({})
