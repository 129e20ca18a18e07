"""Private Service Connect's way to the databases: who may make endpoints in the network, and where."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.components.network import Network
from infra.environment import Environment

SERVICE_CLASS = "google-cloud-sql"


@dataclass(frozen=True)
class EndpointPoliciesArgs:
    """What the policies need.

    Args:
        network: with the endpoints' subnets.
    """

    network: Network


class EndpointPolicies(pulumi.ComponentResource):
    """With them Cloud SQL makes an endpoint for each instance, also for one that a recovery or verify-backup makes.

    As https://cloud.google.com/sql/docs/postgres/configure-private-service-connect has it, as of 2026-11. In a region
    without a policy an instance has no endpoint.

    Attributes:
        policies: one a region, which instances in it wait for.
    """

    def __init__(
        self, env: Environment, args: EndpointPoliciesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("holdfast:infra:EndpointPolicies", env.name("endpoint-policies"), None, opts)
        self.policies = [self._policy(env, args.network, region) for region in args.network.endpoint_subnets]
        self.register_outputs({})

    def _policy(
        self, env: Environment, network: Network, region: str
    ) -> gcp.networkconnectivity.ServiceConnectionPolicy:
        name = env.name(f"endpoints-{region}")
        return gcp.networkconnectivity.ServiceConnectionPolicy(
            name,
            gcp.networkconnectivity.ServiceConnectionPolicyArgs(
                name=name,
                location=region,
                network=network.network.id,
                service_class=SERVICE_CLASS,
                psc_config=gcp.networkconnectivity.ServiceConnectionPolicyPscConfigArgs(
                    subnetworks=[network.endpoint_subnets[region].id]
                ),
            ),
            pulumi.ResourceOptions(parent=self),
        )
