"""The network: what has which addresses."""

from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import combinations

from pydantic import Field

from infra.sections.base import Section

# What a range holds at least: direct VPC egress wants a /26, private services access a /24. Endpoints are one an
# instance, with those that recoveries and verify-backup make.
SMALLEST = {
    "service_cidr": 26,
    "services_access_cidr": 24,
    "bastion_cidr": 29,
    "endpoint_cidr": 28,
    "endpoint_dr_cidr": 28,
}
PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
# Cloud SQL's own containers are there: https://cloud.google.com/sql/docs/postgres/private-ip.
TAKEN = IPv4Network("172.17.0.0/16")


class NetworkConfig(Section):
    """Ranges of the one network."""

    service_cidr: IPv4Network = Field(default=IPv4Network("10.10.0.0/24"), description="Cloud Run's own addresses.")
    bastion_cidr: IPv4Network = Field(default=IPv4Network("10.10.1.0/28"), description="The bastion's.")
    endpoint_cidr: IPv4Network = Field(
        default=IPv4Network("10.10.2.0/28"), description="Private Service Connect's, where it is used."
    )
    endpoint_dr_cidr: IPv4Network = Field(
        default=IPv4Network("10.10.3.0/28"), description="Private Service Connect's in dr_region, with dr_replica."
    )
    services_access_cidr: IPv4Network = Field(
        default=IPv4Network("10.20.0.0/16"), description="Google's, where Cloud SQL and Memorystore are."
    )
    flow_logs: bool = True

    def faults(self) -> Iterator[str]:
        """What does not go together."""
        ranges: dict[str, IPv4Network] = {name: getattr(self, name) for name in SMALLEST}
        for name, cidr in ranges.items():
            if cidr.prefixlen > SMALLEST[name]:
                yield f"{name}: {cidr} is too small; write a /{SMALLEST[name]} or larger"
            if not any(cidr.subnet_of(private) for private in PRIVATE):
                yield f"{name}: {cidr} is not private; write one of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"
            elif cidr.overlaps(TAKEN):
                yield f"{name}: {cidr} overlaps {TAKEN}, which Cloud SQL uses inside; write another range"
        for (one, first), (other, second) in combinations(ranges.items(), 2):
            if first.overlaps(second):
                yield f"{other}: {second} overlaps {one}, {first}; write a range of its own"
