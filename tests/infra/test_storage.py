"""Buckets: nothing in them is public, and only metrics are ever deleted by the bucket itself."""

import pytest

from runbooks.plan.model import Plan, Resource
from tests.contract.plans import STACKS, planned

BUCKET = "gcp:storage/bucket:Bucket"
OWN_KEYS = (("customer_managed_keys", "true"),)


def bucket(plan: Plan, part: str) -> Resource:
    (found,) = (one for one in plan.of_type(BUCKET) if one.name == f"holdfast-{part}")
    return found


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("part", ["archive", "exports"])
def test_a_bucket_is_private_and_what_is_deleted_can_be_had_back(stack: str, part: str) -> None:
    inputs = bucket(planned(stack), part).inputs
    assert inputs["name"] == f"holdfast-{stack}-holdfast-{part}"
    assert inputs["publicAccessPrevention"] == "enforced"
    assert inputs["uniformBucketLevelAccess"]
    assert inputs["versioning"] == {"enabled": True}
    assert inputs["softDeletePolicy"] == {"retentionDurationSeconds": 7 * 86_400}


def test_the_archive_deletes_metrics_alone_and_after_the_retention_job() -> None:
    archive = bucket(planned("prod", changes=(("storage.metrics_backstop_days", "500"),)), "archive")
    (rule,) = archive.inputs["lifecycleRules"]
    assert rule["action"] == {"type": "Delete"}
    assert rule["condition"] == {"age": 500, "matchesPrefixes": ["metrics/"], "withState": "ANY"}


def test_exports_are_in_the_region_for_disasters_and_go_after_their_days() -> None:
    plan = planned("prod")
    assert bucket(plan, "archive").inputs["location"] == "us-central1"
    exports = bucket(plan, "exports").inputs
    assert exports["location"] == "us-east1"
    assert exports["lifecycleRules"][0]["condition"]["age"] == 30


def test_production_keeps_its_archive() -> None:
    prod, dev = (bucket(planned(stack), "archive") for stack in ("prod", "dev"))
    assert (prod.protect, prod.inputs["forceDestroy"]) == (True, False)
    assert (dev.protect, dev.inputs["forceDestroy"]) == (False, True)


def test_jobs_write_the_archive_and_cannot_delete_from_it() -> None:
    plan = planned("prod", resolve=True)
    jobs = "serviceAccount:holdfast-jobs@holdfast-prod.iam.gserviceaccount.com"
    grants = {
        (one.inputs["role"], one.inputs["bucket"])
        for one in plan.of_type("gcp:storage/bucketIAMMember:BucketIAMMember")
        if one.inputs["member"] == jobs
    }
    archive = "holdfast-prod-holdfast-archive"
    assert grants == {("roles/storage.objectCreator", archive), ("roles/storage.objectViewer", archive)}


def test_with_keys_of_ones_own_each_bucket_has_that_of_its_region() -> None:
    plan = planned("prod", resolve=True, changes=OWN_KEYS)
    for part, key in ("archive", "holdfast-key-storage"), ("exports", "holdfast-key-storage-dr"):
        assert bucket(plan, part).inputs["encryption"]["defaultKmsKeyName"].rpartition("/")[2] == key
