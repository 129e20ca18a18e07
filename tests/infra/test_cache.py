"""The cache: AUTH and TLS in every environment, and an address that the runtime can use."""

import asyncio
import ssl
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from redis.asyncio import ConnectionPool

from infra.urls import cache_url
from runbooks.plan.model import Plan, Resource
from runbooks.plan.sdk import importing
from tests.contract.plans import STACKS, planned

OWN_KEYS = (("customer_managed_keys", "true"),)


def cache(plan: Plan) -> Resource:
    (found,) = plan.of_type("gcp:redis/instance:Instance")
    return found


@pytest.mark.parametrize("stack", STACKS)
def test_nobody_comes_in_without_tls_or_a_password(stack: str) -> None:
    inputs = cache(planned(stack)).inputs
    assert inputs["authEnabled"]
    assert inputs["transitEncryptionMode"] == "SERVER_AUTHENTICATION"
    assert inputs["redisConfigs"] == {"maxmemory-policy": "allkeys-lru"}


def test_production_is_replicated_and_dev_is_small() -> None:
    prod, dev = (cache(planned(stack)).inputs for stack in ("prod", "dev"))
    assert (prod["tier"], prod["memorySizeGb"], prod["deletionProtection"]) == ("STANDARD_HA", 5, True)
    assert (dev["tier"], dev["memorySizeGb"], dev["deletionProtection"]) == ("BASIC", 1, False)
    assert not {"readReplicasMode", "replicaCount"} & prod.keys()


def test_it_is_in_the_range_for_google_and_waits_for_the_peering() -> None:
    plan = planned("prod", resolve=True)
    found = cache(plan)
    assert found.inputs["connectMode"] == "PRIVATE_SERVICE_ACCESS"
    assert found.inputs["reservedIpRange"] == "holdfast-services-access"
    (peering,) = plan.of_type("gcp:servicenetworking/connection:Connection")
    assert peering.urn in found.depends_on


def test_one_of_another_tier_has_its_name_only_when_it_is_gone() -> None:
    assert cache(planned("dev")).delete_before_replace


def test_what_a_setting_changes() -> None:
    changes = (
        ("cache.read_replicas", "2"),
        ("cache.eviction", "volatile-lru"),
        ("database.maintenance", '{"day": 7, "hour": 4}'),
        *OWN_KEYS,
    )
    inputs = cache(planned("prod", resolve=True, changes=changes)).inputs
    assert (inputs["readReplicasMode"], inputs["replicaCount"]) == ("READ_REPLICAS_ENABLED", 2)
    assert inputs["redisConfigs"] == {"maxmemory-policy": "volatile-lru"}
    (window,) = inputs["maintenancePolicy"]["weeklyMaintenanceWindows"]
    assert window == {"day": "SUNDAY", "startTime": {"hours": 4}}
    assert inputs["customerManagedKey"].rpartition("/")[2] == "holdfast-key-cache"


def test_while_google_replaces_its_authority_both_are_believed() -> None:
    with importing():
        from infra.components import cache as component  # noqa: PLC0415

    given = [SimpleNamespace(cert=text) for text in ("one\n", "", "two")]
    assert component._joined(given) == "one\ntwo\n"  # type: ignore[arg-type]


def test_the_address_is_one_that_a_client_reads_and_that_names_the_mounted_authority() -> None:
    url = cache_url("p@ss:/?#", "10.20.0.3", 6378)
    assert parse_qs(urlsplit(url).query)["ssl_ca_certs"] == ["/secrets/cache/ca.pem"]
    pool = ConnectionPool.from_url(url)
    assert pool.connection_kwargs["password"] == "p@ss:/?#"
    # The chain is still checked, against the instance's own authority.
    connection = pool.make_connection()
    assert connection.ssl_context.cert_reqs == ssl.CERT_REQUIRED
    assert not connection.ssl_context.check_hostname
    asyncio.run(pool.disconnect())
