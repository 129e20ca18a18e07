"""The network: everything in it is private, and only Google's identity proxy comes in from outside."""

from ipaddress import IPv4Network

import pulumi
import pulumi_gcp as gcp

from infra import tunnel
from infra.environment import Environment

# The bastion's machine carries it, and the rules below are about it.
BASTION_TAG = "bastion"
# Identity-Aware Proxy's own, as of 2026-11: https://cloud.google.com/iap/docs/using-tcp-forwarding.
IAP_RANGE = "35.235.240.0/20"
# Cloud SQL's connector, its direct port for what is restored to be looked at, and Memorystore's with TLS.
DATA_PORTS = ("3307", "5432", "6378")
# Managed pooling's.
POOL_PORT = "6432"
EVERYWHERE = "0.0.0.0/0"
# A rule of a lower number goes first; these are the last before Google's own, which let everything out.
LAST = 65534
FIRST = 1000


class Network(pulumi.ComponentResource):
    """One network with a subnet a duty, and Google's services beside it.

    Attributes:
        network: what all addresses are in.
        service_subnet: Cloud Run's own addresses, for direct egress.
        bastion_subnet: the bastion's, with `access.bastion`.
        endpoint_subnets: those of the endpoints of Private Service Connect by their region, where instances are reached
            so: a region's instances have theirs in its own.
        services_access: the peering with Google's network. What has a private address there waits for it. Memorystore
            has one, whichever way the database is reached.
        range_name: of the addresses that Google may use there.
    """

    def __init__(self, env: Environment, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Network", env.name("network"), None, opts)
        self._env = env
        config = env.config
        self.network = gcp.compute.Network(
            env.name("network"),
            gcp.compute.NetworkArgs(
                name=env.name("network"), auto_create_subnetworks=False, routing_mode="REGIONAL", mtu=1460
            ),
            pulumi.ResourceOptions(parent=self),
        )
        # Cloud Run holds addresses of it for an hour or two after its service is gone: it is not made anew lightly.
        self.service_subnet = self._subnet("service", config.network.service_cidr)
        self.bastion_subnet = (
            self._subnet("bastion-subnet", config.network.bastion_cidr) if config.access.bastion else None
        )
        self._endpoint_ranges = {config.region: config.network.endpoint_cidr} if config.database.by_endpoints else {}
        if config.database.by_endpoints and config.database.dr_replica:
            self._endpoint_ranges[config.dr_region] = config.network.endpoint_dr_cidr
        self.endpoint_subnets = {
            region: self._subnet(f"endpoints-{region}", cidr, region) for region, cidr in self._endpoint_ranges.items()
        }
        self._make_services_access()
        self._make_rules()
        self.register_outputs({})

    def _subnet(self, part: str, cidr: IPv4Network, region: str | None = None) -> gcp.compute.Subnetwork:
        env = self._env
        # All of it: https://www.cisecurity.org/benchmark/google_cloud_computing_platform, 3.8.
        logs = gcp.compute.SubnetworkLogConfigArgs(
            aggregation_interval="INTERVAL_5_SEC", flow_sampling=1.0, metadata="INCLUDE_ALL_METADATA"
        )
        return gcp.compute.Subnetwork(
            env.name(part),
            gcp.compute.SubnetworkArgs(
                name=env.name(part),
                network=self.network.id,
                region=region or env.config.region,
                ip_cidr_range=str(cidr),
                # Google's APIs without an address of the internet.
                private_ip_google_access=True,
                log_config=logs if env.config.network.flow_logs else None,
            ),
            pulumi.ResourceOptions(parent=self),
        )

    def _make_services_access(self) -> None:
        env = self._env
        cidr = env.config.network.services_access_cidr
        name = env.name("services-access")
        addresses = gcp.compute.GlobalAddress(
            name,
            gcp.compute.GlobalAddressArgs(
                name=name,
                network=self.network.id,
                purpose="VPC_PEERING",
                address_type="INTERNAL",
                address=str(cidr.network_address),
                prefix_length=cidr.prefixlen,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.range_name: pulumi.Output[str] = addresses.name
        self.services_access = gcp.servicenetworking.Connection(
            name,
            gcp.servicenetworking.ConnectionArgs(
                network=self.network.id,
                service="servicenetworking.googleapis.com",
                reserved_peering_ranges=[addresses.name],
                # Google refuses the deletion for days after the last instance is gone.
                deletion_policy="REMOVE_PEERING",
            ),
            pulumi.ResourceOptions(parent=self),
        )

    def _make_rules(self) -> None:
        config = self._env.config
        everything = [gcp.compute.FirewallDenyArgs(protocol="all")]
        self._rule("deny-ingress", direction="INGRESS", priority=LAST, denies=everything, source_ranges=[EVERYWHERE])
        # Cloud Run's way to the internet is not through here.
        self._rule("deny-egress", direction="EGRESS", priority=LAST, denies=everything, destination_ranges=[EVERYWHERE])
        targets = [config.network.services_access_cidr, *self._endpoint_ranges.values()]
        ports = [*DATA_PORTS, POOL_PORT] if config.database.managed_pooling else list(DATA_PORTS)
        self._rule(
            "allow-data",
            direction="EGRESS",
            priority=FIRST,
            allows=[gcp.compute.FirewallAllowArgs(protocol="tcp", ports=ports)],
            destination_ranges=[str(cidr) for cidr in targets],
        )
        if not config.access.bastion:
            return
        self._rule(
            "allow-iap",
            direction="INGRESS",
            priority=FIRST,
            allows=[gcp.compute.FirewallAllowArgs(protocol="tcp", ports=[str(tunnel.SSH_PORT)])],
            source_ranges=[IAP_RANGE],
            target_tags=[BASTION_TAG],
        )
        self._rule(
            "allow-google-apis",
            direction="EGRESS",
            priority=FIRST,
            allows=[gcp.compute.FirewallAllowArgs(protocol="tcp", ports=["443"])],
            # Google's APIs have many addresses. Without one of its own, the bastion reaches nothing else there.
            destination_ranges=[EVERYWHERE],
            target_tags=[BASTION_TAG],
        )

    def _rule(
        self,
        part: str,
        *,
        direction: str,
        priority: int,
        allows: list[gcp.compute.FirewallAllowArgs] | None = None,
        denies: list[gcp.compute.FirewallDenyArgs] | None = None,
        source_ranges: list[str] | None = None,
        destination_ranges: list[str] | None = None,
        target_tags: list[str] | None = None,
    ) -> None:
        gcp.compute.Firewall(
            self._env.name(part),
            gcp.compute.FirewallArgs(
                name=self._env.name(part),
                network=self.network.id,
                direction=direction,
                priority=priority,
                allows=allows,
                denies=denies,
                source_ranges=source_ranges,
                destination_ranges=destination_ranges,
                target_tags=target_tags,
                log_config=gcp.compute.FirewallLogConfigArgs(metadata="INCLUDE_ALL_METADATA"),
            ),
            pulumi.ResourceOptions(parent=self),
        )
