"""Private Service Connect's way to the database: an address of the network, and the name that connectors ask for."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.components.database import Database
from infra.components.network import Network
from infra.environment import Environment

TTL_SECONDS = 300


@dataclass(frozen=True)
class DatabaseEndpointArgs:
    """What the endpoint needs.

    Args:
        database: what is behind it.
        network: with the endpoint's subnet.
    """

    database: Database
    network: Network


class DatabaseEndpoint(pulumi.ComponentResource):
    """As https://cloud.google.com/sql/docs/postgres/configure-private-service-connect has it, as of 2026-11.

    The replica has none: whoever promotes it makes one in its region.

    Attributes:
        address: the database's in the network.
    """

    def __init__(
        self, env: Environment, args: DatabaseEndpointArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("holdfast:infra:DatabaseEndpoint", env.name("endpoint"), None, opts)
        mine = pulumi.ResourceOptions(parent=self)
        name, region = env.name("database-endpoint"), env.config.region
        subnet = args.network.endpoint_subnet
        reserved = gcp.compute.Address(
            name,
            gcp.compute.AddressArgs(
                name=name, region=region, address_type="INTERNAL", subnetwork=subnet.id if subnet is not None else None
            ),
            mine,
        )
        self.address: pulumi.Output[str] = reserved.address
        gcp.compute.ForwardingRule(
            name,
            gcp.compute.ForwardingRuleArgs(
                name=name,
                region=region,
                network=args.network.network.id,
                ip_address=reserved.self_link,
                # An endpoint has none.
                load_balancing_scheme="",
                target=args.database.instance.psc_service_attachment_link,
            ),
            mine,
        )
        zone = gcp.dns.ManagedZone(
            name,
            gcp.dns.ManagedZoneArgs(
                name=name,
                dns_name=f"{region}.sql.goog.",
                visibility="private",
                private_visibility_config=gcp.dns.ManagedZonePrivateVisibilityConfigArgs(
                    networks=[
                        gcp.dns.ManagedZonePrivateVisibilityConfigNetworkArgs(network_url=args.network.network.id)
                    ]
                ),
            ),
            mine,
        )
        gcp.dns.RecordSet(
            name,
            gcp.dns.RecordSetArgs(
                name=args.database.instance.dns_name,
                managed_zone=zone.name,
                type="A",
                ttl=TTL_SECONDS,
                rrdatas=[reserved.address],
            ),
            mine,
        )
        self.register_outputs({})
