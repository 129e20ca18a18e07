"""Keys of one's own: made where they are asked for, each for one service, and none lost by the way."""

import pytest

from runbooks.plan.model import Resource
from tests.contract.plans import STACKS, planned

KEY = "gcp:kms/cryptoKey:CryptoKey"
RING = "gcp:kms/keyRing:KeyRing"
GRANT = "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember"
OWN = (("customer_managed_keys", "true"),)
QUARTER = "7776000s"
# The keys of prod, and where they have to be.
REGIONS = {
    "analytics": "us-central1",
    "cache": "us-central1",
    "database": "us-central1",
    "database-dr": "us-east1",
    "logs": "us-central1",
    "registry": "us-central1",
    "secrets": "us-central1",
    "secrets-dr": "us-east1",
    "service": "us-central1",
    "storage": "us-central1",
    "storage-dr": "us-east1",
}


def keys(stack: str) -> dict[str, Resource]:
    plan = planned(stack, resolve=True, changes=OWN)
    return {one.name.removeprefix("holdfast-key-"): one for one in plan.of_type(KEY)}


@pytest.mark.parametrize("stack", STACKS)
def test_unless_asked_for_there_are_none(stack: str) -> None:
    assert not [one for one in planned(stack).resources if one.type.startswith("gcp:kms/")]


def test_each_purpose_has_its_key_in_its_region() -> None:
    rings = {
        one.inputs["name"]: one.inputs["location"] for one in planned("prod", resolve=True, changes=OWN).of_type(RING)
    }
    found = {purpose: rings[key.inputs["keyRing"].rpartition("/")[2]] for purpose, key in keys("prod").items()}
    assert found == REGIONS


def test_what_is_not_there_needs_no_key() -> None:
    assert set(REGIONS) - set(keys("dev")) == {"database-dr", "analytics"}


@pytest.mark.parametrize("stack", STACKS)
def test_a_key_changes_each_quarter_and_is_never_deleted_by_the_way(stack: str) -> None:
    for key in keys(stack).values():
        assert key.inputs["rotationPeriod"] == QUARTER
        # As long as Google allows, one that somebody destroyed can be had back.
        assert key.inputs["destroyScheduledDuration"] == f"{120 * 86_400}s"
        assert key.protect


@pytest.mark.parametrize("stack", STACKS)
def test_each_key_is_used_by_its_services_agent_and_by_nobody_else(stack: str) -> None:
    plan = planned(stack, resolve=True, changes=OWN)
    used: dict[str, list[str]] = {}
    for grant in plan.of_type(GRANT):
        assert grant.inputs["role"] == "roles/cloudkms.cryptoKeyEncrypterDecrypter"
        purpose = grant.inputs["cryptoKeyId"].rpartition("/")[2].removeprefix("holdfast-key-")
        used.setdefault(purpose, []).append(grant.name.removeprefix(f"holdfast-key-{purpose}-"))
    assert set(used) == set(keys(stack))
    assert used["secrets"] == ["pubsub", "secretmanager"]
    assert [used[purpose] for purpose in ("database", "cache", "service")] == [["sqladmin"], ["redis"], ["run"]]


def test_the_log_the_archives_tables_and_the_reminders_have_each_its_own() -> None:
    plan = planned("prod", resolve=True, changes=OWN)
    (log,) = plan.of_type("gcp:logging/projectBucketConfig:ProjectBucketConfig")
    (dataset,) = plan.of_type("gcp:bigquery/dataset:Dataset")
    (topic,) = plan.of_type("gcp:pubsub/topic:Topic")
    assert log.inputs["cmekSettings"]["kmsKeyName"].endswith("/holdfast-key-logs")
    assert dataset.inputs["defaultEncryptionConfiguration"]["kmsKeyName"].endswith("/holdfast-key-analytics")
    assert topic.inputs["kmsKeyName"].endswith("/holdfast-key-secrets")


def test_what_uses_a_key_waits_for_the_permission_to_use_it() -> None:
    plan = planned("prod", resolve=True, changes=OWN)
    database = next(one for one in plan.of_type("gcp:sql/databaseInstance:DatabaseInstance") if "database" in one.name)
    waited = [urn.rpartition("::")[2] for urn in database.property_dependencies["encryptionKeyName"]]
    assert "holdfast-key-database-sqladmin" in waited
