"""The network: private, closed, and with room for what is in it."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from runbooks.plan.model import Plan, Resource
from tests.contract.plans import STACKS, planned

RULE = "gcp:compute/firewall:Firewall"
SUBNET = "gcp:compute/subnetwork:Subnetwork"
CONNECTION = "gcp:servicenetworking/connection:Connection"
ADDRESS = "gcp:compute/globalAddress:GlobalAddress"
POLICY = "gcp:networkconnectivity/serviceConnectionPolicy:ServiceConnectionPolicy"
PSC = (("database.connectivity", "PRIVATE_SERVICE_CONNECT"),)
# All that makes it another network, in one plan.
OTHER = (
    ("database.connectivity", "PRIVATE_SERVICE_CONNECT"),
    ("database.edition", "ENTERPRISE_PLUS"),
    ("network.flow_logs", "false"),
    ("network.services_access_cidr", "10.64.0.0/18"),
)
WITHOUT_BASTION = (("access.bastion", "false"),)
DATABASE = "10.20.3.4"
INTERNET = "93.184.216.34"


def subnets(plan: Plan) -> dict[str, dict[str, Any]]:
    return {one.name.removeprefix("holdfast-"): one.inputs for one in plan.of_type(SUBNET)}


def lets(plan: Plan, direction: str, other: str, port: int, *, tags: tuple[str, ...] = ()) -> bool:
    """Whether the rules let a connection through, as Google reads them: of those that match, the lowest number."""
    rules = [
        one.inputs
        for one in plan.of_type(RULE)
        if one.inputs["direction"] == direction
        and (not one.inputs.get("targetTags") or set(one.inputs["targetTags"]) & set(tags))
        and any(ip_address(other) in ip_network(cidr) for cidr in _ranges(one))
        and any(_is_of(what, port) for what in [*one.inputs.get("allows", []), *one.inputs.get("denies", [])])
    ]
    return "allows" in min(rules, key=lambda rule: rule["priority"])


def _ranges(rule: Resource) -> list[str]:
    ranges: list[str] = rule.inputs.get("sourceRanges") or rule.inputs["destinationRanges"]
    return ranges


def _is_of(what: dict[str, Any], port: int) -> bool:
    return what["protocol"] == "all" or str(port) in what["ports"]


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_comes_in_from_the_internet(stack: str) -> None:
    for port in (22, 443, 3389, 5432, 8080):
        for tags in ((), ("bastion",)):
            assert not lets(planned(stack), "INGRESS", INTERNET, port, tags=tags)


def test_googles_proxy_reaches_one_port_of_the_bastion() -> None:
    iap = "35.235.240.1"
    assert lets(planned("prod"), "INGRESS", iap, 22, tags=("bastion",))
    assert not lets(planned("prod"), "INGRESS", iap, 5432, tags=("bastion",))
    assert not lets(planned("prod"), "INGRESS", iap, 22)
    assert not lets(planned("dev", changes=WITHOUT_BASTION), "INGRESS", iap, 22, tags=("bastion",))


@pytest.mark.parametrize("stack", STACKS)
def test_what_is_deployed_reaches_the_database_and_the_cache_and_nothing_else_here(stack: str) -> None:
    plan = planned(stack)
    assert all(lets(plan, "EGRESS", DATABASE, port) for port in (3307, 5432, 6378))
    assert not lets(plan, "EGRESS", DATABASE, 6379), "a cache without TLS"
    assert not lets(plan, "EGRESS", INTERNET, 443)
    assert not lets(plan, "EGRESS", "10.10.0.9", 8080)


def test_the_bastion_reaches_each_instance_and_googles_apis() -> None:
    assert lets(planned("prod"), "EGRESS", DATABASE, 3307, tags=("bastion",))
    assert lets(planned("prod"), "EGRESS", INTERNET, 443, tags=("bastion",))
    assert not lets(planned("prod"), "EGRESS", INTERNET, 80, tags=("bastion",))


def test_managed_pooling_has_its_port() -> None:
    assert lets(planned("prod", changes=OTHER), "EGRESS", "10.64.3.4", 6432)
    assert not lets(planned("prod"), "EGRESS", DATABASE, 6432)


@pytest.mark.parametrize("stack", STACKS)
def test_each_rule_is_logged(stack: str) -> None:
    assert all("logConfig" in one.inputs for one in planned(stack).of_type(RULE))


@pytest.mark.parametrize("stack", STACKS)
def test_a_subnet_is_there_where_it_is_needed(stack: str) -> None:
    assert set(subnets(planned(stack))) == {"service", "bastion-subnet"}
    assert set(subnets(planned(stack, changes=WITHOUT_BASTION))) == {"service"}
    for inputs in subnets(planned(stack)).values():
        assert inputs["privateIpGoogleAccess"]
        assert inputs["logConfig"]["flowSampling"] == 1


def test_flow_logs_can_be_left_out() -> None:
    assert "logConfig" not in subnets(planned("prod", changes=OTHER))["service"]


def test_endpoints_have_a_subnet_in_each_region_and_the_cache_still_its_peering() -> None:
    plan = planned("prod", changes=OTHER)
    ranges = {"us-central1": "10.10.2.0/28", "us-east1": "10.10.3.0/28"}
    for region, cidr in ranges.items():
        subnet = subnets(plan)[f"endpoints-{region}"]
        assert (subnet["region"], subnet["ipCidrRange"]) == (region, cidr)
        endpoint = str(ip_network(cidr)[5])
        assert lets(plan, "EGRESS", endpoint, 3307)
        assert not lets(planned("prod"), "EGRESS", endpoint, 3307)
    assert len(plan.of_type(CONNECTION)) == 1


def test_a_region_without_a_replica_has_no_endpoints() -> None:
    plan = planned("dev", changes=PSC)
    assert set(subnets(plan)) == {"service", "bastion-subnet", "endpoints-us-central1"}
    assert [one.inputs["location"] for one in plan.of_type(POLICY)] == ["us-central1"]
    assert not lets(plan, "EGRESS", "10.10.3.5", 3307)


def test_google_may_make_endpoints_in_each_region() -> None:
    plan = planned("prod", resolve=True, changes=PSC)
    network = "projects/holdfast-prod/global/networks/holdfast-network"
    policies = {one.inputs["location"]: one.inputs for one in plan.of_type(POLICY)}
    assert set(policies) == {"us-central1", "us-east1"}
    for region, policy in policies.items():
        assert (policy["serviceClass"], policy["network"]) == ("google-cloud-sql", network)
        (subnet,) = policy["pscConfig"]["subnetworks"]
        assert subnet.endswith(f"regions/{region}/subnetworks/holdfast-endpoints-{region}")
    assert not planned("prod").of_type(POLICY)


def test_the_peering_has_the_addresses_that_were_said_and_can_be_taken_down() -> None:
    plan = planned("prod", changes=OTHER)
    (connection,) = plan.of_type(CONNECTION)
    assert connection.inputs["deletionPolicy"] == "REMOVE_PEERING"
    (addresses,) = (one for one in plan.of_type(ADDRESS) if one.inputs.get("purpose") == "VPC_PEERING")
    assert (addresses.inputs["address"], addresses.inputs["prefixLength"]) == ("10.64.0.0", 18)
    assert connection.inputs["reservedPeeringRanges"] == [addresses.inputs["name"]]
