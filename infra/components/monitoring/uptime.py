"""Whether the API answers, asked from outside."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.environment import Environment

PATH = "/health/ready"
HTTPS = 443
TIMEOUT = "10s"
# The USA are three locations: with these, one that fails is not yet an alert.
REGIONS = ("USA", "EUROPE", "ASIA_PACIFIC")


@dataclass(frozen=True)
class UptimeArgs:
    """What is asked.

    Args:
        host: the API's, without https://.
    """

    host: pulumi.Input[str]


class Uptime(pulumi.ComponentResource):
    """A check of the route that names each dependency, which is open.

    Attributes:
        check_id: as its series have it.
    """

    def __init__(self, env: Environment, args: UptimeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Uptime", env.name("uptime"), None, opts)
        check = gcp.monitoring.UptimeCheckConfig(
            env.name("ready"),
            gcp.monitoring.UptimeCheckConfigArgs(
                display_name=f"{env.config.name} {env.stack}: {PATH}",
                timeout=TIMEOUT,
                period=f"{env.config.monitoring.uptime_period_seconds}s",
                selected_regions=REGIONS,
                log_check_failures=True,
                monitored_resource=gcp.monitoring.UptimeCheckConfigMonitoredResourceArgs(
                    type="uptime_url", labels={"project_id": env.config.project, "host": args.host}
                ),
                http_check=gcp.monitoring.UptimeCheckConfigHttpCheckArgs(
                    path=PATH,
                    port=HTTPS,
                    use_ssl=True,
                    validate_ssl=True,
                    accepted_response_status_codes=[
                        gcp.monitoring.UptimeCheckConfigHttpCheckAcceptedResponseStatusCodeArgs(status_value=200)
                    ],
                ),
                # Somebody else's page could answer 200 too.
                content_matchers=[
                    gcp.monitoring.UptimeCheckConfigContentMatcherArgs(
                        content='"database":{"ok":true', matcher="CONTAINS_STRING"
                    )
                ],
                user_labels=env.labels,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.check_id = check.uptime_check_id
        self.register_outputs({})
